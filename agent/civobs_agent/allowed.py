"""What the people who host the probe allow: pause, tiers, categories, bytes, hours."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, tzinfo

from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.probes import Kind
from civobs_wire.failure import Failure
from civobs_wire.measurement import ClockState
from civobs_wire.plan import Plan, Target

Span = tuple[time, time]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Times of the household's day at which nothing heavy runs."""

    spans: tuple[Span, ...] = ()
    """From and until; one whose end is not after its beginning goes over midnight."""
    zone: tzinfo | None = None
    """None is the system's own."""

    def at(self, now: Moment) -> bool:
        """Whether they are on. While nobody knows the time, they may be."""
        if not self.spans:
            return False
        if now.state is ClockState.UNKNOWN:
            return True
        here = now.at.astimezone(self.zone).time()
        return any(begin <= here < end if begin < end else here >= begin or here < end for begin, end in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Its word on every kind and target. The lower of its limits and the plan's counts."""

    paused: Callable[[], bool] = _never
    """Asked for every slot."""
    tier: int = 3
    """Highest risk tier they agreed to."""
    without: frozenset[str] = frozenset()
    """Categories of targets that they do not want measured (Citizen Lab codes)."""
    throughput_tests: bool = False
    """Whether kinds that cost much data are on."""
    mlab_tests: bool = False
    """Whether these may go to M-Lab, which publishes the address they come from."""
    quiet: QuietHours = QuietHours()
    daily_bytes: int | None = None
    monthly_bytes: int | None = None

    def objects_to_kind(self, kind: Kind) -> Fault | None:
        """Why a kind is not for this household; None if it is."""
        if kind.optional and not self.throughput_tests:
            return Fault(Failure.SWITCHED_OFF)
        return self._above(kind.tier)

    def objects_to_target(self, target: Target) -> Fault | None:
        """The same of a target."""
        if target.category in self.without:
            return Fault(Failure.SWITCHED_OFF, f"category {target.category}")
        return self._above(target.tier)

    def agreed(self, plan: Plan | None) -> Plan | None:
        """The plan without what it may ask of those only who agreed to it."""
        if plan is None or plan.ndt7_locate is None or self.mlab_tests:
            return plan
        return plan.model_copy(update={"ndt7_locate": None})

    def _above(self, tier: int) -> Fault | None:
        if tier <= self.tier:
            return None
        return Fault(Failure.TIER_NOT_AGREED, f"tier {tier}: the household agreed to {self.tier}")


def span_of(text: str) -> Span:
    """Read ``18:00-23:00``; an end of ``24:00`` is midnight. Raises ValueError."""
    begin, _, end = (part.strip() for part in text.partition("-"))
    return time.fromisoformat(begin), time.fromisoformat("00:00" if end == "24:00" else end)
