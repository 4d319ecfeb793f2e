"""One file for each kind of measurement, the table of kinds, and the exchanges they are made of.

A probe is imported when it is first needed: an agent whose plan has no HTTP does not carry it in memory.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from civobs_wire.plan import AIMED, Tier

if TYPE_CHECKING:
    from civobs_agent.net import Context
    from civobs_wire.measurement import AnyMeasurement
    from civobs_wire.plan import Target

    Measure = Callable[[Target, Context], Awaitable[list[AnyMeasurement]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the schedule has to know of a kind before it loads it."""

    id: str
    heavy: bool = False
    """It moves a body: never two at a time, so that neither slows the other."""
    apart: bool = False
    """Its libraries are too large for the agent: it runs in a program of its own that ends with the run."""
    tier: Tier = 0
    """Lowest consent that allows the kind at all; the target's own tier counts besides."""
    optional: bool = False
    """Costs a household much data: off unless it says otherwise (``[limits] throughput_tests``)."""
    least_bytes: int
    """Up and down together: with less left in the budget a run is not begun."""
    usual_bytes: int
    """What a run takes while the budget is ample."""
    limit_s: float = 120.0
    """Of a kind that runs apart: when its program is ended. More than all of its own time limits together."""

    @property
    def aimed(self) -> bool:
        """Whether it is measured against targets of the plan; a task of another kind names none."""
        return self.id in AIMED


_ROWS = (
    Kind(id="ping", least_bytes=500, usual_bytes=1_500),
    Kind(id="dns", least_bytes=2_000, usual_bytes=5_000),
    Kind(id="tcp", least_bytes=1_000, usual_bytes=1_500),
    Kind(id="tls", least_bytes=20_000, usual_bytes=45_000),
    Kind(id="http", heavy=True, least_bytes=20_000, usual_bytes=200_000),
    Kind(id="quic", apart=True, least_bytes=50_000, usual_bytes=100_000),
    Kind(id="resolver", apart=True, least_bytes=15_000, usual_bytes=60_000),
    Kind(id="ipv6", apart=True, least_bytes=1_500, usual_bytes=2_500),
    # The libraries of this one, of ipv6 and of echo are small; but they run a few times a day and would stay all day.
    # It also waits for minutes, and light kinds take turns.
    Kind(id="nat", apart=True, limit_s=200, least_bytes=5_000, usual_bytes=6_000),
    Kind(id="portal", least_bytes=3_000, usual_bytes=6_000),
    Kind(id="echo", apart=True, least_bytes=5_000, usual_bytes=28_000),
    Kind(id="path", least_bytes=2_500, usual_bytes=18_000),
    Kind(
        id="throughput",
        heavy=True,
        apart=True,
        optional=True,
        least_bytes=1_000_000,
        usual_bytes=50_000_000,
        limit_s=150.0,
    ),
    Kind(
        id="responsiveness",
        heavy=True,
        apart=True,
        optional=True,
        least_bytes=1_000_000,
        usual_bytes=30_000_000,
        limit_s=150.0,
    ),
    Kind(id="throttling", heavy=True, apart=True, tier=1, least_bytes=700_000, usual_bytes=5_000_000, limit_s=620.0),
    Kind(id="reach", least_bytes=10_000, usual_bytes=20_000),
    Kind(id="ntp", least_bytes=500, usual_bytes=1_000),
)
KINDS: dict[str, Kind] = {row.id: row for row in _ROWS}


def measure_of(kind: str) -> "Measure":
    """Load a kind's probe."""
    measure: Measure = import_module(f"civobs_agent.probes.{kind}").measure
    return measure
