"""Is a name slowed? The same bytes from the observatory's own server, under the target's name and under a neutral one.

The pairs differ in nothing but the name in the handshake: same address, same port, same bytes, one right after the
other, and which comes first is drawn by lot in blocks of two (ABBA or BAAB), so that a line that gets slower or faster
meanwhile does the same to both. The rows say what came and when; the collector compares.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from civobs_agent.faults import Fault
from civobs_agent.net import FAMILIES, Context, Run
from civobs_agent.probes.place import Place, place_of
from civobs_agent.probes.throttling_stop import ENOUGH, Slowdown, Stop, slowdown, stop
from civobs_agent.probes.transfer import Source, Transfer, Transport, fetch
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Throttling
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("throttling.begin", 240.0, "over one transport no pair is begun later: seven of 20 s, and half as much"),
)
MOST_BYTES = 512 * 1024
"""Of one transfer (detection.md §3.5; OONI dd-007 has 2^19 too)."""
LEAST_BYTES = 64 * 1024
"""Four times the burst that the lab's policer lets pass at once, so that its rate still shows."""
OVERHEAD_PERCENT = 10
"""Headers and acknowledgements are 6 % of the body over either transport where nothing is lost; the rest is for what is
sent twice."""
HANDSHAKE_BYTES = 8_000
"""To open a connection, shake hands and close, both directions: 3 kB over TCP and 4 kB over QUIC with an anchor's short
chain, and as much again for what is sent twice."""
TRANSPORTS: tuple[Transport, Transport] = ("tcp", "quic")

Arm = Literal["target", "neutral"]
ORDERS: tuple[tuple[Arm, Arm], tuple[Arm, Arm]] = (("target", "neutral"), ("neutral", "target"))


def cost(size: int) -> int:
    """Bytes on the line that a transfer of this size takes."""
    return size + -(-size * OVERHEAD_PERCENT // 100) + HANDSHAKE_BYTES


WHOLE = 2 * ENOUGH * len(TRANSPORTS)
"""Transfers of a run that finds something."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each transfer."""
    run = context.begin()
    place = place_of(target.url)
    fault = _hindrance(place, context)
    source = None
    if fault is None:
        source, fault = await _first_that_answers(context)
    if source is None:
        fields: dict[str, object] = {"sni": place.host}
        return [context.row(Throttling, run, target.id, fields, fault=fault)]
    series = _Series(target.id, {"target": place.host, "neutral": context.neutral_name}, source, context)
    for transport in TRANSPORTS:
        await series.go(transport)
    return list(series.rows)


def _hindrance(place: Place, context: Context) -> Fault | None:
    if place.literal is not None or place.host == context.neutral_name:
        return Fault(Failure.NOTHING_TO_ASK, "the target has no name that could be compared")
    if not context.servers:
        return Fault(Failure.NOTHING_TO_ASK, "the plan names no server")
    if context.afford(cost(MOST_BYTES), 4 * cost(LEAST_BYTES)) is None:
        return Fault(Failure.BUDGET_EXHAUSTED)
    return None


async def _first_that_answers(context: Context) -> tuple[Source | None, Fault | None]:
    """The first server and address that gives a few bytes under the neutral name; the last fault if none does."""
    fault: Fault | None = None
    for source in _sources(context):
        tried = await fetch("tcp", source, context.neutral_name, 1, context)
        if tried.fault is None:
            return source, None
        fault = tried.fault
    return None, fault or Fault(Failure.NOTHING_TO_ASK, "no server of the plan has an address of a family at hand")


def _sources(context: Context) -> Iterator[Source]:
    """Addresses of the servers in the plan's order; which family comes first is drawn by lot, so that both are seen."""
    families = [family for family in FAMILIES if context.absent(family) is None]
    context.rng.shuffle(families)
    for server in context.servers:
        for family in families:
            address = server.address_of(family)
            if address is not None:
                yield Source(server.id, server.name, address, server.https_port, family)


@dataclass(slots=True)
class _Series:
    """The transfers of one run."""

    target: str
    names: dict[Arm, str]
    source: Source
    context: Context
    rows: list[Throttling] = field(default_factory=list)
    _test: str = ""
    _size: int = MOST_BYTES

    def __post_init__(self) -> None:
        self._test = f"{self.context.rng.getrandbits(64):016x}"
        # Smaller transfers before fewer pairs: all of a run that finds something has to fit.
        allowed = self.context.afford(WHOLE * cost(MOST_BYTES), 0) or 0
        self._size = _size_for(allowed // WHOLE)

    async def go(self, transport: Transport) -> None:
        """Pairs over one transport until a rule says that they are enough; its last row says which."""
        began = self.context.begin()
        pairs: list[Slowdown] = []
        order = ORDERS[0]
        while (why := stop(pairs) or self._hindered(began)) is None:
            # ABBA or BAAB: by lot, then the other way round.
            order = order[::-1] if len(pairs) % 2 else self.context.rng.choice(ORDERS)
            went = {arm: await self._transfer(transport, len(pairs) + 1, arm) for arm in order}
            pairs.append(slowdown(went["neutral"].goodput_bps, went["target"].goodput_bps))
        if pairs:
            self.rows[-1] = self.rows[-1].model_copy(update={"stopped": why})
        else:
            fields: dict[str, object] = {
                "server": self.source.server,
                "test": self._test,
                "transport": transport,
                "stopped": why,
            }
            fault = Fault(Failure.BUDGET_EXHAUSTED)
            self.rows.append(self.context.row(Throttling, began, self.target, fields, fault=fault))

    def _hindered(self, began: Run) -> Stop | None:
        """What keeps another pair from being begun; the size of its transfers is made to fit."""
        context = self.context
        if began.elapsed_ms() / 1000 > context.timeout_s(TIMEOUTS["throttling.begin"]):
            return "time"
        wanted = 2 * cost(self._size)
        allowed = context.afford(wanted, 2 * cost(LEAST_BYTES))
        if allowed is None:
            return "budget"
        if allowed < wanted:
            self._size = _size_for(allowed // 2)
        return None

    async def _transfer(self, transport: Transport, pair: int, arm: Arm) -> Transfer:
        run = self.context.begin()
        source, name = self.source, self.names[arm]
        went = await fetch(transport, source, name, self._size, self.context)
        fields: dict[str, object] = {
            "server": source.server,
            "test": self._test,
            "replicate": pair,
            "place": len(self.rows) + 1,
            "arm": arm,
            "transport": transport,
            "address": source.address,
            "port": source.port,
            "sni": name,
            "wanted_bytes": self._size,
            "bytes": went.bytes,
            "seconds": went.seconds,
            "goodput_bps": went.goodput_bps,
            "connect_ms": went.connect_ms,
            "handshake_ms": went.handshake_ms,
            "first_byte_ms": went.first_byte_ms,
            "rtt_min_ms": went.rtt_min_ms,
            "rtt_ms": went.rtt_ms,
            "rtt_receiver_ms": went.rtt_receiver_ms,
            "lost_packets": went.lost_packets,
            "samples": went.samples,
            "ended": went.ended,
        }
        row = self.context.row(Throttling, run, self.target, fields, family=source.family, fault=went.fault)
        self.rows.append(row)
        return went


def _size_for(allowed: int) -> int:
    """The largest transfer that takes no more on the line than this, within its bounds."""
    return max(LEAST_BYTES, min(MOST_BYTES, (allowed - HANDSHAKE_BYTES) * 100 // (100 + OVERHEAD_PERCENT)))
