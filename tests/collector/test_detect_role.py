"""The detector against a real database: reading, publishing, revising, and what it refuses to change."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from civobs_collector.config import CollectorSettings, DatabaseSettings, DetectSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.events import list_events, read_versions
from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord
from civobs_collector.detect_read import portions, read_inputs
from civobs_collector.detect_role import detect_once, run
from civobs_collector.rollups import fold_whole_days, roll_up
from tests.collector.fix_detect import T0, at

pytestmark = pytest.mark.db


def settings_for(dsn, **detect):
    return CollectorSettings(database=DatabaseSettings(dsn=dsn), detect=DetectSettings(**detect))


def enrol(conn, cc, asn, number, enrolled_at=T0 - timedelta(days=90)):
    (home,) = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
    (key,) = conn.execute(
        "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)"
        " VALUES (%s, %s, %s, '', %s, %s, 'test', %s) RETURNING probe_key",
        (f"{number:016d}", home, number.to_bytes(32, "big"), cc, asn, enrolled_at),
    ).fetchone()
    return key


def say(conn, key, state, minute, session, boot=1):
    conn.execute(
        "INSERT INTO presence VALUES (%s, %s, %s, %s, %s, %s, 0, 60, false)",
        (key, at(minute), state, session, UUID(int=boot), at(minute)),
    )


def ladder(conn, key, rung, outcome, minutes, *, failure=None, err_ms=10, family=4):
    conn.execute("INSERT INTO target (name) VALUES (%s) ON CONFLICT DO NOTHING", (f"L{rung}",))
    times = [at(minute) for minute in minutes]
    for day in sorted({time.date() for time in times}):
        conn.execute("SELECT ensure_day(%s)", (day,))
    conn.cursor().executemany(
        "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, failure, outcome,"
        " family, validity) SELECT %s, %s, %s, target_key, %s, %s, 1, %s, %s, %s, 0 FROM target WHERE name = %s",
        [
            (time, time, key, number + 1, err_ms, failure, outcome, family, f"L{rung}")
            for number, time in enumerate(times)
        ],
    )


def beats(conn, first, last):
    conn.cursor().executemany(
        "INSERT INTO collector_beat VALUES (%s, 'ingest', 'a', true)",
        [(at(minute),) for minute in range(first, last + 1)],
    )


@pytest.fixture
def cut_country(dsn):
    """Two networks of Kenya lose the Internet from minute 600 to 780; Tanzania does not."""
    with connect(DatabaseSettings(dsn=dsn), "test") as conn:
        kenya = [enrol(conn, "KE", 101 + n % 2, n + 1) for n in range(4)]
        tanzania = [enrol(conn, "TZ", 201, n + 11) for n in range(3)]
        for key in kenya + tanzania:
            say(conn, key, "online", 0, f"first-{key}")
        for key in kenya:
            say(conn, key, "offline", 600.5, f"first-{key}")
            say(conn, key, "online", 781, f"second-{key}")
        beats(conn, 0, 1500)
        conn.commit()
        yield conn, settings_for(dsn), kenya


def backfill(conn, keys):
    for key in keys:
        ladder(conn, key, 3, 0, [540 + m for m in range(300)])
        ladder(conn, key, 4, 0, [540 + m for m in range(60)])
        ladder(conn, key, 4, 1, [600 + m for m in range(180)], failure=8)
        ladder(conn, key, 4, 0, [780 + m for m in range(60)])
    conn.commit()


def test_a_shutdown_is_published_closed_and_revised_by_late_rows(cut_country):
    conn, settings, kenya = cut_country
    (new,) = detect_once(conn, settings, at(660)).changes
    assert (new.public_id, new.version.change_kind, new.version.reason) == ("CIV-2026-KE-0001", "new", "detected")
    (closed,) = detect_once(conn, settings, at(820)).changes
    assert (closed.version.version, closed.version.change_kind) == (2, "closed")
    backfill(conn, kenya)
    (revised,) = detect_once(conn, settings, at(840)).changes
    assert (revised.version.change_kind, revised.version.reason) == ("corrected", "late_data")
    assert revised.version.record.depth == "international_only"
    assert not revised.version.record.provisional
    assert detect_once(conn, settings, at(841)).changes == ()
    versions = read_versions(conn, "civ-2026-ke-0001")
    assert [one.version for one in versions] == [1, 2, 3]
    assert versions[0].record == new.version.record.model_dump(mode="json")
    assert versions[0].record["resolution"] is None
    assert [one.public_id for one in list_events(conn, level="country", cc="KE")] == ["CIV-2026-KE-0001"]


def test_a_version_holds_the_names_of_its_places_and_renaming_makes_no_new_one(cut_country):
    conn, settings, _ = cut_country
    conn.execute("INSERT INTO network (asn, name, cc) VALUES (101, 'First', 'KE'), (102, '', 'KE')")
    conn.commit()
    (new,) = detect_once(conn, settings, at(660)).changes
    assert (new.version.record.scope.country, new.version.record.scope.names) == ("Kenya", {101: "First"})
    conn.execute("UPDATE network SET name = 'Second'")
    conn.commit()
    assert detect_once(conn, settings, at(661)).changes == ()
    (stored,) = read_versions(conn, new.public_id)
    assert EventRecord.model_validate(stored.record).scope.names == {101: "First"}


def test_a_batch_that_waited_for_the_collector_is_no_sign_of_life_from_when_it_was_received(dsn):
    with psycopg.connect(dsn) as conn:
        key = enrol(conn, "KE", 101, 1)
        say(conn, key, "online", 0, "a")
        batch = "INSERT INTO batch VALUES (%s, %s, %s, %s, %s, 1, %s, %s, 'synced', %s, 'a', 'p', %s, 'f', 0)"
        for number, (sealed, received, err_ms) in enumerate([(58, 58, 2000), (58.2, 59.9, 3000)], start=1):
            values = key, number, UUID(int=1), at(sealed), at(received), number, number, err_ms, bytes(32)
            conn.execute(batch, values)
        say(conn, key, "offline", 60, "a")
        conn.commit()
        will = next(one for one in read_inputs(conn, T0, at(70), Params()).presence if one.state == "offline")
    assert will.live_at == at(58.2) - timedelta(seconds=3)


def test_a_dry_run_writes_nothing(cut_country):
    conn, settings, _ = cut_country
    report = detect_once(conn, settings, at(660), dry_run=True)
    assert (len(report.changes), report.published) == (1, False)
    assert list_events(conn) == []


def test_only_one_detector_publishes_at_a_time(cut_country, dsn):
    conn, settings, _ = cut_country
    with connect(settings.database, "other") as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x636976_6576,))
        assert not detect_once(conn, settings, at(660)).published
        other.rollback()
    assert detect_once(conn, settings, at(660)).published


def test_published_versions_cannot_be_changed_or_deleted(cut_country):
    conn, settings, _ = cut_country
    detect_once(conn, settings, at(660))
    for statement in (
        "UPDATE event_version SET status = 'closed'",
        "DELETE FROM event_version",
        "TRUNCATE event_version",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"), conn.transaction():
            conn.execute(statement)


def test_a_record_as_it_was_first_stored_is_still_read():
    """The file is never written anew: what fails here fails on the records of every installation."""
    stored = json.loads((Path(__file__).parent / "event_record_2026_1.json").read_text())
    assert EventRecord.model_validate(stored).model_dump(mode="json", exclude_unset=True) == stored


def test_a_stored_event_that_cannot_be_read_is_left_and_the_others_go_on(cut_country, caplog):
    conn, settings, _ = cut_country
    (public_id,) = [one.public_id for one in detect_once(conn, settings, at(660)).changes]
    conn.execute(
        "INSERT INTO event_version (event_key, version, published_at, change_kind, reason, detector_version, status,"
        " kind, level, cc, onset_earliest, onset_latest, record) SELECT event_key, 2, published_at, 'corrected',"
        " reason, 'civobs 99', status, kind, level, cc, onset_earliest, onset_latest,"
        """ record || '{"of_a_later_program": 1}' FROM event_version"""
    )
    key = enrol(conn, "UG", 301, 99)
    say(conn, key, "online", 0, "first")
    say(conn, key, "offline", 500, "first")
    conn.commit()
    changes = detect_once(conn, settings, at(800)).changes
    assert [one.version.record.scope.cc for one in changes] == ["UG"]
    assert "field=of_a_later_program" in caplog.text
    assert len(read_versions(conn, public_id)) == 2


def test_an_event_of_one_household_gets_no_public_id(cut_country):
    conn, settings, _ = cut_country
    key = enrol(conn, "UG", 301, 99)
    say(conn, key, "online", 0, "first")
    say(conn, key, "offline", 300, "first")
    conn.commit()
    changes = detect_once(conn, settings, at(400)).changes
    assert [(c.public_id, c.version.record.scope.level) for c in changes] == [(None, "probe")]
    assert changes[0].version.record.scope.probe_id == f"{99:016d}"


def test_a_probe_that_was_unplugged_does_not_stretch_the_window_and_its_event_is_closed_once(cut_country):
    conn, settings, _ = cut_country
    key = enrol(conn, "UG", 301, 99)
    say(conn, key, "online", 0, "first")
    say(conn, key, "offline", 300, "first")
    conn.commit()
    detect_once(conn, settings, at(400))
    later = at(50 * 1440)
    report = detect_once(conn, settings, later)
    assert report.since == later - timedelta(days=settings.detect.window_d)
    (change,) = report.changes
    assert (change.version.change_kind, change.version.record.resolution) == ("closed", None)
    assert detect_once(conn, settings, later + timedelta(hours=2)).changes == ()


def test_a_collector_without_sign_of_life_opens_nothing(cut_country):
    conn, settings, _ = cut_country
    conn.execute("DELETE FROM collector_beat WHERE at > %s", (at(598),))
    conn.commit()
    assert detect_once(conn, settings, at(700)).changes == ()


def test_ladder_rows_are_folded_to_runs_at_changes_and_holes(cut_country):
    conn, _, kenya = cut_country
    key = kenya[0]
    ladder(conn, key, 4, 0, [0, 5, 10])
    ladder(conn, key, 4, 0, [40, 45], err_ms=20)
    ladder(conn, key, 4, 1, [46, 47], failure=8)
    ladder(conn, key, 4, 2, [48], failure=206)
    ladder(conn, key, 4, 1, [49], failure=8, err_ms=3_600_000)
    ladder(conn, key, 4, 1, [46], failure=8, family=6)
    conn.commit()
    found = read_inputs(conn, T0, at(60), Params()).runs
    assert found == (
        LadderRun(key, 4, 4, RunOutcome.OK, at(0), at(10), 3, 0.01, 0.01),
        LadderRun(key, 4, 4, RunOutcome.OK, at(40), at(45), 2, 0.02, 0.02),
        LadderRun(key, 4, 4, RunOutcome.FAILED, at(46), at(47), 2, 0.01, 0.01),
        LadderRun(key, 4, 4, RunOutcome.AGENT_DOWN, at(48), at(48), 1, 0.01, 0.01),
        LadderRun(key, 4, 4, RunOutcome.CLOCK, at(49), at(49), 1, 3600.0, 3600.0),
        LadderRun(key, 4, 6, RunOutcome.FAILED, at(46), at(46), 1, 0.01, 0.01),
    )


def test_what_is_found_from_folds_is_the_same_to_the_byte_as_from_rows(cut_country):
    conn, settings, kenya = cut_country
    backfill(conn, kenya)

    def found():
        conn.commit()
        report = detect_once(conn, settings, at(2 * 1440), dry_run=True)
        return [change.version.record.model_dump_json() for change in report.changes]

    from_rows = found()
    assert from_rows
    conn.execute(
        "INSERT INTO dirty_bucket SELECT DISTINCT date_bin('5 minutes', ts, timestamptz '2000-01-01Z'), probe_key"
        " FROM measurement"
    )
    for work, limit in ((roll_up, 77), (fold_whole_days, 1), (roll_up, 500), (fold_whole_days, 500)):
        assert work(conn, at(2 * 1440), limit=limit)
        assert found() == from_rows
    assert conn.execute("SELECT count(*) FROM dirty_bucket").fetchone() == (0,)
    assert conn.execute("SELECT bool_or(n <> '{}') FROM ladder_1d").fetchone() == (True,)


def test_a_few_answers_and_names_that_were_not_found_are_runs_of_their_own(cut_country):
    conn, _, kenya = cut_country
    key = kenya[0]
    ladder(conn, key, 4, 0, [0, 5, 10])
    ladder(conn, key, 2, 0, [0, 5, 10])
    ladder(conn, key, 5, 0, [0])
    ladder(conn, key, 5, 1, [5, 10], failure=8)
    conn.execute("UPDATE measurement SET value = CASE WHEN ts < %s THEN 1 ELSE 0.4 END WHERE outcome = 0", (at(5),))
    checks = [{"id": "name", "outcome": "ok"}, {"id": "connect", "outcome": "failed"}]
    for minute, end in ((5, 2), (10, 1)):
        told = json.dumps({"checks": checks[:end]})
        conn.execute("UPDATE measurement SET detail = %s WHERE outcome = 1 AND ts = %s", (told, at(minute)))
    conn.commit()
    found = read_inputs(conn, T0, at(15), Params()).runs
    said = sorted((run.rung, run.outcome.name, run.first_at, run.last_at) for run in found)
    assert said == [
        (2, "FEW", at(5), at(10)),
        (2, "OK", at(0), at(0)),
        (4, "FEW", at(5), at(10)),
        (4, "OK", at(0), at(0)),
        (5, "FAILED", at(10), at(10)),
        (5, "OK", at(0), at(5)),
    ]


def test_away_is_where_no_beat_came(cut_country):
    conn, _, _ = cut_country
    conn.execute("DELETE FROM collector_beat WHERE at > %s AND at < %s", (at(100), at(110)))
    conn.commit()
    assert read_inputs(conn, T0, at(1510), Params()).away == ((at(100), at(110)), (at(1500), at(1510)))


def test_the_role_runs_until_it_is_told_to_stop(dsn):
    settings = settings_for(dsn, tick_s=0.2)

    beaten = "SELECT count(*) > 1 FROM collector_beat WHERE role = 'detect'"

    async def briefly():
        stop = asyncio.Event()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(run(settings, stop), name="detect")
            with connect(settings.database, "test", autocommit=True) as conn:
                while not conn.execute(beaten).fetchone()[0]:  # noqa: ASYNC110
                    # The database tells nobody that a row has come.
                    await asyncio.sleep(0.05)
            stop.set()

    started = datetime.now(UTC)
    asyncio.run(briefly())
    assert datetime.now(UTC) - started < timedelta(seconds=30)


def test_a_row_that_was_not_foreseen_ends_no_process_and_is_named(plain_dsn, caplog):
    settings = settings_for(plain_dsn, tick_s=0.2)

    async def until_judged():
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(run(settings, stop), name="detect")
            with psycopg.connect(plain_dsn, autocommit=True) as conn:
                while "losses of the line not judged" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                assert conn.execute("SELECT count(*) FROM collector_beat").fetchone() == (0,)
                conn.execute("DELETE FROM presence")
                while conn.execute("SELECT count(*) FROM collector_beat").fetchone() == (0,):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            stop.set()

    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        conn.execute("ALTER TABLE presence DROP CONSTRAINT presence_state_check")
        key = enrol(conn, "KE", 101, 1)
        conn.execute(
            "INSERT INTO presence VALUES (%s, now(), 'mute', 'a', %s, now(), 0, 60, false)", (key, UUID(int=1))
        )
    asyncio.run(until_judged())


def test_the_ladder_is_read_in_portions_that_part_no_probe():
    day = timedelta(days=1)
    spans = [(1, T0, T0 + day), (2, T0, T0 + day), (2, T0 + 2 * day, T0 + 3 * day), (3, T0, T0 + 9 * day)]
    assert list(portions(spans, 2 * day)) == [spans[:1], spans[1:3], spans[3:]]
    assert list(portions(spans, 30 * day)) == [spans]
    assert list(portions([], day)) == []
