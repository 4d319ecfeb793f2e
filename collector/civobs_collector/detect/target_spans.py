"""Spans: from when until when a target was blocked in one network at one layer.

A span opens when the filter is sure and more than one household says so (where there is more than one), and closes
when the filter is sure of the opposite. Where nobody asked for longer than a blocking is likely to last, it ends
there: two mornings are not joined across a night that nobody watched.
"""

from dataclasses import dataclass
from functools import cached_property
from math import expm1

import numpy as np

from civobs_collector.detect.params import Params
from civobs_collector.detect.target_cells import Cells, Flags, Floats, Ints, Ordered
from civobs_collector.detect.target_filter import Belief

Interval = tuple[float, float]
_EVEN = 1e-3
"""Of a rate times a gap: below, the middle is as good, and the formula loses its digits."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of cells [start, stop) of one series in which the target was blocked."""

    series: int
    start: int
    stop: int
    opened: int
    """The cell with which the filter opened it."""
    onset: Interval | None
    """When the last good run began and the first bad one was over; None: bad since before the first vote."""
    end: Interval | None
    """When the last bad run began and the first good one was over."""
    likely: tuple[float | None, float | None]
    """The best single guess at each: between votes that lie a night apart, nearer to the bad one."""
    first_bad: float
    last_bad: float
    ongoing: bool
    posterior: float


@dataclass(frozen=True)
class World:
    """What spans are found in."""

    votes: Ordered
    cells: Cells
    belief: Belief
    bin_s: float
    now: float
    params: Params

    @cached_property
    def failing(self) -> Flags:
        """By cell."""
        return self.cells.failing

    @cached_property
    def last_good(self) -> Ints:
        """By cell: the last cell up to it with a good vote, of any series."""
        good = np.where(self.cells.n_bad < self.cells.n, np.arange(len(self.cells.n)), -1)
        found: Ints = np.maximum.accumulate(good)
        return found


def find(world: World) -> list[Span]:
    """All spans of all series, by series and time."""
    sure = np.flatnonzero((world.belief.blocked >= world.params["filter.open"]) & world.failing)
    begin = np.searchsorted(sure, world.cells.first)
    found: list[Span] = []
    for series in np.flatnonzero(np.diff(begin)):
        found += _of_series(world, int(series), sure[begin[series] : begin[series + 1]])
    return found


def _of_series(world: World, series: int, sure: Ints) -> list[Span]:
    low, high = int(world.cells.first[series]), int(world.cells.first[series + 1])
    found: list[Span] = []
    at = low
    for candidate in (int(one) for one in sure):
        if candidate < at:
            continue
        start = candidate
        while start > at and world.failing[start - 1] and not _lapsed(world, start):
            start -= 1
        if not _agreed(world, start, candidate, low):
            continue
        stop, reached = _follow(world, candidate, high)
        at = reached
        if _believed(world, start, stop):
            before = found[-1].last_bad if found and found[-1].stop == start else None
            found.append(_span(world, (start, stop, candidate, reached), low, high, before))
    return found


def _lapsed(world: World, cell: int) -> bool:
    """Whether nobody asked for too long before a cell."""
    gap = float(world.cells.bin[cell] - world.cells.bin[cell - 1]) * world.bin_s
    return gap > float(world.belief.patience[cell])


def _follow(world: World, opened: int, high: int) -> tuple[int, int]:
    """Where it stops being blocked, and where to look on."""
    last = opened
    calm = world.params.count("target.calm")
    for cell in range(opened + 1, high):
        if _lapsed(world, cell):
            return last + 1, cell
        if world.failing[cell]:
            last = cell
        elif cell - last >= calm and world.belief.blocked[cell] <= world.params["filter.close"]:
            return last + 1, cell
    return last + 1, high


def _agreed(world: World, start: int, candidate: int, low: int) -> bool:
    """More households say so than not, and a lone one only where no other has spoken for a while."""
    cells, votes, params = world.cells, world.votes, world.params
    part = slice(int(cells.begin[start]), int(cells.begin[candidate + 1]))
    households, latest = np.unique(votes.household[part][::-1], return_index=True)
    latest = part.stop - 1 - latest
    bad, weight = votes.bad[latest], votes.weight[latest]
    if weight[bad].sum() <= weight[~bad].sum():
        return False
    if np.count_nonzero(bad) > 1:
        return True
    window = max(params["target.alone"] / world.bin_s, 2.0)
    since = low + int(np.searchsorted(cells.bin[low : candidate + 1], cells.bin[candidate] - window))
    recent = votes.household[int(cells.begin[since]) : part.stop]
    return bool((recent == households[bad][0]).all())


def _believed(world: World, start: int, stop: int) -> bool:
    """Over the whole span, most households found it failing for the most part."""
    part = slice(int(world.cells.begin[start]), int(world.cells.begin[stop]))
    votes = world.votes
    _, which = np.unique(votes.household[part], return_inverse=True)
    said = np.bincount(which, np.where(votes.bad[part], 1.0, -1.0))
    weight = np.zeros(len(said))
    np.maximum.at(weight, which, votes.weight[part])
    return bool(weight[said > 0].sum() > weight[said <= 0].sum())


def _span(world: World, cells: tuple[int, int, int, int], low: int, high: int, before: float | None) -> Span:
    """With its times. ``cells``: start, stop, opened, reached; ``before``: when an adjoining one was last seen."""
    start, stop, opened, reached = cells
    series = int(world.cells.series[start])
    votes = world.votes
    first_bad = float(_at(world, start, votes.first_at, bad=True).min())
    last_bad = float(_at(world, stop - 1, votes.last_at, bad=True).max())
    earliest = _good_before(world, start, low, first_bad) if before is None else before
    over = stop < high and (reached < high or world.belief.blocked[high - 1] < world.params["target.still"])
    end, ongoing = None, False
    if over:
        after = _at(world, stop, votes.over_at, bad=bool(world.failing[stop]))
        end = (last_bad, max(last_bad, float(after.min())))
    else:
        ongoing = world.now - last_bad <= world.belief.patience[stop - 1] + world.bin_s
    told_at = max(first_bad, float(_at(world, start, votes.over_at, bad=True).min()))
    onset = None if earliest is None else (min(earliest, first_bad), told_at)
    rate = float(world.belief.ending[stop - 1])
    begun = None if onset is None else first_bad - _before(first_bad - onset[0], rate)
    ended = None if end is None else last_bad + _before(end[1] - last_bad, rate)
    posterior = float(world.belief.blocked[start:stop].max())
    return Span(series, start, stop, opened, onset, end, (begun, ended), first_bad, last_bad, ongoing, posterior)


def _before(gap: float, rate: float) -> float:
    """How far from the bad one of two votes the change lies on average, where blockings end at ``rate``."""
    if rate * gap < _EVEN:
        return gap / 2
    return 1 / rate - gap / expm1(rate * gap)


def _at(world: World, cell: int, times: Floats, *, bad: bool) -> Floats:
    """Times of the bad or the good votes of a cell."""
    part = slice(int(world.cells.begin[cell]), int(world.cells.begin[cell + 1]))
    found: Floats = times[part][world.votes.bad[part] == bad]
    return found


def _good_before(world: World, start: int, low: int, first_bad: float) -> float | None:
    """The last good vote before the first bad one."""
    here = _at(world, start, world.votes.last_at, bad=False)
    if (here := here[here <= first_bad]).size:
        return float(here.max())
    before = int(world.last_good[start - 1]) if start > low else -1
    return float(_at(world, before, world.votes.last_at, bad=False).max()) if before >= low else None
