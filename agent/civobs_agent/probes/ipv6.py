"""What IPv6 does here: nothing, harm, or its work; and what a host with both families would use.

A device with an IPv6 address and no way out makes everything look slow or blocked that has two addresses. So it is
called broken only where IPv4 answers at the same time: where neither does, it is the line.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes import nat64
from civobs_agent.probes.binding import own_address
from civobs_agent.probes.place import told
from civobs_agent.probes.stream import Stream
from civobs_agent.probes.stun import Endpoint
from civobs_agent.rungs import ask_anchor, failed
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import AnyMeasurement, Check, FamilyState, Ipv6
from civobs_wire.plan import Anchor, Target

TIMEOUTS = table(Timeout("ipv6.connect", 6.0, "as ladder.tcp"))
ANCHORS: dict[IpFamily, int] = {6: 3, 4: 2}
"""How many are asked of each family; IPv4 only to tell a line that is down from IPv6 that is broken."""
ODD_LABELS = (ip_network("2002::/16"), ip_network("2001::/32"), ip_network("fc00::/7"))
"""Sources for which RFC 6724 §2.1 prefers IPv4 to a global IPv6 address: 6to4, Teredo, local ones (rule 5)."""
GLOBAL = ip_network("2000::/3")


@dataclass(slots=True)
class Seen:
    """What is found out in one run."""

    checks: list[Check] = field(default_factory=list)
    answered: dict[IpFamily, bool] = field(default_factory=dict)
    """Whether anything of the family answered; left out where nothing was asked."""
    fault: Fault | None = None
    """Of IPv6: the first that says more than silence, for routers tell of one packet in a second (RFC 4443 §2.4)."""
    ms: dict[IpFamily, float] = field(default_factory=dict)
    """Of the connects begun together."""
    raced: bool = False
    dns64: bool | None = None
    prefix: str | None = None
    """The translator's, or why it may be neither used nor told."""
    translates: bool | None = None

    def note(self, family: IpFamily, check: Check) -> None:
        """Take in the answer to a question of one family."""
        self.checks.append(check)
        if check.outcome is Outcome.NOT_RUN:
            return
        self.answered[family] = self.answered.get(family, False) or check.outcome is Outcome.OK
        silent = self.fault is None or self.fault.failure is Failure.GENERIC_TIMEOUT_ERROR
        if family == 6 and check.failure is not None and silent:
            self.fault = Fault(check.failure)


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row."""
    run = context.begin()
    seen = Seen()
    present = context.host.v6.present
    if present:
        await asyncio.gather(_anchors(seen, context), _race(seen, context), _translation(seen, context))
    state, fault = _judge(seen) if present else (FamilyState.ABSENT, None)
    fields: dict[str, object] = {
        "state": state,
        "address_assigned": context.host.v6.has_address,
        "route_present": bool(context.host.v6.routes),
        "tunnel": context.host.tunnel_kind6,
        "preferred": _preferred(context),
        "faster": _faster(seen),
        "v4_ms": seen.ms.get(4),
        "v6_ms": seen.ms.get(6),
        "dns64": seen.dns64,
        "nat64_prefix": seen.prefix,
        "nat64_works": seen.translates,
        "checks": tuple(seen.checks),
    }
    return [context.row(Ipv6, run, target.id, fields, family=6, fault=fault)]


def _judge(seen: Seen) -> tuple[FamilyState, Fault | None]:
    """What the answers of both families say of IPv6."""
    if seen.answered.get(6):
        return FamilyState.WORKING, None
    if 6 not in seen.answered:
        return FamilyState.UNKNOWN, Fault(Failure.NOTHING_TO_ASK, "the plan names nobody who has IPv6")
    return (FamilyState.BROKEN if seen.answered.get(4) else FamilyState.UNKNOWN), seen.fault


async def _anchors(seen: Seen, context: Context) -> None:
    """Ask some of the plan's anchors, IPv4's beside IPv6's."""
    chosen: list[Anchor] = []
    for family, most in ANCHORS.items():
        if not context.host.absent(family):
            known = [anchor for anchor in _all_anchors(context) if anchor.family == family]
            chosen += context.rng.sample(known, min(most, len(known)))
    checks = await asyncio.gather(*(ask_anchor(anchor, context) for anchor in chosen))
    for anchor, check in zip(chosen, checks, strict=True):
        seen.note(6 if anchor.family == 6 else 4, check)


def _all_anchors(context: Context) -> Sequence[Anchor]:
    return () if context.plan is None else context.plan.anchors


