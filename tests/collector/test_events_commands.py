"""Reviewing as staff type it."""

import psycopg
import pytest

from tests.collector.fix_operator import command_line
from tests.collector.fix_web import HOUSEHOLD_ID, OPEN_ID, PUBLIC_ID, seed
from tests.collector.test_triage import ADA, NOW, SOURCE

pytestmark = pytest.mark.db


@pytest.fixture
def civobs(plain_dsn, monkeypatch, capsys):
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", plain_dsn)
    with psycopg.connect(plain_dsn) as conn:
        seed(conn, NOW)
    return command_line(capsys)


def test_an_event_is_found_in_the_queue_confirmed_and_leaves_it(civobs):
    queue = civobs("events", "queue").out
    assert PUBLIC_ID in queue
    assert OPEN_ID in queue
    assert HOUSEHOLD_ID not in queue
    tried = civobs("events", "confirm", PUBLIC_ID, "--reviewer", ADA, "--dry-run")
    assert tried.out == f"nothing is written; this would be:\n{PUBLIC_ID}: version 3, closed, confirmed\n"
    said = civobs("events", "confirm", PUBLIC_ID, "--reviewer", ADA, "--source", SOURCE, "--note", "Checked.", "--json")
    assert (said.code, said.json["written"]) == (0, True)
    assert said.json["versions"][0]["record"]["confidence"]["label"] == "confirmed"
    assert [one["public_id"] for one in civobs("events", "queue", "--json").json] == [OPEN_ID]
    shown = civobs("events", "show", PUBLIC_ID).out
    assert f"reviewed by {ADA}" in " ".join(shown.split())
    assert "Checked." in shown
    assert "human_review" in shown


def test_what_an_event_lacks_is_said_before_and_when_it_is_refused(civobs):
    assert "to confirm  lacks: " in civobs("events", "show", HOUSEHOLD_ID).out
    said = civobs("events", "confirm", HOUSEHOLD_ID, "--reviewer", ADA)
    assert said.code == 1
    assert "cannot be confirmed: it is of one household" in said.err
    assert "Traceback" not in said.err


REFUSED = {
    ("retract", PUBLIC_ID): "a note is missing",
    ("cause", PUBLIC_ID, "fire"): "no known basis",
    ("cause", PUBLIC_ID, "fire", "--basis", "reported"): "none is given",
    ("split", PUBLIC_ID): "say what leaves",
    ("split", PUBLIC_ID, "--asn", "1", "--target", "a"): "say what leaves",
    ("merge", PUBLIC_ID, "CIV-2026-KE-0099"): "there is no event",
    ("hold", PUBLIC_ID, "--seen", "1"): "moved on",
}


def test_a_decision_that_lacks_something_is_refused_in_two_lines(civobs):
    for words, told in REFUSED.items():
        said = civobs("events", *words, "--reviewer", ADA)
        assert (said.code, said.err.count("\n")) == (1, 2), words
        assert told in said.err


def test_each_way_of_deciding_works(civobs):
    for words in (
        ("annotate", PUBLIC_ID, "--note", "More to come."),
        ("cause", PUBLIC_ID, "cable_cut", "--basis", "reported", "--source", SOURCE),
        ("cause", PUBLIC_ID, "unknown", "--note", "The source took it back."),
        ("split", PUBLIC_ID, "--asn", "37061"),
        ("merge", PUBLIC_ID, "CIV-2026-KE-0004"),
        ("reopen", "CIV-2026-KE-0004"),
        ("hold", PUBLIC_ID, "--note", "people are in danger"),
        ("release", PUBLIC_ID),
        ("retract", PUBLIC_ID, "--note", "A test of ours."),
        ("reopen", PUBLIC_ID),
    ):
        said = civobs("events", *words, "--reviewer", ADA)
        assert (said.code, said.err) == (0, ""), words
    shown = civobs("events", "show", PUBLIC_ID).out
    assert shown.count("human_review") == 10
    assert "people are in danger" not in shown
