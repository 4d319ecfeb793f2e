"""What is usual for a series of counts: its level, its daily and weekly season, and how far it strays from both.

Learnt from closed bins only, and only as far as the series has gone: an hour of the week that is never closed, such as
those of a curfew that lasts for months, keeps what was known of it before, however long ago. The level is the median
of a week of days, so one high day does not make the next look low.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.counts_states import Counts, Expected, Floats, log_pmf
from civobs_collector.detect.params import Params

_DAY, _WEEK = 86400.0, 7
_ROUNDS = 3
"""Level and season are fitted in turn; three rounds settle them to a hundredth."""
_ENOUGH = 0.25
"""Of a day's usual sightings in closed bins: it says how high the day was."""
_UNKNOWN = 1e12
"""The variance of what was never seen."""
_LEAST_SPREAD = 1e-4
"""A hundredth: seasons are never taken to be flatter."""
_FAINT = 1e-3
"""Less than this is nothing."""
_STRAY = 3.0
"""Standard deviations beyond which one stray says no more than another; upwards half as many."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Which cell of the week, and which day, each bin belongs to."""

    bin_s: float
    n_day: int
    """Cells a day; 0 where bins are longer than a day."""
    cell: NDArray[np.int64]
    day: NDArray[np.int64]
    """From the first bin's."""

    @property
    def n_cells(self) -> int:
        return max(1, _WEEK * self.n_day)


