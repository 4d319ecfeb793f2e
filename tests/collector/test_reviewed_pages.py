"""What the public sees of reviews, and of what is held nothing."""

import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.desk.triage import Wanted, decide
from civobs_collector.detect.reviews import Action
from tests.collector.fix_web import PUBLIC_ID
from tests.collector.test_triage import ADA, NOW, SOURCE

pytestmark = pytest.mark.db

HOSTILE = "<script>alert(1)</script> =1+1"


@pytest.fixture
def reviewed(own_site):
    """A confirmed event with a cause and a note (versions 3 to 5), then held (6) and noted again (7)."""
    cause = {"value": "cable_cut", "basis": "operator_statement"}
    with connect(DatabaseSettings(dsn=own_site.dsn), "events") as conn:
        decide(conn, Wanted(PUBLIC_ID, Action.CONFIRM, ADA, "Checked.", (SOURCE,)), NOW)
        decide(conn, Wanted(PUBLIC_ID, Action.CAUSE, ADA, sources=(SOURCE,), body=cause), NOW)
        decide(conn, Wanted(PUBLIC_ID, Action.ANNOTATE, ADA, HOSTILE), NOW)
        decide(conn, Wanted(PUBLIC_ID, Action.HOLD, ADA, "in danger"), NOW)
        decide(conn, Wanted(PUBLIC_ID, Action.ANNOTATE, ADA, "not yet told"), NOW)
    return own_site


def release(site):
    with connect(DatabaseSettings(dsn=site.dsn), "events") as conn:
        return decide(conn, Wanted(PUBLIC_ID, Action.RELEASE, ADA, "safe now"), NOW).versions[0]


def test_the_page_shows_who_confirmed_it_the_cause_with_its_source_and_the_notes(reviewed):
    page = reviewed.client.get(f"/events/{PUBLIC_ID}").text
    for text in (
        "Confirmed",
        "Cable cut",
        "As an operator states.",
        "example.org",
        f'href="{SOURCE}"',
        ADA,
        "Checked.",
    ):
        assert text in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "(a person reviewed the evidence)" in page
    history = reviewed.client.get(f"/events/{PUBLIC_ID}/history").text
    assert "Reviewed by" in history
    assert history.count("Checked.") == 1
    assert "Sources of the cause" in history


def test_json_csv_and_codf_carry_notes_reviewer_and_cause(reviewed):
    client = reviewed.client
    event = client.get(f"/api/v1/events/{PUBLIC_ID}").json()
    assert (event["version"], event["reviewed_by"], event["cause"]["sources"]) == (5, ADA, [SOURCE])
    assert [note["action"] for note in event["notes"]] == ["confirm", "cause", "annotate"]
    assert "machine" not in event
    (line,) = [one for one in client.get("/api/v1/events").json()["items"] if one["id"] == PUBLIC_ID]
    assert (line["reviewed_by"], line["confidence"]) == (ADA, "confirmed")
    table = client.get("/api/v1/events.csv").text
    assert f"operator_statement,{SOURCE},{ADA}" in table
    row = client.get(f"/api/v1/events/{PUBLIC_ID}", params={"format": "codf"}).json()["data"][0]
    assert (row["civobs_reviewed_by"], row["civobs_cause"], row["civobs_confidence"]) == (ADA, "cable_cut", "confirmed")
    assert HOSTILE in row["civobs_notes"]


def test_nothing_tells_of_a_version_that_is_held(reviewed):
    client = reviewed.client
    for path in (
        f"/events/{PUBLIC_ID}/v6",
        f"/events/{PUBLIC_ID}/v7",
        f"/events/{PUBLIC_ID}/v7.json",
        f"/events/{PUBLIC_ID}/v7.csv",
        f"/api/v1/events/{PUBLIC_ID}/v7",
    ):
        assert client.get(path).status_code == 404, path
    assert client.get(f"/events/{PUBLIC_ID}/v5").status_code == 200
    assert client.get(f"/api/v1/events/{PUBLIC_ID}").json()["version"] == 5
    for path in (
        "/",
        "/events.atom",
        "/countries/KE",
        f"/events/{PUBLIC_ID}",
        f"/events/{PUBLIC_ID}/history",
        f"/api/v1/events/{PUBLIC_ID}/history",
        "/api/v1/events",
        "/api/v1/events.csv",
    ):
        answer = client.get(path).text
        assert "not yet told" not in answer, path
        assert "in danger" not in answer, path


def test_what_is_released_follows_the_last_version_that_was_served(reviewed):
    assert release(reviewed).version == 8
    answer = reviewed.client.get(f"/api/v1/events/{PUBLIC_ID}/v8")
    assert answer.json()["supersedes"] == 5
    assert f'/events/{PUBLIC_ID}/v5>; rel="predecessor-version"' in answer.headers["Link"]
    assert [note["text"] for note in answer.json()["notes"]] == ["Checked.", "", HOSTILE, "not yet told"]
    assert "safe now" not in answer.text
    history = reviewed.client.get(f"/api/v1/events/{PUBLIC_ID}/history").json()["items"]
    assert [one["version"] for one in history] == [8, 5, 4, 3, 2, 1]
