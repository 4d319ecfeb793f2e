"""The grid of slots: when it is whose turn, as a pure function of the probe, the plan and the time.

Each series (one kind against one target) has its own offset, hashed from the probe's id, so that a fleet does not ask
one host in the same second; inside the slot a memoryless delay keeps the time of a question from being foreseen.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from civobs_wire.plan import LadderPlan, Plan

LADDER = "ladder"
JITTER_MEAN = 0.1
JITTER_MOST = 0.5
"""Of the interval: exponential delay (PASTA: memoryless sampling sees true averages, Wolff 1982), cut so that a run
stays in its slot."""


@dataclass(frozen=True, slots=True)
class Series:
    """One kind against one target, every ``interval_s`` seconds."""

    kind: str
    target: str
    interval_s: float
    offset: float
    """Where in the interval its slots begin, 0 to 1."""

    def slot_of(self, at: datetime) -> datetime:
        """Start of the slot that ``at`` lies in."""
        return self._start(self._number(at))

    def slot_after(self, at: datetime) -> datetime:
        """The first slot that begins later than ``at``."""
        number = self._number(at)
        start = self._start(number)
        while start <= at:  # the grid is kept to the microsecond, so rounding may need a second step
            number += 1
            start = self._start(number)
        return start

    def slots(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Starts of the slots in ``(since, until]``."""
        start = self.slot_after(since)
        while start <= until:
            yield start
            start = self.slot_after(start)

    def count(self, since: datetime, until: datetime) -> int:
        """How many slots begin in that interval, near enough for intervals of years."""
        return max(0, self._number(until) - self._number(since))

    def every(self, interval_s: float) -> "Series":
        """The same series at another interval."""
        return Series(self.kind, self.target, interval_s, self.offset)

    def _number(self, at: datetime) -> int:
        return int(((at - _EPOCH).total_seconds() - self.offset * self.interval_s) // self.interval_s)

    def _start(self, number: int) -> datetime:
        return _EPOCH + timedelta(seconds=(number + self.offset) * self.interval_s)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def offset_of(seed: str, kind: str, target: str) -> float:
    """Where this probe's slots of a series begin: 53 bits of SHA-256, 0 to 1."""
    digest = hashlib.sha256(f"{seed}\n{kind}\n{target}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def ladder_series(plan: Plan | None, seed: str, time_scale: float) -> Series:
    """The ladder's own series, while all is well."""
    interval_s = (LadderPlan() if plan is None else plan.ladder).interval_s / time_scale
    return Series(LADDER, LADDER, interval_s, offset_of(seed, LADDER, LADDER))


def task_series(plan: Plan | None, seed: str, time_scale: float) -> tuple[Series, ...]:
    """Every series of the plan's tasks. A task without targets still has its slots, under its kind's name."""
    if plan is None:
        return ()
    return tuple(
        Series(task.kind, target, task.interval_s / time_scale, offset_of(seed, task.kind, target))
        for task in plan.tasks
        for target in (task.targets or (task.kind,))
    )


def jitter_s(interval_s: float, rng: random.Random) -> float:
    """A memoryless delay inside the slot."""
    return min(rng.expovariate(1 / (JITTER_MEAN * interval_s)), JITTER_MOST * interval_s)
