"""How much a run may take of what the plan and the household allow: tests get smaller before they get rarer.

A large test in the morning must not silence the small ones in the evening, so each class of kinds leaves alone what
those before it need for the rest of the day. Ladder and uplink are never held back: they are the record itself.
"""

from collections import deque
from datetime import datetime, timedelta

from civobs_agent.allowed import Household
from civobs_agent.budget import Meter
from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.probes import KINDS, Kind
from civobs_wire.failure import Failure
from civobs_wire.plan import Plan

DAY_S = 86_400.0
HOUR_S = 3_600.0

RESERVES: dict[str, float] = {"always": 0.30, "light": 0.35}
"""Shares of a day's budget that are kept from the classes after them, for as much of the day as is left: 7.5 MB for
ladder and uplink and 8.8 MB for small kinds of the 25 MB that a day has; the default plan's arithmetic asks for 6 and
8 (deploy/plan.example.toml)."""

HEAVY_S_PER_HOUR = 600.0
"""Seconds of heavy tests in any hour: who shares the line has it for themselves for most of the time. The longest run
alone, all pairs of throttling, takes up to 480 s."""


class Ration:
    """Shares out one device's bytes and its time with the line."""

    def __init__(self, meter: Meter, household: Household, time_scale: float = 1.0) -> None:
        self._meter = meter
        self._household = household
        self._scale = time_scale
        self._heavy: deque[tuple[int, float]] = deque()
        """Monotonic end and seconds of each heavy run of the last hour."""

    def refuses(self, kind: Kind, plan: Plan, now: Moment) -> Fault | None:
        """Why a run may not begin; None if it may."""
        if self.left(kind, plan, now.at) < kind.least_bytes:
            return Fault(Failure.BUDGET_EXHAUSTED)
        if kind.heavy and self._heavy_s(now.mono_ms) >= HEAVY_S_PER_HOUR:
            return Fault(Failure.BUDGET_EXHAUSTED, f"heavy tests have had {HEAVY_S_PER_HOUR:.0f} s of this hour")
        return None

    def left(self, kind: Kind, plan: Plan, at: datetime) -> int:
        """Bytes that a run may take now, so that all runs of its class get through the rest of the day.

        First each gets the least it needs; what is left is shared by what they usually take. Where there is more than
        all of them take, a run may take more.
        """
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        rest = 1.0 - (at - midnight).total_seconds() / DAY_S
        kept = RESERVES["always"] + (RESERVES["light"] if kind.heavy else 0.0)
        of_class = self._of_day(plan, at) * (1.0 - kept * rest) - self._meter.spent
        if of_class < kind.least_bytes:
            return max(0, int(of_class))
        least, usual = self._wanted(kind, plan, rest)
        if of_class >= usual:
            return int(of_class * kind.usual_bytes / usual)
        part = max(0.0, of_class - least) / max(1.0, usual - least)
        return int(kind.least_bytes + part * (kind.usual_bytes - kind.least_bytes))

    def took(self, kind: Kind, seconds: float, mono_ms: int) -> None:
        """A run has ended."""
        if kind.heavy:
            self._heavy.append((mono_ms, seconds))

    def _of_day(self, plan: Plan, at: datetime) -> float:
        """Bytes of today: the lowest of the plan's, the household's, and an even part of what the month has left."""
        household = self._household
        daily = [float(plan.budget.bytes_per_day)]
        if household.daily_bytes is not None:
            daily.append(household.daily_bytes)
        if household.monthly_bytes is not None:
            next_month = (at.replace(day=28) + timedelta(days=4)).replace(day=1)
            days_left = (next_month.date() - at.date()).days
            daily.append((household.monthly_bytes - self._meter.spent_before) / days_left)
        return min(daily)

    def _wanted(self, kind: Kind, plan: Plan, rest: float) -> tuple[float, float]:
        """Bytes of all runs of this class for the rest of the day: the least they need, and what they usually take."""
        least = usual = 0.0
        for task in plan.tasks:
            other = KINDS.get(task.kind)
            if other is None or other.heavy is not kind.heavy or self._household.objects_to_kind(other):
                continue
            # A kind of which the day sees less than one run on average takes so much less from the others.
            runs = max(1, len(task.targets)) * rest * DAY_S * self._scale / task.interval_s
            least += runs * other.least_bytes
            usual += runs * other.usual_bytes
        return max(least, kind.least_bytes), max(usual, kind.usual_bytes)

    def _heavy_s(self, mono_ms: int) -> float:
        """Seconds of the last hour. A laboratory's hours pass faster, its transfers do not."""
        hour_ago = mono_ms - HOUR_S * 1000 / self._scale
        while self._heavy and self._heavy[0][0] < hour_ago:
            self._heavy.popleft()
        return sum(seconds for _, seconds in self._heavy)
