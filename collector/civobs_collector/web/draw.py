"""Charts drawn on the server: a Vega-Lite specification in, SVG for the page out, drawn once and remembered.

The SVG goes into the page itself, so that one style sheet rules both colour schemes and print, and a reader with a
screen reader meets a title and a table instead of shapes.
"""

import re
from collections import OrderedDict
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock

import orjson
import vl_convert
from markupsafe import Markup

from civobs_collector.publish.chart_spec import NARROW, WIDE, timeline_spec
from civobs_collector.publish.charts import Curve, CurvePoint, Lane, Segment, Timeline

KEPT = 256
"""Drawings kept in memory: 20 to 100 kB each."""

VEGA_LITE = "v5.20"
"""Named, so that a newer renderer does not change the charts of frozen pages."""


class Drawings:
    """Draws what it has not drawn yet. A drawing goes by what is drawn, so that whatever shows the same shares it.

    The renderer draws one chart at a time in 40 to 200 ms, and its first in a second, while no other thread of Python
    runs.
    """

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Future[str]] = OrderedDict()
        self._lock = Lock()

    def warm(self) -> None:
        """Draw something small, so that the first reader does not wait for the renderer to start."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        end = start + timedelta(days=1)
        lane = Lane("", "", (Segment(start, end, "d", "out"), Segment(start, end, "?")))
        curve = Curve("", (CurvePoint(start, 1, 1),), 2, main_state="u", end=end)
        self.both(Timeline(start, end, (lane,), curve, bands=((start, end, "began"),)), "")

    def both(self, timeline: Timeline, description: str) -> Markup:
        """Draw for a wide and a narrow page; the style sheet shows one of them."""
        wide, narrow = (
            _element(self._drawn(orjson.dumps(timeline_spec(timeline, width))), description) for width in (WIDE, NARROW)
        )
        return Markup('<div class="chart-wide">{}</div><div class="chart-narrow">{}</div>').format(wide, narrow)

    def _drawn(self, spec: bytes) -> str:
        """Draw, or wait for whoever draws the same."""
        key = sha256(spec).digest()
        with self._lock:
            known = self._kept.get(key)
            drawing = self._kept.setdefault(key, Future())
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if known is None:
            try:
                drawing.set_result(draw(spec))
            except BaseException as error:
                drawing.set_exception(error)
                with self._lock:
                    self._kept.pop(key, None)
                raise
        return drawing.result()


def draw(spec: bytes) -> str:
    """Draw one SVG; names within it are escaped by Vega."""
    return str(vl_convert.vegalite_to_svg(spec.decode(), vl_version=VEGA_LITE, allowed_base_urls=[]))


def _element(svg: str, description: str) -> Markup:
    """Give the drawing a class and a title in place of the renderer's own attributes."""
    opening = re.match(r"<svg [^>]*>", svg)
    if opening is None:
        raise ValueError("the renderer gave no SVG")
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" {}><title>{}</title>').format(
        Markup(" ".join(re.findall(r'(?:width|height|viewBox)="[^"]*"', opening.group()))),  # noqa: S704 # numbers
        description,
    )
    return head + Markup(svg[opening.end() :])  # noqa: S704 # the renderer's own output, escaped by it
