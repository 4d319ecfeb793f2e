"""Evidence: whether a target that fails here works elsewhere, worked here before, or changed in many countries at once.

detection.md §3.5: a site that fails everywhere has failed itself, and one that changes in three countries in one hour
has been changed by its owner. Networks of the same country speak for the site only when they reach it: when they do
not, they may be blocked too.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import log

import numpy as np
from scipy.special import betaln

from civobs_collector.detect.blocking_clusters import Item, began_together, until
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_cells import NETWORK_SHIFT, Cells, Flags, Floats, Ints, SeriesNames
from civobs_collector.detect.targets import LAYERS


class Held(StrEnum):
    """Why a finding is not to be published."""

    NO = ""
    SITE_FAILURE = "site_failure"
    COMMON_CAUSE = "common_cause"
    NO_COMPARISON = "no_comparison"
    """It has failed whenever anyone has looked, and nobody looked from elsewhere."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes that were bad, and all of them."""

    bad: int = 0
    n: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.bad + other.bad, self.n + other.n)

    @property
    def rate(self) -> float:
        return self.bad / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Weighed:
    """What speaks for and against one item, or one event."""

    inside: Tally = Tally()
    abroad: Tally = Tally()
    """Elsewhere than in the country, anchors among them, in the same bins."""
    nearby: Tally = Tally()
    """Other networks of the country, in the same bins."""
    before: Tally = Tally()
    """The same networks in the weeks before."""
    after: Tally = Tally()
    """The same networks in the weeks after."""

    def __add__(self, other: "Weighed") -> "Weighed":
        return Weighed(
            self.inside + other.inside,
            self.abroad + other.abroad,
            self.nearby + other.nearby,
            self.before + other.before,
            self.after + other.after,
        )

    @property
    def compared(self) -> Tally:
        """What came after says that the target works only where nothing else does: it may have been repaired."""
        known = self.abroad + self.nearby + self.before
        return known if known.n else self.after

    @property
    def difference(self) -> float:
        return self.inside.rate - self.compared.rate

    @property
    def log10_bf(self) -> float:
        """That the rates inside and outside differ, against one rate for both: detection.md §3.5."""
        one, two = self.inside, self.compared
        apart = betaln(one.bad + 1, one.n - one.bad + 1) + betaln(two.bad + 1, two.n - two.bad + 1)
        return float(apart - betaln(one.bad + two.bad + 1, one.n + two.n - one.bad - two.bad + 1)) / log(10)


@dataclass(frozen=True, slots=True)
class Abroad:
    """Countries, the anchors as one, with a word on a target meanwhile."""

    n: int
    failing: int
    clean: int
    """That surely reach it."""
    failed: bool
    """The site itself: most votes that should be good are not, and in most countries."""


