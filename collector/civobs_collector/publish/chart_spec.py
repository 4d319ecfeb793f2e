"""Timelines as Vega-Lite specifications: lanes of states, and the count of households below them.

A state is told by the height and outline of its bar as well as by its colour, so that a chart reads the same in black
and white and for colour-blind readers: a thin line is up, a middling bar degraded, a full bar down, an empty frame not
known. Colours are those of the light scheme; the style sheet maps each of them to its partner in the dark one.
"""

from datetime import datetime, timedelta
from itertools import pairwise

from civobs_collector.publish.charts import Curve, CurvePoint, Lane, Segment, Timeline

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

HEIGHTS = {"?": 22, "u": 5, "g": 13, "d": 22}
"""Height of a state's bar, pixels; later ones are drawn over earlier ones."""

WIDE, NARROW = 720, 328
"""Widths in pixels: a column of the page, and a phone of 360 pixels."""

LEAST_PX = 3
"""What must be seen is drawn at least so wide."""

ROW_STEP = 46
"""Height of a lane with its label above it, pixels."""
CURVE_HEIGHT = 92
_BAR_Y, _LABEL_Y = 30, 9
"""Middle of a bar and of the label above it, below the top of the lane."""
_LABEL_PX = 7.4
"""Width of a letter of 12 pixels in the widest of the fonts that systems offer."""
_LETTER_PX = 6.6
"""Width of a letter of 11 pixels, to see whether a label fits into its bar."""


def timeline_spec(timeline: Timeline, width: int) -> Json:
    """Write the Vega-Lite specification of a timeline, ``width`` pixels wide in all."""
    plot = width - 36
    parts = [_lanes(timeline, plot)]
    if timeline.curve is not None:
        parts.append(_curve(timeline, timeline.curve, plot))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
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


def _lanes(timeline: Timeline, plot: int) -> Json:
    bars = sorted(
        ((number, segment) for number, lane in enumerate(timeline.lanes) for segment in lane.segments),
        key=lambda pair: list(HEIGHTS).index(pair[1].state),
    )
    most = int(plot / _LABEL_PX)
    labels = [
        {"y": ROW_STEP * number + _LABEL_Y, "label": _cut(lane, most)} for number, lane in enumerate(timeline.lanes)
    ]
    x: Json = {
        "field": "from",
        "type": "temporal",
        "scale": _scale(timeline),
        "axis": _axis(timeline, plot, labels=timeline.curve is None),
    }
    y = _pixels("y")
    text = {"type": "text", "align": "left", "baseline": "middle"}
    inside = text | {"dx": 5, "dy": 0.5, "fontSize": 11, "color": COLOURS["ground"]}
    # A halo of the ground's colour keeps bands and grid lines from running through the letters.
    above = text | {"fontSize": 12, "color": COLOURS["ink"], "stroke": COLOURS["ground"], "strokeWidth": 3}
    return {
        "width": plot,
        "height": ROW_STEP * len(timeline.lanes),
        "data": {"values": [_bar(timeline, number, segment, plot) for number, segment in bars]},
        "layer": [
            _bands(timeline, plot, x),
            {
                "mark": {"type": "rect", "strokeWidth": 1, "strokeDash": [3, 3]},
                "encoding": {
                    "x": x,
                    "x2": {"field": "to"},
                    "y": _pixels("top"),
                    "y2": {"field": "bottom"},
                    "fill": {"field": "fill", "type": "nominal", "scale": None},
                    "stroke": {"field": "stroke", "type": "nominal", "scale": None},
                },
            },
            {
                "transform": [{"filter": "isValid(datum.label)"}],
                "mark": inside,
                "encoding": {"x": x, "y": y, "text": {"field": "label"}},
            },
            {
                "data": {"values": labels},
                "mark": above,
                "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "label"}},
            },
        ],
    }


def _pixels(field: str) -> Json:
    """Take a place from the data as it is, in pixels from the top."""
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}


