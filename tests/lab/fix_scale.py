"""One scenario of the lab, played at two speeds at the same time: two cores carry both."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.fix_lab_run import LONGEST_S

SCALES = (25.0, 50.0)
"""Up to the fastest that the lab's brokers can follow (``docs/lab.md``), and half of it."""


@pytest.fixture(scope="session")
def isp_down(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """By the speed, the folder with the result of ``isp-down``."""
    folder = tmp_path_factory.mktemp("scales")
    words = [sys.executable, "-m", "civobs_lab", "run", "isp-down", "--scale"]
    places = {scale: folder / f"{scale:g}" for scale in SCALES}
    running = [
        subprocess.Popen(
            [*words, f"{scale:g}", "--json", str(place / "results"), "--logs", str(place / "logs")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for scale, place in places.items()
    ]
    try:
        for each in running:
            said, _ = each.communicate(timeout=LONGEST_S)
            assert each.returncode == 0, said
    finally:
        for each in running:
            each.kill()
            each.communicate()
    return {scale: place / "results" for scale, place in places.items()}
