"""What charts show: states of networks over time, and the count of households below them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from civobs_collector.detect.record import EventKind, EventRecord, GridRow
from civobs_collector.publish.published import PublishedEvent, network_name, total_row
from civobs_collector.publish.times import count, short_duration
from civobs_collector.publish.words import states

CURVES = {
    EventKind.BLOCKING: "Households that could not reach a service",
    EventKind.THROTTLING_TARGETED: "Households that found it slow",
    EventKind.THROTTLING_GENERAL: "Households with a slow line",
}
"""What the curve counts, where it is not households without Internet."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time in one state (``u``, ``g``, ``d``, ``?``)."""

    start: datetime
    end: datetime
    state: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One network, or the whole country, over time."""

    label: str
    note: str
    """Stands behind the label and is kept when the label has to be cut."""
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Households from ``at`` until the next point; ``other`` stands on top of ``main``."""

    at: datetime
    main: int
    other: int = 0


@dataclass(frozen=True, slots=True)
class Curve:
    """A count of households over time, below the lanes."""

    title: str
    points: tuple[CurvePoint, ...]
    top: int
    """The most it could be: the axis ends there, so that a small share looks small."""
    main_state: str
    end: datetime
    """Until when the last point holds: behind it nothing is counted yet."""
    other_state: str = "?"


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a timeline chart shows. ``bands`` are intervals within which something began or ended."""

    start: datetime
    end: datetime
    lanes: tuple[Lane, ...]
    curve: Curve | None = None
    bands: tuple[tuple[datetime, datetime, str], ...] = ()


def runs(row: GridRow, start: datetime, bin_s: float, word: str) -> tuple[Segment, ...]:
    """Join neighbouring bins of one state into segments; ``word`` says what the full bar means."""
    segments: list[Segment] = []
    index = 0
    for state, letters in groupby(row.state):
        n = len(list(letters))
        begin = start + timedelta(seconds=bin_s * index)
        end = start + timedelta(seconds=bin_s * (index + n))
        segments.append(Segment(begin, end, state, f"{word} {short_duration(end - begin)}" if state == "d" else ""))
        index += n
    return tuple(segments)


def event_timeline(event: PublishedEvent) -> Timeline:
    """Lay out an event: the whole first, then each network; the curve counts households of the whole.

    Where there are rows of single targets, they stand in the table of targets by networks, and here only if there is
    nothing else to show.
    """
    record, grid = event.record, event.record.grid
    whole = total_row(event)
    rows = sorted(lane_rows(record), key=lambda row: (row.asn is not None, row.target, row.asn or 0))
    word = states(record.kind)["d"][0]
    lanes = tuple(
        Lane(_lane_label(event, row), households(row.n), runs(row, grid.start, grid.bin_s, word)) for row in rows
    )
    columns = list(zip(*((row.down, row.unknown) for row in ([whole] if whole else rows)), strict=True))
    down = [sum(bins) for bins in zip(*columns[0], strict=True)]
    unknown = [sum(bins) for bins in zip(*columns[1], strict=True)]
    step = timedelta(seconds=grid.bin_s)
    points = tuple(
        CurvePoint(grid.start + step * index, n_down, n_unknown)
        for index, (n_down, n_unknown) in enumerate(zip(down, unknown, strict=True))
    )
    bands = [(record.onset.earliest, record.onset.latest, "began")]
    if record.resolution:
        bands.append((record.resolution.earliest, record.resolution.latest, "ended"))
    return Timeline(
        start=grid.start,
        end=grid.start + step * len(points),
        lanes=lanes,
        curve=Curve(
            CURVES.get(record.kind, "Households without Internet"),
            points,
            whole.n if whole else sum(row.n for row in rows),
            main_state="d",
            end=grid.start + step * len(points),
        ),
        bands=tuple(bands),
    )


def households(number: int) -> str:
    """Write the note of a lane."""
    return count(number, "household")


def lane_rows(record: EventRecord) -> list[GridRow]:
    """Return the rows that are drawn over time: those of all targets together, or else every row."""
    return [row for row in record.grid.rows if not row.target] or list(record.grid.rows)


def _lane_label(event: PublishedEvent, row: GridRow) -> str:
    where = network_name(event, row.asn) if row.asn is not None else f"{event.country}, all observed"
    several = len(event.record.scope.targets) > 1
    return f"{row.target}, {where}" if row.target and several else where


def lane_lines(lanes: Sequence[Lane]) -> list[tuple[str, Segment]]:
    """Return the same data as rows of a table: every stretch of every lane, in order."""
    return [(lane.label, segment) for lane in lanes for segment in lane.segments]


def overlay(base: Sequence[Segment], above: Sequence[Segment]) -> tuple[Segment, ...]:
    """Lay segments over others: what is beneath is cut away, and later segments win over earlier ones.

    ``base`` is in order and does not overlap itself.
    """
    result = list(base)
    for top in above:
        if top.end <= top.start:
            continue
        first = bisect_right(result, top.start, key=lambda segment: segment.end)
        last = bisect_left(result, top.end, key=lambda segment: segment.start)
        cut = result[first:last]
        before = [Segment(one.start, top.start, one.state) for one in cut[:1] if one.start < top.start]
        after = [Segment(top.end, one.end, one.state) for one in cut[-1:] if one.end > top.end]
        result[first:last] = [*before, top, *after]
    return tuple(result)
