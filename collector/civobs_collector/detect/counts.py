"""Counts instead of a roster: when a crowd of unknown size has lost the Internet (detection.md §3.3 c).

Nobody knows who should have been seen, so the habit of the series has to say it: what is usual is learnt as time goes
by, from closed bins only, and a filter of four states weighs each count against it. Nothing is said before enough has
been learnt. Start and end are dated afterwards, from both sides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.counts_baseline import Baseline, clock
from civobs_collector.detect.counts_states import DEGRADED, DOWN, Counts, Floats, log_emissions, transition, weighed
from civobs_collector.detect.params import Params


@dataclass(frozen=True, slots=True)
class CountSegment:
    """A stretch of bins [start, end) in which most of what is usual was missing."""

    start: int
    start_earliest: int
    start_latest: int
    """First bins of the outage, with 5 and 95 % of the posterior."""
    end: int
    """First bin in which it was over; the length of the series while it lasts."""
    end_earliest: int
    end_latest: int
    opened: int
    """The bin with which the filter opened it."""
    ended: bool
    lapsed: bool
    """Over because it has lasted so long that it is the new level: its end is not known."""
    down: bool
    """Lost altogether, as against in part."""
    posterior: float
    expected: float
    observed: float
    """Sightings from start to end, in bins that were observed."""
    n_bins: int
    rules: tuple[str, ...]

    @property
    def depth(self) -> float:
        """Share of what was expected that was missing."""
        return max(0.0, 1 - self.observed / self.expected) if self.expected > 0 else 0.0


def find_counts(start: float, bin_s: float, counts: Counts, params: Params) -> list[CountSegment]:
    """All segments of one series of counts; -1 where a bin was not observed. ``start`` is seconds since the epoch."""
    run = _Run(start, bin_s, np.asarray(counts, dtype=np.int64), params)
    run.go()
    return run.found


class _Run:
    """One pass over a series, and what is known at each bin."""

    def __init__(self, start: float, bin_s: float, counts: Counts, params: Params) -> None:
        n = len(counts)
        self.params, self.bin_s, self.counts, self.n = params, bin_s, counts, n
        self.closed: NDArray[np.bool_] = counts >= 0
        self.clock = clock(start, bin_s, n, params)
        self.baseline = Baseline(self.clock, counts, self.closed, params)
        self.step = transition(bin_s, params)
        self.mean: Floats = np.full(n, np.nan)
        self.states: Floats = np.zeros((n, 4))
        self.belief: Floats = np.zeros((n, 4))
        self.out: Floats = np.zeros(n)
        self.opened = -1
        """Of the event that lasts; -1 while none does."""
        self.free = 0
        """First bin that belongs to no earlier segment."""
        self.found: list[CountSegment] = []

    def go(self) -> None:
        at = int((self.counts >= 0).argmax()) if self.n else 0
        self.baseline = Baseline(self.clock, self.counts, self.closed, self.params, first=at)
        now = np.array([1.0, 0.0, 0.0, 0.0])
        lag = self._bins("counts.lag")
        while at < self.n:
            until = min(self.n, at + lag)
            now = self._filter(at, until, now)
            at = until
            self.baseline.learn(at - lag)
        if self.opened >= 0:
            self._close(self.n, ended=False, lapsed=False)

    def _filter(self, first: int, until: int, now: Floats) -> Floats:
        """Belief from bin to bin, opening and closing on the way."""
        base, params = self.baseline, self.params
        if base.age_s < params["counts.min_age"] or base.n_learnt < params.count("counts.min_bins"):
            return now
        expected = base.expected(first, until)
        states = log_emissions(self.counts[first:until], expected.mean, expected.lowest, expected.r, params)
        states = weighed(states, base.lost_weight, base.degraded_weight)
        self.mean[first:until], self.states[first:until] = expected.mean, states
        likelihood = np.exp(states - states.max(axis=1, keepdims=True))
        for at in range(first, until):
            now = (now @ self.step) * likelihood[at - first]
            now /= now.sum()
            self.belief[at] = now
            self.out[at] = now[DEGRADED] + now[DOWN]
            if self.counts[at] < 0:
                continue
            if self.opened < 0:
                self._try_open(at, now)
            elif self.out[at] <= params["counts.close"]:
                self._close(at, ended=True, lapsed=False)
            else:
                self.closed[at] = False
                if self._is_new_level(at):
                    self._close(at, ended=True, lapsed=True)
                    return np.array([1.0, 0.0, 0.0, 0.0])
        return now

    def _try_open(self, at: int, now: Floats) -> None:
        params = self.params
        sure = now[DOWN] if self.baseline.age_s < params["counts.degraded_age"] else self.out[at]
        if sure < params["counts.open"]:
            if self.out[at] >= 0.5:
                self.closed[at] = False
            return
        begin = at
        while begin > self.free and np.isfinite(self.mean[begin - 1]) and self.out[begin - 1] > params["counts.close"]:
            begin -= 1
        part = np.arange(begin, at + 1)
        part = part[self.counts[part] >= 0]
        usual, seen = float(self.mean[part].sum()), float(self.counts[part].sum())
        self.closed[at] = False
        if (
            usual - seen < params["counts.lost"]
            or seen > params["counts.most"] * usual
            or len(part) * self.bin_s < params["counts.shortest"]
        ):
            return
        self.closed[part] = False
        self.opened = at

    def _is_new_level(self, at: int) -> bool:
        """A partial loss that has lasted for a month."""
        lapse = self._bins("counts.lapse")
        if at - self.opened < lapse or (at - self.opened) % self._bins("counts.lag"):
            return False
        part = np.arange(at - lapse, at)
        part = part[self.counts[part] >= 0]
        return float(self.counts[part].sum()) > 2 * self.params["counts.down"] * float(self.mean[part].sum())

    def _close(self, at: int, *, ended: bool, lapsed: bool) -> None:
        opened, self.opened = self.opened, -1
        margin = self._bins("counts.smooth")
        first = max(self.free, opened - margin)
        while not np.isfinite(self.mean[first]):
            first += 1
        last = min(self.n, at + 1) if ended else self.n
        smooth = self._smoothed(first, opened, last)
        start, start_earliest, start_latest = _edge(smooth[: opened - first + 1][::-1])
        start, start_earliest, start_latest = (opened + 1 - one for one in (start, start_earliest, start_latest))
        end = end_earliest = end_latest = self.n
        if ended:
            end, end_earliest, end_latest = (at + 1 - one for one in _edge(1 - smooth[opened - first :][::-1]))
            end, end_earliest, end_latest = (
                max(end, opened + 1),
                max(end_earliest, opened + 1),
                max(end_latest, opened + 1),
            )
        if lapsed:
            end, end_earliest, end_latest = at, at, self.n
        start += self._too_full(np.arange(start, opened))
        start_latest = max(start, start_latest)
        if ended:
            end -= self._too_full(np.arange(opened + 1, end)[::-1])
            end_earliest = min(end, end_earliest)
        part = np.arange(start, end)
        part = part[self.counts[part] >= 0]
        usual, seen = float(self.mean[part].sum()), float(self.counts[part].sum())
        self.found.append(
            CountSegment(
                start, start_earliest, start_latest, end, end_earliest, end_latest, opened,
                ended and not lapsed, lapsed, seen <= 2 * self.params["counts.down"] * usual,
                float(self.out[opened : max(at, opened + 1)].max()), usual, seen, len(part), ("counts.open",),
            )
        )  # fmt: skip
        self.closed[start:end] = False
        self.closed[end : at + 1] = self.counts[end : at + 1] >= 0
        self.free = end

    def _too_full(self, part: NDArray[np.int64]) -> int:
        """How many bins of a run, from its outer end, together are not missing enough to be told as an event."""
        seen = np.cumsum(np.maximum(self.counts[part], 0))
        usual = np.cumsum(np.where(self.counts[part] >= 0, self.mean[part], 0))
        full = np.flatnonzero(seen > self.params["counts.most"] * usual)
        return int(full[-1]) + 1 if len(full) else 0

    def _smoothed(self, first: int, opened: int, last: int) -> Floats:
        """Belief in an outage at each bin from first to last, seen from both sides, given that there was one."""
        out = np.array([0.0, 0.0, 1.0, 1.0])
        likelihood = np.exp(self.states[first:last] - self.states[first:last].max(axis=1, keepdims=True))
        belief = self.belief[first:last].copy()
        belief[opened - first] *= out
        for at in range(opened - first + 1, last - first):
            belief[at] = (belief[at - 1] @ self.step) * likelihood[at]
            belief[at] /= belief[at].sum()
        ahead = np.ones(4)
        found = np.empty(last - first)
        for at in range(last - first - 1, -1, -1):
            if at == opened - first:
                ahead = ahead * out
            both = belief[at] * ahead
            found[at] = (both[DEGRADED] + both[DOWN]) / both.sum()
            ahead = self.step @ (likelihood[at] * ahead)
            ahead /= ahead.sum()
        return found

    def _bins(self, name: str) -> int:
        return max(1, round(self.params[name] / self.bin_s))


def _edge(out: Floats) -> tuple[int, int, int]:
    """How many bins from the first on are in the state: likely, at most (5 %), at least (95 %)."""
    found = []
    for bar in (0.5, 0.05, 0.95):
        below = out < bar
        found.append(int(below.argmax()) if below.any() else len(out))
    return found[0], found[1], found[2]
