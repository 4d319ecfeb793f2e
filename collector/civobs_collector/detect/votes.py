"""What of all that was said of targets may be voted with.

What a household says counts only while its line is known to have worked: with another target reached at about the same
time, with a proof in the run itself, or, where all fail for long, by its ladder. A line, a resolver or a family that
fails altogether says nothing of a target.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.timeline import INTERNATIONAL

_BINS_AN_HOUR = (12, 6, 4, 3, 2, 1)
"""Bins are whole parts of ``target.bin``, so that they begin with it."""
_ABOUT = 1.05
"""Slots of a plan come a little late."""

Place = tuple[int, int]
"""A probe and a bin."""


@dataclass(frozen=True, slots=True)
class Said:
    """One word of one run. Times in seconds since 1970."""

    probe_key: int
    target: int
    first_at: float
    last_at: float
    word: Word
    family: int = 0
    alive: bool = False
    """Nothing else was reached, and the ladder told throughout that the line worked."""


def bin_of(cadences: Sequence[float], params: Params) -> float:
    """The bin for targets that are measured so often: ``target.bin``, or less where there is more to see in it."""
    most = params["target.bin"]
    if not cadences:
        return most
    usual = float(np.median(np.asarray(cadences)))
    return next((most / parts for parts in reversed(_BINS_AN_HOUR) if most / parts <= usual * _ABOUT), most / 12)


class Line:
    """When a probe's way to the world was known not to work: between rows of L4 that say so, to the next that does.

    And when it was known to work: from the first to the last of rows that say so without a hole between them.
    """

    def __init__(self, runs: Sequence[LadderRun]) -> None:
        found: dict[tuple[int, int], list[LadderRun]] = defaultdict(list)
        for run in runs:
            if run.rung == INTERNATIONAL:
                found[run.probe_key, run.family].append(run)
        self._spans = {key: _down(mine) for key, mine in found.items()}
        self._good = {
            key: sorted((r.first_at.timestamp(), r.last_at.timestamp()) for r in mine if r.outcome is RunOutcome.OK)
            for key, mine in found.items()
        }

    def worked(self, one: "Said") -> bool:
        """Whether nothing says that it did not, by the family of the run."""
        spans = self._spans.get((one.probe_key, one.family), [])
        index = bisect_left(spans, (one.first_at, math.inf)) - 1
        return index < 0 or spans[index][1] <= one.first_at

    def lasted(self, probe_key: int, family: int, first: float, last: float) -> bool:
        """Whether it is known to have worked all the time between two moments, in seconds since 1970."""
        spans = self._good.get((probe_key, family), [])
        index = bisect_left(spans, (first, math.inf)) - 1
        return index >= 0 and last <= spans[index][1]


def _down(runs: Sequence[LadderRun]) -> list[tuple[float, float]]:
    """Spans of one family in which it did not work, from the last good row before to the first after."""
    found = []
    good = -math.inf
    since: float | None = None
    for run in sorted(runs, key=lambda r: (r.first_at, r.last_at, r.outcome)):
        if run.outcome is RunOutcome.OK:
            if since is not None:
                found.append((since, run.first_at.timestamp()))
            good, since = run.last_at.timestamp(), None
        elif run.outcome is RunOutcome.FAILED and since is None:
            since = good
    return found if since is None else [*found, (since, math.inf)]


class Reached(Mapping[Place, frozenset[int]]):
    """Which targets a probe reached in a bin, over any layer: sets that are made when they are asked for."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        """Of rows of a probe, a bin and a target, in any order."""
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        self._place, self._target = (rows[order, 0] << 32) | rows[order, 1], rows[order, 2]

    def __getitem__(self, place: Place) -> frozenset[int]:
        one = (place[0] << 32) | place[1]
        begin, end = np.searchsorted(self._place, one), np.searchsorted(self._place, one, side="right")
        if begin == end:
            raise KeyError(place)
        return frozenset(self._target[begin:end].tolist())

    def __iter__(self) -> Iterator[Place]:
        return ((one >> 32, one & 0xFFFFFFFF) for one in np.unique(self._place).tolist())

    def __len__(self) -> int:
        return len(np.unique(self._place))


def failing(said: Iterable[Said], bin_s: float) -> dict[Place, set[int]]:
    """By probe and bin, which targets failed without a proof in the run itself."""
    found: dict[Place, set[int]] = defaultdict(set)
    for one in said:
        if one.word.bad and not one.word.sure:
            found[one.probe_key, _bin(one.first_at, bin_s)].add(one.target)
    return found


def beside(place: Place, bad: Collection[int]) -> list[Place]:
    """Where other targets have to be reached to show that the line worked, of a probe and a bin in which these failed.

    Where several fail at once, what was reached before or after does not show it.
    """
    probe_key, at = place
    return [(probe_key, at + step) for step in ((-1, 0, 1) if len(bad) == 1 else (0,))]


def telling(
    said: Iterable[Said], reached: Mapping[Place, frozenset[int]], line: Line, bin_s: float, params: Params
) -> tuple[list[Said], list[Said]]:
    """What may be voted with, and what is doubted. ``reached``: which targets a probe reached ``beside`` what failed.

    A failure counts beside another target that was reached in the same bin, or of one alone that failed, in the next
    to it; and not where most targets failed, unless that lasts and the line is known to have worked throughout
    (``borne_out``).
    """
    said = list(said)
    failed = failing(said, bin_s)
    most = params["service.line"]

    def fine(one: Said) -> bool:
        if not line.worked(one):
            return False
        if one.word.sure:
            return True
        at = _bin(one.first_at, bin_s)
        bad = failed[one.probe_key, at]
        places = beside((one.probe_key, at), bad)
        others = _NONE.union(*(reached.get(place, _NONE) for place in places)) - {one.target}
        return bool(others) and len(bad - others) <= most * len(bad | others)

    found: list[Said] = []
    doubtful: list[Said] = []
    for one in said:
        (found if not one.word.bad or fine(one) else doubtful).append(one)
    return found, doubtful


def borne_out(doubtful: Iterable[Said], known: Iterable[Place], line: Line, bin_s: float, params: Params) -> list[Said]:
    """Of what was doubted, what the ladder bears out. ``known``: probes and bins of which anything is known.

    What a resolver that is dead does to all names tells nothing of them.
    """
    by: dict[tuple[int, int], list[Said]] = defaultdict(list)
    for one in doubtful:
        if one.word.layer != "dns":
            by[one.probe_key, one.family].append(one)
    bins: dict[int, list[int]] = defaultdict(list)
    for probe_key, at in sorted(known) if by else ():
        bins[probe_key].append(at)
    return [
        replace(one, alive=True)
        for (probe_key, _), rows in sorted(by.items())
        for stretch in _stretches(rows, bins[probe_key], bin_s)
        if _lasted(stretch, line, params)
        for one in stretch
    ]


_NONE: frozenset[int] = frozenset()


def _stretches(rows: Sequence[Said], bins: Sequence[int], bin_s: float) -> list[list[Said]]:
    """Rows of one probe, in those of its bins that follow one another. ``bins``: all of which something is known."""
    by: dict[int, list[Said]] = defaultdict(list)
    for one in rows:
        by[_bin(one.first_at, bin_s)].append(one)
    found: list[list[Said]] = [[]]
    for at in bins:
        if at in by:
            found[-1] += by[at]
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def _lasted(rows: Sequence[Said], line: Line, params: Params) -> bool:
    """Whether rows of L4 came between the first and the last, and all were good."""
    first, last = min(one.first_at for one in rows), max(one.last_at for one in rows)
    key, family = rows[0].probe_key, rows[0].family
    return last - first >= params["ladder.gap"] and line.lasted(key, family, first, last)


def _bin(at: float, bin_s: float) -> int:
    return math.floor(at / bin_s)
