"""How often events of a posterior and of a label are right: on made rosters, which nothing was fitted to.

``python -m tests.evaluation reliability`` prints the table and draws docs/evaluation-reliability.svg.
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import vl_convert
from scipy.stats import beta

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Evaluation, Wanted, evaluate
from civobs_collector.web.draw import VEGA_LITE
from tests.evaluation import rosters

EDGES = (0.8, 0.95, 0.98, 0.99, 0.999, 1.0)
CHART = Path(__file__).parents[2] / "docs" / "evaluation-reliability.svg"


@dataclass(frozen=True, slots=True)
class Bar:
    """Events that were said to be as sure as each other."""

    name: str
    stated: float
    """Their mean posterior."""
    n: int
    n_right: int

    @property
    def share(self) -> float:
        return self.n_right / self.n

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % of Beta(k + 1, n - k + 1)."""
        low, high = beta.ppf((0.025, 0.975), self.n_right + 1, self.n - self.n_right + 1)
        return float(low), float(high)


def told(seeds: int) -> Iterator[tuple[float, str, bool]]:
    """Posterior, label and whether it is right, of every event."""
    with tempfile.TemporaryDirectory() as folder:
        for bin_s in (300.0, 900.0, 3600.0):
            data, truth = rosters.roster(Path(folder), seeds, bin_s)
            yield from _told(evaluate(Wanted(Form.ROSTER, [data], truth), Params()))


def _told(made: Evaluation) -> Iterator[tuple[float, str, bool]]:
    if made.score is None:
        raise ValueError("no truth")
    wrong = set(made.score.false_alarms)
    for place, one in enumerate(made.found):
        if one.posterior is not None:
            yield one.posterior, one.confidence, place not in wrong


def bars(events: list[tuple[float, str, bool]]) -> list[Bar]:
    """By posterior, and by label."""
    found = []
    for low, high in itertools.pairwise(EDGES):
        some = [one for one in events if low <= one[0] < high or one[0] == high == EDGES[-1]]
        found.append(_bar(f"{low:g} to {high:g}", some))
    found.extend(_bar(label, [one for one in events if one[1] == label]) for label in ("unconfirmed", "probable"))
    return [one for one in found if one.n]


def _bar(name: str, some: list[tuple[float, str, bool]]) -> Bar:
    return Bar(name, sum(one[0] for one in some) / max(1, len(some)), len(some), sum(one[2] for one in some))


def chart(found: list[Bar]) -> str:
    """SVG: what was stated against what was so."""
    values = [
        {"stated": one.stated, "right": one.share, "low": one.bounds[0], "high": one.bounds[1], "n": f"{one.n}"}
        for one in found
        if one.name[0].isdigit()
    ]
    scale = {"domain": [0.5, 1.0]}
    x = {"field": "stated", "type": "quantitative", "scale": scale, "title": "posterior stated (mean of the class)"}
    y = {"field": "right", "type": "quantitative", "scale": scale, "title": "share of events that were right"}
    spec = {
        "width": 360,
        "height": 360,
        "data": {"values": values},
        "layer": [
            {
                "data": {"values": [{"stated": 0.5, "right": 0.5}, {"stated": 1.0, "right": 1.0}]},
                "mark": {"type": "line", "color": "#888", "strokeDash": [4, 4]},
                "encoding": {"x": x, "y": y},
            },
            {"mark": {"type": "rule"}, "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": {"x": x, "y": y}},
            {
                "mark": {"type": "text", "align": "right", "dx": -8},
                "encoding": {"x": x, "y": y, "text": {"field": "n"}},
            },
        ],
    }
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[]))


def main() -> None:
    """Print the table and draw the chart."""
    found = bars(list(told(seeds=10)))
    print("| Said | Events | Right | Share right | 95 % |\n|---|---|---|---|---|")
    for one in found:
        low, high = one.bounds
        print(f"| {one.name} | {one.n} | {one.n_right} | {one.share:.3f} | {low:.3f} to {high:.3f} |")
    CHART.write_text(chart(found), encoding="utf-8")
