"""Charts drawn as SVG: states of networks over time, and the count of households below them.

A state is told by the height and outline of its bar as well as by its colour, so that a chart reads the same in black
and white and for colour-blind readers: a thin line is up, a middling bar degraded, a full bar down, an empty frame not
known. The SVG stands in the page itself, so that one style sheet rules both colour schemes and print, and a reader with
a screen reader meets a title and a table instead of shapes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

from markupsafe import Markup

from civobs_collector.publish.charts import Curve, Lane, Segment, Timeline
from civobs_collector.publish.times import MONTHS

HEIGHTS = {"?": 22, "u": 5, "g": 13, "d": 22}
"""Height of a state's bar, pixels; later ones are drawn over earlier ones."""

CLASSES = {"u": "fill-up", "g": "fill-degraded", "d": "fill-down", "?": "frame-unknown"}
"""A state's class in ``static/site.css``."""

AREAS = CLASSES | {"?": "fill-unknown"}
"""The same for areas."""

WIDE, NARROW = 720, 328
"""Widths in pixels: a column of the page, and a phone of 360 pixels."""

LEAST_PX = 3
"""What must be seen is drawn at least so wide."""

ROW_STEP = 46
"""Height of a lane with its label above it, pixels."""
CURVE_HEIGHT = 92
LEFT, _RIGHT, _TOP = 28, 8, 4
"""Margins; numbers stand in the left one."""
_BAR_Y, _LABEL_Y, _INSIDE_Y = 31, 13, 35
"""Middle of a bar and the foot of the two texts, below the top of the lane."""
_CURVE_GAP, _AXIS = 34, 20
_LABEL_PX = 7.4
"""Width of a letter of 12 pixels in the widest of the fonts that systems offer."""
_LETTER_PX = 6.6
"""Width of a letter of 11 pixels, to see whether a label fits into its bar."""
_TICK_PX = 70
"""Times on the axis stand at least so far apart."""

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600)
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)


def chart(timeline: Timeline, description: str) -> Markup:
    """Draw for a wide and a narrow page; the style sheet shows one of them."""
    wide, narrow = (draw(timeline, description, width) for width in (WIDE, NARROW))
    return Markup('<div class="chart-wide">{}</div><div class="chart-narrow">{}</div>').format(wide, narrow)


def draw(timeline: Timeline, description: str, width: int) -> Markup:
    """Draw one SVG, ``width`` pixels wide in all."""
    plot = _Plot(timeline, width - LEFT - _RIGHT)
    height = _TOP + ROW_STEP * len(timeline.lanes)
    parts = [plot.grid(_TOP, height), plot.bands(_TOP, height), *_lanes(plot, timeline.lanes)]
    if timeline.curve is not None:
        top = height + _CURVE_GAP
        height = top + CURVE_HEIGHT
        parts += [plot.grid(top, height), plot.bands(top, height), *_curve(plot, timeline.curve, top)]
    parts.append(plot.axis(height))
    height += _AXIS
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" width="{0}" height="{1}"'
        ' viewBox="0 0 {0} {1}"><title>{2}</title><g transform="translate({3})">{4}</g></svg>'
    ).format(width, height, description, LEFT, Markup().join(parts))


