"""``python -m tests.evaluation SET…``: civobs beside a plain CUSUM and a plain threshold, as docs/evaluation.md has it.

Sets: ``rosters`` (made), ``kenya`` (all, what was fitted, the rest: in the last two an event of the other half is no
false one), ``bago``, ``venezuela``, ``ukraine``; without a name all of them that are there.
``reliability`` draws docs/evaluation-reliability.svg.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.forms import read
from civobs_collector.evaluate.found import Found
from civobs_collector.evaluate.join import extents
from civobs_collector.evaluate.lines import Tally
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Wanted, evaluate
from civobs_collector.evaluate.score import Score, score
from civobs_collector.evaluate.truth import read_truth
from tests.evaluation import bago, kenya, reliability, rosters, ukraine, venezuela
from tests.evaluation.baselines import cusum, series_of, threshold
from tests.evaluation.data import missing

Made = tuple[Form, str, str]
"""Form, file, truth."""


def _rosters(folder: Path) -> list[Made]:
    return [
        (Form.ROSTER, *rosters.roster(folder, seeds=12)),
        (Form.ROSTER, *rosters.roster(folder, seeds=12, bin_s=3600.0)),
    ]


def _venezuela(folder: Path) -> list[Made]:
    return [(Form.ROSTER, venezuela.roster(folder), venezuela.truth(folder))]


def _ukraine(folder: Path) -> list[Made]:
    truth = ukraine.truth(folder)
    return [(Form.COUNTS, ukraine.counts(folder), truth), (Form.ROSTER, ukraine.roster(folder), truth)]


def _kenya(folder: Path) -> list[Made]:
    halves = ({}, {"until": kenya.FITTED_UNTIL}, {"since": kenya.FITTED_UNTIL})
    return [(Form.TARGET, kenya.target(folder), kenya.truth(folder, **half)) for half in halves]


def _bago(folder: Path) -> list[Made]:
    return [(Form.COUNTS, bago.counts(folder), bago.truth(folder))]


SETS: dict[str, tuple[tuple[str, ...], Callable[[Path], list[Made]]]] = {
    "rosters": ((), _rosters),
    "kenya": (kenya.FILE, _kenya),
    "bago": (bago.FILE, _bago),
    "venezuela": (venezuela.FILE, _venezuela),
    "ukraine": (ukraine.FILE, _ukraine),
}


HEAD = ("Detector", "Found", "False", "Elsewhere", "Quiet kept", "Delay, min", "Start off, min", "End off, min")
"""Elsewhere: events at places that the truth does not name. Delay and errors: median and 90th percentile."""


def compare(made: Made) -> dict[str, Score]:
    """The three detectors on one file."""
    form, path, truth = made
    rows, known = read(form, path, Tally()), read_truth(truth, Tally())
    ours = evaluate(Wanted(form, [path]), Params()).found
    found: dict[str, list[Found]] = {"civobs": ours, "plain CUSUM": [], "plain threshold": []}
    for one in series_of(rows):
        found["plain CUSUM"] += cusum(one)
        found["plain threshold"] += threshold(one)
    return {name: score(some, known, extents(rows)) for name, some in found.items()}


def line(name: str, made: Score) -> str:
    """One line of the table."""
    one = made.all
    return " | ".join(
        [
            f"| {name:15}",
            f"{one.n_found:4} of {one.n_truth:4}",
            f"{one.n_events - one.n_right - made.n_unnamed:4} of {one.n_events:4}",
            f"{made.n_unnamed:4}",
            f"{made.n_quiet_kept:3} of {made.n_quiet:3}",
            _minutes(one.delay_s.median, one.delay_s.p90),
            _minutes(one.start_error_s.median, one.start_error_s.p90),
            _minutes(one.end_error_s.median, one.end_error_s.p90) + " |",
        ]
    )


def _minutes(*values: float | None) -> str:
    return " / ".join("–" if value is None else f"{value / 60:.0f}" for value in values).rjust(11)


def main(names: Sequence[str]) -> None:
    """Print the figures of the sets."""
    if "reliability" in names:
        reliability.main()
    with tempfile.TemporaryDirectory() as folder:
        for name in [one for one in SETS if one in names or not names]:
            needs, make = SETS[name]
            if needs and missing(*needs):
                print(missing(*needs))
                continue
            for made in make(Path(folder)):
                print(f"\n{name}, form {made[0]}, {Path(made[1]).name}, {Path(made[2]).name}")
                print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
                for detector, result in compare(made).items():
                    print(line(detector, result))


if __name__ == "__main__":
    main(sys.argv[1:])
