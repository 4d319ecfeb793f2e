"""Blocking: from when until when a target failed in some networks and not elsewhere.

Each (network, target, layer) has its own filter; what changes together becomes one event (detection.md §3.3 (d), §3.5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect import blocking_clusters as clustering
from civobs_collector.detect import target_cells, target_filter, target_spans
from civobs_collector.detect.blocking_clusters import Item, Near
from civobs_collector.detect.blocking_evidence import Held, Outside, Weighed, changed_at_once
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_cells import Cells, Ordered
from civobs_collector.detect.target_filter import Belief
from civobs_collector.detect.target_spans import Interval, Span, World
from civobs_collector.detect.targets import LAYERS, Votes


@dataclass(frozen=True, slots=True)
class NetworkSpan:
    """One network's part in a blocking. Times in seconds since 1970."""

    asn: int
    start: Interval | None
    """Last good and first bad vote; None: bad since before the first vote."""
    end: Interval | None
    """Last bad and first good vote; None: not seen to end."""
    opened_at: float
    n_down: int
    """Households to which a target failed for the most part."""
    n_observed: int
    pieces: tuple["Piece", ...]
    """By target."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One target in one network. Times in seconds since 1970."""

    target: str
    layers: tuple[str, ...]
    start: Interval | None
    end: Interval | None
    likely: tuple[float | None, float | None]
    """The best single guesses at start and end."""
    ongoing: bool
    first_bad: float
    last_bad: float
    opened_at: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """Targets that failed in networks of a country, and did not elsewhere. Times in seconds since 1970."""

    cc: str
    asns: tuple[int, ...]
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    failures: tuple[tuple[str, int], ...]
    """Words of failure and in how many votes, commonest first: the guess at the mechanism rests on these."""
    start: Interval | None
    """Last good and first bad vote of the first network; None: since before the first vote."""
    end: Interval | None
    """Last bad and first good vote of the last network; None: not seen to end."""
    likely: tuple[float | None, float | None]
    """The best single guesses at start and end."""
    first_bad: float
    """The first bad vote, also where ``start`` is not known."""
    last_bad: float
    ongoing: bool
    """Open at the end of the data; with no ``end`` and not ongoing, the votes ceased before it was seen to end."""
    opened_at: float
    """End of the bin in which a live detector would have opened it."""
    networks: tuple[NetworkSpan, ...]
    posterior: float
    down: frozenset[int]
    """Households to which a target failed for the most part."""
    observed: frozenset[int]
    """Households of these networks with a vote on these targets meanwhile."""
    out_bad: int
    """Household-votes elsewhere that were bad in the same bins, and all of them (``out_n``)."""
    out_n: int
    past_bad: int
    """The same of the networks themselves in the weeks before."""
    past_n: int
    log10_bf: float
    rate_difference: float
    held: str
    """Why it is not to be published: ``""``, ``site_failure``, ``common_cause``, ``no_comparison``."""
    rules: tuple[str, ...]

    @property
    def n_down(self) -> int:
        """How many households could not use it."""
        return len(self.down)

    @property
    def n_observed(self) -> int:
        """Of how many that were asked."""
        return len(self.observed)


def find(votes: Votes, now: float, params: Params) -> tuple[Blocking, ...]:
    """All blockings in the votes up to ``now``, in seconds since 1970; the order of the votes does not matter."""
    ordered = target_cells.order(votes, now, params)
    cells = target_cells.sum_up(ordered)
    usual = target_cells.flakiness(cells, ordered.of_series, params)
    belief = target_filter.run(cells, usual, votes.bin_s, params)
    spans = target_spans.find(World(ordered, cells, belief, votes.bin_s, now, params))
    items = clustering.items([(place, one) for one in spans if (place := _place(ordered, one)) is not None])
    case = _Case(
        votes,
        ordered,
        cells,
        belief,
        Outside(cells, ordered.of_series, tuple(items), usual, votes.bin_s, params),
        params,
    )
    lost = _lost(case, items)
    opened = _opened(case, [item for item in items if item not in lost])
    found = [_event(case, cluster, held, opened) for cluster, held in _clusters(case, list(opened))]
    return tuple(sorted((one for one in found if one is not None), key=_by_time))


@dataclass(frozen=True, slots=True)
class _Case:
    votes: Votes
    ordered: Ordered
    cells: Cells
    belief: Belief
    outside: Outside
    params: Params


