"""Notices that a rung of the ladder has changed its state, which is when the way out is worth a trace.

Where the way ends in the minute in which an outage begins, or ends, says more than any trace of a quiet day. A line
that comes and goes must not cost its household a trace each time: there is one in a trouble interval at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from civobs_agent.trouble import WATCHED
from civobs_agent.turns import LADDER, Series
from civobs_wire.failure import Outcome
from civobs_wire.measurement import Ladder
from civobs_wire.plan import LadderPlan, Plan, Target

TARGET = Target(id=LADDER, url="")
"""What ``path`` is given then: it knows the anchors of the plan."""


@dataclass(slots=True)
class PathOnChange:
    """What the last climbs said."""

    time_scale: float = 1.0
    _last: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    _owed: bool = False
    _traced_ms: int | None = None

    def due(self, rows: Iterable[Ladder], plan: Plan | None, mono_ms: int) -> bool:
        """Take in one climb, and say whether the way is to be traced now."""
        for row in rows:
            if row.rung in WATCHED and row.outcome is not Outcome.NOT_RUN:
                self._owed |= self._last.get((row.rung, row.family), row.outcome) is not row.outcome
                self._last[row.rung, row.family] = row.outcome
        wait_ms = self.interval_s(plan) * 1000
        if not self._owed or (self._traced_ms is not None and mono_ms - self._traced_ms < wait_ms):
            return False
        self._owed, self._traced_ms = False, mono_ms
        return True

    def series(self, plan: Plan | None) -> Series:
        """A series of runs that no grid foresees."""
        return Series("path", TARGET.id, self.interval_s(plan), 0.0)

    def interval_s(self, plan: Plan | None) -> float:
        """How long after a trace the next one may come."""
        return (LadderPlan() if plan is None else plan.ladder).trouble_interval_s / self.time_scale
