"""However a lab ends, nothing of it stays."""

import random
import signal
import tempfile
import time

import pytest

from civobs_lab import run_folder
from civobs_lab.results import RunResult

pytestmark = [pytest.mark.netns, pytest.mark.labs]

MOMENTS = 10
LATEST_S = 6.0
"""By then a lab's network, servers, database, broker, collector and probe have been started."""
LEAVE_S = 40


@pytest.fixture
def standing(start_lab):
    """A lab that is up."""
    lab = start_lab("shell")
    lab.read_until("is up")
    assert lab.look()
    return lab


def test_a_lab_that_is_told_to_quit_leaves_nothing(standing):
    standing.process.stdin.write("begin national_shutdown XA\nquit\n")
    standing.process.stdin.flush()
    assert standing.process.wait(30) == 0
    assert standing.is_gone()
    assert standing.files() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_lab_that_is_interrupted_leaves_nothing(standing, number, code):
    standing.process.send_signal(number)
    assert standing.process.wait(30) == code
    assert standing.is_gone()
    assert standing.files() == []


def test_a_killed_lab_leaves_a_folder_that_the_next_one_sweeps(standing, monkeypatch):
    standing.process.kill()
    standing.process.wait()
    assert standing.is_gone()
    assert len(standing.files()) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(standing.temporary))
    with run_folder.run_folder() as own:
        assert standing.files() == [own.name]
    assert standing.files() == []


def test_the_folder_of_a_living_lab_is_not_swept(standing, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(standing.temporary))
    assert run_folder.sweep() == []
    assert len(standing.files()) == 1


@pytest.mark.db
@pytest.mark.broker
@pytest.mark.slow
def test_runners_killed_at_random_moments_leave_nothing_and_the_next_run_works(start_lab, tiny, tmp_path):
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    words = ("run", str(tiny), "--json", str(tmp_path / "results"))
    for number in range(MOMENTS):
        how = (signal.SIGTERM, signal.SIGKILL)[number % 2]
        moment_s = chance.uniform(0.3, LATEST_S)
        lab = start_lab(*words)
        before = set(lab.files())
        time.sleep(moment_s)
        lab.look()
        lab.process.send_signal(how)
        code = lab.process.wait(LEAVE_S)
        assert lab.is_gone(), f"{how.name} after {moment_s:.2f} s left {lab.left()}"
        assert code in (128 + how, -how), f"{how.name} after {moment_s:.2f} s: it ended with {code}"
        if how is signal.SIGTERM:
            assert set(lab.files()) <= before
    last = start_lab(*words)
    said = last.process.stdout.read()
    assert last.process.wait(LEAVE_S) == 0, said
    assert last.is_gone()
    assert last.files() == []
    (file,) = (tmp_path / "results").iterdir()
    result = RunResult.model_validate_json(file.read_bytes())
    assert (result.broke, result.events, result.ledger.lost, result.ledger.doubled) == (None, (), 0, 0)
    assert result.ledger.recorded > 50
    assert result.load.agents == 1
