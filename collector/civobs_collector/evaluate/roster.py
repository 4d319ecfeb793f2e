"""The forms ``roster`` and ``roster-probes``: the live detector's grid, filter and segments on the rows of a file.

A roster names no households, only how many there are: they stand in a row, and the first ``n_up`` of them are up.
``roster-probes`` names them, so they earn their vote as live probes do. What a row does not tell is not known: a gap
in the file is neither up nor down.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect import filter as state_filter
from civobs_collector.detect.confidence import stated
from civobs_collector.detect.grid import Flags, Group, GroupKey, View, roster
from civobs_collector.detect.inputs import ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import ConfidenceLabel, EventKind, Level
from civobs_collector.detect.segments import Segment, minimum
from civobs_collector.detect.segments import find as find_segments
from civobs_collector.detect.timeline import Axis, Code, ProbeLine, Timeline
from civobs_collector.evaluate.coincidence import not_by_chance
from civobs_collector.evaluate.forms import ProbeRows, RosterRows
from civobs_collector.evaluate.found import Between, Found
from civobs_collector.evaluate.series import Frame, frames

Counts = NDArray[np.int64]
_AT_ONCE = 8_000_000
"""Bins of all groups that the filter follows side by side: 200 MB of belief."""


_ALIKE = 0.05
"""Groups whose usual share differs by less are followed together."""
_Named = tuple[str, float, Group]
"""Name, start of the first bin, votes."""


@dataclass(frozen=True, slots=True)
class _Series:
    """One group on its grid; arrays are [bin]."""

    name: str
    origin: float
    expected: Counts
    """Households that have a vote."""
    up: Counts
    known: Counts


def find(rows: RosterRows, params: Params) -> list[Found]:
    """Every outage of every group of a roster."""
    found: list[Found] = []
    for frame in frames(rows.at, rows.group, rows.step):
        own = with_bin(params, frame.bin_s)
        series = (_counted(rows, frame, code, own) for code in frame.codes)
        found.extend(_judged(((one.name, one.origin, _in_a_row(one, own)) for one in series), own))
    return sorted(found, key=_order)


def find_probes(rows: ProbeRows, params: Params) -> list[Found]:
    """Every outage of every group whose households are named."""
    found: list[Found] = []
    for frame in frames(rows.at, rows.group, rows.step):
        # What a household that flaps is worth is judged by how often it does.
        own = _with(with_bin(params, frame.bin_s), {"eligible.flaps": np.inf})
        groups = ((rows.group.names[code], frame.origin[code], _voting(rows, frame, code, own)) for code in frame.codes)
        found.extend(_judged(groups, own, named=True))
    return sorted(found, key=_order)


def with_bin(params: Params, bin_s: float) -> Params:
    """The same thresholds on bins of another width: still one chance alarm a year, of however many bins that has."""
    alarm = min(params["burst.alarm"] * bin_s / params["grid.bin"], 1 - params["confidence.probable"])
    return _with(params, {"grid.bin": bin_s, "burst.alarm": alarm})


def _with(params: Params, values: dict[str, float]) -> Params:
    entries = tuple(replace(one, value=values.get(one.id, one.value)) for one in params.entries)
    return replace(params, entries=entries)


def _order(one: Found) -> tuple[float, str]:
    return (one.start.likely if one.start is not None else 0.0, one.group)


def _counted(rows: RosterRows, frame: Frame, code: int, params: Params) -> _Series:
    own = rows.group.codes[frame.rows] == code
    index, which = frame.index[own], frame.rows[own]
    expected, up = rows.n_expected[which], rows.n_up[which]
    # Where several rows fall into one bin, the middle one by its share; of an even number the worse of the two.
    share = up / np.maximum(expected, 1)
    order = np.lexsort((expected, share, index))
    index, expected, up = index[order], expected[order], up[order]
    bins, first, size = np.unique(index, return_index=True, return_counts=True)
    middle = first + (size - 1) // 2
    known, ups = np.zeros(frame.n, dtype=np.int64), np.zeros(frame.n, dtype=np.int64)
    known[bins], ups[bins] = expected[middle], up[middle]
    last = np.maximum.accumulate(np.where(np.isin(np.arange(frame.n), bins), np.arange(frame.n), 0))
    seen = np.zeros(frame.n, dtype=bool)
    seen[bins] = True
    series = _Series(rows.group.names[code], frame.origin[code], known[last], ups, np.where(seen, known, 0))
    return _filled(_held(series, seen, params), params)


def _held(series: _Series, seen: Flags, params: Params) -> _Series:
    """Households that leave the roster while their group is down keep their vote, or a long outage would end itself."""
    expected, known, up = series.expected.copy(), series.known.copy(), series.up
    leave, hold = params["rule.leave"], round(params["eligible.hold_shared"] / params["grid.bin"])
    at_last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    for fall in np.flatnonzero(np.diff(series.expected) < 0) + 1:
        before = expected[fall - 1]
        if expected[fall] >= before or up[at_last[fall - 1]] > leave * before:
            continue
        back = np.flatnonzero(seen[fall:] & (up[fall:] > leave * before))
        until = fall + min(int(back[0]) if len(back) else len(seen), hold)
        expected[fall:until] = np.maximum(expected[fall:until], before)
        known[fall:until] = np.where(seen[fall:until], expected[fall:until], 0)
    return replace(series, expected=expected, known=known)


def _filled(series: _Series, params: Params) -> _Series:
    """A roster that is never filled, not even at good times, counts households that do not exist."""
    usual = _usual(series.up, series.known, params)
    if not 0 < usual < params["roster.filled"]:
        return series
    share = usual / params["roster.filled"]
    expected = np.ceil(series.expected * share).astype(np.int64)
    known = np.maximum(np.ceil(series.known * share).astype(np.int64), series.up)
    return replace(series, expected=np.maximum(expected, known), known=known)


def _usual(up: Counts, known: Counts, params: Params) -> float:
    """The share that is up at times that are no trouble: at least half as good as the best of the file."""
    told = known > 0
    if not told.any():
        return 0.0
    up, known = up[told], known[told]
    # Stretches rather than bins: of one household every bin is all or nothing.
    long = min(np.ceil(params["roster.stretch"] / known.max()), np.ceil(params["roster.day"] / params["grid.bin"]))
    starts = np.arange(0, len(known), int(long))
    share = np.add.reduceat(up, starts) / np.add.reduceat(known, starts)
    best = float(np.quantile(share, params["roster.best"]))
    return float(share[share >= params["rule.majority"] * best].mean())


def _in_a_row(series: _Series, params: Params) -> Group:
    """A group whose households have no names; of a large one every so many-th stands for the others."""
    most = params.count("roster.votes")
    share = np.minimum(1.0, most / np.maximum(series.expected, 1))
    expected = np.round(series.expected * share).astype(np.int64)
    known = np.round(series.known * share).astype(np.int64)
    up = np.minimum(np.round(series.up * share).astype(np.int64), known)
    place = np.arange(int(expected.max(initial=0)))[:, np.newaxis]
    ups: Flags = place < up
    downs: Flags = (place >= up) & (place < known)
    votes: Flags = place < expected
    level = Level.NETWORK if len(place) > 1 else Level.PROBE
    return Group(GroupKey(level, series.name), View.INTERNET, tuple(range(len(place))), ups, downs, votes)


def _voting(rows: ProbeRows, frame: Frame, code: int, params: Params) -> Group:
    """A group of named households, with the votes that the live detector would give them."""
    own = rows.group.codes[frame.rows] == code
    index, which = frame.index[own], frame.rows[own]
    homes, place = np.unique(rows.household.codes[which], return_inverse=True)
    shape = (len(homes), frame.n)
    n_up, n_rows = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    np.add.at(n_rows, (place, index), 1)
    np.add.at(n_up, (place, index), rows.up[which])
    up, told = 2 * n_up > n_rows, n_rows > 0
    lead = params.count("eligible.min_bins")
    axis = Axis(frame.origin[code] - lead * frame.bin_s, frame.bin_s, frame.n + lead, 1, frame.origin[code])
    name = rows.group.names[code]
    lines = {row: _line(row, name, (up[row], told[row]), axis) for row in range(len(homes)) if up[row].any()}
    level = Level.NETWORK if len(lines) > 1 else Level.PROBE
    groups = roster(Timeline(axis, lines), params).groups(View.INTERNET) if lines else []
    # A household that was never down makes no group of its own.
    wanted = next((one for one in groups if one.key.level is level), None)
    if wanted is None:
        nobody = np.zeros((0, frame.n), dtype=bool)
        return Group(GroupKey(level, name), View.INTERNET, (), nobody, nobody, nobody)
    return replace(wanted, up=wanted.up[:, lead:], down=wanted.down[:, lead:], eligible=wanted.eligible[:, lead:])


def _line(row: int, name: str, said: tuple[Flags, Flags], axis: Axis) -> ProbeLine:
    """A household as the grid knows probes, on an axis that begins a little before the file."""
    up, told = said
    lead = axis.n - len(up)
    codes = np.full(axis.n, Code.UNKNOWN, dtype=np.uint8)
    codes[lead:][told] = np.where(up, Code.UP, Code.LOST)[told]
    if told[:lead].any():
        # It is on the list when the file begins, so it was there before: what is lost by then has a vote to lose.
        codes[:lead] = Code.UP
    probe = ProbeInfo(row, str(row), row, name, 1, datetime.fromtimestamp(0, UTC))
    nothing = np.zeros(axis.n, dtype=np.uint8)
    return ProbeLine(probe, codes, np.append(np.zeros(lead, dtype=bool), told), nothing, {}, (), {}, -np.inf)


def _judged(groups: Iterable[_Named], params: Params, *, named: bool = False) -> Iterator[Found]:
    """Only where households are named it is known how often each fails by itself."""
    for own, some in _batches(groups, params):
        ups, knowns = np.stack([group.n_up for *_, group in some]), np.stack([group.n_known for *_, group in some])
        belief = state_filter.run(ups, knowns, own)
        for (name, origin, group), said in zip(some, belief, strict=True):
            segments = find_segments(group, said, None, own)
            for segment in not_by_chance(group, segments, own) if named else segments:
                yield _found(name, origin, group, segment, own)


def _batches(groups: Iterable[_Named], params: Params) -> Iterator[tuple[Params, list[_Named]]]:
    """Groups in which enough were ever down and whose good times are alike, as many together as fit."""
    waiting: dict[float, list[_Named]] = {}
    for one in groups:
        group = one[2]
        known, down = group.n_known, group.n_down
        if not (down >= np.maximum(minimum(group.key, params), params["rule.majority"] * known)).any():
            continue
        usual = round(_usual(group.n_up, known, params) / _ALIKE) * _ALIKE
        some = waiting.setdefault(usual, [])
        some.append(one)
        if (len(some) + 1) * len(known) > _AT_ONCE:
            yield _fitted(usual, params), waiting.pop(usual)
    for usual in sorted(waiting):
        yield _fitted(usual, params), waiting[usual]


def _fitted(usual: float, params: Params) -> Params:
    """The filter's state ok as the group's own good times show it, never better and never surer than the table's."""
    weight = params["filter.ok_a"] + params["filter.ok_b"]
    most = params["filter.ok_a"] / weight
    share = min(max(usual, params["rule.majority"]), most)
    if share == most:
        return params
    return _with(params, {"filter.ok_a": share * weight, "filter.ok_b": (1 - share) * weight})


