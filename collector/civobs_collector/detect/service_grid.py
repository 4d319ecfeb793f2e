"""The votes behind a finding: who failed when, on the chart and in numbers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.blocking import Blocking
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Grid, GridRow
from civobs_collector.detect.targets import LAYERS, Votes
from civobs_collector.detect.timeline import moment

Counts = NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """Votes of the country on the targets at the layers of a finding; arrays of one length, in order of time."""

    bin_s: float
    bin: Counts
    home: Counts
    asn: Counts
    target: Counts
    layer: Counts
    bad: NDArray[np.bool_]
    first_at: NDArray[np.float64]
    last_at: NDArray[np.float64]
    over_at: NDArray[np.float64]
    first: float
    """The finding's first and last bad vote."""
    last: float
    asns: tuple[int, ...]
    targets: tuple[str, ...]
    homes_down: frozenset[int]
    """Households of its networks that failed meanwhile."""
    weight: float
    """Of them; new ones, and those on unsteady lines, count half."""

    @property
    def homes(self) -> frozenset[int]:
        """All with a vote."""
        return frozenset(self.home.tolist())

    @property
    def networks(self) -> tuple[int, ...]:
        """Those in which somebody had a vote."""
        return tuple(sorted({int(asn) for asn in self.asn if asn}))

    def _meanwhile(self) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (self.last_at >= self.first) & (self.first_at <= self.last)
        return inside

    def counts(self, which: NDArray[np.bool_], start: int, n: int) -> tuple[Counts, Counts]:
        """Households that failed, and households with a vote, in each of ``n`` bins from ``start``."""
        at = self.bin[which] - start
        inside = (at >= 0) & (at < n)
        pairs = np.stack([at[inside], self.home[which][inside]], axis=1)
        failed = self.bad[which][inside]
        known = np.unique(pairs, axis=0)
        down = np.unique(pairs[failed], axis=0)
        return np.bincount(down[:, 0], minlength=n), np.bincount(known[:, 0], minlength=n)

    def _in_networks(self) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = np.isin(self.asn, self.asns)
        return inside

    def of_networks(self, start: int, n: int) -> tuple[Counts, Counts]:
        """Households of its networks that failed, and those with a vote, in each of ``n`` bins from ``start``."""
        return self.counts(self._in_networks(), start, n)

    def first_failures(self) -> list[float]:
        """When each household that failed meanwhile first did, in seconds."""
        mine = self._in_networks() & self.bad & self._meanwhile()
        first: dict[int, float] = {}
        for home, at in zip(self.home[mine].tolist(), self.first_at[mine].tolist(), strict=True):
            first[home] = min(at, first.get(home, at))
        return sorted(first.values())

    def during(self) -> tuple[Counts, Counts]:
        """Households up and households known, of its networks, for each bin of the finding."""
        start, n = self.bins()
        down, known = self.of_networks(start, n)
        return known - down, known

    def deepest(self) -> tuple[int, int]:
        """Households of the country that failed meanwhile, and all that were observed."""
        observed = frozenset(self.home[self._meanwhile()].tolist()) | self.homes_down
        return len(self.homes_down), len(observed)

    def bins(self) -> tuple[int, int]:
        """First bin of the finding, and how many it has."""
        start = math.floor(self.first / self.bin_s)
        return start, math.floor(self.last / self.bin_s) - start + 1

    def told_after(self, until: float) -> float:
        """Share of the households that failed of which there are votes since, or from the two bins before."""
        if not self.homes_down:
            return 0.0
        late = frozenset(self.home[self.last_at >= until - 2 * self.bin_s].tolist())
        return round(len(self.homes_down & late) / len(self.homes_down), 4)

    def times(self, layer: str, asn: int | None, since: float) -> tuple[Interval, Interval | None, float, float] | None:
        """Start and end by one layer, in one network or in all; share of good votes meanwhile and before."""
        mine = (self.layer == LAYERS.index(layer)) & (self._in_networks() if asn is None else self.asn == asn)
        failed = mine & self.bad & (self.first_at >= self.first) & (self.last_at <= self.last)
        if not failed.any():
            return None
        first, last = float(self.first_at[failed].min()), float(self.last_at[failed].max())
        good = mine & ~self.bad
        before, after = self.last_at[good & (self.last_at <= first)], self.over_at[good & (self.first_at >= last)]
        start = (float(before.max()) if len(before) else min(since, first), float(self.over_at[failed].min()))
        end = (last, float(after.min())) if len(after) else None
        inside = mine & (self.first_at >= first) & (self.last_at <= last)
        earlier = mine & (self.last_at < first)
        return start, end, _share(~self.bad[inside]), _share(~self.bad[earlier])