async def _race(seen: Seen, context: Context) -> None:
    """Connect to one host by both families at the same moment."""
    pairs = list(_pairs(context))
    if not pairs:
        return
    name, places = context.rng.choice(pairs)
    families = [family for family in FAMILIES if not context.host.absent(family)]
    checks = await asyncio.gather(*(_connect(f"{name}.{family}", places[family], context) for family in families))
    seen.raced = len(families) == len(FAMILIES)
    for family, check in zip(families, checks, strict=True):
        seen.note(family, check)
        if check.ms is not None:
            seen.ms[family] = check.ms


def _pairs(context: Context) -> Iterator[tuple[str, dict[IpFamily, Endpoint]]]:
    """Hosts with an address of each family."""
    for server in context.servers:
        if server.address is not None and server.address6 is not None:
            port = server.https_port
            yield server.id, {4: (server.address, port), 6: (server.address6, port)}


async def _connect(name: str, place: Endpoint, context: Context) -> Check:
    """A TCP connect, as a check. The address is held against the refusal first."""
    refusal = context.refusal.refuses(place[0])
    fault: Fault | None = None if refusal is None else Fault(Failure.TARGET_REFUSED)
    if fault is None:
        try:
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["ipv6.connect"])):
                async with await Stream.connect(*place, context) as stream:
                    return Check(id=name, outcome=Outcome.OK, ms=stream.connect_ms)
        except OSError as error:
            fault = fault_of(error)
    return failed(name, fault)


def _faster(seen: Seen) -> str | None:
    """Whose connect ended first; one that failed has not ended."""
    return str(min(seen.ms, key=lambda family: seen.ms[family])) if seen.raced and seen.ms else None


async def _translation(seen: Seen, context: Context) -> None:
    """Whether the given resolver makes IPv6 addresses for hosts that have none, and whether they lead anywhere."""
    began = time.perf_counter()
    answers = await _asked(seen, context)
    if answers is None:
        return
    seen.checks.append(Check(id="dns64", outcome=Outcome.OK, ms=(time.perf_counter() - began) * 1000))
    prefix = nat64.prefix_of(answers)
    seen.dns64 = prefix is not None
    if prefix is None:
        return
    refusal = nat64.refused(prefix, context)
    seen.prefix = str(prefix) if refusal is None else f"refused:{refusal}"
    place = next(_translatable(context), None)
    if refusal is None and place is not None:
        check = await _connect("nat64", (nat64.embedded(place[0], prefix), place[1]), context)
        seen.checks.append(check)
        seen.translates = None if check.outcome is Outcome.NOT_RUN else check.outcome is Outcome.OK


async def _asked(seen: Seen, context: Context) -> tuple[str, ...] | None:
    """Records that a given resolver has of the name that has none; None if no resolver says whether there are any."""
    try:
        return (await told(nat64.NAME, "AAAA", context)).answers
    except MeasurementError as error:
        if error.fault.failure is Failure.DNS_NXDOMAIN_ERROR:
            return ()
        seen.checks.append(failed("dns64", error.fault))
        return None


def _translatable(context: Context) -> Iterator[Endpoint]:
    """Hosts with an IPv4 address that take connections and may be spoken to."""
    servers = ((server.address, server.https_port) for server in context.servers if server.address is not None)
    anchors = ((anchor.address, anchor.port) for anchor in _all_anchors(context) if anchor.method == "tcp")
    for address, port in (*servers, *anchors):
        if ":" not in address and context.refusal.refuses(address) is None:
            yield address, port


def _preferred(context: Context) -> str | None:
    """The family that comes first by RFC 6724, of hosts with a global address of each. No packet is sent."""
    sources = {family: _source(family, context) for family in FAMILIES}
    six = sources[6]
    if six is None:
        return None if sources[4] is None else "4"
    if sources[4] is None:
        return "6"
    address = ip_address(six.partition("%")[0])
    usual = address in GLOBAL and not any(address in network for network in ODD_LABELS)
    return "6" if usual else "4"


def _source(family: IpFamily, context: Context) -> str | None:
    """The address that packets to a host of the plan would leave with."""
    if not context.host.facts(family).present:
        return None
    servers = (server.address_of(family) for server in context.servers)
    anchors = (anchor.address for anchor in _all_anchors(context) if anchor.family == family)
    for address in (*servers, *anchors):
        if address is not None and context.refusal.refuses(address) is None:
            try:
                return own_address((address, 443))
            except OSError:
                return None
    return None
