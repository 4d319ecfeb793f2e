"""What each resolver is and does, apart from any target, and whether somebody answers where no resolver is.

The given resolver and those of the plan are asked the same. What comes out of it about the line, later rows carry as
their validity: from which network the given resolver asks, and whether questions are intercepted.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

from civobs_agent.faults import Fault
from civobs_agent.net import Context
from civobs_agent.probes import KINDS
from civobs_agent.probes.dns_examination import Asked, BuiltIn, Examination
from civobs_agent.probes.dns_servers import MOST_EXAMINED, Listed, drawn, given, independent
from civobs_agent.probes.question import Server
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, ResolverFacts
from civobs_wire.plan import Target

EXAMINATION_BYTES = KINDS["resolver"].least_bytes
"""Of one resolver with both encrypted ways, on the Internet (docs/methods/resolver.md)."""
_BUILT_IN = BuiltIn()


async def measure(target: Target, context: Context, built_in: BuiltIn = _BUILT_IN) -> list[AnyMeasurement]:
    """A row for each resolver that there are bytes for, and one for each family of the observatory's servers."""
    listed = (*islice(given(context), MOST_EXAMINED), *independent(context))
    allowed = context.afford(len(listed) * EXAMINATION_BYTES, 0) or 0
    asked = drawn(listed, allowed // EXAMINATION_BYTES, context)
    examinations = [Examination(one, context, built_in) for one in asked]
    silences = [Silence(one, context) for one in _no_resolvers(context, built_in.dns_port)]
    if not examinations and not silences:
        nothing = Fault(Failure.NOTHING_TO_ASK, "no resolver, neither given nor in the plan")
        return [context.row(ResolverFacts, context.begin(), target.id, {}, fault=nothing)]
    await asyncio.gather(*(one.run() for one in examinations), *(one.run() for one in silences))
    line_works = any(one.answered for one in examinations)
    for silence in silences:
        silence.conclude(line_works=line_works)
    _tell(examinations, silences, context)
    return [one.row(target.id) for one in (*examinations, *silences)]


class Silence(Asked):
    """An address of the observatory where no resolver is: who answers from there stands on the way."""

    async def run(self) -> None:
        """One question."""
        if self.fault is None:
            reply = await self.check("udp", self.ask(self.context.neutral_name, "A", mixed=True, nsid=True))
            if reply is not None:
                self.fields["reply_ms"] = reply.ms

    def conclude(self, *, line_works: bool) -> None:
        """Silence means something only where others are heard."""
        if self.fault is not None:
            return
        match self.checks[0].failure:
            case None | Failure.DNS_WRONG_QUERY_ID | Failure.DNS_SERVER_MISBEHAVING:
                self.fields["no_resolver_answered"] = True
            case Failure.CONNECTION_REFUSED:
                self.fields["no_resolver_answered"] = False
            case Failure.GENERIC_TIMEOUT_ERROR if line_works:
                self.fields["no_resolver_answered"] = False
            case failure:
                self.fault = Fault(failure)


def _no_resolvers(context: Context, port: int) -> Sequence[Listed]:
    """The first of the observatory's servers in each family."""
    found: dict[int, Listed] = {}
    for server in context.servers:
        for address in filter(None, (server.address, server.address6)):
            where = Server(address, port)
            if where.family not in found:
                refusal = context.refusal.refuses(address)
                fault = Fault(Failure.TARGET_REFUSED, refusal) if refusal else context.absent(where.family)
                found[where.family] = Listed(server.id, where, fault)
    return tuple(found.values())


def _tell(examinations: Sequence[Examination], silences: Sequence[Silence], context: Context) -> None:
    """Let later rows know."""
    now_ms = context.clock.moment().mono_ms
    egress = [one.fields["egress"] for one in examinations if one.listed.planned is None and "egress" in one.fields]
    if egress:
        context.known.tell("resolver", str(egress[0]), now_ms)
    answered = [one.fields["no_resolver_answered"] for one in silences if "no_resolver_answered" in one.fields]
    if answered:
        context.known.tell("interception", any(answered), now_ms)
