"""The runner: what it refuses before any work, and what becomes of runs that do not go well."""

import io
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import psutil
import pytest
from rich.console import Console

from civobs_lab import runner, scenario_file
from civobs_lab.__main__ import main
from civobs_lab.play import Progress
from civobs_lab.results import RunResult
from civobs_lab.runner import Places
from civobs_lab.watch import Lines, watching

AT = datetime(2026, 1, 1, tzinfo=UTC)


def refused(capsys, *words):
    """The two lines with which something is refused."""
    assert main(words) == 2
    cause, remedy = capsys.readouterr().err.splitlines()
    return cause, remedy


def kept(folder, broke):
    """A folder with the result of a run that saw nothing, or broke down."""
    loaded = scenario_file.load(*scenario_file.find(["quiet-week"]))
    ended = runner.never_ran(loaded, broke, started_at=AT, seconds=1.0)
    folder.mkdir()
    whole = ended if broke else ended.model_copy(update={"zero": AT, "played_until": AT})
    runner.write(whole, Places(folder).result("quiet-week"))
    return str(folder)


def test_every_scenario_is_listed_with_its_title(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(scenario_file.find([]))
    assert any(line.startswith("national-shutdown ") and "provider" in line for line in lines)


def test_a_mistake_in_a_scenario_is_told_with_its_line_before_anything_runs(capsys, tiny):
    tiny.write_text(tiny.read_text().replace("settle", "setle"))
    assert main(["run", "national-shutdown", str(tiny)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{tiny}:5: unknown key `setle` in the file; did you mean 'settle'?"


def test_on_a_narrow_terminal_a_run_has_its_name_its_time_and_a_line_of_its_own():
    loaded = scenario_file.load(*scenario_file.find(["clock-wrong-after-power-cut"]))
    broken = tuple(f"power cut xa-64500-{n}" for n in range(1, 5))
    shown = io.StringIO()
    with watching([loaded], Console(file=shown, width=80, force_terminal=True, color_system=None)) as watcher:
        watcher.began(loaded)
        watcher.moved(loaded, Progress(phase="play", elapsed_s=60, lab_s=1234, broken=broken, events=2))
    last = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.getvalue()).splitlines()[-1]
    assert re.fullmatch(r"clock-wrong-after-power-cut \S+ +\d:\d\d:\d\d 20m34s in the lab, broken: .*…", last.rstrip())
    assert len(last) <= 80


def test_two_scenarios_of_one_name_are_refused(capsys, tiny):
    other = tiny.parent / "other"
    other.mkdir()
    (other / "tiny.toml").write_text(tiny.read_text())
    cause, _ = refused(capsys, "run", str(tiny), str(other / "tiny.toml"))
    assert cause == "lab: two scenarios are called tiny"


def test_resuming_needs_a_folder(capsys, tiny):
    _, remedy = refused(capsys, "run", str(tiny), "--resume")
    assert remedy.strip() == "add --json DIR"


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(capsys, tiny):
    cause, _ = refused(capsys, "run", str(tiny), "--json", "/proc/results")
    assert "cannot write to /proc/results" in cause


@pytest.mark.parametrize("words", [["score"], ["compare"]])
def test_a_folder_without_results_has_no_score(capsys, tmp_path, words):
    folders = [str(tmp_path)] * (2 if words == ["compare"] else 1)
    cause, _ = refused(capsys, *words, *folders)
    assert str(tmp_path) in cause


@pytest.mark.parametrize("words", [["run", "--jobs", "0"], ["run", "--scale", "x"], ["fly"], []])
def test_a_word_that_is_none_is_refused_as_usage(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_results_are_scored_and_compared_and_what_got_worse_is_told_by_the_exit_code(capsys, tmp_path):
    good, bad = kept(tmp_path / "good", None), kept(tmp_path / "bad", "in a test")
    assert main(["score", good, "--json", str(tmp_path / "board.json")]) == 0
    assert "quiet-week" in capsys.readouterr().out
    assert (tmp_path / "board.json").stat().st_size > 100
    assert main(["compare", good, bad]) == 1
    assert main(["compare", bad, good, "--json"]) == 0


def test_a_board_does_not_take_the_place_of_a_result(capsys, tmp_path):
    folder = kept(tmp_path / "good", None)
    cause, _ = refused(capsys, "score", folder, "--json", f"{folder}/quiet-week.json")
    assert "is the result of a run" in cause
    assert main(["score", folder, "--json", f"{folder}/board.json"]) == 0
    assert main(["score", folder, "--json", f"{folder}/board.json"]) == 0, "a board takes the place of a board"


def result(name="quiet-week"):
    return runner.never_ran(scenario_file.load(*scenario_file.find([name])), "in a test", started_at=AT, seconds=1.0)


def test_a_folder_of_results_that_was_removed_is_made_again(tmp_path):
    assert runner.keep(result(), Places(tmp_path / "a" / "b"))
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["quiet-week.json"]


def test_a_result_that_cannot_be_kept_is_told_in_a_line_and_leaves_nothing(capsys, tmp_path):
    (tmp_path / "quiet-week.json").mkdir()
    assert not runner.keep(result(), Places(tmp_path))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"lab: cannot write {tmp_path}/quiet-week.json: Is a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["quiet-week.json"]


def test_a_run_that_cannot_be_started_is_told_as_such_and_the_next_goes_on(capsys, tmp_path):
    (tmp_path / "logs").write_text("not a folder")
    scenarios = [scenario_file.load(path) for path in scenario_file.find(["quiet-week", "national-shutdown"])]
    ended = runner.run(scenarios, Places(tmp_path, tmp_path / "logs"), Lines(2))
    assert [each.broke for each in ended] == [
        f"it could not be started: [Errno 20] Not a directory: '{tmp_path}/logs/{name}'"
        for name in ("quiet-week", "national-shutdown")
    ]
    assert sorted(tmp_path.glob("*.json")) == [tmp_path / "national-shutdown.json", tmp_path / "quiet-week.json"]


def test_a_reader_that_has_seen_enough_ends_it_without_a_word():
    words = [sys.executable, "-m", "civobs_lab", "list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""
        assert listing.wait(30) == 128 + signal.SIGPIPE


@pytest.mark.netns
@pytest.mark.db
def test_a_run_that_hangs_is_ended_and_told_as_such(tiny, tmp_path):
    loaded = scenario_file.load(tiny)
    places = Places(tmp_path / "results", tmp_path / "logs")
    places.results.mkdir()
    before = set(psutil.Process().children())  # servers that other tests share
    (ended,) = runner.run([loaded], places, Lines(1), limit_s=lambda _: 4.0)
    assert ended.broke.startswith("hung: after 4 s it was still at: ")
    assert RunResult.model_validate_json((tmp_path / "results" / "tiny.json").read_bytes()) == ended
    assert not set(psutil.Process().children()) - before


@pytest.mark.netns
@pytest.mark.db
@pytest.mark.broker
def test_when_one_run_is_killed_the_next_goes_on_and_resuming_skips_what_is_there(start_lab, tiny, tmp_path):
    victim = tmp_path / "a-victim.toml"
    victim.write_text(tiny.read_text())
    results = tmp_path / "results"
    lab = start_lab("run", str(victim), str(tiny), "--json", str(results))
    lab.read_until("a-victim: start database")
    (child,) = [each for each in lab.look() if "civobs_lab.child" in each.cmdline()]
    child.kill()
    lab.read_until("tiny: start database")
    lab.look()
    lab.process.send_signal(signal.SIGINT)
    assert lab.process.wait(30) == 130
    assert lab.is_gone()
    # What the killed one left was swept by the one after it.
    assert lab.files() == []
    (file,) = results.iterdir()
    broken = RunResult.model_validate_json(file.read_bytes())
    assert broken.broke.startswith("killed by SIGKILL at: start database")
    again = start_lab("run", str(victim), "--json", str(results), "--resume")
    said = again.process.stdout.read()
    assert again.process.wait(30) == 1, "a kept run that broke down is one, too"
    assert "a-victim: broke down" not in said, "it was run again"
    assert "broke down: killed by SIGKILL at: start database" in said
