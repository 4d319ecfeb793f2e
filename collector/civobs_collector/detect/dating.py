"""When it began and when it ended: intervals, one for each signal, never averaged.

A loss lies between the last good and the first bad observation, widened by the clock's error; so does a return. The
start of an event is the first loss among the affected, its end the return that brought enough of them back: both are
order statistics of intervals, with rigorous bounds. How it rolled out is Turnbull's estimate (1976). detection.md §3.6.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.timeline import INTERNATIONAL, ProbeLine


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
    """A loss and a return as one signal shows them; None where it does not."""

    onset: Interval | None
    resolution: Interval | None


NO_CHANGE = Change(None, None)


@dataclass(frozen=True, slots=True)
class Spell:
    """One absence: a loss, and the return that ended it if it has been seen.

    Nobody returns before being lost: each bound narrows the other, so ``resolution`` never lies before ``onset``.
    """

    onset: Interval
    resolution: Interval | None = None

    @classmethod
    def of(cls, onset: Interval, resolution: Interval | None) -> "Spell":
        """A spell of which both bounds are consistent; a return that cannot follow the loss is no return of it."""
        if resolution is None or resolution.hi < onset.lo:
            return cls(onset)
        return cls(
            Interval(onset.lo, min(onset.hi, resolution.hi)), Interval(max(onset.lo, resolution.lo), resolution.hi)
        )

    @property
    def until(self) -> float:
        """The latest moment at which it may have ended."""
        return math.inf if self.resolution is None else self.resolution.hi

    def meets(self, other: "Spell") -> bool:
        """Whether both may have been going on at one moment."""
        return self.onset.lo <= other.until and other.onset.lo <= self.until


def presence_spells(line: ProbeLine, params: Params, *, detours: bool = False) -> list[Spell]:
    """Absences of a probe as the broker saw them, or, with its detours, as its first broker did."""
    reconnect = params["presence.reconnect"]
    lost = sorted((*line.losses, *line.detours), key=lambda one: one.latest) if detours else line.losses
    return [
        Spell.of(
            Interval(one.earliest, one.latest),
            None
            if one.back is None
            else Interval(one.latest if one.back_late else max(one.latest, one.back - reconnect), one.back),
        )
        for one in lost
        if not one.pending
    ]


def rung_spells(line: ProbeLine, rung: int, params: Params) -> list[Spell]:
    """Absences of a probe by the stored rows of one rung: from when no family worked until one did again."""
    families = [telling(runs) for (at_rung, _), runs in sorted(line.runs.items()) if at_rung == rung]
    joined = both_down([_family_spells(runs, params) for runs in families])
    return [spell for spell in joined if not _contradicted(spell, families)]


def telling(runs: Iterable[LadderRun]) -> list[LadderRun]:
    """The runs of a family that say whether it worked, from when it first did: what never worked is not lost."""
    said = [_plain(run) for run in runs if run.outcome in (RunOutcome.OK, RunOutcome.FAILED, RunOutcome.FEW)]
    worked = next((index for index, run in enumerate(said) if run.outcome is RunOutcome.OK), len(said))
    return said[worked:]


def _plain(run: LadderRun) -> LadderRun:
    """Few hosts abroad, on a list, are not the world; of another rung, a part that answers is an answer."""
    if run.outcome is not RunOutcome.FEW:
        return run
    return replace(run, outcome=RunOutcome.FAILED if run.rung == INTERNATIONAL else RunOutcome.OK)


def _family_spells(runs: Sequence[LadderRun], params: Params) -> list[Spell]:
    # A row has the time at which its tries began; what came of them may be of a moment later.
    wait = max(params["ladder.wait"], params["ladder.wait_floor"])
    found: list[Spell] = []
    for before, after in pairwise(runs):
        if (before.outcome, after.outcome) == (RunOutcome.OK, RunOutcome.FAILED):
            found.append(Spell(_between(before, after, wait)))
        elif (before.outcome, after.outcome) == (RunOutcome.FAILED, RunOutcome.OK):
            found[-1] = Spell.of(found[-1].onset, _between(before, after, wait))
    return found


def _between(before: LadderRun, after: LadderRun, wait: float) -> Interval:
    lo = before.last_at.timestamp() - before.last_err_s
    return Interval(lo, max(after.first_at.timestamp() + after.first_err_s + wait, lo))


def both_down(sources: Sequence[Sequence[Spell]]) -> list[Spell]:
    """Absences of a whole whose parts are all absent: it is lost with the last of them and back with the first.

    A part that tells of no absence at the time says nothing.
    """
    whole: list[Spell] = []
    for part in sources:
        pairs = [(a, b) for a in whole for b in part if a.meets(b)]
        alone = [a for a in whole if not any(a is one for one, _ in pairs)]
        alone += [b for b in part if not any(b is one for _, one in pairs)]
        whole = sorted([_common(a, b) for a, b in pairs] + alone, key=_in_time)
    return whole


def _common(a: Spell, b: Spell) -> Spell:
    onset = Interval(max(a.onset.lo, b.onset.lo), max(a.onset.hi, b.onset.hi))
    ends = [one.resolution for one in (a, b) if one.resolution is not None]
    return Spell.of(onset, Interval(min(e.lo for e in ends), min(e.hi for e in ends)) if ends else None)


def _in_time(spell: Spell) -> tuple[float, float, float]:
    return spell.onset.lo, spell.onset.hi, spell.until


def _contradicted(spell: Spell, families: Iterable[Sequence[LadderRun]]) -> bool:
    """Whether a family was seen to work while, by this spell, the rung certainly did not."""
    start, end = spell.onset.hi, math.inf if spell.resolution is None else spell.resolution.lo
    return any(
        run.outcome is RunOutcome.OK and run.first_at.timestamp() < end and run.last_at.timestamp() > start
        for runs in families
        for run in runs
    )


def combined(presence: Sequence[Spell], ladder: Sequence[Spell], line: ProbeLine) -> list[Spell]:
    """What the signals of a probe allow together; where they contradict each other its stored rows win.

    An absence that only the broker saw counts unless L4 worked meanwhile, and cannot begin before L4 last worked.
    """
    rows = [telling(runs) for (rung, _), runs in sorted(line.runs.items()) if rung == INTERNATIONAL]
    found = list(ladder)
    for seen in presence:
        index = next((at for at, spell in enumerate(found) if spell.meets(seen)), None)
        if index is None:
            if not _contradicted(seen, rows):
                found.append(_not_before(seen, last_ok_before(rows, seen.onset.hi)))
        else:
            spell = found[index]
            found[index] = Spell.of(
                spell.onset.and_(seen.onset) or spell.onset, _prefer(spell.resolution, seen.resolution)
            )
    return sorted(found, key=_in_time)


def _prefer(ladder: Interval | None, presence: Interval | None) -> Interval | None:
    """A return by both. A connection is a bound; how soon the probe would have tried is its habit, and none."""
    if ladder is None or presence is None:
        return ladder or presence
    return Interval(ladder.lo, min(ladder.hi, presence.hi)) if presence.hi >= ladder.lo else ladder


def _not_before(seen: Spell, last_ok: float | None) -> Spell:
    if last_ok is None or not seen.onset.lo < last_ok <= seen.onset.hi:
        return seen
    return Spell.of(Interval(last_ok, seen.onset.hi), seen.resolution)


def last_ok_before(families: Iterable[Sequence[LadderRun]], at: float) -> float | None:
    """The lower bound of when L4 last worked before ``at``, as far as rows have arrived."""
    times = [
        (run.last_at if run.last_at.timestamp() <= at else run.first_at).timestamp() - run.last_err_s
        for runs in families
        for run in runs
        if run.outcome is RunOutcome.OK and run.first_at.timestamp() <= at
    ]
    return max(times, default=None)


def within(spells: Sequence[Spell], start: float, end: float, params: Params) -> Change:
    """The first loss and the last return of the absences that reach into [start, end).

    What was over before is none of it. A loss longer ago than a merge gap before it dates nothing.
    """
    here = [spell for spell in spells if spell.until > start and spell.onset.lo < end]
    if not here:
        return NO_CHANGE
    first = here[0].onset
    return Change(first if first.hi >= start - params["rule.merge"] else None, here[-1].resolution)


def kth(intervals: Sequence[Interval], k: int) -> Interval | None:
    """Bounds of the k-th of these times, counted from 1 and at most the last."""
    if not intervals:
        return None
    at = min(max(k, 1), len(intervals)) - 1
    return Interval(sorted(i.lo for i in intervals)[at], sorted(i.hi for i in intervals)[at])


def together(losses: Sequence[Interval], params: Params) -> list[Interval]:
    """Losses in order, without those at the head that were long before all others: homes that were away by themselves.

    Long is more than an hour, and more than twice what is usual among the rest: batteries drain one after the other.
    """
    found = sorted(losses, key=lambda one: (one.hi, one.lo))
    gaps = [max(0.0, after.lo - before.hi) for before, after in pairwise(found)]
    first = 0
    while first < len(gaps):
        usual = float(np.median(gaps[first + 1 :])) if gaps[first + 1 :] else 0.0
        if gaps[first] <= max(params["eligible.shared"], params["rule.stages"] * usual):
            break
        first += 1
    return found[first:]


def train(times: Sequence[Interval], first: Interval, gap: float) -> Interval:
    """From the first of these times to the last that follows, each less than ``gap`` seconds after the one before.

    What ends in steps ends somewhere between them, and nobody can say which of the steps it was.
    """
    hi = first.hi
    for later in sorted(one.hi for one in times if one.hi > hi):
        if later - hi >= gap:
            break
        hi = later
    return Interval(first.lo, hi)


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
