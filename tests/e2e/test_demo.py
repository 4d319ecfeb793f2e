"""The demonstration, run as a user runs it, publishes what was done and loses nothing."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.lab.fix_lab_run import JUDGED_LAB, LONGEST_S, until_sound

CIVOBS = str(Path(sys.executable).with_name("civobs"))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done, said = until_sound(partial(play, folder), lambda played: played[1]["stood_still"])
    assert done.returncode == 0, done.stdout + done.stderr
    return said


def play(folder):
    """The ended process, and its JSON."""
    file = folder / "demo.json"
    command = [CIVOBS, "demo", "--scale", "40", "--json", str(file), "--logs", str(folder / "logs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done, json.loads(file.read_text())


pytestmark = JUDGED_LAB


def test_the_demonstration_loses_and_doubles_nothing(result):
    assert (result["lost"], result["doubled"]) == (0, 0)
    assert result["recorded"] == result["stored"] > 1000


def test_the_demonstration_publishes_the_shutdown_and_nothing_else(result):
    event = result["event"]
    assert (event["kind"], event["cc"], event["level"]) == ("shutdown_suspected", "XA", "country")
    assert (event["status"], event["provisional"], event["depth"]) == ("closed", False, "full")
    assert event["households"] == {"down": 8, "of": 8}
    assert event["public_id"].startswith("CIV-")
    assert event["versions"] >= 2
    assert result["control_events"] == []


def test_the_published_bounds_hold_the_truth(result):
    for edge, truth in (("onset", "start"), ("resolution", "end")):
        bounds = result["event"][edge]
        # A tenth of a second: the scenario's own clock reading and the moment a route changes differ a little.
        assert bounds["earliest"][:19] <= result["truth"][truth][:19] <= bounds["latest"][:19]