def _found(name: str, origin: float, group: Group, segment: Segment, params: Params) -> Found:
    width, known = params["grid.bin"], group.n_known
    n_known = int(known[segment.peak])
    sure = segment.posterior >= params["confidence.probable"] and segment.n_peak >= params["confidence.households"]
    over = segment.ended and not segment.lapsed
    return Found(
        group=name,
        kind=EventKind.OUTAGE,
        level=group.key.level if group.key.level is Level.PROBE else "group",
        start=_turn(segment.start, known, (origin, width)),
        end=_turn(segment.end, known, (origin, width)) if over else None,
        ongoing=not segment.ended,
        alert_at=origin + (segment.opened + 1) * width,
        posterior=stated(segment.posterior, params),
        confidence=ConfidenceLabel.PROBABLE if sure else ConfidenceLabel.UNCONFIRMED,
        depth=segment.n_peak / n_known,
        n_down=segment.n_peak,
        n_observed=n_known,
        rules=segment.rules,
        why=f"{segment.n_peak} of {n_known} households down at the peak",
        numbers=(("chance", segment.chance),),
    )


def _turn(first: int, known: Counts, clock: tuple[float, float]) -> Between:
    """A change that bin ``first`` is the first to show: after the last bin before it of which anything is known."""
    origin, width = clock
    before = np.flatnonzero(known[:first])
    earliest = int(before[-1]) if len(before) else first - 1
    return Between(origin + earliest * width, origin + (first + 1) * width, origin + first * width)
