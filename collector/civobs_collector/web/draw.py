"""Charts drawn on the server: a Vega-Lite specification in, SVG for the page out, drawn once and remembered.

The SVG goes into the page itself, so that one style sheet rules both colour schemes and print, and a reader with a
screen reader meets a title and a table instead of shapes.
"""

import re
from collections import OrderedDict
from threading import Lock

import vl_convert
from markupsafe import Markup

from civobs_collector.publish.charts import NARROW, WIDE, Timeline, timeline_spec

KEPT = 512
"""Drawings kept in memory: about 40 kB each."""

VEGA_LITE = "v5.20"
"""Named, so that a newer renderer does not change the charts of frozen pages."""


class Drawings:
    """Draws each chart once for each width. Its keys name what cannot change: an event's version, a page's period."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Markup] = OrderedDict()
        self._lock = Lock()

    def both(self, key: str, timeline: Timeline, description: str) -> Markup:
        """Draw for a wide and a narrow page; the style sheet shows one of them."""
        wide, narrow = (self._one(key, timeline, description, width) for width in (WIDE, NARROW))
        return Markup('<div class="chart-wide">{}</div><div class="chart-narrow">{}</div>').format(wide, narrow)

    def _one(self, key: str, timeline: Timeline, description: str, width: int) -> Markup:
        with self._lock:
            if (key, width) in self._kept:
                self._kept.move_to_end((key, width))
                return self._kept[key, width]
        drawn = draw(timeline, description, width)
        with self._lock:
            self._kept[key, width] = drawn
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawn


def draw(timeline: Timeline, description: str, width: int) -> Markup:
    """Draw one SVG. Vega escapes the names within it; what surrounds them is ours."""
    svg = vl_convert.vegalite_to_svg(
        timeline_spec(timeline, width, description), vl_version=VEGA_LITE, allowed_base_urls=[]
    )
    opening = re.match(r"<svg [^>]*>", svg)
    if opening is None:
        raise ValueError("the renderer gave no SVG")
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" {}><title>{}</title>').format(
        Markup(" ".join(re.findall(r'(?:width|height|viewBox)="[^"]*"', opening.group()))),  # noqa: S704 # numbers
        description,
    )
    return head + Markup(svg[opening.end() :])  # noqa: S704 # the renderer's own output, escaped by it
