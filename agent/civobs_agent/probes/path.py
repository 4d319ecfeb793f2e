"""The way to a target, hop by hop: by ICMP, by SYNs to its own port, and by UDP, each with one flow id.

A run that finds every hop silent, or ends in the middle of the way, is a fact as good as one that arrives. What the
three have in common is the network; where only one of them ends early, somebody treats it apart.
"""

import asyncio
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes import KINDS
from civobs_agent.probes.flow import Answer, Flow, Method
from civobs_agent.probes.packet_flow import PacketFlow
from civobs_agent.probes.place import place_of, resolve, unresolved
from civobs_agent.probes.syn_flow import SynFlow
from civobs_agent.tables import Timeout, table
from civobs_agent.turns import LADDER
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Hop, Path
from civobs_wire.plan import Anchor, Target

TIMEOUTS = table(
    Timeout("path.packet", 1.5, "twice the round trip of a geostationary line; traceroute(8) waits 5 s"),
    Timeout("path.syn", 0.9, "RFC 6298 §2: the system repeats a SYN after 1 s"),
    Timeout("path.trace", 45.0, "30 hops of which half are silent; below a ladder's minute"),
)
KIND = KINDS["path"]
"""Its usual bytes are 12 hops in both families (10 kB where there is one), its least one trace over IPv4."""
MAX_TTL = 30
"""traceroute(8), default."""
SILENT_HOPS = 4
"""Beyond the last that answered: hops that never answer stand alone or in pairs, four in a row are the end."""
PACKETS = 2
"""For each hop, in two rounds, so that a router that limits its errors may answer the second."""
UDP_PORT = 33_434
"""traceroute(8): nobody listens there, so the target itself says so."""
FIRST_MTU = 1_500
"""Ethernet's; what a link of the device's own cannot carry, its kernel says."""
MTU_TRIES = 5
PLATEAUS = (1_492, 1_480, 1_400, 1_280, 1_006, 576)
"""For a router that says "too big" and not how much: PPPoE (RFC 2516), 6in4 (RFC 4213), tunnels, the least of IPv6
(RFC 8200), and two of RFC 1191 §7."""
_MTU = {4: (socket.IPPROTO_IP, 14), 6: (socket.IPPROTO_IPV6, 24)}
_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_DO = 2
"""IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DO (ip(7)) and those of IPv6 (ipv6(7))."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where to and by what; ``port`` is 0 for ICMP."""

    address: str
    method: Method = "icmp"
    port: int = 0

    @property
    def family(self) -> IpFamily:
        return 6 if ":" in self.address else 4