def _share(good: NDArray[np.bool_]) -> float:
    return round(float(good.mean()), 4) if len(good) else 1.0


def seen_by(one: Blocking, votes: Votes) -> Seen:
    """The votes that a finding and its chart are made of."""
    cc = votes.countries.index(one.cc)
    targets = [votes.targets.index(name) for name in one.targets]
    layers = [LAYERS.index(name) for name in one.layers]
    mine = (votes.cc == cc) & ~votes.control & np.isin(votes.target, targets) & np.isin(votes.layer, layers)
    order = np.flatnonzero(mine)
    keys = (votes.layer, votes.target, votes.household, votes.first_at)
    order = order[np.lexsort([column[order] for column in keys])]
    # A vote that is given twice is one.
    order = order[np.append(True, np.any([np.diff(column[order]) != 0 for column in keys], axis=0))[: len(order)]]
    failed = order[
        votes.bad[order]
        & np.isin(votes.asn[order], one.asns)
        & (votes.last_at[order] >= one.first_bad)
        & (votes.first_at[order] <= one.last_bad)
    ]
    weights = dict(zip(votes.household[failed].tolist(), votes.weight[failed].tolist(), strict=True))
    return Seen(
        bin_s=votes.bin_s,
        bin=votes.bin[order],
        home=votes.household[order],
        asn=votes.asn[order],
        target=votes.target[order].astype(np.int64),
        layer=votes.layer[order].astype(np.int64),
        bad=votes.bad[order],
        first_at=votes.first_at[order],
        last_at=votes.last_at[order],
        over_at=(votes.first_at if votes.over_at is None else votes.over_at)[order],
        first=one.first_bad,
        last=one.last_bad,
        asns=one.asns,
        targets=votes.targets,
        homes_down=frozenset(weights),
        weight=sum(weights.values()),
    )


def chart(one: Blocking, seen: Seen, params: Params) -> Grid:
    """All together, each network over all targets, and each target in each network, as far as a page can show them."""
    margin, most = params.count("grid.chart_margin"), params.count("grid.chart_bins")
    start, length = seen.bins()
    start, n = start - margin, length + 2 * margin
    fold = math.ceil(n / most)
    axis = start, n, fold
    networks = seen.networks
    kinds: list[tuple[int | None, str]] = [(None, ""), *((asn, "") for asn in networks)]
    cells = [(asn, target) for target in one.targets for asn in networks]
    if len(cells) <= params["service.charted"]:
        kinds += cells
    rows = [_row(asn, target, one.cc, seen, axis, params) for asn, target in kinds]
    return Grid(start=moment(start * seen.bin_s), bin_s=seen.bin_s * fold, rows=tuple(rows))


def _row(asn: int | None, target: str, cc: str, seen: Seen, axis: tuple[int, int, int], params: Params) -> GridRow:
    start, bins, fold = axis
    which = np.ones(len(seen.bin), dtype=np.bool_) if asn is None else seen.asn == asn
    if target:
        which &= seen.target == seen.targets.index(target)
    down, known = seen.counts(which, start, bins)
    # Of the bins drawn as one, the one with most households down stands for all: nothing bad is averaged away.
    picked = [
        at + int(np.argmax(down[at : at + fold] * (bins + 1) + known[at : at + fold])) for at in range(0, bins, fold)
    ]
    n = len(np.unique(seen.home[which]))
    return GridRow(
        label=cc if asn is None else f"AS{asn}",
        asn=asn,
        target=target,
        n=n,
        up=tuple(int(known[at] - down[at]) for at in picked),
        down=tuple(int(down[at]) for at in picked),
        unknown=tuple(n - int(known[at]) for at in picked),
        state="".join(_letter(int(down[at]), int(known[at]), params) for at in picked),
    )


def _letter(down: int, known: int, params: Params) -> str:
    if known == 0:
        return "?"
    share = down / known
    return "d" if share >= params["rule.majority"] else "g" if share >= params["grid.degraded"] else "u"
