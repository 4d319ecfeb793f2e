"""Segments: from when until when a group was out, by the state filter and the rules of counting.

A segment opens when the filter is sure and enough households say so, ends when those at its peak are back, and is
closed when the filter agrees: two thresholds, so that it cannot flap. An empty bin neither opens nor ends one; but
when none of those that were down has a vote any more, it lapses: it is over for the observer, with no end known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect import burst
from civobs_collector.detect.filter import Floats
from civobs_collector.detect.grid import Flags, Group, GroupKey, View
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Level


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of bins [start, end) in which a group was out."""

    key: GroupKey
    view: View
    start: int
    opened: int
    """The bin in which the filter was sure: at its end a detector that looks at every bin would have told."""
    end: int
    """First bin in which it was over; the length of the axis while it lasts."""
    peak: int
    """The bin with most households down."""
    n_peak: int
    posterior: float
    ended: bool
    closed: bool
    lapsed: bool
    """Over because those that were down lost their vote, not because they returned: its end is not known."""
    rules: tuple[str, ...]
    chance: float
    """Of as many losses at the onset without a common cause."""


def minimum(key: GroupKey, params: Params) -> int:
    """Households that must be down."""
    match key.level:
        case Level.COUNTRY:
            return params.count("rule.country_households")
        case Level.REGION:
            return params.count("rule.region_households")
        case Level.NETWORK:
            return params.count("rule.network_households")
        case _:
            return 1


def several_networks(networks: Sequence[Group], n_bins: int, needed: int, params: Params) -> Flags:
    """Bins in which enough networks, and half of those observed, are down for the most part."""
    observed, hit = _tally(networks, n_bins, params)
    found: Flags = (hit >= needed) & (hit >= params["rule.majority"] * observed)
    return found


def several_regions(country: Group, regions: Sequence[Group], params: Params) -> Flags:
    """Bins in which the losses are not those of one region alone: more regions are down, or only one is observed.

    Households whose region is not known may be of another.
    """
    named = {home for one in regions for home in one.households}
    others = country.of(set(country.households) - named)
    observed, hit = _tally(regions, country.down.shape[1], params)
    found: Flags = (observed < 2) | (hit + mostly_down(others, params) >= params["rule.country_regions"])
    return found


def _tally(groups: Sequence[Group], n_bins: int, params: Params) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many groups are observed, and mostly down, [bin]."""
    observed, hit = np.zeros((2, n_bins), dtype=np.int64)
    for one in groups:
        observed += one.n_known > 0
        hit += mostly_down(one, params)
    return observed, hit


def mostly_down(group: Group, params: Params) -> Flags:
    down, known = group.n_down, group.n_known
    found: Flags = (down > 0) & (down >= params["rule.majority"] * known)
    return found


def find(group: Group, belief: Floats, allowed: Flags | None, params: Params) -> list[Segment]:
    """All segments of one group. ``belief`` is [bin, state]; ``allowed`` restricts where one may open."""
    down, known = group.n_down, group.n_known
    out = 1 - belief[:, 0]
    enough = (down >= minimum(group.key, params)) & (down >= params["rule.majority"] * known)
    if allowed is not None:
        enough &= allowed
    found: list[Segment] = []
    at = 0
    for opening in np.flatnonzero(enough & (out >= params["filter.open_burst"])):
        if opening < at:
            continue
        chance = _chance(group, int(opening), params)
        alarm = chance < params["burst.alarm"]
        if out[opening] < params["filter.open"] and not alarm:
            continue
        segment = _follow(group, out, int(opening), params)
        rules = ("filter.open",) if out[segment.start : segment.end].max() >= params["filter.open"] else ()
        found.append(replace(segment, rules=(*rules, *(("burst.alarm",) if alarm else ())), chance=chance))
        at = segment.end
    return _merged(found, params)


def _chance(group: Group, opening: int, params: Params) -> float:
    """How likely as many households are lost so close together by chance."""
    bins = params.count("burst.bins")
    first = max(0, opening - bins + 1)
    earlier = group.down[:, first - 1] if first else np.zeros(len(group.households), dtype=bool)
    lost = int((group.down[:, opening] & ~earlier).sum())
    present = int(group.n_known[max(0, first - 1)])
    begun = group.down[:, 1:first] & ~group.down[:, : max(first - 1, 0)] if first > 1 else group.down[:, :0]
    width = params["grid.bin"]
    habit = (int(begun.sum()), float(group.up[:, :first].sum()) * width)
    return burst.chance(min(lost, present), present, bins * width, habit, params)


def _follow(group: Group, out: Floats, opening: int, params: Params) -> Segment:
    """Back to where it began, and on until it is over."""
    down, known = group.n_down, group.n_known
    leave = params["rule.leave"]
    start = opening
    while start > 0 and down[start - 1] > leave * down[opening]:
        start -= 1
    peak, end, closed = opening, len(down), False
    ending = -1
    vote_until = _vote_until(group)
    watched_until = vote_until[group.down[:, peak]].max()
    for at in range(opening, len(down)):
        if at >= watched_until:
            end, closed = at if ending < 0 else ending, True
            break
        if known[at] == 0:
            continue
        if down[at] > down[peak]:
            peak = at
            watched_until = vote_until[group.down[:, peak]].max()
        if down[at] <= leave * down[peak]:
            ending = at if ending < 0 else ending
            if out[at] <= params["filter.close"]:
                end, closed = ending, True
                break
        elif down[at] >= params["rule.majority"] * down[peak]:
            ending = -1
    if ending >= 0 and not closed:
        end = ending
    return Segment(
        group.key,
        group.view,
        start,
        opening,
        end,
        peak,
        int(down[peak]),
        float(out[start : max(end, start + 1)].max()),
        closed or ending >= 0,
        closed,
        # More of them than may still be down when it ends are not known to have returned.
        closed and np.count_nonzero(vote_until[group.down[:, peak]] <= end) > leave * down[peak],
        (),
        1.0,
    )


def _vote_until(group: Group) -> NDArray[np.int64]:
    """The first bin from which on each household has no vote; the length of the axis while it has one."""
    bins = group.eligible.shape[1]
    found: NDArray[np.int64] = np.where(group.eligible.any(axis=1), bins - group.eligible[:, ::-1].argmax(axis=1), 0)
    return found


def _merged(found: list[Segment], params: Params) -> list[Segment]:
    """Segments with a gap under ``rule.merge`` are one."""
    gap = params["rule.merge"] / params["grid.bin"]
    merged: list[Segment] = []
    for one in found:
        if merged and one.start - merged[-1].end < gap:
            before = merged[-1]
            higher = max(before, one, key=lambda s: (s.n_peak, -s.peak))
            merged[-1] = replace(
                one,
                start=before.start,
                opened=before.opened,
                peak=higher.peak,
                n_peak=higher.n_peak,
                posterior=max(before.posterior, one.posterior),
                rules=tuple(sorted({*before.rules, *one.rules})),
                chance=before.chance,
            )
        else:
            merged.append(one)
    return merged


def affected(group: Group, segment: Segment) -> NDArray[np.intp]:
    """Rows of the households that were down at the peak, or for half of what is known of the segment."""
    part = slice(segment.start, max(segment.end, segment.start + 1))
    n_down, n_up = group.down[:, part].sum(axis=1), group.up[:, part].sum(axis=1)
    return np.flatnonzero(group.down[:, segment.peak] | ((n_down > 0) & (n_down >= n_up)))
