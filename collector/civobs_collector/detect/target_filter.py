"""The filter of one target in one network at one layer: two states, working and blocked, over uneven times.

All series run side by side: the first cells of all, then the second cells of all, and so on, so that the cost is
linear in cells and a series that is asked once a day costs as little as it should. detection.md §3.3 (d). How often
blockings begin and how soon they end is learnt by series as it goes: after three mornings the fourth is no surprise,
and a blocking that has lasted for weeks is not given up for one silent night.
"""

from dataclasses import dataclass

import numpy as np

from civobs_collector.detect.params import Params
from civobs_collector.detect.target_cells import Cells, Floats


@dataclass(frozen=True, slots=True)
class Belief:
    """By cell, knowing all cells up to it."""

    blocked: Floats
    """How likely the target is blocked."""
    patience: Floats
    """After how many seconds without a vote before the cell a blocking is taken to be over."""
    ending: Floats
    """How soon a blocking ends here, in 1/s."""


def run(cells: Cells, usual: Floats, bin_s: float, params: Params) -> Belief:
    """``usual`` is the flakiness by series."""
    weight = _evidence(cells, usual, params)
    length = np.diff(cells.first)
    by = np.argsort(-length, kind="stable")
    begin, left = cells.first[:-1][by], -length[by]
    habits = _Habits(np.maximum(1.0, _spacing(cells, bin_s, params)[by] / params["target.bin"]), params)
    found = Belief(np.empty(len(weight)), np.empty(len(weight)), np.empty(len(weight)))
    at = np.zeros(len(begin))
    for rank in range(-int(left[0]) if len(left) else 0):
        # Series that have so many cells; the longest come first.
        n = int(np.searchsorted(left, -rank, side="left"))
        cell = begin[:n] + rank
        time = cells.bin[cell] * bin_s
        found.patience[cell] = habits.patience(n)
        found.ending[cell] = habits.ended[:n] / habits.blocked[:n]
        found.blocked[cell] = habits.step(n, time - at[:n] if rank else np.zeros(n), weight[cell])
        at[:n] = time
    return found


class _Habits:
    """Beliefs and rates of many series, moved on by one cell each.

    Rates are Gamma posteriors with the defaults of the table as their means; what was long ago counts less.
    """

    def __init__(self, slower: Floats, params: Params) -> None:
        self.params = params
        self.slower = slower
        begun, ended = params["target.onset_habit"], params["target.offset_habit"]
        self.begun, self.working = np.full(len(slower), begun), np.full(len(slower), begun / params["target.onset"])
        self.ended, self.blocked = np.full(len(slower), ended), ended / params["target.offset"] * slower
        self.fresh = (self.begun.copy(), self.working.copy())
        self.open = np.zeros(len(slower), dtype=bool)
        onset, offset = self.begun / self.working, self.ended / self.blocked
        self.belief = onset / (onset + offset)

    def patience(self, n: int) -> Floats:
        """In seconds: after so long without a vote a blocking is as likely over as not."""
        half = np.log(2) * self.blocked[:n] / self.ended[:n]
        floor, most = self.params["target.patience"], self.params["target.patience_most"]
        found: Floats = np.clip(half, floor * self.slower[:n], most * self.slower[:n])
        return found

    def step(self, n: int, gap: Floats, weight: Floats) -> Floats:
        """The beliefs of the first ``n`` series after ``gap`` seconds and evidence of ``weight``."""
        # A long quiet time makes a series no deafer than a new one.
        onset = np.maximum(self.begun[:n] / self.working[:n], self.params["target.onset"])
        offset = self.ended[:n] / self.blocked[:n]
        settled = onset / (onset + offset)
        belief = settled + (self.belief[:n] - settled) * np.exp(-(onset + offset) * gap)
        odds = belief / (1 - belief) * weight
        found: Floats = odds / (1 + odds)
        self._learn(n, gap, found)
        self.belief[:n] = found
        return found

    def _learn(self, n: int, gap: Floats, belief: Floats) -> None:
        was = self.open[:n]
        watched = gap <= self.patience(n)
        begins = ~(was & watched) & (belief >= self.params["filter.open"])
        ends = was & (belief <= self.params["filter.close"])
        keep = np.exp(-gap / self.params["target.habit_memory"])
        for kept, fresh in zip((self.begun, self.working), self.fresh, strict=True):
            kept[:n] = fresh[:n] + (kept[:n] - fresh[:n]) * keep
        self.begun[:n] += begins
        self.working[:n] += np.where(was, 0, gap)
        self.ended[:n] += ends
        self.blocked[:n] += np.where(was & watched, gap, 0)
        self.open[:n] = ((was & watched) | begins) & ~ends


def _spacing(cells: Cells, bin_s: float, params: Params) -> Floats:
    """By series, in seconds: the usual time from one cell to the next."""
    same = np.diff(cells.series) == 0
    series, step = cells.series[1:][same], np.diff(cells.bin)[same] * bin_s
    by = np.lexsort((step, series))
    first = np.searchsorted(series[by], np.arange(len(cells.first)))
    found = np.full(len(cells.first) - 1, bin_s)
    several = np.diff(first) >= params["target.spacing_steps"]
    found[several] = step[by][(first[:-1] + (np.diff(first) - 1) // 2)[several]]
    return np.asarray(np.minimum(found, max(bin_s, params["target.spacing_most"])))


def _evidence(cells: Cells, usual: Floats, params: Params) -> Floats:
    """Likelihood ratio of each cell; what one bin can say is bounded, for its households may share one fault."""
    blocked = params["target.blocked_bad"]
    bad, good = np.log(blocked / usual), np.log((1 - blocked) / (1 - usual))
    nats = cells.bad * bad[cells.series] + cells.good * good[cells.series]
    limit = params["target.cap"]
    found: Floats = np.exp(np.clip(nats, -limit, limit))
    return found