def _place(ordered: Ordered, span: Span) -> tuple[int, int, int] | None:
    """Country, network and target of a span; None where nobody is judged."""
    names, series = ordered.of_series, span.series
    if names.control[series]:
        return None
    return (int(names.cc[series]), int(names.asn[series]), int(names.target[series]))


def _clusters(case: _Case, items: Sequence[Item]) -> list[tuple[tuple[Item, ...], Held]]:
    """Events, and apart from them what is held: a site that fails is no part of a blocking."""
    window = max(case.params["target.common_window"], case.votes.bin_s)
    at_once = changed_at_once(items, window)
    by_reason: dict[Held, list[Item]] = {}
    for item, n_countries in zip(items, at_once, strict=True):
        weighed, abroad = case.outside.weigh(item)
        held = Held.SITE_FAILURE if abroad.failed else Held.NO
        if n_countries >= case.params["target.common"] and abroad.clean:
            held = Held.COMMON_CAUSE
        elif held is Held.NO and weighed.compared.n and weighed.difference < case.params["target.difference"]:
            continue
        by_reason.setdefault(held, []).append(item)
    near = Near(max(case.params["target.cluster"], 2 * case.votes.bin_s), case.params["target.shared"])
    return [(cluster, held) for held, some in sorted(by_reason.items()) for cluster in clustering.clusters(some, near)]


def _lost(case: _Case, items: Sequence[Item]) -> set[Item]:
    """Items that a failing line explains; what is left is looked at again beside these."""
    found: set[Item] = set()
    left = [item for item in items if _silent(case, item)]
    while more := {item for item in left if case.outside.line_failed(item, found)}:
        found |= more
        left = [item for item in left if item not in more]
    return found


def _silent(case: _Case, item: Item) -> bool:
    """Whether what was heard of it may mean that nothing came back."""
    at = _votes(case, [item])
    return bool(2 * case.ordered.silent[at].sum() > case.ordered.bad[at].sum())


def _opened(case: _Case, items: Sequence[Item]) -> dict[Item, float]:
    """When each item was believed: by itself; sooner where another network shows the same, or the country did of late.

    There are thousands of series, and of those that nothing happens to some look blocked for an hour or two.
    """
    memory = case.params["target.habit_memory"]
    first = {item: min(_until(case, span.opened) for span in item.spans) for item in items}
    sure = {item: at for item in items if (at := _sure(case, item)) is not None}
    alike: dict[tuple[int, int], list[Item]] = {}
    for item in items:
        alike.setdefault((item.cc, item.target), []).append(item)
    found = dict(sure)
    for item in items:
        for other in alike[item.cc, item.target]:
            if other.asn != item.asn and other.first_bad <= item.last_bad and item.first_bad <= other.last_bad:
                at = first[other]
            elif other is not item and other in sure and 0 <= item.first_bad - other.last_bad <= memory:
                at = sure[other]
            else:
                continue
            found[item] = min(found.get(item, inf), max(first[item], at))
    return found


def _sure(case: _Case, item: Item) -> float | None:
    """When an item was certain by itself."""
    found = []
    for span in item.spans:
        reached = case.belief.blocked[span.opened : span.stop] >= case.params["target.sure"]
        if reached.any():
            found.append(_until(case, span.opened + int(reached.argmax())))
    return min(found, default=None)


def _until(case: _Case, cell: int) -> float:
    """The end of a cell's bin."""
    return (int(case.cells.bin[cell]) + 1) * case.votes.bin_s


def _by_time(one: Blocking) -> tuple[float, str, tuple[int, ...], tuple[str, ...], str]:
    return (one.first_bad, one.cc, one.asns, one.targets, one.held)


