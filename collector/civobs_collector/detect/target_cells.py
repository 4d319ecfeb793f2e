"""Votes put in order and summed by cell: one (network, target, layer) in one bin.

Taken out first is what says nothing about a target: a household to which every target is silent has lost its line,
and a household whose resolver answers nothing has lost that. Everything is in arrays and linear in votes, but for
the sorting.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.params import Params
from civobs_collector.detect.targets import LAYERS, Votes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SPOKEN = ("reset", "inject", "block", "nxdomain", "bogon", "cert", "alert", "mitm", "redirect", "forbidden")
"""Parts of words of failure that only somebody on the way or at the end can have said."""
NETWORK_SHIFT = 33
"""Numbers of networks have 32 bits."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Votes sorted by series, bin and household, one of each, and what names a series."""

    series: Ints
    bin: Ints
    household: Ints
    """As coded: by their places in ``households``."""
    households: Ints
    weight: Floats
    bad: Flags
    failure: NDArray[np.int32]
    silent: Flags
    """That it failed may mean that nothing comes back over the line."""
    first_at: Floats
    last_at: Floats
    over_at: Floats
    of_series: "SeriesNames"


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """Arrays by series: what each is about."""

    control: Flags
    cc: Ints
    asn: Ints
    target: Ints
    layer: Ints

    def __len__(self) -> int:
        return len(self.cc)


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums by series and bin, sorted by both."""

    series: Ints
    bin: Ints
    begin: Ints
    """Of the votes; one more than there are cells."""
    bad: Floats
    """Weight of the households to which it failed."""
    good: Floats
    n_bad: Ints
    n: Ints
    first: Ints
    """Of the cells, by series; one more than there are series."""

    @property
    def failing(self) -> Flags:
        """Where more households say it failed than say it did not."""
        return self.bad > self.good


def order(votes: Votes, now: float, params: Params) -> Ordered:
    """Sorted votes up to ``now``, without those that say nothing about their target."""
    series, names = _series(votes)
    households, household = np.unique(votes.household, return_inverse=True)
    bins = votes.bin - (votes.bin.min() if len(votes.bin) else 0)
    width, people = int(bins.max(initial=0)) + 1, int(household.max(initial=0)) + 1
    silent = _silent(votes)
    by = np.flatnonzero((votes.first_at <= now) & ~_mute(votes, bins, household, silent, params))
    key = (series[by] * width + bins[by]) * people + household[by]
    sort = np.argsort(key, kind="stable")
    if (np.diff(key[sort]) == 0).any():
        rest = (votes.last_at[by], votes.first_at[by], votes.weight[by], votes.failure[by], votes.bad[by])
        sort = _one_each(np.lexsort((*rest, key)), key, votes.bad[by])
    by = by[sort]
    return Ordered(
        series[by],
        votes.bin[by],
        household[by],
        households,
        votes.weight[by],
        votes.bad[by],
        votes.failure[by],
        silent[by],
        votes.first_at[by],
        votes.last_at[by],
        (votes.first_at if votes.over_at is None else votes.over_at)[by],
        names,
    )


def sum_up(votes: Ordered) -> Cells:
    """The cells of sorted votes."""
    n = len(votes.series)
    fresh = np.ones(n, dtype=bool)
    fresh[1:] = (votes.series[1:] != votes.series[:-1]) | (votes.bin[1:] != votes.bin[:-1])
    begin = np.flatnonzero(fresh)
    if not n:
        none, weights = _zeros(0), np.zeros(0)
        return Cells(none, none, _zeros(1), weights, weights, none, none, _zeros(1))
    series = votes.series[begin]
    return Cells(
        series,
        votes.bin[begin],
        np.append(begin, n),
        np.add.reduceat(votes.weight * votes.bad, begin),
        np.add.reduceat(votes.weight * ~votes.bad, begin),
        np.add.reduceat(votes.bad.astype(np.int64), begin),
        np.diff(np.append(begin, n)),
        np.searchsorted(series, np.arange(len(votes.of_series) + 1)),
    )


def flakiness(cells: Cells, names: SeriesNames, params: Params) -> Floats:
    """By series: how often a good target fails by itself, from cells between two that did not fail.

    Neither a long blocking nor its edges enter, so a target that is blocked for most of a file is not taken for flaky.
    """
    calm = ~cells.failing
    same = cells.series[1:] == cells.series[:-1]
    inner = np.zeros(len(calm), dtype=bool)
    inner[1:-1] = calm[:-2] & calm[2:] & same[:-1] & same[1:]
    bad = np.bincount(cells.series[inner], cells.n_bad[inner], len(names))
    n = np.bincount(cells.series[inner], cells.n[inner], len(names))
    _, site = np.unique(names.target * len(LAYERS) + names.layer, return_inverse=True)
    usual, weight = params["target.good_bad"], params["target.flaky_prior"]
    of_site = ((np.bincount(site, bad) + weight * usual) / (np.bincount(site, n) + weight))[site]
    least, most = params["target.flaky_least"], params["target.flaky_most"]
    found: Floats = np.clip((bad + weight * of_site) / (n + weight), least, most)
    return found


def _silent(votes: Votes) -> Flags:
    """Bad votes that may mean that nothing comes back over the line."""
    words = np.array([not any(part in word.lower() for part in _SPOKEN) for word in votes.failures], dtype=bool)
    found: Flags = votes.bad & words[votes.failure] if len(words) else votes.bad
    return found if votes.alive is None else found & ~votes.alive


def _zeros(n: int) -> Ints:
    return np.zeros(n, dtype=np.int64)


def _series(votes: Votes) -> tuple[Ints, SeriesNames]:
    place = votes.control.astype(np.int64) * len(votes.countries) + votes.cc
    _, network = np.unique((place << NETWORK_SHIFT) + votes.asn, return_inverse=True)
    n_targets, n_layers = max(1, len(votes.targets)), len(LAYERS)
    key = (network * n_targets + votes.target) * n_layers + votes.layer
    _, one, series = np.unique(key, return_index=True, return_inverse=True)
    columns = (votes.cc[one], votes.asn[one], votes.target[one], votes.layer[one])
    return series.astype(np.int64), SeriesNames(votes.control[one], *(column.astype(np.int64) for column in columns))


def _one_each(sort: Ints, key: Ints, bad: Flags) -> Ints:
    """Of votes with one key, good ones first, one that speaks for the majority; of a tie one that is good."""
    begin = np.flatnonzero(np.append(True, np.diff(key[sort]) != 0))
    n = np.diff(np.append(begin, len(key)))
    n_bad = np.add.reduceat(bad[sort].astype(np.int64), begin)
    chosen: Ints = sort[np.where(2 * n_bad > n, begin + n - 1, begin)]
    return chosen


def _mute(votes: Votes, bins: Ints, household: Ints, silent: Flags, params: Params) -> Flags:
    """Bad votes of a household that had lost its line, or its resolver, in the bin or in one next to it."""
    place = household * (int(bins.max(initial=0)) + 3) + bins + 1
    dark = _dark(place, votes, silent, params)
    dns = votes.layer == LAYERS.index("dns")
    deaf = _dark(np.where(dns, place, -1), votes, silent, params, only=dns)
    found: Flags = votes.bad & (_near(place, dark) | (dns & _near(place, deaf)))
    return found


def _dark(place: Ints, votes: Votes, silent: Flags, params: Params, *, only: Flags | None = None) -> Ints:
    """Places, (household, bin), where nearly all of several targets were silent, sorted."""
    chosen = np.arange(len(place)) if only is None else np.flatnonzero(only)
    if not len(chosen):
        return _zeros(0)
    key = place[chosen] * max(1, len(votes.targets)) + votes.target[chosen]
    alive = ~silent[chosen]
    order_ = np.argsort(key, kind="stable")
    key, alive = key[order_], alive[order_]
    begin = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    # A target is reached where any layer of it answers.
    reached = np.logical_or.reduceat(alive, begin)
    of_place = place[chosen][order_][begin]
    begin = np.flatnonzero(np.append(True, of_place[1:] != of_place[:-1]))
    n = np.diff(np.append(begin, len(of_place)))
    n_reached = np.add.reduceat(reached.astype(np.int64), begin)
    lost = (n >= params["target.dark_targets"]) & (n_reached <= (1 - params["target.dark_share"]) * n)
    found: Ints = of_place[begin][lost]
    return found


def _near(place: Ints, dark: Ints) -> Flags:
    """Whether a place or one of the bins beside it is among ``dark``: a line is lost within a bin, not at its edge."""
    if not len(dark):
        return np.zeros(len(place), dtype=bool)
    found: Flags = np.isin(place, np.unique(np.concatenate((dark - 1, dark, dark + 1))))
    return found
