"""Counts instead of a roster: when a crowd of unknown size has lost the Internet (detection.md §3.3 c).

Nobody knows who should have been seen, so the habit of the series has to say it: what is usual is learnt as time goes
by, from closed bins only, and a filter of four states weighs each count against it. Nothing is said before enough has
been learnt. Start and end are dated afterwards, from both sides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.counts_baseline import Baseline, clock
from civobs_collector.detect.counts_states import (
    DEGRADED,
    DOWN,
    LOW,
    USUAL,
    Counts,
    Floats,
    log_emissions,
    transition,
    weighed,
)
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
    start_share: float
    """How far into its first bin it began, and into its last it ended, by what was seen in them; 0 to 1."""
    end_share: float
    rules: tuple[str, ...]

    @property
    def depth(self) -> float:
        """Share of what was expected that was missing."""
        return max(0.0, 1 - self.observed / self.expected) if self.expected > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Dates:
    """First bin of an outage and first bin after it, each likely, earliest and latest."""

    start: tuple[int, int, int]
    end: tuple[int, int, int]


_MOSTLY = 0.5
_USUALLY = np.array([1.0, 0.0, 0.0, 0.0])


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
        self.seen: NDArray[np.bool_] = counts >= 0
        self.closed = self.seen.copy()
        self.clock = clock(start, bin_s, n, params)
        self.baseline = Baseline(self.clock, counts, self.closed, params)
        self.step = transition(bin_s, params)
        self.mean: Floats = np.full(n, np.nan)
        self.states: Floats = np.zeros((n, 4))
        self.belief: Floats = np.zeros((n, 4))
        self.out: Floats = np.zeros(n)
        self.strange: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        """Whether the weekday of a bin had hardly been seen before."""
        self.again: Floats = np.zeros(n)
        """Probability that an outage begins in a bin because others have begun at that hour."""
        self.opened = -1
        """Of the event that lasts; -1 while none does."""
        self.free = 0
        """First bin that belongs to no earlier segment."""
        self.found: list[CountSegment] = []

    def go(self) -> None:
        at = int(self.seen.argmax()) if self.n else 0
        self.baseline = Baseline(self.clock, self.counts, self.closed, self.params, first=at)
        now = _USUALLY
        lag = self._bins("counts.lag")
        while at < self.n:
            young = self.baseline.age_s < self.params["counts.fresh"]
            until = min(self.n, at + (lag if young else self._bins("counts.refit")))
            at, now = self._filter(at, until, now)
            self.baseline.learn(at - lag)
        if self.opened >= 0:
            self._close(self.n, ended=False, lapsed=False)

    def _filter(self, first: int, until: int, now: Floats) -> tuple[int, Floats]:
        """Belief from bin to bin, opening and closing on the way; how far it came, as the habit may change."""
        base, params = self.baseline, self.params
        if base.age_s < params["counts.min_age"] or base.n_learnt < params.count("counts.min_bins"):
            return until, now
        expected = base.expected(first, until)
        states = log_emissions(self.counts[first:until], expected, params)
        states = weighed(states, base.lost_weight, base.degraded_weight)
        self.mean[first:until], self.states[first:until] = expected.mean, states
        self.strange[first:until] = base.strange[self.clock.cell[first:until]]
        likelihood = np.exp(states - states.max(axis=1, keepdims=True))
        self._await(first, until)
        for at in range(first, until):
            now = (now @ self._step(at)) * likelihood[at - first]
            now /= now.sum()
            self.belief[at] = now
            self.out[at] = now[DEGRADED] + now[DOWN]
            if not self.seen[at]:
                continue
            if self.opened < 0:
                self._try_open(at, now)
            elif self.out[at] <= params["counts.close"]:
                self._close(at, ended=True, lapsed=False)
            else:
                self.closed[at] = False
                if self._is_new_level(at):
                    self._close(at, ended=False, lapsed=True)
                    return at + 1, _USUALLY
        return until, now

    def _await(self, first: int, until: int) -> None:
        """After outages at one hour of several days another one at that hour is no surprise."""
        params = self.params
        day, near = params["campaign.period"] / self.bin_s, max(1, self._bins("counts.again_near"))
        at = np.arange(first, until)
        times = np.zeros(len(at))
        for one in self.found:
            days = (at - one.start) / day
            close = np.abs(days - np.round(days)) * day <= near
            times += close & (days > 0.5) & (days < params.count("counts.again_days") + 0.5)
        times[times < params["counts.again"]] = 0
        self.again[first:until] = times / (params["counts.again_days"] + 1) / (2 * near + 1)

    def _step(self, at: int) -> Floats:
        """Transition into one bin."""
        again = self.again[at]
        if not again:
            return self.step
        onset = np.eye(4)
        onset[[USUAL, LOW], [USUAL, LOW]] = 1 - again
        onset[np.ix_([USUAL, LOW], [DEGRADED, DOWN])] = again / 2
        found: Floats = self.step @ onset
        return found

    def _try_open(self, at: int, now: Floats) -> None:
        params = self.params
        if self.out[at] >= params["counts.doubt"]:
            self.closed[at] = False
        sure = now[DOWN] if self.baseline.age_s < params["counts.degraded_age"] else self.out[at]
        if sure < params["counts.open"]:
            return
        begin = at
        while begin > self.free and np.isfinite(self.mean[begin - 1]) and self.out[begin - 1] > params["counts.close"]:
            begin -= 1
        part, usual, observed = self._sums(begin, at + 1)
        if (
            usual - observed >= params["counts.lost"]
            and observed <= params["counts.most"] * usual
            and len(part) * self.bin_s >= params["counts.shortest"]
        ):
            self.closed[part] = False
            self.opened = at

    def _is_new_level(self, at: int) -> bool:
        """A partial loss that has lasted for a month, looked at once a day."""
        lapse = self._bins("counts.lapse")
        if at - self.opened < lapse or (at - self.opened) % self._bins("counts.refit"):
            return False
        _, usual, observed = self._sums(at - lapse, at)
        return observed > 2 * self.params["counts.down"] * usual

    def _close(self, at: int, *, ended: bool, lapsed: bool) -> None:
        """Date what was open until bin ``at``, and let the bins around it be learnt."""
        opened, self.opened = self.opened, -1
        one = self._dated(opened, at, ended=ended)
        part, usual, observed = self._sums(one.start[0], one.end[0])
        self.found.append(
            CountSegment(
                *one.start,
                *one.end,
                opened=opened,
                ended=ended,
                lapsed=lapsed,
                down=observed <= 2 * self.params["counts.down"] * usual,
                posterior=float(self.out[opened : max(at, opened + 1)].max()),
                expected=usual,
                observed=observed,
                n_bins=len(part),
                start_share=self._left(one.start[0]),
                end_share=self._left(one.end[0] - 1) if ended else 0.0,
                rules=("counts.open",),
            )
        )
        self._put_by(one, at)
        self.free = one.end[0]
        if lapsed:
            self._relearn(at)

    def _put_by(self, one: _Dates, at: int) -> None:
        """Which bins until bin ``at`` may be learnt: none of an outage, nor next to it, out in part."""
        start, end = one.start[0], one.end[0]
        inside = slice(max(0, start - 1), end + 1)
        self.closed[end + 1 : at + 1] = self.seen[end + 1 : at + 1]
        # A weekday seen for the first time may be so each week: it is learnt, or it would be told every week. So is a
        # bin alone, by which the counter's hiccups are known.
        habit = end > start and self.strange[start:end].mean() > _MOSTLY
        hiccup = end - start == 1 and not self.again[start]
        self.closed[inside] = self.seen[inside] if habit or hiccup else False

    def _relearn(self, at: int) -> None:
        """Take the last weeks of a partial loss for the habit from here on."""
        first = max(self.free - self._bins("counts.fresh"), self.found[-1].start)
        self.closed[first:at] = self.seen[first:at]
        self.baseline = Baseline(self.clock, self.counts, self.closed, self.params, first=first)
        self.baseline.learn(at)

    def _dated(self, opened: int, at: int, *, ended: bool) -> _Dates:
        """First bin of the outage and first bin after it: likely, earliest, latest."""
        first = max(self.free, opened - self._bins("counts.smooth"))
        first += int(np.isfinite(self.mean[first:]).argmax())
        smooth = self._smoothed(first, opened, at + 1 if ended else at)
        start, earliest, latest = (opened + 1 - n for n in _edge(smooth[: opened - first + 1][::-1]))
        start += self._too_full(np.arange(start, opened))
        starts = (start, min(start, earliest), max(start, latest))
        if not ended:
            return _Dates(starts, (at, at, self.n))
        # The bin with which it opened is out, and that with which it closed is not.
        end, earliest, latest = (at + 1 - max(1, n) for n in _edge(1 - smooth[opened + 1 - first :][::-1]))
        end -= self._too_full(np.arange(opened + 1, end)[::-1])
        return _Dates(starts, (end, min(end, earliest), max(end, latest)))

    def _sums(self, first: int, end: int) -> tuple[NDArray[np.int64], float, float]:
        """The observed bins, what was expected in them, and what was seen."""
        part = np.arange(first, end)
        part = part[self.seen[part] & np.isfinite(self.mean[part])]
        return part, float(self.mean[part].sum()), float(self.counts[part].sum())

    def _left(self, at: int) -> float:
        """Share of what was expected that one bin still saw; 0 where chance alone could have it so."""
        if not self.seen[at] or self.mean[at] < self.params["counts.share"]:
            return 0.0
        return min(1.0, float(self.counts[at] / self.mean[at]))

    def _too_full(self, part: NDArray[np.int64]) -> int:
        """How many bins of a run, from its outer end, together are not missing enough to be told as an event."""
        observed = np.cumsum(np.maximum(self.counts[part], 0))
        usual = np.cumsum(np.where(self.seen[part], self.mean[part], 0))
        full = np.flatnonzero(observed > self.params["counts.most"] * usual)
        return int(full[-1]) + 1 if len(full) else 0

    def _smoothed(self, first: int, opened: int, last: int) -> Floats:
        """Belief in an outage at each bin from first to last, seen from both sides, given that there was one."""
        out = np.array([0.0, 0.0, 1.0, 1.0])
        likelihood = np.exp(self.states[first:last] - self.states[first:last].max(axis=1, keepdims=True))
        belief = self.belief[first:last].copy()
        belief[opened - first] *= out
        for at in range(opened - first + 1, last - first):
            belief[at] = (belief[at - 1] @ self._step(first + at)) * likelihood[at]
            belief[at] /= belief[at].sum()
        ahead = np.ones(4)
        found = np.empty(last - first)
        for at in range(last - first - 1, -1, -1):
            if at == opened - first:
                ahead = ahead * out
            both = belief[at] * ahead
            found[at] = (both[DEGRADED] + both[DOWN]) / both.sum()
            ahead = self._step(first + at) @ (likelihood[at] * ahead)
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