class _Plot:
    """The time axis: what it spans, how wide it is, and where its ticks are."""

    def __init__(self, timeline: Timeline, width: int) -> None:
        self.width = width
        self.start, self.end = timeline.start, timeline.end
        self._bands = timeline.bands
        self._ticks = list(_ticks(timeline.start, timeline.end, width // _TICK_PX))

    def x(self, moment: datetime) -> float:
        """Pixels from the left edge; moments outside lie on the edges."""
        return min(1.0, max(0.0, (moment - self.start) / (self.end - self.start))) * self.width

    def stretch(self, start: datetime, end: datetime, least: float) -> tuple[float, float]:
        """Where a stretch begins and how wide it is: at least ``least`` pixels, so that a minute is seen on a year."""
        begin, width = self.x(start), self.x(end) - self.x(start)
        if width >= least:
            return begin, width
        return min(max(0.0, begin - (least - width) / 2), self.width - least), least

    def grid(self, top: int, bottom: int) -> Markup:
        """Draw a faint line through each tick."""
        lines = "".join(f"M{_px(self.x(moment))},{top}V{bottom}" for moment in self._ticks)
        return Markup('<path class="grid" d="{}"/>').format(lines)

    def bands(self, top: int, bottom: int) -> Markup:
        """Draw the intervals within which something began or ended."""
        where = [self.stretch(earliest, latest, LEAST_PX) for earliest, latest, _ in self._bands]
        boxes = "".join(_box(begin, top, width, bottom - top) for begin, width in where)
        return Markup('<path class="fill-band" d="{}"/>').format(boxes) if boxes else Markup()

    def axis(self, top: int) -> Markup:
        """Write the times below; those at the edges are kept within them."""
        line = Markup('<path class="axis" d="M0,{0}H{1}"/>').format(top, self.width)
        texts = [line]
        for moment in self._ticks:
            x = self.x(moment)
            anchor = "start" if x < _TICK_PX / 3 else "end" if x > self.width - _TICK_PX / 3 else "middle"
            text = _tick_text(moment, self.end - self.start)
            texts.append(_text(x, top + 15, text, f'class="tick" font-size="11" text-anchor="{anchor}"'))
        return Markup().join(texts)


def _lanes(plot: _Plot, lanes: tuple[Lane, ...]) -> Iterator[Markup]:
    bars: dict[str, list[str]] = {state: [] for state in HEIGHTS}
    texts: list[Markup] = []
    for number, lane in enumerate(lanes):
        top = _TOP + ROW_STEP * number
        for segment in lane.segments:
            begin, width = plot.stretch(segment.start, segment.end, LEAST_PX if segment.state in "gd" else 0)
            height = HEIGHTS[segment.state]
            bars[segment.state].append(_box(begin, top + _BAR_Y - height / 2, width, height))
            texts += _inside(segment, begin, width, top)
        label = _cut(lane, int(plot.width / _LABEL_PX))
        texts.append(_text(0, top + _LABEL_Y, label, 'class="label" font-size="12"'))
    for state, boxes in bars.items():
        yield Markup('<path class="{}" d="{}"/>').format(CLASSES[state], "".join(boxes))
    yield from texts


def _inside(segment: Segment, begin: float, width: float, top: int) -> Iterator[Markup]:
    """Write a bar's label into it, where it fits."""
    if segment.label and len(segment.label) * _LETTER_PX + 8 <= width:
        yield _text(begin + 5, top + _INSIDE_Y, segment.label, 'class="inside" font-size="11"')


def _curve(plot: _Plot, curve: Curve, top: int) -> Iterator[Markup]:
    most = max(1, curve.top)
    bottom = top + CURVE_HEIGHT
    step = next(size * 10**power for power in range(10) for size in (1, 2, 5) if most <= 5 * size * 10**power)
    for value in range(0, most + 1, step):
        y = bottom - value / most * CURVE_HEIGHT
        yield Markup('<path class="grid" d="M0,{}H{}"/>').format(_px(y), plot.width)
        yield _text(-5, y + 4, str(value), 'class="tick" font-size="11" text-anchor="end"')
    ends = [*(point.at for point in curve.points), plot.end]
    main, other = [], []
    for (n_main, n_other), group in groupby(
        zip(curve.points, pairwise(ends), strict=True), key=lambda pair: (pair[0].main, pair[0].other)
    ):
        moments = [moment for _, pair in group for moment in pair]
        begin, end = plot.x(moments[0]), plot.x(moments[-1])
        feet = [bottom - count / most * CURVE_HEIGHT for count in (0, n_main, n_main + n_other)]
        main.append((begin, end, feet[0], feet[1]))
        other.append((begin, end, feet[1], feet[2]))
    yield Markup('<path class="{}" opacity=".35" d="{}"/>').format(AREAS[curve.other_state], _area(other))
    yield Markup('<path class="{}" d="{}"/>').format(AREAS[curve.main_state], _area(main))
    yield _text(0, top - 10, f"{curve.title} (of {curve.top})", 'class="label" font-size="12"')


def _area(steps: list[tuple[float, float, float, float]]) -> str:
    """Go along the upper edges of the steps and back along the lower ones."""
    if not steps:
        return ""
    there = "".join(f"V{_px(high)}H{_px(end)}" for _, end, _, high in steps)
    back = "".join(f"V{_px(low)}H{_px(begin)}" for begin, _, low, _ in reversed(steps))
    return f"M{_px(steps[0][0])},{_px(steps[0][2])}{there}{back}Z"


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{_px(x)},{_px(y)}h{_px(width)}v{_px(height)}h{_px(-width)}z"


def _text(x: float, y: float, text: str, attributes: str) -> Markup:
    opening = Markup("<text {}").format(Markup(attributes))  # noqa: S704 # written in this module
    return opening + Markup(' x="{}" y="{}">{}</text>').format(_px(x), _px(y), text)


def _px(value: float) -> str:
    return f"{round(value, 1):g}"


def _cut(lane: Lane, most: int) -> str:
    room = most - len(lane.note) - 3
    label = lane.label if len(lane.label) <= room else f"{lane.label[: room - 1]}…"
    return f"{label} · {lane.note}"


def _ticks(start: datetime, end: datetime, most: int) -> Iterator[datetime]:
    """Round times within the span, in the shortest steps that make at most ``most`` of them."""
    step = next((one for one in _STEPS if end - start <= one * most), None)
    if step is not None:
        moment = _MONDAY + -(-(start - _MONDAY) // step) * step
        while moment <= end:
            yield moment
            moment += step
        return
    months = next((one for one in _MONTH_STEPS if end - start <= timedelta(days=31) * one * most), _MONTH_STEPS[-1])
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    for number in range(first, last + 1):
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        if number % months == 0 and moment >= start:
            yield moment


def _tick_text(moment: datetime, span: timedelta) -> str:
    month = MONTHS[moment.month - 1][:3]
    if span <= timedelta(minutes=15):
        return f"{moment:%H:%M:%S}"
    if span <= timedelta(days=4) and (moment.hour or moment.minute):
        return f"{moment:%H:%M}"
    return f"{moment.day} {month}" if span <= timedelta(days=120) else f"{month} {moment.year}"
