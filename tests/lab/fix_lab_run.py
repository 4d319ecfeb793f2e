"""A run of the lab in a process of its own with a temporary folder of its own, and everything that belongs to it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

GONE_S = 15.0
"""The kernel kills at once; a postmaster's children look for it within seconds."""

LONGEST_S = 480
"""More than the runner and the demonstration wait for at most, so that they are the ones to say what did not come."""
TRIES = 3
"""A run in which the lab itself stood still says nothing of the detector (``civobs_lab.stalls``), and is played anew.
What the last try gave is judged in any case: a machine that never keeps its pace is to be seen."""
_MARKS = [pytest.mark.netns, pytest.mark.db, pytest.mark.broker, pytest.mark.slow, pytest.mark.labs]
WHOLE_LAB = [*_MARKS, pytest.mark.timeout(LONGEST_S + 20)]
"""Marks of tests that play a scenario from end to end."""
JUDGED_LAB = [*_MARKS, pytest.mark.timeout(TRIES * (LONGEST_S + 20))]
"""The same where what was published is judged."""

TINY = """\
title = "One probe, and nothing happens"
resembles = "A scenario that takes no time."
time_scale = 120
length = "5m"
settle = "0s"
[probes]
AS64500 = 1
AS64501 = 0
AS64504 = 0
"""


Played = TypeVar("Played")


def until_sound(play: Callable[[], Played], stood_still: Callable[[Played], str]) -> Played:
    """What ``play`` gives in the first run in which nothing stood still for too long, or in the last that is tried."""
    for _ in range(TRIES):
        played = play()
        if not stood_still(played):
            break
    return played


class Started:
    """``scripts/lab`` with some words, without the script."""

    def __init__(self, words: Sequence[str], temporary: Path) -> None:
        self.temporary = temporary
        # In its environment, so that every process that comes of it can be told by it.
        env = {**os.environ, "TMPDIR": str(self.temporary)}
        command = [sys.executable, "-m", "civobs_lab", *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
        )
        self._seen: set[psutil.Process] = set()

    def read_until(self, words: str) -> str:
        """The first line with these words, or a failure with all that was said."""
        said = []
        for line in self.process.stdout:
            said.append(line)
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r}: {''.join(said)}")

    def look(self) -> set[psutil.Process]:
        """Remember the processes that there are now."""
        with suppress(psutil.NoSuchProcess):
            self._seen.update(psutil.Process(self.process.pid).children(recursive=True))
        return self._seen

    def left(self) -> list[str]:
        """What is still there of it: processes seen before, or with its environment; mounts."""
        alive = [each for each in self._seen if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        alive += [each for each in psutil.process_iter() if each not in alive and self._is_ours(each)]
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.temporary) in line]
        return [str(each) for each in alive] + mounts

    def is_gone(self) -> bool:
        """Whether nothing but files is left of it, within a while."""
        end = time.monotonic() + GONE_S
        while self.left():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def files(self) -> list[str]:
        """What it has left in its temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid in (os.getpid(), self.process.pid):
            return False
        try:
            folder = str(self.temporary)
            return process.environ().get("TMPDIR") == folder or any(folder in word for word in process.cmdline())
        except psutil.Error:
            return False


@pytest.fixture
def start_lab():
    """Starts the lab; ends what is still running afterwards."""
    started = []
    # Not below pytest's own folder: the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="lab-") as temporary:

        def start(*words):
            started.append(Started(words, Path(temporary)))
            return started[-1]

        try:
            yield start
        finally:
            for each in started:
                each.kill()


@pytest.fixture
def tiny(tmp_path):
    """A scenario's file that takes some fifteen seconds."""
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file
