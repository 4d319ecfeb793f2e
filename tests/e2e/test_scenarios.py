"""A scenario of the lab, run as a user runs it, is found and called by its name, and nothing else is."""

import json
import subprocess
import sys

import pytest

from tests.lab.fix_lab_run import JUDGED_LAB

pytestmark = JUDGED_LAB


@pytest.fixture(scope="module")
def score(isp_down, tmp_path_factory):
    board = tmp_path_factory.mktemp("score") / "board.json"
    scoring = [sys.executable, "-m", "civobs_lab", "score", str(isp_down[50.0]), "--json", str(board)]
    subprocess.run(scoring, capture_output=True, check=True)
    (one,) = json.loads(board.read_text())["scenarios"]
    return one


def test_an_isp_that_is_down_is_published_as_its_outage_once(score):
    (occurrence,) = score["truths"][0]["occurrences"]
    assert occurrence["event"].startswith("CIV-")
    assert (occurrence["kind"]["right"], occurrence["scope"]["right"]) == (True, True)
    assert (occurrence["split"], occurrence["withdrawn"]) == ([], [])
    assert score["truths"][0]["verdict"] in {"right", "partly"}


def test_its_neighbours_are_not_called_down(score):
    assert score["false_alarms"] == [], score["stood_still"]
    assert [truth["false_calls"] for truth in score["truths"] if truth["kind"] == "nothing"] == [[]]


def test_every_measurement_of_it_is_stored_once(score):
    ledger = score["ledger"]
    assert (ledger["lost"], ledger["doubled"], ledger["rejected_batches"]) == (0, 0, 0)
    assert ledger["recorded"] == ledger["stored"] > 1000


def test_what_an_agent_took_of_the_machine_is_told(score):
    assert score["load"]["agents"] == 9
    assert 5 < score["load"]["rss_mib"] < 100