@dataclass(slots=True)
class Trace:
    """What a flow has found, hop by hop."""

    answers: dict[int, list[Answer]] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    mtu: int | None = None

    @property
    def last(self) -> int:
        """The end of the way, or else the farthest hop that answered; 0 if none did."""
        return self.end or max(self.answers, default=0)

    @property
    def end(self) -> int | None:
        """Where the way ended: at the target, or where somebody said that it ends."""
        return min((ttl for ttl, some in self.answers.items() if any(one.final for one in some)), default=None)

    @property
    def ending(self) -> Answer | None:
        """What was said there."""
        return None if self.end is None else next(one for one in self.answers[self.end] if one.final)

    def take(self, ttls: Iterable[int], answers: Iterable[Answer]) -> None:
        for ttl in ttls:
            self.asked[ttl] = self.asked.get(ttl, 0) + 1
        for answer in answers:
            self.answers.setdefault(answer.ttl, []).append(answer)


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family and method, as far as the bytes go.

    Without a URL the ladder has changed its state: then one row for each family's first anchor abroad and at home.
    """
    if not target.url:
        return await _towards_anchors(target, context)
    allowance = context.afford(KIND.usual_bytes, KIND.least_bytes)
    if allowance is None:
        return [context.row(Path, context.begin(), target.id, {}, fault=Fault(Failure.BUDGET_EXHAUSTED))]
    families = [family for family in FAMILIES if context.absent(family) is None]
    rows: list[AnyMeasurement] = []
    for family in FAMILIES:
        fault = context.absent(family)
        if fault is not None:
            rows.append(context.row(Path, context.begin(), target.id, {}, family=family, fault=fault))
            continue
        rows += await _family(target, family, allowance // len(families), context)
    return rows


async def _towards_anchors(target: Target, context: Context) -> list[AnyMeasurement]:
    anchors = () if context.plan is None else context.plan.anchors
    first: dict[tuple[int, int], Anchor] = {}
    for anchor in anchors:
        first.setdefault((-anchor.rung, anchor.family), anchor)
    rows: list[AnyMeasurement] = []
    left = context.afford(KIND.usual_bytes, KIND.least_bytes) or 0
    for _, anchor in sorted(first.items()):
        if left < KIND.least_bytes or context.host.absent(anchor.family):
            continue
        row, spent = await trace(Way(anchor.address), context, target=anchor.id, why=LADDER)
        left -= spent
        rows.append(row)
    fault = Fault(Failure.BUDGET_EXHAUSTED if left < KIND.least_bytes else Failure.NOTHING_TO_ASK)
    return rows or [context.row(Path, context.begin(), target.id, {"why": LADDER}, fault=fault)]


async def _family(target: Target, family: IpFamily, allowance: int, context: Context) -> list[Path]:
    run = context.begin()
    place = place_of(target.url)
    try:
        address = await resolve(place, family, context)
    except MeasurementError as error:
        return [context.row(Path, run, target.id, {}, family=family, fault=unresolved(error.fault))]
    others: list[tuple[Method, int]] = [("tcp", place.port), ("udp", UDP_PORT)]
    # Where the bytes are short the last one waits for another run, and that must not always be the same.
    context.rng.shuffle(others)
    rows: list[Path] = []
    for method, port in (("icmp", 0), *others):
        if rows and allowance < KIND.least_bytes:
            break
        row, spent = await trace(Way(address, method, port), context, target=target.id)
        rows.append(row)
        allowance -= spent
    return rows


async def trace(way: Way, context: Context, *, target: str, why: str | None = None) -> tuple[Path, int]:
    """One trace to an address that is checked here, as one row, and the bytes it took."""
    run = context.begin()
    fields: dict[str, object] = {"method": way.method, "port": way.port, "why": why}
    refused = context.refusal.refuses(way.address)
    if refused is not None:
        fault: Fault | None = Fault(Failure.TARGET_REFUSED, refused)
        return context.row(Path, run, target, fields, family=way.family, fault=fault), 0
    way = replace(way, address=str(ip_address(way.address)))
    found, spent = Trace(), 0
    try:
        flow: Flow = (SynFlow if way.method == "tcp" else PacketFlow)(way.address, way.port, context)
        try:
            await _walk(flow, found, context)
            if isinstance(flow, PacketFlow) and way.method == "udp" and found.last:
                found.mtu = await _mtu(flow, found.last, context)
        finally:
            fields["flow"], spent = flow.id, flow.spent
            flow.close()
        fault = _fault(found)
    except (MeasurementError, OSError) as error:
        fault = fault_of(error)
    fields |= {"address": way.address} | _fields(found, way, context)
    return context.row(Path, run, target, fields, family=way.family, fault=fault), spent


async def _walk(flow: Flow, found: Trace, context: Context) -> None:
    """From the near end on, a batch at a time, until the way ends or stays silent. Raises OSError."""
    wait_s = context.timeout_s(TIMEOUTS["path.syn" if isinstance(flow, SynFlow) else "path.packet"])
    loop = asyncio.get_running_loop()
    until = loop.time() + context.timeout_s(TIMEOUTS["path.trace"])
    first = 1
    while first <= MAX_TTL and first <= found.last + SILENT_HOPS and loop.time() < until:
        ttls = range(first, min(first + flow.at_once, MAX_TTL + 1))
        for _ in range(PACKETS):
            asked = [ttl for ttl in ttls if found.end is None or ttl <= found.end]
            found.take(asked, await flow.ask(asked, wait_s))
        if found.end is not None:
            return
        first = ttls.stop


async def _mtu(flow: PacketFlow, ttl: int, context: Context) -> int | None:
    """The largest packet that goes as far as ``ttl``, or that a router on the way says does.

    None: large packets are lost without a word, or the hop does not answer any more.
    """
    wait_s = context.timeout_s(TIMEOUTS["path.packet"])
    handle, told = flow.handle, None
    handle.setsockopt(*_DISCOVER[flow.family], _DO)
    size = min(FIRST_MTU, handle.getsockopt(*_MTU[flow.family]))
    for _ in range(MTU_TRIES):
        try:
            answer = await flow.ask_large(ttl, size, wait_s)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                return told
            size = told = min(size - 1, handle.getsockopt(*_MTU[flow.family]))
            continue
        if answer is None:
            return told
        if answer.mtu is None:
            return size
        least = HEADER_BYTES[flow.family] + UDP_BYTES
        if least < answer.mtu < size:
            size = told = answer.mtu
        else:
            size = next((plateau for plateau in PLATEAUS if plateau < size), least)
    return told


def _fault(found: Trace) -> Fault | None:
    if not found.answers:
        return Fault(Failure.GENERIC_TIMEOUT_ERROR)
    return None if found.ending is None else found.ending.fault


def _fields(found: Trace, way: Way, context: Context) -> dict[str, object]:
    hops = tuple(_hop(ttl, found, way, context) for ttl in range(1, found.last + 1))
    public = (hop.ttl for hop in hops if hop.address is not None and context.refusal.refuses(hop.address) is None)
    return {
        "hops": hops,
        "reached": None if not found.asked else found.ending is not None and found.ending.fault is None,
        "first_public_ttl": next(public, None),
        "last_answer_ttl": found.last or None,
        "mtu": found.mtu,
    }


def _hop(ttl: int, found: Trace, way: Way, context: Context) -> Hop:
    answers = sorted(found.answers.get(ttl, ()), key=lambda one: not one.final)
    who = next((one.address for one in answers if one.address is not None), None)
    return Hop(
        ttl=ttl,
        address=None if who is None else _shown(who, ttl, way, context),
        sent=found.asked.get(ttl, 0),
        received=len(answers),
        rtt_ms=tuple(round(one.ms, 3) for one in answers),
        answer=answers[0].kind if answers else None,
    )


def _shown(address: str, ttl: int, way: Way, context: Context) -> str:
    """How a row names a hop. The home's router may answer from a public address of the home: it is ``gateway``."""
    shown = context.refusal.shown(address)
    of_home = address == context.known.mapped.get(way.family) or (ttl == 1 and address != way.address)
    return "gateway" if of_home and shown == address else shown
