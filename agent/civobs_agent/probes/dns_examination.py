"""One resolver asked what it is: by which ways it answers, who it says it is, and what it does with signatures.

Each question is a check of the row; the facts that follow from them are its fields. Questions go out one after another,
so that a resolver sees no burst.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TypeVar

import dns.message
import dns.name

from civobs_agent.faults import Fault, MeasurementError, fault_of, rcode_fault
from civobs_agent.net import Context
from civobs_agent.probes.dns_message import question, texts
from civobs_agent.probes.dns_secure import DOT_PORT, over_https, over_tls
from civobs_agent.probes.dns_servers import Listed, identity, shown
from civobs_agent.probes.dns_trust import ROOT_ANCHORS, Trust, UnsignedError, UntrustedError
from civobs_agent.probes.question import Reply, Server, Transport, exchange
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import Check, ClockState, ResolverFacts
from civobs_wire.plan import DnsNames

TIMEOUTS = table(
    Timeout("resolver.all", 90.0, "eighteen questions of which most are answered; its program ends after 120 s"),
)
PREFIX_BITS = {4: 24, 6: 48}
"""The longest prefixes that are routed on the Internet; no household is told from its neighbours by one."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """What neither settings nor plan can change; a test has a root of its own."""

    anchors: tuple[str, ...] = ROOT_ANCHORS
    dot_port: int = DOT_PORT
    dns_port: int = 53


class Asked:
    """A server, what it was asked, and what came of it."""

    def __init__(self, listed: Listed, context: Context) -> None:
        self.listed = listed
        self.context = context
        self.checks: list[Check] = []
        self.fields: dict[str, object] = {}
        self.fault = listed.fault
        self._run = context.begin()

    async def check(self, name: str, question: Awaitable[Result]) -> Result | None:
        """Note how a question ended; None if it did not end well."""
        began = time.perf_counter()
        try:
            result = await question
        except UntrustedError as error:
            self._note(name, Fault(Failure.UNEXPECTED_ANSWER, str(error)))
        except UnsignedError:
            self._note(name, Fault(Failure.DNS_NO_ANSWER))
        except MeasurementError as error:
            self._note(name, error.fault)
        except (OSError, EOFError) as error:
            self._note(name, fault_of(error))
        else:
            ms = (time.perf_counter() - began) * 1000
            self.checks.append(Check(id=name, outcome=Outcome.OK, ms=ms))
            return result
        return None

    async def ask(  # noqa: PLR0913 - what a question may carry
        self,
        qname: str,
        qtype: str,
        transport: Transport = "udp",
        *,
        mixed: bool = False,
        rdclass: str = "IN",
        nsid: bool = False,
        signed: bool = False,
    ) -> Reply:
        """The first answer. Raises MeasurementError."""
        query = question(qname, qtype, self.context.rng, mixed=mixed, rdclass=rdclass, nsid=nsid, signed=signed)
        return await exchange(self.listed.server, query, self.context, transport=transport)

    def row(self, target: str) -> ResolverFacts:
        """The row of it."""
        fields = {"resolver": self.listed.id, "checks": tuple(self.checks)} | self.fields
        family = self.listed.server.family
        return self.context.row(ResolverFacts, self._run, target, fields, family=family, fault=self.fault)

    def _note(self, name: str, fault: Fault) -> None:
        self.checks.append(Check(id=name, outcome=fault.outcome, failure=fault.failure))


class Examination(Asked):
    """Of one resolver."""

    def __init__(self, listed: Listed, context: Context, built_in: BuiltIn) -> None:
        super().__init__(listed, context)
        self._built_in = built_in
        self._transport: Transport | None = None
        """The way that is open, UDP if it is."""

    @property
    def answered(self) -> bool:
        """It answered something over one of the plain ways."""
        return self._transport is not None

    async def run(self) -> None:
        """Ask all of it; what is not there when the time is up stays out."""
        if self.fault is not None:
            return
        try:
            async with asyncio.timeout(self.context.timeout_s(TIMEOUTS["resolver.all"])):
                await asyncio.gather(self._over_udp(), self._over_tcp(), self._over_tls(), self._over_https())
                if self.answered:
                    await self._name_itself()
                    await self._egress()
                    await self._judge_signatures()
                    await self._verify()
        except TimeoutError:
            if not self.answered:
                self.fault = Fault(Failure.GENERIC_TIMEOUT_ERROR)
        if not self.answered:
            plain = next((check for check in self.checks if check.id == "udp"), None)
            self.fault = Fault(plain.failure if plain and plain.failure else Failure.GENERIC_TIMEOUT_ERROR)

    async def _over_udp(self) -> None:
        neutral = self.context.neutral_name
        reply = await self.check("udp", self.ask(neutral, "A", mixed=True, nsid=True))
        if reply is None:
            return
        self._transport = "udp"
        case_kept = reply.said.case_kept
        if reply.rcode:
            plain = await self.check("udp.plain", self.ask(neutral, "A"))
            if plain is not None and not plain.rcode:
                case_kept = False
        self.fields["reply_ms"] = reply.ms
        self.fields["case_kept"] = case_kept
        self.fields["nsid"] = identity(reply.said.nsid, self.listed, self.context)

    async def _over_tcp(self) -> None:
        reply = await self.check("tcp", self.ask(self.context.neutral_name, "A", "tcp"))
        if reply is not None and self._transport is None:
            self._transport = "tcp"

    async def _over_tls(self) -> None:
        name = self.listed.planned and self.listed.planned.dot_name
        if name:
            server = Server(self.listed.server.address, self._built_in.dot_port)
            await self.check("dot", over_tls(server, name, self.context))

    async def _over_https(self) -> None:
        url = self.listed.planned and self.listed.planned.doh_url
        if url:
            await self.check("doh", over_https(self.listed.server.address, url, self.context))

    async def _name_itself(self) -> None:
        """What it says of itself in the class that is meant for it (RFC 4892)."""
        for name in ("id.server", "hostname.bind"):
            if (text := await self._chaos(name)) is not None:
                self.fields["server_id"] = text
                break
        self.fields["version"] = await self._chaos("version.bind")

    async def _chaos(self, name: str) -> str | None:
        reply = await self.check(name, self._good(name, "TXT", rdclass="CH"))
        text = None if reply is None else next(texts(reply.message), None)
        return identity(text, self.listed, self.context)

    async def _egress(self) -> None:
        """From which network it asks others, by a name whose answer is the address that asked."""
        if self._names.whoami is None:
            return
        for qtype in ("A", "AAAA"):
            reply = await self.check(f"whoami.{qtype}", self._good(self._names.whoami, qtype))
            if reply is not None and reply.answers:
                self.fields["egress"] = prefix_of(reply.answers[0], self.context)
                return

    async def _judge_signatures(self) -> None:
        """Whether it refuses what is signed wrongly, and that for its signature alone."""
        if self._names.signed is None or self._names.bogus is None:
            return
        right = await self.check("signed", self._good(self._names.signed, "A"))
        wrong = await self.check("bogus", self._good(self._names.bogus, "A"))
        if right is None or not right.answers:
            return
        if wrong is not None and wrong.answers:
            self.fields["validates"] = False
        elif self.checks[-1].failure is Failure.DNS_SERVFAIL_ERROR:
            unchecked = await self.check("bogus.unchecked", self._good(self._names.bogus, "A", signed=True))
            self.fields["validates"] = True if unchecked is not None else None

    async def _verify(self) -> None:
        """Reckon ourselves, as far as the time is known: a signature holds from a day to another."""
        now = self.context.clock.moment()
        if now.state is ClockState.UNKNOWN:
            return
        trust = Trust(self._records, self._built_in.anchors, now.at.timestamp())
        self.fields["root_signed"] = await self._verified("root_dnskey", trust.root())
        if self.fields["root_signed"] and self._names.signed is not None:
            self.fields["name_signed"] = await self._verified("signatures", trust.name(self._names.signed))

    async def _verified(self, name: str, verifying: Awaitable[None]) -> bool | None:
        """True, False if what came does not verify, None if nothing came that could."""
        await self.check(name, verifying)
        match self.checks[-1]:
            case Check(outcome=Outcome.OK):
                return True
            case Check(failure=Failure.UNEXPECTED_ANSWER):
                return False
            case _:
                return None

    async def _records(self, name: dns.name.Name, rdtype: str) -> dns.message.Message:
        return (await self._good(name.to_text(), rdtype, signed=True)).message

    async def _good(self, qname: str, qtype: str, *, rdclass: str = "IN", signed: bool = False) -> Reply:
        """An answer without an error, over the way that is open."""
        reply = await self.ask(qname, qtype, self._transport or "udp", rdclass=rdclass, signed=signed)
        fault = rcode_fault(reply.rcode)
        if fault is not None:
            raise MeasurementError(fault.failure)
        return reply

    @property
    def _names(self) -> DnsNames:
        return DnsNames() if self.context.plan is None else self.context.plan.dns_names


def prefix_of(address: str, context: Context) -> str:
    """The network of an address; ``home`` for the household's own, and a refused one by its range."""
    fit = shown(address, context)
    if fit != address:
        return "home" if fit == "refused:home_network" else fit
    return str(ip_network((address, PREFIX_BITS[ip_address(address).version]), strict=False))
