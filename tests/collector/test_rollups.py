"""Roll-ups: right whatever order rows come in, also beside a running ingest; and retention that waits for them."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.ingest import store
from civobs_collector.rollups import BUCKET, HIST_EDGES_MS, LIMITS, RAW_KEPT, drop_old, roll_up, run_rollups

pytestmark = pytest.mark.db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)


@pytest.fixture
def conn(dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def add(conn, at, ms, *, probe=1, outcome=0, mark=True):
    failure = None if outcome == 0 else 6
    conn.execute("SELECT ensure_day(%s)", (at.date(),))
    conn.execute(
        "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, ms, clock_err_ms, kind, failure, outcome,"
        " family, validity) VALUES (%s, %s, %s, 1, 1, %s, 0, 2, %s, %s, 4, 0)",
        (at, at, probe, ms, failure, outcome),
    )
    if mark:
        bucket = at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0)
        conn.execute("INSERT INTO dirty_bucket VALUES (%s, %s) ON CONFLICT DO NOTHING", (bucket, probe))


def read(conn, table):
    return conn.execute(
        f"SELECT bucket, probe_key, n, n_ok, n_not_run, ms_min, ms_max, ms_sum, ms_hist FROM {table} ORDER BY 1, 2"
    ).fetchall()


def test_a_bucket_counts_outcomes_and_measures_what_ended_well(conn):
    add(conn, NOON, 10.0)
    add(conn, NOON + timedelta(minutes=4, seconds=59), 20.0)
    add(conn, NOON + timedelta(minutes=1), 999.0, outcome=1)
    add(conn, NOON + timedelta(minutes=2), None, outcome=2)
    add(conn, NOON + timedelta(minutes=5), 40.0)
    add(conn, NOON + timedelta(minutes=1), 30.0, probe=2)
    assert roll_up(conn, LATER) == 3
    first, other, second = read(conn, "rollup_5m")
    assert first[:8] == (NOON, 1, 4, 2, 1, 10.0, 20.0, 30.0)
    assert other[:8] == (NOON, 2, 1, 1, 0, 30.0, 30.0, 30.0)
    assert second[:8] == (NOON + BUCKET, 1, 1, 1, 0, 40.0, 40.0, 40.0)
    hour, _ = read(conn, "rollup_1h")
    assert hour[:8] == (NOON, 1, 5, 3, 1, 10.0, 40.0, 70.0)
    assert sum(hour[8]) == 3
    assert len(hour[8]) == len(HIST_EDGES_MS) + 1
    assert conn.execute("SELECT count(*) FROM dirty_bucket").fetchone() == (0,)


def test_late_rows_change_what_was_rolled_up(conn):
    add(conn, NOON, 10.0)
    roll_up(conn, LATER)
    add(conn, NOON + timedelta(seconds=30), 90.0)
    assert roll_up(conn, LATER) == 1
    assert read(conn, "rollup_5m")[0][2:8] == (2, 2, 0, 10.0, 90.0, 100.0)
    assert read(conn, "rollup_1h")[0][2:8] == (2, 2, 0, 10.0, 90.0, 100.0)


def test_a_bucket_that_is_not_over_is_left_alone(conn):
    add(conn, NOON, 10.0)
    assert roll_up(conn, NOON + timedelta(minutes=5)) == 0
    assert roll_up(conn, NOON + timedelta(minutes=6)) == 1


def test_the_histogram_places_each_duration(conn):
    for minute, ms in enumerate((0.05, 0.1, 1.0, 99_999.0, 100_000.0)):
        add(conn, NOON + timedelta(seconds=minute), ms)
    roll_up(conn, LATER)
    histogram = read(conn, "rollup_5m")[0][8]
    assert [index for index, count in enumerate(histogram) if count] == [0, 1, 6, 30, 31]


def test_the_edges_are_five_a_decade():
    assert HIST_EDGES_MS[0] == 0.1
    assert HIST_EDGES_MS[-1] == 100_000
    assert all(later / earlier == pytest.approx(10**0.2, rel=1e-3) for earlier, later in pairwise(HIST_EDGES_MS))


def test_a_mark_that_an_open_transaction_holds_is_taken_next_time(conn, dsn):
    add(conn, NOON, 10.0)
    with psycopg.connect(dsn) as writer:
        # As ingest marks (store.mark_dirty): the mark is there already, and it is locked.
        writer.execute(
            "INSERT INTO dirty_bucket (bucket, probe_key) VALUES (%s, 1)"
            " ON CONFLICT (bucket, probe_key) DO UPDATE SET bucket = excluded.bucket WHERE false",
            (NOON,),
        )
        add(writer, NOON + timedelta(seconds=9), 20.0, mark=False)
        assert roll_up(conn, LATER) == 0
    assert roll_up(conn, LATER) == 1
    assert read(conn, "rollup_5m")[0][2] == 2


def test_roll_ups_beside_a_writer_miss_nothing(conn, dsn):
    def write():
        with psycopg.connect(dsn) as writer:
            for second in range(200):
                add(writer, NOON + timedelta(seconds=second), 10.0, mark=False)
                writer.execute(
                    "INSERT INTO dirty_bucket (bucket, probe_key) VALUES (%s, 1)"
                    " ON CONFLICT (bucket, probe_key) DO UPDATE SET bucket = excluded.bucket WHERE false",
                    (NOON,),
                )
                writer.commit()

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        roll_up(conn, LATER)
    thread.join()
    roll_up(conn, LATER)
    assert read(conn, "rollup_5m")[0][2] == 200
    assert read(conn, "rollup_1h")[0][2] == 200


def test_old_days_go_and_newer_ones_stay(conn):
    old, new = NOON - RAW_KEPT - timedelta(days=2), NOON - RAW_KEPT + timedelta(days=2)
    add(conn, old, 1.0)
    add(conn, new, 1.0)
    store.insert_beat(conn, NOON - timedelta(days=1, minutes=1), "test", ok=True)
    assert drop_old(conn, NOON) == [], "not before it is rolled up"
    roll_up(conn, NOON)
    assert len(drop_old(conn, NOON)) == 1
    assert conn.execute("SELECT ts FROM measurement").fetchall() == [(new,)]
    assert len(read(conn, "rollup_5m")) == 2
    assert drop_old(conn, NOON) == []


def test_a_clock_that_was_set_years_ahead_drops_nothing(conn):
    add(conn, NOON, 1.0)
    ahead = LATER + timedelta(days=3650)
    for at in (NOON, LATER, ahead):
        store.insert_beat(conn, at, "test", ok=True)
    roll_up(conn, ahead)
    assert drop_old(conn, ahead) == []
    assert len(drop_old(conn, ahead + timedelta(days=1, minutes=1))) == 1


def test_where_a_statement_takes_longer_than_it_may_the_next_ones_do_less(dsn):
    settings = DatabaseSettings(dsn=dsn, statement_timeout_s=1.0)
    began = datetime.now(UTC) - timedelta(days=40)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("INSERT INTO household DEFAULT VALUES")
        conn.execute(
            "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)"
            " VALUES ('0000000000000001', 1, %s, '', 'KE', 1, 'test', %s)",
            (bytes(32), began),
        )
        conn.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.04); RETURN NEW; END';"
            "CREATE TRIGGER slow BEFORE INSERT ON ladder_1d FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        halt = threading.Event()
        job = threading.Thread(target=run_rollups, args=(settings, LIMITS, halt))
        job.start()
        try:
            for _ in range(1000):
                if conn.execute("SELECT count(*) FROM ladder_1d").fetchone() == (40,):
                    break
                halt.wait(0.02)
            else:
                pytest.fail("days were never folded")
        finally:
            halt.set()
            job.join()
