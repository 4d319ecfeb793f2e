"""How fast the lab's time passes changes no verdict: what is published of a scenario is the same at two speeds."""

import pytest

from civobs_lab.matching import events_of, middle
from civobs_lab.results import RunResult
from tests.lab.fix_lab_run import JUDGED_LAB
from tests.lab.fix_scale import SCALES

pytestmark = JUDGED_LAB


@pytest.fixture(scope="module")
def runs(isp_down):
    """The two results."""
    return [RunResult.model_validate_json((isp_down[scale] / "isp-down.json").read_text()) for scale in SCALES]


def standing(run):
    """The last version of every event that was not withdrawn."""
    return [event.last for event in events_of(run) if not event.retracted]


def test_two_speeds_were_played(runs):
    assert tuple(run.time_scale for run in runs) == SCALES
    assert [run.broke for run in runs] == [None, None]


def test_the_same_is_published_at_both_speeds(runs):
    slow, fast = (
        sorted(
            (last.kind, last.cc, last.level, last.asns, last.depth, last.status, last.provisional, last.likeliest,
             last.households_down, last.households)
            for last in standing(run)
        )
        for run in runs
    )  # fmt: skip
    assert slow == fast
    assert len(slow) == 1


@pytest.mark.parametrize("edge", ["onset", "resolution"])
def test_start_and_end_are_the_same_within_a_bin(runs, edge):
    truths = {"onset": "start", "resolution": "end"}
    slow, fast = (
        (middle(getattr(standing(run)[0], edge)) - getattr(run.truths[0].spans[0], truths[edge])).total_seconds()
        * run.time_scale
        for run in runs
    )
    assert slow == pytest.approx(fast, abs=runs[0].bin_s)


def test_nothing_is_lost_or_doubled_at_either_speed(runs):
    assert [(run.ledger.lost, run.ledger.doubled) for run in runs] == [(0, 0), (0, 0)]
