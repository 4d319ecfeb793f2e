"""However a lab ends, nothing of it stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from civobs_lab import run_folder

pytestmark = pytest.mark.netns

LAB = [sys.executable, "-m", "civobs_lab"]


@pytest.fixture
def started(tmp_path):
    """A lab in a process of its own that is up, with a temporary folder of its own."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    runner = subprocess.Popen(LAB, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert "is up" in runner.stdout.readline()
        yield runner
    finally:
        runner.kill()
        runner.wait()
        runner.stdin.close()
        runner.stdout.close()


def family(folder):
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(int(entry.name))
    return found


def gone(folder, within_s=10.0):
    end = time.monotonic() + within_s
    while family(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def folders(tmp_path):
    return list(tmp_path.glob("civobs-lab-*"))


def test_a_lab_that_is_told_to_quit_leaves_nothing(started, tmp_path):
    assert family(tmp_path)
    started.stdin.write("begin national_shutdown XA\nquit\n")
    started.stdin.flush()
    assert started.wait(30) == 0
    assert gone(tmp_path)
    assert not folders(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_lab_that_is_interrupted_leaves_nothing(started, tmp_path, number, code):
    started.send_signal(number)
    assert started.wait(30) == code
    assert gone(tmp_path)
    assert not folders(tmp_path)


def test_a_killed_lab_leaves_a_folder_that_the_next_one_sweeps(started, tmp_path, monkeypatch):
    started.kill()
    started.wait()
    assert gone(tmp_path)
    assert len(folders(tmp_path)) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with run_folder.run_folder() as own:
        assert folders(tmp_path) == [own]
    assert not folders(tmp_path)


def test_the_folder_of_a_living_lab_is_not_swept(started, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_folder.sweep() == []
    assert len(folders(tmp_path)) == 1
