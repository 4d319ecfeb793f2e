"""What a lab published is read from the collector's own tables, whatever version of it wrote them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import ValidationError

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect.chains import NewVersion
from civobs_collector.detect.record import EventRecord, Level, Status
from civobs_collector.detect_read import publish
from civobs_lab import collect

RECORD = json.loads((Path(__file__).parents[1] / "collector" / "event_record_2026_1.json").read_text())
AT = datetime(2026, 3, 1, 14, tzinfo=UTC)


def test_of_a_record_all_is_taken_that_a_score_needs():
    taken = collect.version_run(RECORD, AT)
    assert (taken.kind, taken.status, taken.level, taken.cc) == ("shutdown_suspected", "closed", "country", "KE")
    assert (taken.asns, taken.admin1, taken.depth) == ((101, 102), ("KE-30",), "full")
    assert taken.onset.likely == datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
    assert taken.resolution.earliest.hour == 12
    assert (taken.households_down, taken.households) == (6, 6)
    assert (taken.targets, taken.mechanisms) == ((), ()), "the record of this version has none"


def test_a_newer_record_tells_what_it_has_more():
    newer = RECORD | {
        "scope": RECORD["scope"] | {"targets": ["news.example"], "mechanisms": ["dns.injection"], "access": "mobile"},
        "something_else": {"that": "is new"},
    }
    taken = collect.version_run(newer, AT)
    assert (taken.targets, taken.mechanisms, taken.access) == (("news.example",), ("dns.injection",), "mobile")


def test_a_record_with_less_is_read_as_far_as_it_goes():
    bare = {name: RECORD[name] for name in ("kind", "status", "onset")} | {"scope": {"level": "country", "cc": "KE"}}
    taken = collect.version_run(bare, AT)
    assert (taken.likeliest, taken.depth, taken.resolution) == ("undetermined", "unknown", None)
    with pytest.raises(ValidationError):
        collect.version_run({"kind": "outage"}, AT)


def test_a_campaign_is_taken_from_the_newest_version():
    chain = [
        {"public_id": "CIV-2026-KE-0001", "published_at": AT, "record": record}
        for record in (RECORD, RECORD | {"campaign": {"campaign_id": "C7", "occurrence": 3, "n_occurrences": 3}})
    ]
    event = collect.event_run(chain)
    assert (event.campaign, len(event.versions)) == ("C7", 2)
    assert collect.event_run(chain[:1]).campaign is None


def test_only_an_answer_that_says_so_says_that_a_kind_of_access_cannot_be_seen():
    def said(cc, mobile):
        return {"cc": cc, "access": [{"access": "fixed", "sight": "observed"}, {"access": "mobile", "sight": mobile}]}

    answer = {"items": [said("XA", "observed"), said("XB", "not_observable"), said("XC", "not_known")]}
    assert collect.said_not_observable(answer) == ("XB",)
    assert collect.said_not_observable({"items": []}) == ()


# Against a database.


@pytest.fixture
def database(plain_dsn):
    """A way to write, and a way to read rows by name."""

    def query(text, values):
        with psycopg.connect(plain_dsn, row_factory=dict_row) as reading:
            return reading.execute(text, values).fetchall()

    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        yield conn, query


@pytest.mark.db
def test_events_are_read_with_all_versions_also_retracted_ones_and_those_of_households(database):
    conn, query = database
    record = EventRecord.model_validate(RECORD)
    first = NewVersion(record.event_key, 1, "new", "detected", record, public=True)
    home = record.model_copy(
        update={
            "event_key": record.event_key.__class__(int=record.event_key.int + 1),
            "scope": record.scope.model_copy(update={"level": Level.PROBE, "probe_id": "0" * 16}),
        }
    )
    retracted = record.model_copy(update={"status": Status.RETRACTED})
    publish(conn, first, AT)
    publish(conn, replace(first, version=2, change_kind="retracted", record=retracted), AT + timedelta(minutes=5))
    publish(conn, NewVersion(home.event_key, 1, "new", "detected", home, public=False), AT)
    conn.commit()
    public, private = sorted(collect.read_events(query), key=lambda event: event.public_id is None)
    assert public.public_id == "CIV-2026-KE-0001"
    assert [(one.status, one.published_at) for one in public.versions] == [
        ("closed", AT),
        ("retracted", AT + timedelta(minutes=5)),
    ]
    assert (private.public_id, private.versions[0].level) == (None, "probe")


@pytest.mark.db
def test_the_account_finds_what_is_lost_doubled_and_rejected(database):
    conn, query = database
    _store(conn, {"a" * 16: [1, 2, 3, 3, 5], "b" * 16: [1, 2, 9]})
    conn.execute("""
        INSERT INTO rejected_batch (received_at, last_at, n, topic, reason, detail, payload_sha256, receipted)
        VALUES (now(), now(), 7, 'civobs/v1/00/x/batch', 'wrong_signature', '', '\\x00', false)""")
    conn.commit()
    account = collect.read_ledger(query, {"a" * 16: 5, "b" * 16: 2})
    assert (account.recorded, account.stored) == (7, 7)
    assert (account.lost, account.doubled) == (1, 1), "row 4 is not there, row 3 twice; row 9 came since"
    assert account.rejected_batches == 1


def _store(conn, numbers):
    """Rows of probes by their numbers."""
    conn.execute("SELECT ensure_day(%s)", (AT.date(),))
    (target,) = conn.execute("INSERT INTO target (name) VALUES ('L4') RETURNING target_key").fetchone()
    for index, (probe_id, held) in enumerate(numbers.items()):
        (home,) = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
        (key,) = conn.execute(
            "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)"
            " VALUES (%s, %s, %s, '', 'KE', 101, 'test', %s) RETURNING probe_key",
            (probe_id, home, bytes([index]) * 32, AT),
        ).fetchone()
        for number in held:
            conn.execute(
                "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family,"
                " validity) VALUES (%s, %s, %s, %s, %s, 0, 1, 0, 4, 0)",
                (AT, AT, key, target, number),
            )