@dataclass(frozen=True)
class Outside:
    """The cells of all series by what they are about, to be asked what others saw."""

    cells: Cells
    names: SeriesNames
    items: tuple[Item, ...]
    usual: Floats
    """How often a good target fails by itself, by series."""
    bin_s: float
    params: Params

    def line_failed(self, item: Item, lost: AbstractSet[Item]) -> bool:
        """Whether all that its network asked for failed with it, or much of the rest more than usual, at its beginning.

        A line that loses packets makes many targets look blocked in turn, at all layers. ``lost``: items that are
        known to be such.
        """
        cells = self._beside(item)
        series = self.cells.series[cells]
        every = np.unique(series).tolist()
        held = {
            one
            for one in every
            for other in self._of_series.get(one, [])
            if _overlap(item, other) and other not in lost
        }
        apart = {one for one in held if self._apart(one, item)}
        n = len(every) - len(apart)
        if n >= self.params["target.dark_targets"] and len(held - apart) >= self.params["target.dark_share"] * n:
            return True
        rest = cells[~np.isin(series, np.array(sorted(held), dtype=np.int64))]
        votes = self.cells.n[rest]
        more = float((self.cells.n_bad[rest] - votes * self.usual[self.cells.series[rest]]).sum())
        return more > self.params["target.line"] * float(votes.sum())

    def _beside(self, item: Item) -> Ints:
        """Cells of all that its network asked for in the first bins of an item."""
        by, key = self._by_network
        first = min(int(self.cells.bin[span.start]) for span in item.spans)
        last = max(int(self.cells.bin[span.stop - 1]) for span in item.spans)
        last = min(last, first + self.params.count("target.line_bins"))
        low = np.searchsorted(key, self._place(item.cc, item.asn, first), side="left")
        return by[low : np.searchsorted(key, self._place(item.cc, item.asn, last), side="right")]

    def weigh(self, item: Item) -> tuple[Weighed, "Abroad"]:
        """What others saw of an item, and how that divides by country."""
        found, groups = Weighed(), dict[int, Tally]()
        for layer in sorted({int(self.names.layer[span.series]) for span in item.spans}):
            spans = [span for span in item.spans if self.names.layer[span.series] == layer]
            inside = before = after = Tally()
            for span in spans:
                inside += self._sum(slice(span.start, span.stop))
                before += self._before(span.series, span.start)
                after += self._after(span.series, span.stop)
            others = self._others(item, layer, (min(one.start for one in spans), max(one.stop for one in spans) - 1))
            here, nearby = self._by_country(item, others)
            for cc, tally in here.items():
                groups[cc] = groups.get(cc, Tally()) + tally
            found += Weighed(inside, sum(here.values(), Tally()), nearby, before, after)
        floor, limit = self.params["target.clean_votes"], self.params["target.elsewhere"]
        failing = sum(one.rate > limit for one in groups.values())
        clean = sum(one.rate <= limit and one.n >= floor for one in groups.values())
        return found, Abroad(
            len(groups), failing, clean, failed=found.abroad.rate > limit and 2 * failing > len(groups)
        )

    @cached_property
    def _by_site(self) -> tuple[Ints, Ints]:
        """Cells sorted by target, layer and bin, and the key they are sorted by."""
        key = self._key(self.names.target[self.cells.series], self.names.layer[self.cells.series], self.cells.bin)
        by = np.argsort(key, kind="stable")
        return by, key[by]

    @cached_property
    def _by_network(self) -> tuple[Ints, Ints]:
        """Cells sorted by network and bin, without those of anchors, and the key they are sorted by."""
        judged = np.flatnonzero(~self.names.control[self.cells.series])
        series = self.cells.series[judged]
        key = self._place(self.names.cc[series], self.names.asn[series], self.cells.bin[judged])
        by = np.argsort(key, kind="stable")
        return judged[by], key[by]

    @cached_property
    def _networks(self) -> tuple[Ints, Ints]:
        """Names of networks, (country, number) as one, sorted; and the least bin and how many bins there are."""
        low = int(self.cells.bin.min())
        width = int(self.cells.bin.max()) - low + 1
        return np.unique((self.names.cc << NETWORK_SHIFT) + self.names.asn), np.array([low, width])

    def _place(self, cc: Ints | int, asn: Ints | int, bin_: Ints | int) -> Ints:
        known, (low, width) = self._networks
        return np.asarray(np.searchsorted(known, (np.int64(cc) << NETWORK_SHIFT) + asn) * width + (bin_ - low))

    @cached_property
    def _of_series(self) -> dict[int, list[Item]]:
        found: dict[int, list[Item]] = {}
        for item in self.items:
            for series in {span.series for span in item.spans}:
                found.setdefault(series, []).append(item)
        return found

    @cached_property
    def _blocked(self) -> Flags:
        """By cell: inside of a span."""
        found = np.zeros(len(self.cells.n), dtype=bool)
        for item in self.items:
            for span in item.spans:
                found[span.start : span.stop] = True
        return found

    @cached_property
    def _running(self) -> tuple[Ints, Ints]:
        """Running sums of bad votes and of all votes over the cells that are not blocked."""
        open_ = ~self._blocked
        return (
            np.append(0, np.cumsum(np.where(open_, self.cells.n_bad, 0))),
            np.append(0, np.cumsum(np.where(open_, self.cells.n, 0))),
        )

    def _key(self, target: Ints | int, layer: Ints | int, bin_: Ints | int) -> Ints:
        low = int(self.cells.bin.min())
        width = int(self.cells.bin.max()) - low + 1
        return np.asarray((target * np.int64(len(LAYERS)) + layer) * width + (bin_ - low))

    def _sum(self, part: slice) -> Tally:
        return Tally(int(self.cells.n_bad[part].sum()), int(self.cells.n[part].sum()))

    def _before(self, series: int, start: int) -> Tally:
        first = int(self.cells.first[series])
        since = self.cells.bin[start] - self.params["target.history"] / self.bin_s
        low = first + int(np.searchsorted(self.cells.bin[first:start], since))
        return self._between(low, start)

    def _after(self, series: int, stop: int) -> Tally:
        last = int(self.cells.first[series + 1])
        latest = self.cells.bin[stop - 1] + self.params["target.history"] / self.bin_s
        return self._between(stop, stop + int(np.searchsorted(self.cells.bin[stop:last], latest, side="right")))

    def _between(self, first: int, stop: int) -> Tally:
        """Of the cells that are not blocked."""
        bad, n = self._running
        return Tally(int(bad[stop] - bad[first]), int(n[stop] - n[first]))

    def _others(self, item: Item, layer: int, ends: tuple[int, int]) -> Ints:
        """Cells of other networks about the same target at the same layer in the same bins."""
        by, key = self._by_site
        low, high = (self._key(item.target, layer, int(self.cells.bin[cell])) for cell in ends)
        cells = by[np.searchsorted(key, low, side="left") : np.searchsorted(key, high, side="right")]
        series = self.cells.series[cells]
        mine = (self.names.cc[series] == item.cc) & (self.names.asn[series] == item.asn) & ~self.names.control[series]
        apart = np.array([one for one in np.unique(series) if self._apart(int(one), item)], dtype=np.int64)
        # Another network of the country that is blocked too is a part of this, not a witness against it.
        home = (self.names.cc[series] == item.cc) & ~self.names.control[series]
        found: Ints = cells[~(home & self._blocked[cells]) & ~mine & ~np.isin(series, apart)]
        return found

    def _apart(self, series: int, item: Item) -> bool:
        """Whether another series is blocked meanwhile by an event of its own, which says nothing about the site."""
        window = max(self.params["target.cluster"], 2 * self.bin_s)
        return any(
            other.first_bad <= until(item)
            and item.first_bad <= until(other)
            and not began_together(other, item, window)
            for other in self._of_series.get(series, [])
        )

    def _by_country(self, item: Item, others: Ints) -> tuple[dict[int, Tally], Tally]:
        """By country, anchors apart, what was seen abroad; and what was seen in other networks of the country."""
        series = self.cells.series[others]
        control = self.names.control[series]
        place = np.where(control, -1, self.names.cc[series])
        groups: dict[int, Tally] = {}
        for cc in np.unique(place):
            cells = others[place == cc]
            groups[int(cc)] = Tally(int(self.cells.n_bad[cells].sum()), int(self.cells.n[cells].sum()))
        nearby = groups.pop(item.cc, Tally())
        return groups, nearby


def _overlap(one: Item, other: Item) -> bool:
    return other.first_bad <= until(one) and one.first_bad <= until(other)


def changed_at_once(found: Sequence[Item], window: float) -> list[int]:
    """For each item in how many countries its target changed at the same time, its own among them."""
    by_target: dict[int, list[Item]] = {}
    for item in found:
        if item.onset is not None:
            by_target.setdefault(item.target, []).append(item)
    return [
        0
        if item.onset is None
        else len({other.cc for other in by_target[item.target] if began_together(item, other, window)})
        for item in found
    ]
