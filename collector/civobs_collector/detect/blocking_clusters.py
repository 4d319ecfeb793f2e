"""Clusters: which spans of a country are one event.

A national block shows in every network, at every layer and often for several targets, over hours. What begins within
six hours and lasts together is one: first by country and target, or by country and network, whichever gathers more;
then sets of networks in which several targets changed together. What ended before the other began is another
occurrence, and a network's second window never joins its first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from civobs_collector.detect.target_spans import Interval, Span


@dataclass(frozen=True, slots=True)
class Item:
    """One target in one network: its spans at all layers that overlap."""

    cc: int
    asn: int
    target: int
    spans: tuple[Span, ...]

    @property
    def onset(self) -> Interval | None:
        """Of the layer that failed first; None where that has not been seen to work before."""
        first = [span for span in self.spans if span.first_bad == self.first_bad]
        known = [span.onset for span in self.spans if span.onset is not None]
        if not any(span.onset for span in first):
            return None
        told = min(one[1] for one in known)
        return (min(told, max(one[0] for one in known)), told)

    @property
    def end(self) -> Interval | None:
        """Of the layer that failed last."""
        last = max(self.spans, key=lambda span: (span.last_bad, span.end is None, span.series))
        return None if self.ongoing else last.end

    @property
    def likely(self) -> tuple[float | None, float | None]:
        """The best single guesses at start and end."""
        first = [span for span in self.spans if span.onset is not None and span.first_bad == self.first_bad]
        last = max(self.spans, key=lambda span: (span.last_bad, span.end is None, span.series))
        start = None if self.onset is None or not first else first[0].likely[0]
        if start is not None and self.onset is not None:
            start = max(start, self.onset[0])
        return (start, None if self.end is None else last.likely[1])

    @property
    def first_bad(self) -> float:
        return min(span.first_bad for span in self.spans)

    @property
    def last_bad(self) -> float:
        return max(span.last_bad for span in self.spans)

    @property
    def ongoing(self) -> bool:
        return any(span.ongoing for span in self.spans)


@dataclass(frozen=True, slots=True)
class Near:
    """What is one event."""

    window: float
    """Seconds within which it began."""
    shared: float
    """Share of the longer that both lasted, where they did not end within the window."""


def items(spans: Sequence[tuple[tuple[int, int, int], Span]]) -> list[Item]:
    """Spans of one network and target that overlap, at whatever layers; ``spans`` come with (cc, asn, target)."""
    found: list[Item] = []
    ordered = sorted(spans, key=lambda one: (one[0], one[1].first_bad, one[1].series))
    for place, span in ordered:
        last = found[-1] if found else None
        if last and (last.cc, last.asn, last.target) == place and span.first_bad <= last.last_bad:
            found[-1] = Item(*place, (*last.spans, span))
        else:
            found.append(Item(*place, (span,)))
    return found


def clusters(found: Iterable[Item], near: Near) -> list[tuple[Item, ...]]:
    """Events: sets of items, each item in one, in order of time."""
    left = sorted(found, key=_by_time)
    by_target = _gather(left, lambda one: (one.cc, one.target), near)
    by_network = _gather(left, lambda one: (one.cc, one.asn), near)
    return sorted(_together(_largest(by_target + by_network), near), key=lambda one: _by_time(one[0]))


def _by_time(one: Item) -> tuple[float, int, int, int]:
    return (one.first_bad, one.cc, one.target, one.asn)


def _gather(ordered: Sequence[Item], key: Callable[[Item], tuple[int, int]], near: Near) -> list[tuple[Item, ...]]:
    """Chains of items with one key, each of which joined while the ones before it lasted."""
    found: list[list[Item]] = []
    lasting: dict[tuple[int, int], list[list[Item]]] = {}
    for item in ordered:
        chains = lasting[key(item)] = _lasting(lasting.get(key(item), []), item)
        chain = next((one for one in reversed(chains) if _joins(item, one, near)), None)
        if chain is None:
            chain = []
            chains.append(chain)
            found.append(chain)
        chain.append(item)
    return [tuple(one) for one in found]


def _lasting(chains: Sequence[list[Item]], item: Item) -> list[list[Item]]:
    """Those that are not over when an item begins."""
    return [one for one in chains if any(item.first_bad <= until(other) for other in one)]


def _joins(item: Item, chain: Sequence[Item], near: Near) -> bool:
    """Whether an item began with the chain and while it lasted."""
    if any((one.asn, one.target) == (item.asn, item.target) for one in chain):
        return False
    return any(_shares(item, one, near) for one in chain)


def _shares(one: Item, other: Item, near: Near) -> bool:
    """Whether two began together and lasted together: a window of two hours is no part of a blocking of weeks."""
    if not began_together(one, other, near.window) or until(other) < one.first_bad or until(one) < other.first_bad:
        return False
    if (one.ongoing and other.ongoing) or abs(one.last_bad - other.last_bad) <= near.window:
        return True
    shared = min(one.last_bad, other.last_bad) - max(one.first_bad, other.first_bad)
    return shared >= near.shared * max(one.last_bad - one.first_bad, other.last_bad - other.first_bad)


def until(one: Item) -> float:
    """Up to when an item is known to have lasted."""
    return inf if one.ongoing else one.last_bad


def began_together(one: Item, other: Item, window: float) -> bool:
    """Whether the times between which they began come within ``window`` of each other."""
    first, second = one.onset or (-inf, one.first_bad), other.onset or (-inf, other.first_bad)
    return first[0] - window <= second[1] and second[0] - window <= first[1]


def _largest(chains: Sequence[tuple[Item, ...]]) -> list[tuple[Item, ...]]:
    """Each item in the largest chain that has it; what a smaller one loses, it loses."""
    taken: set[int] = set()
    found: list[tuple[Item, ...]] = []
    for chain in sorted(chains, key=lambda one: (-len(one), _by_time(one[0]), _by_time(one[-1]))):
        rest = tuple(one for one in chain if id(one) not in taken)
        if rest:
            taken.update(id(one) for one in rest)
            found.append(rest)
    return found


def _together(found: Sequence[tuple[Item, ...]], near: Near) -> list[tuple[Item, ...]]:
    """Chains of one country that began together, last together and share most of their networks or targets."""
    merged: list[list[Item]] = []
    lasting: list[list[Item]] = []
    for chain in sorted(found, key=lambda one: _by_time(one[0])):
        lasting = _lasting(lasting, chain[0])
        other = next((one for one in lasting if _same_event(chain, one, near)), None)
        if other is None:
            other = []
            lasting.append(other)
            merged.append(other)
        other += chain
    return [tuple(sorted(one, key=_by_time)) for one in merged]


def _same_event(chain: Sequence[Item], other: Sequence[Item], near: Near) -> bool:
    """Whether two chains are of one event."""
    if chain[0].cc != other[0].cc or not any(_shares(one, two, near) for one in chain for two in other):
        return False
    pairs = {(one.asn, one.target) for one in other}
    if any((one.asn, one.target) in pairs for one in chain):
        return False
    return _alike({one.asn for one in chain}, {one.asn for one in other}) or _alike(
        {one.target for one in chain}, {one.target for one in other}
    )


def _alike(one: set[int], other: set[int]) -> bool:
    """Most of the smaller is in the larger."""
    return 2 * len(one & other) > min(len(one), len(other))
