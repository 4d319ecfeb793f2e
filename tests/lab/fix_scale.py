"""One scenario of the lab, played at two speeds at the same time: two cores carry both."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from civobs_lab.results import RunResult
from civobs_lab.scoring import score
from tests.lab.fix_lab_run import LONGEST_S, until_sound

SCENARIO = "isp-down"
SCALES = (25.0, 50.0)
"""Up to the fastest that the lab's brokers can follow (``docs/lab.md``), and half of it."""


@pytest.fixture(scope="session")
def isp_down(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """By the speed, the folder with the result of ``isp-down``."""
    folder = tmp_path_factory.mktemp("scales")
    places = {scale: folder / f"{scale:g}" for scale in SCALES}
    with ThreadPoolExecutor(len(SCALES)) as side_by_side:
        plays = [
            side_by_side.submit(until_sound, partial(_play, scale, place), _stood_still)
            for scale, place in places.items()
        ]
        return {scale: played.result() for scale, played in zip(SCALES, plays, strict=True)}


def _play(scale: float, place: Path) -> Path:
    """The folder with the result."""
    results = place / "results"
    words = [sys.executable, "-m", "civobs_lab", "run", SCENARIO, "--scale", f"{scale:g}"]
    words += ["--json", str(results), "--logs", str(place / "logs")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


def _stood_still(results: Path) -> str:
    return score(RunResult.model_validate_json((results / f"{SCENARIO}.json").read_text())).stood_still
