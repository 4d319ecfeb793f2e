"""Charts as Vega-Lite specifications: states of networks over time, and the count of households below them.

A state is told by the height and outline of its bar as well as by its colour, so that a chart reads the same in black
and white and for colour-blind readers: a thin line is up, a middling bar degraded, a full bar down, an empty frame not
known. Colours are those of the light scheme; the style sheet maps each of them to its partner in the dark one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from civobs_collector.detect.record import EventKind, EventRecord, GridRow
from civobs_collector.publish.published import PublishedEvent, network_name, total_row
from civobs_collector.publish.times import count, short_duration
from civobs_collector.publish.words import states

Json = dict[str, object]
"""A piece of a specification."""

COLOURS = {
    "u": "#5b8f86",
    "g": "#c78a2c",
    "d": "#9c2f3c",
    "?": "#7b8491",
    "ink": "#26303b",
    "faint": "#5d6875",
    "grid": "#d9dee4",
    "band": "#e3d3c0",
    "ground": "#ffffff",
}
"""Every colour of a chart; ``web/static/site.css`` names each of them."""

CURVES = {
    EventKind.BLOCKING: "Households that could not reach a service",
    EventKind.THROTTLING_TARGETED: "Households that found it slow",
    EventKind.THROTTLING_GENERAL: "Households with a slow line",
}
"""What the curve counts, where it is not households without Internet."""

HEIGHTS = {"u": 5, "g": 13, "d": 22, "?": 22}
"""Height of a state's bar, pixels."""

WIDE, NARROW = 720, 328
"""Widths in pixels: a column of the page, and a phone of 360 pixels."""

LEAST_PX = 3
"""What must be seen is drawn at least so wide."""

ROW_STEP = 46
"""Height of a lane with its label above it, pixels."""
_LABEL_PX = 7.4
"""Width of a letter of 12 pixels in the widest of the fonts that systems offer."""
_LETTER_PX = 6.6
"""Width of a letter of 11 pixels, to see whether a label fits into its bar."""


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
        ),
        bands=tuple(bands),
    )


def timeline_spec(timeline: Timeline, width: int, description: str) -> Json:
    """Write the Vega-Lite specification of a timeline, ``width`` pixels wide in all."""
    plot = width - 36
    parts = [_lanes_spec(timeline, plot, last=timeline.curve is None)]
    if timeline.curve is not None:
        parts.append(_curve_spec(timeline, timeline.curve, plot))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": description,
        "vconcat": parts,
        "bounds": "flush",
        "spacing": 34,
        "padding": 4,
        "background": None,
        "config": {
            "aria": False,
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": COLOURS["faint"],
                "labelFontSize": 11,
                "domainColor": COLOURS["faint"],
                "tickColor": COLOURS["faint"],
                "gridColor": COLOURS["grid"],
                "title": None,
            },
        },
    }


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


def _lanes_spec(timeline: Timeline, plot: int, *, last: bool) -> Json:
    span = (timeline.end - timeline.start).total_seconds()
    bars: list[Json] = []
    for number, lane in enumerate(timeline.lanes):
        for segment in lane.segments:
            px = plot * (segment.end - segment.start).total_seconds() / span
            begin, end = _seen(timeline, segment, plot)
            fits = len(segment.label) * _LETTER_PX + 8 <= px
            bars.append(
                {
                    "lane": number,
                    "from": _ms(begin),
                    "to": _ms(end),
                    "state": segment.state,
                    "label": segment.label if fits else "",
                }
            )
    most = int(plot / _LABEL_PX)
    labels = [{"lane": number, "label": _cut(lane, most)} for number, lane in enumerate(timeline.lanes)]
    y = {"field": "lane", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0, "paddingOuter": 0}}
    x = {"field": "from", "type": "temporal", "scale": _scale(timeline), "axis": _axis(timeline, plot, labels=last)}
    layers: list[Json] = [_bands_layer(timeline, plot, labels=last)]
    for state, height in HEIGHTS.items():
        layers.append(
            {
                "transform": [{"filter": {"field": "state", "equal": state}}],
                "mark": _bar_mark(state, height),
                "encoding": {"y": y, "x": x, "x2": {"field": "to"}},
            }
        )
    inside = {"type": "text", "align": "left", "dx": 5, "dy": 7, "fontSize": 11, "color": COLOURS["ground"]}
    above = {"type": "text", "align": "left", "dy": -14, "fontSize": 12, "color": COLOURS["ink"]}
    fitting = [{"filter": "datum.label != ''"}]
    layers.append({"transform": fitting, "mark": inside, "encoding": {"y": y, "x": x, "text": {"field": "label"}}})
    layers.append(
        {
            "data": {"values": labels},
            "mark": above,
            "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "label"}},
        }
    )
    return {"width": plot, "height": {"step": ROW_STEP}, "data": {"values": bars}, "layer": layers}


def _seen(timeline: Timeline, segment: Segment, plot: int) -> tuple[datetime, datetime]:
    """Where a segment is drawn: trouble is at least three pixels wide, so that a minute is seen on a year's chart."""
    least = (timeline.end - timeline.start) * LEAST_PX / plot
    short = least - (segment.end - segment.start)
    if segment.state not in "gd" or short <= timedelta(0):
        return segment.start, segment.end
    begin = min(max(timeline.start, segment.start - short / 2), timeline.end - least)
    return begin, begin + least


