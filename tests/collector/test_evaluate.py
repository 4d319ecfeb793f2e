"""``civobs evaluate`` from the command line: files as people have them, the table, the document, the errors."""

import csv
import gzip
import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from civobs_collector.__main__ import main

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROSTER = ("time", "group", "n_expected", "n_up")


def roster_rows(groups, hours, *, minutes=5, seed=1):
    """``groups``: name -> (households, [(from hour, to hour)] without any of them)."""
    chance = random.Random(seed)
    for number in range(int(hours * 60 / minutes)):
        at = T0 + timedelta(minutes=minutes * number)
        hour = number * minutes / 60
        for name, (n, outages) in groups.items():
            up = 0.0 if any(start <= hour < end for start, end in outages) else 0.97
            yield at.isoformat(), name, n, sum(chance.random() < up for _ in range(n))


def write(path, heading, rows, *, opened=open):
    with opened(path, "wt", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    return str(path)


def evaluated(capsys, *arguments):
    """The document, and what was said on standard error."""
    assert main(["evaluate", *arguments, "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def test_a_roster_shows_its_outages_with_bounds_and_the_alert(tmp_path, capsys):
    rows = roster_rows({"KE": (12, [(48, 60)]), "AS1": (5, [])}, 96)
    document, errors = evaluated(capsys, "--form", "roster", write(tmp_path / "a.csv", ROSTER, rows))
    assert errors == ""
    assert document["schema"] == "civobs.evaluation/1"
    (event,) = document["events"]
    assert (event["group"], event["kind"], event["confidence"]) == ("KE", "outage", "probable")
    assert (event["start"], event["end"]) == ("2026-01-03T00:00:00Z", "2026-01-03T12:00:00Z")
    assert event["start_earliest"] < event["start"] < event["start_latest"] <= event["alert_at"]
    assert event["alert_at"] == "2026-01-03T00:05:00Z"
    assert (event["n_down"], event["n_observed"], event["depth"]) == (12, 12, 1.0)


def test_order_of_rows_and_columns_name_and_packing_do_not_matter(tmp_path, capsys):
    rows = list(roster_rows({"KE": (8, [(30, 34)]), "B": (3, [(40, 44)])}, 60))
    plain = write(tmp_path / "a.csv", ROSTER, rows)
    random.Random(5).shuffle(rows)
    turned = [(n_up, "x", name, at, n) for at, name, n, n_up in rows]
    packed = write(tmp_path / "b.data", (" N_UP", "note", "group", "Time", "n_expected"), turned, opened=gzip.open)
    first, _ = evaluated(capsys, "--form", "roster", plain)
    second, _ = evaluated(capsys, "--form", "roster", packed)
    assert len(first["events"]) == 2
    assert first["events"] == second["events"]


def test_files_of_one_width_are_read_as_one_and_standard_input_too(tmp_path):
    rows = list(roster_rows({"KE": (8, [(30, 34)])}, 60))
    half = len(rows) // 2 + 12
    first, second = write(tmp_path / "a.csv", ROSTER, rows[:half]), write(tmp_path / "b.csv", ROSTER, rows[half:])
    command = [sys.executable, "-m", "civobs_collector", "evaluate", "--form", "roster", "--json", first, "-"]
    with Path(second).open("rb") as piped:
        run = subprocess.run(command, stdin=piped, capture_output=True, check=True, text=True)
    document = json.loads(run.stdout)
    assert [one["file"] for one in document["inputs"]] == [first, "-"]
    assert [(one["start"], one["end"]) for one in document["events"]] == [
        ("2026-01-02T06:00:00Z", "2026-01-02T10:00:00Z")
    ]


def test_bad_rows_are_named_by_file_and_line_and_the_rest_goes_on(tmp_path, capsys):
    rows = [",".join(map(str, row)) for row in roster_rows({"KE": (8, [(30, 34)])}, 60)]
    rows[3:3] = [
        "2026-01-01T00:15:00,KE,8,8",
        "",
        "2026-01-01T00:15:00Z,KE,8,9",
        'soon,"KE,8,8',
        "2026-01-01T00:15Z,KE",
    ]
    path = tmp_path / "bad.csv"
    path.write_text("\ufeff" + "\r\n".join([",".join(ROSTER), *rows]))
    document, errors = evaluated(capsys, "--form", "roster", str(path))
    assert [(one["line"], one["problem"].split(";")[0]) for one in document["bad_rows"]] == [
        (5, "time '2026-01-01T00:15:00' has no offset"),
        (7, "n_up 9 is more than n_expected 8"),
        (8, "time 'soon' is not a time"),
        (9, "the row ends before its column n_expected"),
    ]
    assert f"{path}:5: time '2026-01-01T00:15:00' has no offset" in errors
    assert "4 bad rows left out" in errors
    assert len(document["events"]) == document["n_events"] == 1
    assert main(["evaluate", "--form", "roster", "--strict", str(path)]) == 2
    assert f"{path}:5: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is empty"),
        ("time,group,n_up\n", "no column n_expected; it has time,group,n_up"),
        ("time,group,n_expected,n_up\nx,KE,1,1\n", "no row of"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_an_error_with_a_remedy(tmp_path, capsys, text, cause):
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_text(text)
    assert main(["evaluate", "--form", "roster", str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert cause in said[-2]
    assert said[-1].strip()


def test_a_damaged_gzip_file_is_an_error(tmp_path, capsys):
    whole = write(tmp_path / "a.gz", ROSTER, roster_rows({"KE": (8, [])}, 60), opened=gzip.open)
    cut = tmp_path / "cut.gz"
    packed = Path(whole).read_bytes()
    cut.write_bytes(packed[: len(packed) // 2])
    assert main(["evaluate", "--form", "roster", str(cut)]) == 2
    assert "cut off or damaged" in capsys.readouterr().err


def test_a_heading_alone_is_no_event_and_no_error(tmp_path, capsys):
    document, _ = evaluated(capsys, "--form", "roster", write(tmp_path / "a.csv", ROSTER, []))
    assert document["events"] == []
    assert "no row" in document["notes"][0]


def test_a_file_of_households_that_are_only_ever_up_is_said_to_tell_of_no_loss(tmp_path, capsys):
    rows = [((T0 + timedelta(hours=hour)).isoformat(), "AS1", "h1", 1) for hour in range(48) if hour % 20]
    heading = ("time", "group", "household", "up")
    document, _ = evaluated(capsys, "--form", "roster-probes", write(tmp_path / "up.csv", heading, rows))
    assert document["events"] == []
    assert "no row says that a household was down" in document["notes"][0]


def test_the_table_names_events_and_scores(tmp_path, capsys):
    data = write(tmp_path / "a.csv", ROSTER, roster_rows({"KE": (12, [(48, 60)]), "AS7": (5, [(70, 72)])}, 96))
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "group_or_target,kind,start,end\n"
        "ke,shutdown,2026-01-03T00:00Z,2026-01-03T12:00Z\n"
        "7,power_cut,2026-01-03T22:00Z,\n"
        "KE,quiet,2026-01-01T00:00Z,2026-01-03T00:00Z\n"
    )
    written = tmp_path / "out.json"
    assert main(["evaluate", "--form", "roster", data, "--truth", str(truth), "-o", str(written)]) == 0
    said = capsys.readouterr().out
    assert "2 events found" in said
    assert "quiet: 1 of 1 without an event" in said
    document = json.loads(written.read_text())
    assert (document["score"]["precision"], document["score"]["recall"]) == (1.0, 1.0)
    assert document["score"]["by_kind"]["shutdown"]["delay_s"] == {"n": 1, "median": 300.0, "p90": 300.0}
    assert document["score"]["by_kind"]["power_cut"]["start_error_s"]["median"] == 0.0


def test_json_before_a_file_reads_the_file_and_json_with_a_name_writes_one(tmp_path, capsys):
    data = write(tmp_path / "a.csv", ROSTER, roster_rows({"KE": (12, [])}, 24))
    assert main(["evaluate", "--form", "roster", "--json", data]) == 0
    assert json.loads(capsys.readouterr().out)["n_rows"] == 288
    out = tmp_path / "out.json"
    assert main(["evaluate", "--form", "roster", data, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["n_rows"] == 288


def test_the_help_teaches_by_example(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = capsys.readouterr().out
    assert "time,network,country,target,layer,household,ok,failure" in said
    assert "civobs evaluate --form target votes.csv --json > found.json" in said


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("time,group,count\n2026-03-01T00:00Z,Bago,7\n")
    command = [sys.executable, "-m", "civobs_collector", "evaluate", "--form", "counts", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        said = run.stderr.read()
    assert (run.returncode, said) == (141, "")