def clock(start: float, bin_s: float, n: int, params: Params) -> Clock:
    """The calendar of a series, in UTC: a season does not mind where its day begins."""
    width = max(params["counts.cell"], bin_s)
    at = start + bin_s * np.arange(n) + bin_s / 2
    day = np.floor(at / _DAY).astype(np.int64)
    if bin_s > _DAY:
        return Clock(bin_s, 0, np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.int64))
    n_day = max(1, int(_DAY / width))
    hour = np.minimum((at - day * _DAY) // width, n_day - 1).astype(np.int64)
    return Clock(bin_s, n_day, day % _WEEK * n_day + hour, day - day[:1].min(initial=day[0] if n else 0))


def _week(levels: Floats, full: NDArray[np.bool_], typical: float) -> Floats:
    """The median of a week around each day: a day of the week is a matter of the season, and a trend of the level."""
    found = np.full(len(levels), typical)
    for day in range(len(levels)):
        around = slice(max(0, day - _WEEK // 2), day + _WEEK // 2 + 1)
        if full[around].any():
            found[day] = np.median(levels[around][full[around]])
    return found


@dataclass(slots=True)
class _Kept:
    """Sums by cell of what is no longer fresh: sightings, level × bins, bins."""

    seen: Floats
    exposure: Floats
    bins: Floats


@dataclass(slots=True)
class Baseline:
    """The habit of one series, as known at one moment. ``counts`` and ``closed`` belong to the caller."""

    clock: Clock
    counts: Counts
    closed: NDArray[np.bool_]
    """Whether a bin may be learnt; the caller may take a bin back as long as it is not."""
    params: Params
    first: int = 0
    """Where learning begins."""
    upto: int = 0
    """Bins before this are learnt."""
    fresh: int = 0
    """Bins before this are kept in sums only."""
    level: float = 0.0
    r: float = 0.0
    hiccups: float = 0.0
    lost_weight: float = 1.0
    degraded_weight: float = 1.0
    n_learnt: int = 0
    season: Floats = field(default_factory=lambda: np.ones(1))
    strange: NDArray[np.bool_] = field(default_factory=lambda: np.ones(1, dtype=bool))
    """By cell: whether this weekday has hardly been seen."""
    _doubt: Floats = field(default_factory=lambda: np.ones(1))
    _share: Floats = field(default_factory=lambda: np.ones(1))
    _kept: _Kept = field(default_factory=lambda: _Kept(np.zeros(1), np.zeros(1), np.zeros(1)))
    _usual: Floats = field(default_factory=lambda: np.ones(0))
    """Of each bin, as it was known when the bin was last fitted; NaN before."""
    _levels: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By day: its level, and the sightings behind it."""

    def __post_init__(self) -> None:
        n = self.clock.n_cells
        self.season, self._doubt, self._share = np.ones(n), np.ones(n), np.ones(n)
        self._kept = _Kept(np.zeros(n), np.zeros(n), np.zeros(n))
        self.strange = np.ones(n, dtype=bool)
        self._usual = np.full(len(self.counts), np.nan)
        self.upto = self.fresh = self.first
        self.r = self.params["counts.dispersion"]

    @property
    def age_s(self) -> float:
        """Time learnt, gaps and events left out."""
        return self.n_learnt * self.clock.bin_s

    def expected(self, first: int, end: int) -> Expected:
        """Of bins from ``first`` to ``end``."""
        cell = self.clock.cell[first:end]
        mean = self.level * self.season[cell]
        return Expected(mean, mean * self._share[cell], 1 / (1 / self.r + self._doubt[cell]), self.hiccups)

    def learn(self, upto: int) -> None:
        """Take in the closed bins before ``upto``."""
        if upto <= self.upto:
            return
        self.n_learnt += int(self.closed[self.upto : upto].sum())
        self.upto = upto
        self._fit()
        self._stray()
        self._lowest()

    def _fit(self) -> None:
        """Level by day and season by cell, in turn."""
        begin = max(self.fresh, self.upto - self._bins("counts.fresh"))
        part = np.arange(self.fresh, self.upto)
        part = part[self.closed[part]]
        if not len(part):
            return
        cell, day = self.clock.cell[part], self.clock.day[part]
        base = int(day[0])
        seen = self.counts[part].astype(np.float64)
        capped = seen
        for _ in range(_ROUNDS):
            weight = self.season[cell]
            by_day = np.bincount(day - base, weight)
            total = np.bincount(day - base, capped)
            typical = max(total.sum() / max(by_day.sum(), 1e-12), 1e-12)
            # A day of few closed bins is taken to be like the others as far as it says nothing.
            levels = (total + 1) / (by_day + 1 / typical)
            full = by_day >= _ENOUGH * _DAY / min(self.clock.bin_s, _DAY)
            exposure = _week(levels, full, typical)[day - base]
            capped = np.minimum(seen, self.params["counts.spike"] * np.maximum(exposure * weight, 1))
            self._season(cell, capped, exposure)
        self._usual[part] = exposure * self.season[cell]
        for index in np.flatnonzero(full):
            self._levels[base + int(index)] = (float(levels[index]), float(total[index]))
        self._keep(part < begin, cell, capped, exposure)
        self.fresh = begin
        recent = [self._levels[one][0] for one in sorted(self._levels)[-self.params.count("counts.level_days") :]]
        self.level = float(np.median(recent)) if recent else float(typical)

    def _keep(self, old: NDArray[np.bool_], cell: NDArray[np.int64], seen: Floats, exposure: Floats) -> None:
        """Move what is no longer fresh into the sums; each cell forgets by what is new in it, not by the calendar."""
        if not old.any():
            return
        n = self.clock.n_cells
        new = [np.bincount(cell[old], one, n) for one in (seen[old], exposure[old], np.ones(int(old.sum())))]
        per_week = max(1.0, self._cell_bins)
        forget = np.exp(-new[2] / (per_week * self.params["counts.weeks"]))
        for name, one in zip(("seen", "exposure", "bins"), new, strict=True):
            setattr(self._kept, name, forget * getattr(self._kept, name) + one)

    def _season(self, cell: NDArray[np.int64], seen: Floats, exposure: Floats) -> None:
        """Hours of the day, days of the week, and hours of the week as they differ from both."""
        n, kept = self.clock.n_cells, self._kept
        seen = kept.seen + np.bincount(cell, seen, n)
        usual = kept.exposure + np.bincount(cell, exposure, n)
        times = (kept.bins + np.bincount(cell, minlength=n)) / max(1.0, self._cell_bins)
        week = (n // max(1, self.clock.n_day), max(1, self.clock.n_day))
        season, doubt = np.ones(week), np.zeros(week)
        for axis in (0, 1, None):
            sums = [
                one.reshape(week) if axis is None else one.reshape(week).sum(axis=axis, keepdims=True)
                for one in (seen, usual * season.ravel(), times)
            ]
            factor, own = self._drawn(sums[0], sums[1], sums[2])
            season, doubt = season * factor, doubt + own
        scale = season.mean()
        self.season = (season / scale).ravel() if scale > 0 else np.ones(n)
        self._doubt = doubt.ravel()

    def _drawn(self, seen: Floats, usual: Floats, times: Floats) -> tuple[Floats, Floats]:
        """Ratios to what is usual, drawn to 1 by their own doubt against how much they differ (empirical Bayes)."""
        known = times > 0
        usual, times = np.maximum(usual, 1e-12), np.maximum(times, 1e-12)
        ratio = np.where(known, seen / usual, 1.0)
        own = np.where(known, 1 / usual + 1 / (self.r * times), _UNKNOWN)
        weight = 1 / own
        spread = max(float((((ratio - 1) ** 2 - own) * weight)[known].sum() / weight.sum()), _LEAST_SPREAD)
        share = spread / (spread + own)
        return 1 + share * (ratio - 1), share * own

    def _stray(self) -> None:
        """Dispersion, from what was usual, as known by now, and what came."""
        params = self.params
        part = np.arange(max(self.first, self.upto - self._bins("counts.memory")), self.upto)
        part = part[self.closed[part] & np.isfinite(self._usual[part])]
        if not len(part):
            return
        part = self._without_hiccups(part)
        mean = np.maximum(self._usual[part], _FAINT)
        short = np.minimum(self.counts[part] - mean, 0)
        squares = mean @ mean
        prior = self._prior_bins * squares / len(part)
        # Only what falls short: a crowd that comes for a day says nothing about how low it may fall.
        excess = 2 * short @ short - mean.sum() + prior / params["counts.dispersion"]
        self.r = 1 / max(excess / (squares + prior), 1 / params["counts.dispersion_most"])
        z = (self.counts[part] - mean) / np.sqrt(mean + mean**2 / self.r)
        self._weigh(np.clip(z, -_STRAY, _STRAY / 2), part)

    def _without_hiccups(self, part: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bins alone that are far too low for chance: how often the counter fails. The others."""
        mean, seen = np.maximum(self._usual[part], _FAINT), self.counts[part]
        chance = log_pmf(seen.astype(np.float64), mean, self.r)
        low = (seen < self.params["counts.hiccup_left"] * mean) & (chance < np.log(self.params["counts.hiccup_chance"]))
        n = int(low.sum())
        # Once may be an outage.
        self.hiccups = n / len(part) if n >= self.params["counts.again"] else 0.0
        return part[~low] if self.hiccups and n < len(part) else part

    def _weigh(self, z: Floats, part: NDArray[np.int64]) -> None:
        """One bin's evidence is worth less where the next says the same: by neighbours, and by sums of a lag."""
        power = max(float(z @ z), 1e-12)
        near = np.diff(part) == 1
        low = np.minimum(z, 0)
        low = low - low.mean()
        rho = float((low[1:] * low[:-1])[near].sum() / (low @ low + self._prior_bins))
        rho = min(max(rho, 0.0), 0.95)
        self.lost_weight = (1 - rho) / (1 + rho)
        block = (part // max(1, self._bins("counts.lag"))).astype(np.int64)
        sums = np.bincount(block - block[0], z)
        inflation = float(sums @ sums) / power
        self.degraded_weight = min(self.lost_weight, 1 / max(1.0, inflation))

    def _lowest(self) -> None:
        """How low, against what is expected, a cell may be on a day that is still usual."""
        params = self.params
        share = np.ones(self.clock.n_cells)
        if self.clock.n_day:
            days = self.season.reshape(_WEEK, self.clock.n_day)
            low = days.min(axis=0)
            if self.clock.bin_s <= params["counts.cell"]:
                # A clock that is put back, or a day that begins late, moves the season by an hour.
                low = np.minimum(low, np.minimum(np.roll(low, 1), np.roll(low, -1)))
            share = (low / np.maximum(days, 1e-12)).ravel()
        known = self._kept.bins + np.bincount(self._fresh_cells(), minlength=len(share)) > 0
        days_known = known.reshape(-1, max(1, self.clock.n_day)).mean(axis=1) >= params["counts.day_seen"]
        self.strange = ~np.repeat(days_known, max(1, self.clock.n_day))
        share[self.strange] = params["counts.day_unseen"]
        self._share = np.clip(share * self._low_day(), 0.0, 1.0)

    def _fresh_cells(self) -> NDArray[np.int64]:
        part = np.arange(self.fresh, self.upto)
        return self.clock.cell[part[self.closed[part]]]

    def _low_day(self) -> float:
        """The lowest day of the memory against the level, freed of the chance in small counts; or what a day may be."""
        params = self.params
        n = max(1, round(params["counts.memory"] / max(self.clock.bin_s, _DAY)))
        dead = params["counts.dead"] * self.level
        days = [self._levels[one] for one in sorted(self._levels)[-n:] if self._levels[one][0] >= dead]
        if not days or self.level <= 0:
            return 1.0
        ratio = np.log(np.maximum(np.array([one[0] for one in days]), 1e-12) / self.level)
        chance = 1 / (np.array([one[1] for one in days]) + 1)
        spread = max(float((2 * np.minimum(ratio, 0) ** 2 - chance).mean()), params["counts.wander"] ** 2)
        lowest = float((ratio * spread / (spread + chance)).min())
        return float(np.exp(min(lowest, -params["counts.low_day"] * np.sqrt(spread))))

    @property
    def _cell_bins(self) -> float:
        """Bins of one cell on one day."""
        return _DAY / max(1, self.clock.n_day) / self.clock.bin_s

    @property
    def _prior_bins(self) -> float:
        """How many bins the first guess weighs."""
        return min(max(_DAY / self.clock.bin_s, _WEEK), self.params["counts.dispersion_weight"])

    def _bins(self, name: str) -> int:
        return max(1, round(self.params[name] / self.clock.bin_s))
