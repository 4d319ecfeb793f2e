"""One scenario of the lab, played at two speeds at the same time: two cores carry both."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from civobs_lab.results import RunResult
from civobs_lab.scoring import score
from tests.lab.fix_lab_run import LONGEST_S, until_sound

SCENARIO = "isp-down"
SCALES = (25.0, 50.0)
"""Up to the fastest that the lab's brokers can follow (``docs/lab.md``), and half of it."""


class _Plays:
    """Runs of the scenario, of which the first at each speed go on side by side."""

    def __init__(self, folder: Path) -> None:
        self._places = {scale: folder / f"{scale:g}" for scale in SCALES}
        self._running: dict[float, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        for scale in SCALES:
            self._start(scale)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._running.values():
            each.kill()
            each.communicate()

    def result(self, scale: float) -> Path:
        """The folder with the result of the run at this speed, or of a new one if that was asked for before."""
        if scale not in self._running:
            self._start(scale)
        said, _ = self._running[scale].communicate(timeout=LONGEST_S)
        assert self._running.pop(scale).returncode == 0, said
        return self._places[scale] / "results"

    def _start(self, scale: float) -> None:
        place = self._places[scale]
        words = [sys.executable, "-m", "civobs_lab", "run", SCENARIO, "--scale", f"{scale:g}"]
        words += ["--json", str(place / "results"), "--logs", str(place / "logs")]
        self._running[scale] = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="session")
def isp_down(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """By the speed, the folder with the result of ``isp-down``."""
    with _Plays(tmp_path_factory.mktemp("scales")) as plays:
        return {scale: until_sound(partial(plays.result, scale), _stood_still) for scale in SCALES}


def _stood_still(results: Path) -> str:
    return score(RunResult.model_validate_json((results / f"{SCENARIO}.json").read_text())).stood_still
