"""When it began and when it ended: intervals, one for each signal, never averaged.

A loss lies between the last good and the first bad observation, widened by the clock's error; so does a return. The
start of an event is the first loss among the affected, its end the return that brought enough of them back: both are
order statistics of intervals, with rigorous bounds. How it rolled out is Turnbull's estimate (1976). detection.md §3.6.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.timeline import INTERNATIONAL, ProbeLine

DOMESTIC = 3
"""Rung L3: whether hosts within the country answer."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A time between two observations; seconds since the epoch. An infinite end: it has not happened yet."""

    lo: float
    hi: float

    def and_(self, other: "Interval") -> "Interval | None":
        """What both allow, if anything."""
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        return Interval(lo, hi) if lo <= hi else None


@dataclass(frozen=True, slots=True)
class Change:
    """A loss and a return as one signal of one probe shows them."""

    onset: Interval | None
    resolution: Interval | None


NO_CHANGE = Change(None, None)


def presence_change(line: ProbeLine, start: float, end: float, params: Params) -> Change:
    """From the broker's words, within [start, end] and a merge gap before it."""
    near = [
        one
        for one in line.losses
        if not one.pending and one.latest >= start - params["rule.merge"] and one.earliest <= end
    ]
    if not near:
        return NO_CHANGE
    first, last = near[0], near[-1]
    resolution = None
    if last.back is not None:
        resolution = Interval(max(last.latest, last.back - params["presence.reconnect"]), last.back)
    return Change(Interval(first.earliest, first.latest), resolution)


def rung_change(line: ProbeLine, rung: int, start: float, end: float, params: Params) -> Change:
    """From the stored rows of one rung: lost when the last family was lost, back when the first was back."""
    onsets, returns = [], []
    for (at_rung, _), runs in sorted(line.runs.items()):
        if at_rung == rung:
            change = _family_change(runs, start - params["rule.merge"], end)
            if change.onset is not None:
                onsets.append(change.onset)
            if change.resolution is not None:
                returns.append(change.resolution)
    return Change(
        Interval(max(o.lo for o in onsets), max(o.hi for o in onsets)) if onsets else None,
        Interval(min(r.lo for r in returns), min(r.hi for r in returns)) if returns else None,
    )


def _family_change(runs: Sequence[LadderRun], start: float, end: float) -> Change:
    telling = [run for run in runs if run.outcome in (RunOutcome.OK, RunOutcome.FAILED)]
    failing = [
        index
        for index, run in enumerate(telling)
        if run.outcome is RunOutcome.FAILED and run.last_at.timestamp() >= start and run.first_at.timestamp() <= end
    ]
    if not failing:
        return NO_CHANGE
    first, last = failing[0], failing[-1]
    while first > 0 and telling[first - 1].outcome is RunOutcome.FAILED:
        first -= 1
    onset = resolution = None
    if first > 0 and telling[first].first_at.timestamp() >= start:
        onset = _between(telling[first - 1], telling[first])
    if last + 1 < len(telling) and telling[last + 1].outcome is RunOutcome.OK:
        resolution = _between(telling[last], telling[last + 1])
    return Change(onset, resolution)


def _between(before: LadderRun, after: LadderRun) -> Interval:
    lo = before.last_at.timestamp() - before.last_err_s
    return Interval(lo, max(after.first_at.timestamp() + after.first_err_s, lo))


def combined(presence: Change, ladder: Change, last_ok: float | None) -> Change:
    """What a probe's signals allow together; where they contradict each other its stored rows win.

    ``last_ok`` is when L4 last worked before presence was lost: the loss cannot be earlier.
    """
    seen = presence.onset
    if seen is not None and last_ok is not None and seen.lo < last_ok <= seen.hi:
        seen = Interval(last_ok, seen.hi)
    return Change(_prefer(ladder.onset, seen), _prefer(ladder.resolution, presence.resolution))


def _prefer(ladder: Interval | None, presence: Interval | None) -> Interval | None:
    if ladder is None or presence is None:
        return ladder or presence
    return ladder.and_(presence) or ladder


def last_ok_before(line: ProbeLine, at: float) -> float | None:
    """The lower bound of when L4 last worked before ``at``, as far as rows have arrived."""
    times = [
        (run.last_at if run.last_at.timestamp() <= at else run.first_at).timestamp() - run.last_err_s
        for (rung, _), runs in line.runs.items()
        if rung == INTERNATIONAL
        for run in runs
        if run.outcome is RunOutcome.OK and run.first_at.timestamp() <= at
    ]
    return max(times, default=None)


def of_household(changes: Iterable[Change]) -> Change:
    """A household is lost with its last probe and back with its first."""
    onsets, returns = [], []
    for change in changes:
        if change.onset is not None:
            onsets.append(change.onset)
        if change.resolution is not None:
            returns.append(change.resolution)
    return Change(
        Interval(max(o.lo for o in onsets), max(o.hi for o in onsets)) if onsets else None,
        Interval(min(r.lo for r in returns), min(r.hi for r in returns)) if returns else None,
    )


def kth(intervals: Sequence[Interval], k: int) -> Interval | None:
    """Bounds of the k-th of these times, counted from 1 and at most the last."""
    if not intervals:
        return None
    at = min(max(k, 1), len(intervals)) - 1
    return Interval(sorted(i.lo for i in intervals)[at], sorted(i.hi for i in intervals)[at])


def quantiles(intervals: Sequence[Interval], shares: Sequence[float] = (0.1, 0.5, 0.9)) -> list[float | None]:
    """When each share had changed: Turnbull's estimate, at the middle of the interval that carries it.

    None where the share lies in what has not happened yet.
    """
    if not intervals:
        return [None for _ in shares]
    inner = _innermost(intervals)
    covers = np.array([[i.lo <= lo and hi <= i.hi for lo, hi in inner] for i in intervals], dtype=np.float64)
    mass = np.full(len(inner), 1 / len(inner))
    # Expectation and maximisation; a few hundred steps settle these few intervals far below a second.
    for _ in range(500):
        weight = covers * mass
        new = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - mass).max() < 1e-9:
            break
        mass = new
    total = np.cumsum(mass)
    found: list[float | None] = []
    for share in shares:
        lo, hi = inner[int(np.searchsorted(total, share - 1e-9))] if total[-1] >= share - 1e-9 else inner[-1]
        found.append(None if math.isinf(hi) else (lo + hi) / 2)
    return found


def _innermost(intervals: Sequence[Interval]) -> list[tuple[float, float]]:
    """Where mass can be: from a lower end to the next upper end with none between."""
    ends = sorted([(i.lo, 0) for i in intervals] + [(i.hi, 1) for i in intervals])
    return sorted({(a, b) for (a, kind_a), (b, kind_b) in pairwise(ends) if (kind_a, kind_b) == (0, 1)})