def _event(case: _Case, cluster: Sequence[Item], held: Held, opened: Mapping[Item, float]) -> Blocking | None:
    """A cluster as it is told; None where the evidence does not suffice."""
    weighed = sum((case.outside.weigh(item)[0] for item in cluster), Weighed())
    if held is Held.NO:
        if not weighed.compared.n:
            held = Held.NO_COMPARISON
        elif weighed.log10_bf < case.params["target.bayes"]:
            return None
    networks = tuple(
        _network(case, asn, {one: opened[one] for one in cluster if one.asn == asn})
        for asn in sorted({one.asn for one in cluster})
    )
    first, last = min(cluster, key=_first), max(cluster, key=_last)
    end = None if any(one.ongoing for one in cluster) else last.end
    down, observed = _households(case, cluster)
    return Blocking(
        cc=case.votes.countries[first.cc],
        asns=tuple(one.asn for one in networks),
        targets=tuple(sorted({case.votes.targets[one.target] for one in cluster})),
        layers=_layers(case, cluster),
        failures=_failures(case, cluster),
        start=first.onset,
        end=end,
        likely=(first.likely[0], None if end is None else last.likely[1]),
        first_bad=first.first_bad,
        last_bad=last.last_bad,
        ongoing=any(one.ongoing for one in cluster),
        opened_at=min(one.opened_at for one in networks),
        networks=networks,
        posterior=max(span.posterior for one in cluster for span in one.spans),
        down=down,
        observed=observed,
        out_bad=weighed.abroad.bad + weighed.nearby.bad,
        out_n=weighed.abroad.n + weighed.nearby.n,
        past_bad=weighed.before.bad,
        past_n=weighed.before.n,
        log10_bf=weighed.log10_bf,
        rate_difference=weighed.difference,
        held=held.value,
        rules=_rules(weighed, held),
    )


def _first(one: Item) -> tuple[float, int, int]:
    return (one.first_bad, one.asn, one.target)


def _last(one: Item) -> tuple[float, int, int]:
    return (one.last_bad, one.asn, one.target)


def _rules(weighed: Weighed, held: Held) -> tuple[str, ...]:
    found = ["target.cluster", "target.open"]
    match held:
        case Held.NO:
            found += ["target.bayes", "target.difference"]
        case Held.SITE_FAILURE:
            found.append("target.elsewhere")
        case Held.COMMON_CAUSE:
            found.append("target.common")
        case Held.NO_COMPARISON:
            pass
    if weighed.before.n:
        found.append("target.history")
    return tuple(sorted(found))


def _network(case: _Case, asn: int, opened: Mapping[Item, float]) -> NetworkSpan:
    some = list(opened)
    first, last = min(some, key=_first), max(some, key=_last)
    down, observed = _households(case, some)
    pieces = tuple(
        sorted((_piece(case, one, opened[one]) for one in some), key=lambda one: (one.target, one.first_bad))
    )
    return NetworkSpan(
        asn=asn,
        start=first.onset,
        end=None if any(one.ongoing for one in some) else last.end,
        opened_at=min(one.opened_at for one in pieces),
        n_down=len(down),
        n_observed=len(observed),
        pieces=pieces,
    )


def _piece(case: _Case, item: Item, opened_at: float) -> Piece:
    return Piece(
        target=case.votes.targets[item.target],
        layers=_layers(case, [item]),
        start=item.onset,
        end=item.end,
        likely=item.likely,
        ongoing=item.ongoing,
        first_bad=item.first_bad,
        last_bad=item.last_bad,
        opened_at=opened_at,
    )


def _layers(case: _Case, some: Sequence[Item]) -> tuple[str, ...]:
    found = {int(case.ordered.of_series.layer[span.series]) for one in some for span in one.spans}
    return tuple(LAYERS[layer] for layer in sorted(found))


def _votes(case: _Case, some: Sequence[Item]) -> NDArray[np.int64]:
    """Places of the votes inside."""
    begin = case.cells.begin
    parts = [np.arange(begin[span.start], begin[span.stop]) for one in some for span in one.spans]
    return np.concatenate(parts)


def _households(case: _Case, some: Sequence[Item]) -> tuple[frozenset[int], frozenset[int]]:
    """Households to which it failed for the most part, and all that said something."""
    at = _votes(case, some)
    codes, which = np.unique(case.ordered.household[at], return_inverse=True)
    homes = case.ordered.households[codes]
    failed = np.bincount(which, np.where(case.ordered.bad[at], 1, -1)) > 0
    return frozenset(homes[failed].tolist()), frozenset(homes.tolist())


def _failures(case: _Case, some: Sequence[Item]) -> tuple[tuple[str, int], ...]:
    at = _votes(case, some)
    counts = np.bincount(case.ordered.failure[at][case.ordered.bad[at]], minlength=len(case.votes.failures))
    found = [(case.votes.failures[word], int(counts[word])) for word in np.flatnonzero(counts)]
    return tuple(sorted(found, key=lambda one: (-one[1], one[0])))