def _bar(timeline: Timeline, number: int, segment: Segment, plot: int) -> Json:
    begin, end = _seen(timeline, segment, plot)
    middle, half = ROW_STEP * number + _BAR_Y, HEIGHTS[segment.state] / 2
    known = segment.state != "?"
    bar: Json = {
        "from": _ms(begin),
        "to": _ms(end),
        "top": middle - half,
        "bottom": middle + half,
        "fill": COLOURS[segment.state] if known else None,
        "stroke": None if known else COLOURS["?"],
    }
    px = plot * (segment.end - segment.start) / (timeline.end - timeline.start)
    if segment.label and len(segment.label) * _LETTER_PX + 8 <= px:
        bar |= {"y": middle, "label": segment.label}
    return bar


def _seen(timeline: Timeline, segment: Segment, plot: int) -> tuple[datetime, datetime]:
    """Where a segment is drawn: trouble is at least three pixels wide, so that a minute is seen on a year's chart."""
    least = (timeline.end - timeline.start) * LEAST_PX / plot
    short = least - (segment.end - segment.start)
    if segment.state not in "gd" or short <= timedelta(0):
        return segment.start, segment.end
    begin = min(max(timeline.start, segment.start - short / 2), timeline.end - least)
    return begin, begin + least


def _curve(timeline: Timeline, curve: Curve, plot: int) -> Json:
    last = [CurvePoint(curve.end, curve.points[-1].main, curve.points[-1].other)] if curve.points else []
    values = [
        {"at": _ms(point.at), "main": point.main, "sum": point.main + point.other}
        for point in (*_changing(curve.points), *last)
    ]
    x: Json = {
        "field": "at",
        "type": "temporal",
        "scale": _scale(timeline),
        "axis": _axis(timeline, plot, labels=True),
    }
    top = max(1, curve.top)
    y = {
        "field": "main",
        "type": "quantitative",
        "scale": {"domain": [0, top], "nice": False},
        "axis": {"tickCount": min(4, top), "tickMinStep": 1, "format": "d", "domain": False, "ticks": False},
    }
    area = {"type": "area", "interpolate": "step-after"}
    heading = {"type": "text", "align": "left", "y": -10, "x": 0, "fontSize": 12, "color": COLOURS["ink"]}
    return {
        "width": plot,
        "height": CURVE_HEIGHT,
        "data": {"values": values},
        "layer": [
            _bands(timeline, plot, x | {"field": "from"}),
            {
                "mark": area | {"color": COLOURS[curve.other_state], "opacity": 0.35},
                "encoding": {"x": x, "y": y, "y2": {"field": "sum"}},
            },
            {"mark": area | {"color": COLOURS[curve.main_state], "opacity": 1}, "encoding": {"x": x, "y": y}},
            {
                "data": {"values": [{"text": f"{curve.title} (of {curve.top})"}]},
                "mark": heading,
                "encoding": {"text": {"field": "text"}},
            },
        ],
    }


def _changing(points: tuple[CurvePoint, ...]) -> list[CurvePoint]:
    """Leave out points that say the same as the one before them."""
    changed = (after for before, after in pairwise(points) if (before.main, before.other) != (after.main, after.other))
    return [*points[:1], *changed]


def _bands(timeline: Timeline, plot: int, x: Json) -> Json:
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
        "encoding": {"x": x, "x2": {"field": "to"}},
    }


def _scale(timeline: Timeline) -> Json:
    return {"type": "utc", "domain": [_ms(timeline.start), _ms(timeline.end)], "nice": False}


def _axis(timeline: Timeline, plot: int, *, labels: bool) -> Json:
    days = (timeline.end - timeline.start) / timedelta(days=1)
    midnight = "utchours(datum.value) == 0 && utcminutes(datum.value) == 0"
    if days * 24 * 60 <= 15:
        expression = "utcFormat(datum.value, '%H:%M:%S')"
    elif days <= 4:
        expression = f"utcFormat(datum.value, {midnight} ? '%-d %b' : '%H:%M')"
    elif days <= 120:
        expression = f"{midnight} ? utcFormat(datum.value, '%-d %b') : ''"
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
