"""``once`` and ``show`` as a volunteer runs them, in a network that leads nowhere."""

import json
import os
import subprocess
import sys

import pytest

from civobs_agent.show import duration, meaning
from civobs_wire.failure import Outcome
from tests.agent.test_ladder import row

pytestmark = pytest.mark.netns


def civobs(folder, *arguments, encoding="utf-8"):
    settings = folder / "agent.toml"
    settings.write_text(f'state_dir = "{folder / "state"}"\n')
    command = ["unshare", "-n", sys.executable, "-m", "civobs_agent", "--config", str(settings), *arguments]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_once_says_rung_by_rung_what_answers_and_what_that_means(tmp_path):
    said = civobs(tmp_path, "once")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    rungs = [line[:2] for line in lines if line[:1] == "L" and line[1:2].isdigit()]
    assert rungs == ["L0", "L1", "L1", "L2", "L2", "L3", "L3", "L4", "L4", "L5"]
    assert "Beyond your country  IPv4  no answer from 9 hosts asked (no way there from\n" in said.stdout
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "Look at cable, Wi-Fi and router first" in said.stdout.replace("\n", " ")
    assert f"(10 rows kept in {tmp_path / 'state'}; they are delivered with all others.)" in said.stdout


def test_once_as_json_carries_the_rows_of_the_wire_and_those_of_a_target(tmp_path):
    said = civobs(tmp_path, "once", "--json", "--target", "https://example.org/")
    document = json.loads(said.stdout)
    kinds = [one["kind"] for one in document["rows"]]
    assert list(dict.fromkeys(kinds)) == ["ladder", "dns", "tcp", "tls", "http", "quic"]
    assert document["meaning"]
    assert document["seen"]["https://example.org/"][-1].startswith("One run from one home")


def test_once_draws_a_target_within_the_width_of_a_terminal_and_says_where_it_ended(tmp_path):
    said = civobs(tmp_path, "once", "--target", "https://example.org/", encoding="ascii")
    assert said.returncode == 0, said.stderr
    picture = said.stdout.partition("https://example.org/")[2].partition("\n(")[0]
    assert said.stdout.isascii()
    assert all(len(line) <= 80 for line in picture.splitlines())
    assert "Where it ended\n  - IPv4: " in picture
    assert "What was seen" in picture
    assert "blocked" not in said.stdout.lower()


def test_once_says_when_its_rows_cannot_be_kept(tmp_path):
    (tmp_path / "state").write_text("a file in the way")
    said = civobs(tmp_path, "once")
    assert said.returncode == 0, said.stderr
    assert "Not kept in the record" in said.stdout


def test_once_puts_its_rows_into_the_record_of_a_new_device_and_show_shows_them(tmp_path):
    once = civobs(tmp_path, "once", "--json")
    assert json.loads(once.stdout)["kept"] is True, once.stderr
    shown = civobs(tmp_path, "show", "--json", "--kind", "ladder")
    assert shown.returncode == 0, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [one["rung"] for one in rows] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert "Beyond your country" in civobs(tmp_path, "show").stdout
    assert len(civobs(tmp_path, "show", "--last", "3").stdout.splitlines()) == 3
    assert civobs(tmp_path, "show", "--kind", "http").stdout.startswith("No row of kind http is kept here")


def test_show_looks_for_a_kind_behind_newer_rows_of_others(tmp_path):
    civobs(tmp_path, "once", "--target", "https://example.org/")
    shown = civobs(tmp_path, "show", "--json", "--kind", "ladder", "--last", "2")
    assert [json.loads(line)["rung"] for line in shown.stdout.splitlines()] == [4, 5]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("once", "--target", "ftp://example.org"), "--target: not an http or https URL"),
        (("once", "--target", "https://ali:secret@example.org/"), "--target: the URL carries a name or a password"),
        (("once", "--target", "http://192.168.1.1/admin"), "--target: 192.168.1.1 is refused (private)"),
        (("once", "--target", "http://[::ffff:10.0.0.1]/"), "is refused (private)"),
        (("show", "--kind", "smoke"), "--kind: no kind 'smoke'"),
    ],
)
def test_a_wrong_argument_has_a_cause_and_a_remedy(arguments, cause, tmp_path):
    said = civobs(tmp_path, *arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert cause in said.stderr
    assert len(said.stderr.splitlines()) == 2


def test_show_without_a_record_says_what_to_do(tmp_path):
    said = civobs(tmp_path, "show")
    assert said.returncode == 1
    assert "Traceback" not in said.stderr


OK, BAD = Outcome.OK, Outcome.FAILED


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({1: OK, 2: OK, 3: OK, 4: OK, 5: OK}, "the Internet answers at this moment"),
        ({1: OK, 2: OK, 3: OK, 4: BAD, 5: BAD}, "only other probes can tell"),
        ({1: OK, 2: OK, 3: BAD, 4: BAD, 5: BAD}, "Your provider answers"),
        ({1: OK, 2: BAD, 3: BAD, 4: BAD, 5: BAD}, "One home cannot tell"),
        ({1: BAD, 2: BAD, 3: BAD, 4: BAD, 5: BAD}, "router first"),
        ({1: OK, 2: OK, 3: OK, 4: OK, 5: BAD}, "the page did not come through"),
        ({1: OK, 2: BAD, 3: BAD, 4: OK, 5: OK}, "those asked in your country do not"),
    ],
)
def test_the_last_sentence_claims_no_more_than_the_rungs_show(outcomes, words):
    assert words in meaning([row(rung, outcome) for rung, outcome in outcomes.items()])


def test_durations_are_in_the_units_of_people():
    assert [duration(s) for s in (5, 90, 7300, 400_000)] == ["5 s", "1 min", "2 h 1 min", "4 days 15 h"]