def _bar_mark(state: str, height: int) -> Json:
    mark: Json = {"type": "bar", "height": height, "yOffset": 7}
    if state == "?":
        return mark | {"filled": False, "stroke": COLOURS["?"], "strokeWidth": 1, "strokeDash": [3, 3]}
    return mark | {"color": COLOURS[state]}


def _curve_spec(timeline: Timeline, curve: Curve, plot: int) -> Json:
    last = CurvePoint(timeline.end, curve.points[-1].main, curve.points[-1].other) if curve.points else None
    values = [
        {"at": _ms(point.at), "main": point.main, "sum": point.main + point.other}
        for point in (*curve.points, *([last] if last else []))
    ]
    x = {
        "field": "at",
        "type": "temporal",
        "scale": _scale(timeline),
        "axis": _axis(timeline, plot, labels=True),
    }
    top = max(1, curve.top)
    axis = {"tickCount": min(4, top), "tickMinStep": 1, "format": "d", "domain": False, "ticks": False}
    scale = {"domain": [0, top], "nice": False}
    other = {"type": "area", "interpolate": "step-after", "color": COLOURS[curve.other_state], "opacity": 0.35}
    main = {"type": "area", "interpolate": "step-after", "color": COLOURS[curve.main_state], "opacity": 1}
    heading = {"type": "text", "align": "left", "y": -10, "x": 0, "fontSize": 12, "color": COLOURS["ink"]}
    return {
        "width": plot,
        "height": 92,
        "data": {"values": values},
        "layer": [
            _bands_layer(timeline, plot, labels=True),
            {
                "mark": other,
                "encoding": {
                    "x": x,
                    "y": {"field": "main", "type": "quantitative", "scale": scale, "axis": axis},
                    "y2": {"field": "sum"},
                },
            },
            {
                "mark": main,
                "encoding": {"x": x, "y": {"field": "main", "type": "quantitative", "scale": scale, "axis": axis}},
            },
            {
                "data": {"values": [{"text": f"{curve.title} (of {curve.top})"}]},
                "mark": heading,
                "encoding": {"text": {"field": "text"}},
            },
        ],
    }


def _bands_layer(timeline: Timeline, plot: int, *, labels: bool) -> Json:
    """Draw each interval as a band at least three pixels wide, so that a sharp onset is still seen."""
    least = (timeline.end - timeline.start) * LEAST_PX / plot
    values = []
    for earliest, latest, _label in timeline.bands:
        pad = max(timedelta(0), least - (latest - earliest)) / 2
        begin = max(timeline.start, earliest - pad)
        values.append({"from": _ms(begin), "to": _ms(min(timeline.end, latest + pad))})
    return {
        "data": {"values": values},
        "mark": {"type": "rect", "color": COLOURS["band"]},
        "encoding": {
            "x": {
                "field": "from",
                "type": "temporal",
                "scale": _scale(timeline),
                "axis": _axis(timeline, plot, labels=labels),
            },
            "x2": {"field": "to"},
        },
    }


def _scale(timeline: Timeline) -> Json:
    return {"type": "utc", "domain": [_ms(timeline.start), _ms(timeline.end)], "nice": False}


def _axis(timeline: Timeline, plot: int, *, labels: bool) -> Json:
    days = (timeline.end - timeline.start) / timedelta(days=1)
    if days * 24 * 60 <= 15:
        expression = "utcFormat(datum.value, '%H:%M:%S')"
    elif days <= 4:
        midnight = "utchours(datum.value) == 0 && utcminutes(datum.value) == 0"
        expression = f"utcFormat(datum.value, {midnight} ? '%-d %b' : '%H:%M')"
    elif days <= 120:
        expression = "utcFormat(datum.value, '%-d %b')"
    else:
        expression = "utcFormat(datum.value, '%b %Y')"
    return {
        "labelExpr": expression,
        "tickCount": max(3, plot // 90),
        "labels": labels,
        "ticks": labels,
        "domain": labels,
        "grid": True,
        "labelFlush": True,
        "labelOverlap": True,
    }


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _cut(lane: Lane, most: int) -> str:
    room = most - len(lane.note) - 3
    label = lane.label if len(lane.label) <= room else f"{lane.label[: room - 1]}…"
    return f"{label} · {lane.note}"


def lane_lines(lanes: Sequence[Lane]) -> list[tuple[str, Segment]]:
    """Return the same data as rows of a table: every stretch of every lane, in order."""
    return [(lane.label, segment) for lane in lanes for segment in lane.segments]


def overlay(base: Sequence[Segment], above: Sequence[Segment]) -> tuple[Segment, ...]:
    """Lay segments over others: what is beneath is cut away, and later segments win over earlier ones."""
    result = list(base)
    for top in above:
        if top.end <= top.start:
            continue
        kept: list[Segment] = []
        for one in result:
            if one.end <= top.start or one.start >= top.end:
                kept.append(one)
                continue
            if one.start < top.start:
                kept.append(Segment(one.start, top.start, one.state))
            if one.end > top.end:
                kept.append(Segment(top.end, one.end, one.state))
        result = [*kept, top]
    return tuple(sorted(result, key=lambda segment: segment.start))
