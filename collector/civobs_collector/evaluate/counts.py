"""The form ``counts``: sightings by group and bin, where nobody knows how many there could have been.

A bin without a row is not observed, if the file writes its noughts. A file in which no row says 0 has left them out:
there a bin without a row, after the first, is a bin in which nothing was seen. Where counts are large it may also be
the counter that failed: gaps here and there are not observed then, and what is found in long ones of all groups is
never more than unconfirmed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.campaigns import Span, campaigns
from civobs_collector.detect.counts import CountSegment, find_counts
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import ConfidenceLabel, EventKind
from civobs_collector.evaluate.forms import CountRows
from civobs_collector.evaluate.found import Between, Found
from civobs_collector.evaluate.series import Frame, frames

Counts = NDArray[np.int64]
_EVEN = 0.5
"""From this share of equal steps on a file has one row a bin, and a second of the same time is a repetition."""
_LONG = 3
"""Bins without a row in a row."""


def find(rows: CountRows, params: Params) -> list[Found]:
    """Every outage of every group, with its place in a campaign."""
    rows = _once(rows)
    least = int(rows.count.min()) if len(rows.count) else 0
    found: list[Found] = []
    for frame in frames(rows.at, rows.group, rows.step):
        own: list[Found] = []
        doubtful = np.full(frame.n, least > 1)
        doubtful[frame.index] = False
        for code in frame.codes:
            counts = _dense(rows, frame, code)
            if least == 1 or (least > 1 and _whole(counts)):
                first = int((counts >= 0).argmax())
                counts[first:] = np.maximum(counts[first:], 0)
            origin, name = frame.origin[code], rows.group.names[code]
            for one in find_counts(origin, frame.bin_s, counts, params):
                found_here = _found(name, one, (origin, frame.bin_s), counts, params)
                own.append(_doubted(found_here) if _mostly(doubtful[one.start : one.end]) else found_here)
        found.extend(_numbered(own, frame.bin_s, params))
    return found


def _once(rows: CountRows) -> CountRows:
    """Rows that say the same group and time twice, as files that overlap do, once; the higher where they differ."""
    if rows.step.share < _EVEN or not len(rows.at):
        return rows
    order = np.lexsort((-rows.count, rows.at, rows.group.codes))
    again = (np.diff(rows.group.codes[order]) == 0) & (np.diff(rows.at[order]) == 0)
    first = np.append(True, ~again)
    if first.sum() <= len(first) / 2 + 1 or not again.any():
        # As many rows for every bin: parts of it, to be added up.
        return rows
    kept = np.sort(order[first])
    group = replace(rows.group, codes=rows.group.codes[kept])
    return replace(rows, at=rows.at[kept], group=group, count=rows.count[kept])


def _whole(counts: Counts) -> bool:
    """Whether a series has its rows but for long gaps, as outages make them and a counter that stumbles does not."""
    absent = np.diff(np.flatnonzero(counts >= 0)) - 1
    return bool(absent[absent >= _LONG].sum() >= _EVEN * absent.sum())


def _dense(rows: CountRows, frame: Frame, code: int) -> Counts:
    """Counts by bin; -1 where a bin was not observed."""
    own = rows.group.codes[frame.rows] == code
    index, which = frame.index[own], frame.rows[own]
    found = np.full(frame.n, -1, dtype=np.int64)
    found[index] = 0
    np.add.at(found, index, rows.count[which])
    return found


def _found(name: str, one: CountSegment, clock: tuple[float, float], counts: Counts, params: Params) -> Found:
    origin, width = clock
    missing = one.expected - one.observed
    # One bin may be the counter's own failure.
    several = one.n_bins >= params["counts.several"] and missing >= params["counts.probable"]
    sure = several and one.posterior >= params["confidence.probable"]
    seen = np.flatnonzero(counts >= 0)
    before = seen[seen < one.start_earliest]
    start = Between(
        origin + width * (int(before[-1]) if len(before) else one.start_earliest),
        origin + width * (one.start_latest + 1),
        origin + width * (one.start + one.start_share),
    )
    end = Between(
        origin + width * (one.end_earliest - 1),
        origin + width * (one.end_latest + 1),
        origin + width * (one.end - one.end_share),
    )
    lost = "lost" if one.down else "partly lost"
    return Found(
        group=name,
        kind=EventKind.OUTAGE,
        level="group" if one.down else "partial",
        start=start,
        end=end if one.ended else None,
        ongoing=not one.ended and not one.lapsed,
        alert_at=origin + (one.opened + 1) * width,
        posterior=one.posterior,
        confidence=ConfidenceLabel.PROBABLE if sure else ConfidenceLabel.UNCONFIRMED,
        depth=one.depth,
        rules=one.rules,
        why=f"{lost}: {one.observed:.0f} seen where about {one.expected:.0f} are usual, in {one.n_bins} bins",
        numbers=(("expected", one.expected), ("observed", one.observed)),
    )


def _mostly(some: NDArray[np.bool_]) -> bool:
    return bool(len(some)) and bool(some.mean() >= _EVEN)


def _doubted(one: Found) -> Found:
    why = f"{one.why}; no group has rows for most of them, so the counter itself may have failed"
    return replace(one, confidence=ConfidenceLabel.UNCONFIRMED, why=why)


def _numbered(found: Sequence[Found], bin_s: float, params: Params) -> list[Found]:
    """By group and start, each with its place in a campaign."""
    found = sorted(found, key=lambda one: (one.group, one.start.likely if one.start is not None else 0.0))
    spans = [
        Span(one.group, one.start.likely if one.start is not None else 0.0, one.end.likely if one.end else None)
        for one in found
    ]
    return [
        one
        if place is None
        else replace(
            one, campaign=str(place.campaign_id), occurrence=place.occurrence, n_occurrences=place.n_occurrences
        )
        for one, place in zip(found, campaigns(spans, params, width_s=bin_s), strict=True)
    ]
