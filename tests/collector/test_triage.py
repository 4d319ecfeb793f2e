"""Decisions in a real database: versions, reviews and the audit together, beside a running detector."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.config import CollectorSettings, DatabaseSettings, PublishSettings
from civobs_collector.db import events
from civobs_collector.db.connect import connect
from civobs_collector.db.read_queue import list_waiting
from civobs_collector.desk.triage import Wanted, decide
from civobs_collector.detect.chains import NewVersion
from civobs_collector.detect.record import EventRecord, Scope, Status
from civobs_collector.detect.reviews import Action, applied, unreviewed
from civobs_collector.detect_read import publish, reviews_of
from civobs_collector.detect_role import HOLD_COUNTRIES, detect_once
from civobs_collector.errors import NotFoundError, ReviewRefusedError
from tests.collector.fix_detect import at
from tests.collector.fix_web import HOUSEHOLD_ID, OPEN_ID, PUBLIC_ID, add_event, seed, shutdown_record
from tests.collector.test_detect_role import beats, enrol, say

pytestmark = pytest.mark.db

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ADA = "Ada Example"
SOURCE = "https://example.org/statement"
OTHER_ID = "CIV-2026-KE-0007"


@pytest.fixture
def desk(plain_dsn):
    """A connection as staff have it, to a database with published events."""
    with psycopg.connect(plain_dsn) as conn:
        seed(conn, NOW)
        other = shutdown_record(
            event_key="019aa9a0-0000-7000-8000-00000000000b",
            kind="outage",
            scope=Scope(level="network", cc="KE", asns=(64500,), asns_observed=(64500,), names={64500: "Late"}),
        )
        add_event(conn, OTHER_ID, [("new", "detected", other)])
    with connect(DatabaseSettings(dsn=plain_dsn), "events") as conn:
        yield conn


def wanted(action, event=PUBLIC_ID, **more):
    return Wanted(event, action, more.pop("reviewer", ADA), **more)


def audit_of(conn):
    return conn.execute("SELECT login, action, outcome, detail FROM audit ORDER BY audit_key").fetchall()


def counts(conn):
    (found,) = conn.execute(
        "SELECT ARRAY[(SELECT count(*) FROM event), (SELECT count(*) FROM event_version),"
        " (SELECT count(*) FROM review), (SELECT count(*) FROM audit)]"
    ).fetchone()
    return found


def newest(conn, name):
    stored = events.read_versions(conn, name)[-1]
    return stored, EventRecord.model_validate(stored.record)


def test_a_confirmation_is_a_version_a_review_and_a_line_in_the_audit(desk):
    decided = decide(desk, wanted(Action.CONFIRM, note="Checked.", sources=(SOURCE,)), NOW)
    assert (decided.public_id, [one.version for one in decided.versions]) == (PUBLIC_ID, [3])
    stored, record = newest(desk, PUBLIC_ID)
    assert (stored.change_kind, stored.reason, stored.published_at) == ("reviewed", "human_review", NOW)
    assert (record.confidence.label, record.reviewed_by) == ("confirmed", ADA)
    assert audit_of(desk) == [("(command line)", "event.confirm", "done", f"as {ADA}")]
    checked = {"level": record.scope.level, "asns": list(record.scope.asns), "targets": []}
    assert desk.execute("SELECT reviewer, action, note, sources, body FROM review").fetchall() == [
        (ADA, "confirm", "Checked.", [SOURCE], checked)
    ]


REFUSED = {
    "cannot be confirmed: it is of one household": wanted(Action.CONFIRM, HOUSEHOLD_ID, sources=(SOURCE,)),
    "a note is missing": wanted(Action.RETRACT),
    "an annotation": wanted(Action.ANNOTATE, note=" "),
    "nobody has confirmed": wanted(Action.REOPEN),
    "is not held": wanted(Action.RELEASE),
    "none is given": wanted(Action.CAUSE, body={"value": "cable_cut", "basis": "reported"}),
    "no known cause": wanted(Action.CAUSE, body={"value": "aliens", "basis": "reported"}, sources=(SOURCE,)),
    "no known basis": wanted(Action.CAUSE, body={"value": "cable_cut", "basis": None}, sources=(SOURCE,)),
    "no https address": wanted(Action.ANNOTATE, note="x", sources=("javascript:alert(1)",)),
    "not public": wanted(Action.CAUSE, HOUSEHOLD_ID, body={"value": "fire", "basis": "reported"}, sources=(SOURCE,)),
    "with itself": wanted(Action.MERGE, body={"with": PUBLIC_ID}),
    "of one country": wanted(Action.MERGE, body={"with": OPEN_ID}),
    "AS64500 is not of": wanted(Action.SPLIT, body={"asns": [64500]}),
    "is no number": wanted(Action.SPLIT, body={"asns": ["x"]}),
    "\x00, \ud800": wanted(Action.SPLIT, body={"targets": ["\ud800", "\x00"]}),
    "say what leaves": wanted(Action.SPLIT),
    "nothing would be left": wanted(Action.SPLIT, body={"asns": [33771, 36926, 37061]}),
    "a name that can stand": wanted(Action.HOLD, reviewer=" "),
    "too long": wanted(Action.ANNOTATE, note="x" * 5000),
    "moved on: version 2": wanted(Action.HOLD, seen_version=1),
}


def test_what_is_refused_is_said_logged_and_changes_nothing(desk):
    before = counts(desk)
    for words, one in REFUSED.items():
        with pytest.raises(ReviewRefusedError, match=words) as refused:
            decide(desk, one, NOW)
        assert refused.value.remedy
        _, action, outcome, detail = audit_of(desk)[-1]
        cause = "".join(letter if letter.isprintable() else "?" for letter in refused.value.cause)
        assert (action, outcome, detail) == (f"event.{one.action}", "refused", cause)
    assert counts(desk) == [*before[:3], before[3] + len(REFUSED)]


def test_an_event_that_is_not_there_is_refused_and_logged(desk):
    for name in ("CIV-2026-ZZ-0001", "\x00", "\ud800", ""):
        with pytest.raises(NotFoundError):
            decide(desk, wanted(Action.HOLD, name), NOW)
    assert [outcome for _, _, outcome, _ in audit_of(desk)] == ["refused"] * 4


def test_a_dry_run_leaves_nothing_at_all(desk):
    before = counts(desk)
    decided = decide(desk, wanted(Action.SPLIT, body={"asns": [37061]}), NOW, dry_run=True)
    assert [one.version for one in decided.versions] == [3, 1]
    with pytest.raises(ReviewRefusedError):
        decide(desk, wanted(Action.RETRACT), NOW, dry_run=True)
    assert counts(desk) == before


def test_what_a_person_retracted_comes_back_only_by_a_person(desk):
    decide(desk, wanted(Action.RETRACT, note="Two agents were being upgraded."), NOW)
    for action in (Action.RETRACT, Action.CONFIRM, Action.CAUSE):
        more = {"note": "x", "sources": (SOURCE,), "body": {"value": "fire", "basis": "reported"}}
        with pytest.raises(ReviewRefusedError, match="retracted"):
            decide(desk, wanted(action, **more), NOW)
    decide(desk, wanted(Action.REOPEN), NOW)
    _, record = newest(desk, PUBLIC_ID)
    assert (record.status, len(record.notes)) == (Status.CLOSED, 1)


def test_the_smaller_of_two_events_points_to_the_larger_until_it_is_reopened(desk):
    decided = decide(desk, wanted(Action.MERGE, body={"with": OTHER_ID}), NOW)
    assert [(one.change_kind, one.version) for one in decided.versions] == [("retracted", 2), ("extended", 3)]
    _, smaller = newest(desk, OTHER_ID)
    _, larger = newest(desk, PUBLIC_ID)
    assert (smaller.status, smaller.limits[0]) == (Status.RETRACTED, f"Merged into {PUBLIC_ID}, which tells of it.")
    assert 64500 in larger.scope.asns
    assert larger.scope.names[64500] == "Late"
    decide(desk, wanted(Action.REOPEN, OTHER_ID), NOW)
    assert newest(desk, OTHER_ID)[1].status is Status.CLOSED
    assert 64500 not in newest(desk, PUBLIC_ID)[1].scope.asns


def test_of_mergers_one_after_the_other_the_last_is_taken_back_first(desk):
    first, second = "CIV-2026-KE-0008", "CIV-2026-KE-0009"
    for asn in (37061, 36926):
        decide(desk, wanted(Action.SPLIT, body={"asns": [asn]}, note="Another cable."), NOW)
    for smaller, larger in ((first, second), (PUBLIC_ID, OTHER_ID), (second, OTHER_ID)):
        decide(desk, wanted(Action.MERGE, smaller, body={"with": larger}), NOW)
        assert newest(desk, smaller)[1].status is Status.RETRACTED
    with pytest.raises(ReviewRefusedError, match="is itself merged into"):
        decide(desk, wanted(Action.REOPEN, first), NOW)
    decide(desk, wanted(Action.REOPEN, second), NOW)
    decide(desk, wanted(Action.REOPEN, first), NOW)
    assert newest(desk, first)[1].status is Status.CLOSED


def test_networks_that_leave_get_an_event_with_an_id_of_its_own(desk):
    decided = decide(desk, wanted(Action.SPLIT, body={"asns": [37061]}, note="Another cable."), NOW)
    child = decided.versions[1].event_key
    stored, record = newest(desk, str(child))
    assert (stored.public_id, stored.change_kind, record.scope.asns) == ("CIV-2026-KE-0008", "new", (37061,))
    assert record.limits[0].startswith(f"Taken out of {PUBLIC_ID} by a reviewer.")
    rest = newest(desk, PUBLIC_ID)[1]
    assert "CIV-2026-KE-0008" in rest.limits[0]
    decide(desk, wanted(Action.MERGE, body={"with": "CIV-2026-KE-0008"}), NOW)
    assert newest(desk, PUBLIC_ID)[1].scope.asns == (33771, 36926, 37061)


def test_a_decision_waits_for_the_detector_and_not_for_ever(desk, plain_dsn, monkeypatch):
    monkeypatch.setattr("civobs_collector.desk.triage._WAIT_S", 1)
    with psycopg.connect(plain_dsn) as detector:
        assert events.lock_publishing(detector)
        with pytest.raises(ReviewRefusedError, match="the detector is publishing"):
            decide(desk, wanted(Action.HOLD), NOW)
        desk.execute("SET statement_timeout = 200")
        with pytest.raises(ReviewRefusedError, match="the detector is publishing"):
            decide(desk, wanted(Action.HOLD), NOW)
        desk.execute("RESET statement_timeout")
        timer = threading.Timer(0.3, detector.rollback)
        timer.start()
        assert decide(desk, wanted(Action.HOLD), NOW).versions[0].record.held == "review"
        timer.join()


@pytest.fixture
def kenya(dsn):
    """Two networks of Kenya lose the Internet from minute 600 to 780."""
    with connect(DatabaseSettings(dsn=dsn), "detect") as conn:
        keys = [enrol(conn, "KE", 101 + n % 2, n + 1) for n in range(4)]
        others = [enrol(conn, "TZ", 201, n + 11) for n in range(3)]
        for key in keys + others:
            say(conn, key, "online", 0, f"first-{key}")
        for key in keys:
            say(conn, key, "offline", 600.5, f"first-{key}")
            say(conn, key, "online", 781, f"second-{key}")
        beats(conn, 0, 1500)
        conn.commit()
        yield conn


def settings_for(dsn, *countries):
    return CollectorSettings(database=DatabaseSettings(dsn=dsn), publish=PublishSettings(hold_countries=countries))


def test_the_detector_goes_on_under_what_people_decided(kenya, dsn):
    settings = settings_for(dsn)
    (new,) = detect_once(kenya, settings, at(660)).changes
    decide(kenya, wanted(Action.RETRACT, new.public_id, note="A test of ours."), at(661))
    (kept,) = detect_once(kenya, settings, at(820)).changes
    assert (kept.version.version, kept.version.record.status, kept.version.record.held) == (3, "retracted", "retracted")
    assert detect_once(kenya, settings, at(821)).changes == ()
    (served,) = kenya.execute("SELECT version FROM event_served").fetchone()
    assert served == 2
    decide(kenya, wanted(Action.REOPEN, new.public_id), at(822))
    assert detect_once(kenya, settings, at(823)).changes == ()
    assert newest(kenya, new.public_id)[1].status is Status.CLOSED
    kenya.rollback()
    report = detect_once(kenya, settings, at(823) + timedelta(days=2), dry_run=True)
    assert report.changes == ()


def test_new_events_of_some_countries_wait_for_a_person(kenya, dsn):
    settings = settings_for(dsn, "KE")
    (new,) = detect_once(kenya, settings, at(660)).changes
    assert (new.public_id, new.version.record.held) == ("CIV-2026-KE-0001", "review")
    (closed,) = detect_once(kenya, settings, at(820)).changes
    assert (closed.version.version, closed.version.record.held) == (2, "review")
    assert kenya.execute("SELECT count(*) FROM event_served").fetchone() == (0,)
    assert kenya.execute("SELECT reviewer FROM review").fetchall() == [(HOLD_COUNTRIES,)]
    (version,) = decide(kenya, wanted(Action.RELEASE, new.public_id), at(821)).versions
    assert (version.change_kind, version.record.held, version.record.notes) == ("new", None, ())
    assert kenya.execute("SELECT version FROM event_served").fetchall() == [(3,)]


def test_a_confirmed_event_that_the_records_no_longer_bear_out_waits_for_a_person(desk):
    decide(desk, wanted(Action.CONFIRM), NOW)
    assert PUBLIC_ID not in [one.public_id for one in list_waiting(desk, 10)]
    stored, record = newest(desk, PUBLIC_ID)
    (said,) = reviews_of(desk, [stored.event_key]).values()
    gone = applied(unreviewed(record).model_copy(update={"status": Status.RETRACTED}), said)
    publish(desk, NewVersion(stored.event_key, 4, "corrected", "late_data", gone, public=True), NOW)
    (waiting,) = [one for one in list_waiting(desk, 10) if one.public_id == PUBLIC_ID]
    assert waiting.record["confidence"]["label"] == "confirmed"
    assert waiting.record["status"] == "closed"


def test_what_is_held_is_not_told_by_another_event(desk):
    decide(desk, wanted(Action.HOLD), NOW)
    with pytest.raises(ReviewRefusedError, match="the other would tell of it"):
        decide(desk, wanted(Action.MERGE, body={"with": OTHER_ID}), NOW)
    with pytest.raises(ReviewRefusedError, match="is held, and an event that leaves it"):
        decide(desk, wanted(Action.SPLIT, body={"asns": [37061]}), NOW)
    decide(desk, wanted(Action.HOLD, OTHER_ID), NOW)
    decided = decide(desk, wanted(Action.MERGE, body={"with": OTHER_ID}), NOW)
    assert [one.record.held for one in decided.versions] == ["review", "review"]
