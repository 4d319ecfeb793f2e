"""The ladder read from folds, from rows, and from some of both: the same runs, whatever was folded when."""

import random
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.ladder import RUNGS, Limits, read_ladder
from civobs_collector.ingest.store import insert_beat, mark_dirty
from civobs_collector.rollups import LIMITS, RAW_KEPT, drop_old, fold_whole_days, roll_up
from civobs_wire.failure import FAILURE_CODES, Failure

pytestmark = pytest.mark.db

START = datetime(2026, 3, 1, 5, tzinfo=UTC)
END = START + timedelta(days=3)
LATER = END + timedelta(hours=1)
_TABLES = ("ladder_1h", "ladder_1d")


@pytest.fixture
def conn(dsn):
    with connect(DatabaseSettings(dsn=dsn), "test", autocommit=True) as conn:
        conn.execute("INSERT INTO target (name) SELECT 'L' || n FROM generate_series(0, 5) n")
        for number in range(1, 4):
            conn.execute("INSERT INTO household DEFAULT VALUES")
            conn.execute(
                "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)"
                " VALUES (%s, %s, %s, '', 'KE', 64500, 'test', %s)",
                (f"{number:016d}", number, number.to_bytes(32, "big"), START - timedelta(days=30)),
            )
        yield conn


def store(conn, rows):
    """Rows as (probe, rung, family, at, seq, outcome, failure, value, clock_err_ms, last check), with their marks."""
    with conn.transaction():
        for day in {row[3].date() for row in rows}:
            conn.execute("SELECT ensure_day(%s)", (day,))
        conn.cursor().executemany(
            "INSERT INTO measurement (probe_key, target_key, family, ts, slot_at, seq, outcome, failure, value,"
            " clock_err_ms, detail, kind, validity)"
            " SELECT %s, target_key, %s, %s, %s, %s, %s, %s, %s, %s,"
            "        jsonb_build_object('checks', jsonb_build_array(jsonb_build_object('id', %s::text))), 1, 0"
            " FROM target WHERE name = %s",
            [(row[0], row[2], row[3], row[3], *row[4:], f"L{row[1]}") for row in rows],
        )
        mark_dirty(
            conn, {(row[3].replace(minute=row[3].minute // 5 * 5, second=0, microsecond=0), row[0]) for row in rows}
        )


def made_up(draw, n, start=START, end=END):
    """Rows of all kinds: mostly in order and alike, with holes, changes, wrong clocks and equal times."""
    rows, said = [], (0, None, 1.0)
    for seq in range(n):
        if draw.random() < 0.15:
            failure = draw.choice(
                (Failure.AGENT_DOWN, Failure.PAUSED, Failure.GENERIC_TIMEOUT_ERROR, Failure.NO_ADDRESS)
            )
            said = draw.choice(((0, None, 1.0), (0, None, 0.3), (1, 8, None), (2, FAILURE_CODES[failure], None)))
        step = timedelta(minutes=draw.choice((0, 5, 5, 5, 12, 13)))
        last = rows[-1][3] if rows and draw.random() < 0.9 else start + (end - start) * draw.random()
        at = min(last + step, end - timedelta(microseconds=1))
        err_ms = 400_000 if draw.random() < 0.03 else draw.randrange(50)
        place = draw.randrange(1, 4), draw.choice(RUNGS), draw.choice((4, 4, 4, 6))
        rows.append((*place, at, seq, *said, err_ms, draw.choice(("name", "connect"))))
    return rows


def both_ways(conn, spans, limits=LIMITS):
    """What is read with the folds there are, and without any."""
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    found = []
    for rungs in ((4, 5), (0, 1, 2, 3)):
        with conn.transaction(force_rollback=True):
            folded = read_ladder(conn, rungs, spans, limits)
            for table in _TABLES:
                conn.execute(f"DELETE FROM {table}")
            assert read_ladder(conn, rungs, spans, limits) == folded
            found.extend(folded)
    conn.isolation_level = None
    return found


def spans_of(draw):
    """Spans of a probe are apart; some begin or end on the hour, and one is empty."""
    whole = [(key, START + timedelta(minutes=draw.choice((0, 7, 60))), LATER) for key in (1, 2, 3)]
    cuts = sorted(START + timedelta(minutes=draw.choice((1, 30, 60)) * draw.randrange(70)) for _ in range(6))
    parts = [(2, first, last) for first, last in zip(cuts[::2], cuts[1::2], strict=True)]
    return whole, [one for at, one in enumerate(parts) if not at or one[1] > parts[at - 1][2]]


@pytest.mark.parametrize("seed", range(4))
def test_folds_rows_and_any_mix_of_them_give_the_same_runs(conn, seed):
    draw = random.Random(seed)
    rows = made_up(draw, 600)
    whole, parts = spans_of(draw)
    draw.shuffle(rows)
    for part in range(6):
        store(conn, rows[part * 100 : part * 100 + 100])
        while draw.random() < 0.7 and roll_up(
            conn, START + (LATER - START) * draw.random(), LIMITS, draw.randrange(1, 60)
        ):
            pass
        if draw.random() < 0.7:
            fold_whole_days(conn, START + (LATER - START) * draw.random(), limit=draw.randrange(1, 9))
        both_ways(conn, whole)
        both_ways(conn, parts)
    while roll_up(conn, LATER) or fold_whole_days(conn, LATER):
        pass
    assert conn.execute("SELECT count(DISTINCT start) FROM ladder_1d").fetchone() > (2,)
    assert (
        sum(row[6] for row in both_ways(conn, whole))
        == conn.execute(
            "SELECT count(*) FROM measurement JOIN unnest(%s::int4[], %s::timestamptz[]) w (probe_key, since)"
            " USING (probe_key) WHERE ts >= since",
            ([key for key, _, _ in whole], [since for _, since, _ in whole]),
        ).fetchone()[0]
    )
    both_ways(conn, parts)


def test_beside_a_writer_folds_and_rows_tell_the_same_at_every_moment(conn, dsn):
    rows = made_up(random.Random(7), 200)

    def write():
        with connect(DatabaseSettings(dsn=dsn), "ingest", autocommit=True) as writer:
            for at in range(0, len(rows), 4):
                store(writer, rows[at : at + 4])

    thread = threading.Thread(target=write)
    thread.start()
    spans = [(key, START, LATER) for key in (1, 2, 3)]
    while thread.is_alive():
        roll_up(conn, LATER)
        fold_whole_days(conn, LATER, limit=5)
        both_ways(conn, spans)
    thread.join()
    folded(conn, LATER)
    assert sum(row[6] for row in both_ways(conn, spans)) == 200


def quiet(conn, days=2, step=5):
    """Three probes whose L4 and L5 are well, every five minutes from midnight of START's day."""
    midnight = START.replace(hour=0)
    times = [midnight + timedelta(minutes=minute) for minute in range(0, days * 1440, step)]
    which = [(key, rung) for key in (1, 2, 3) for rung in (4, 5)]
    store(conn, [(*one, 4, at, n, 0, None, 1.0, 9, "name") for one in which for n, at in enumerate(times)])
    return midnight, midnight + timedelta(days=days)


def folded(conn, now):
    while roll_up(conn, now) or fold_whole_days(conn, now):
        pass


def count(conn, table):
    (found,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    return found


def test_a_quiet_day_is_one_run_of_each_rung(conn):
    first, end = quiet(conn)
    while roll_up(conn, end + timedelta(hours=1)):
        pass
    assert (count(conn, "ladder_1h"), count(conn, "ladder_1d")) == (3 * 48, 0)
    assert fold_whole_days(conn, end) == 3 * 31, "the last day is not settled yet"
    folded(conn, end + timedelta(hours=1))
    assert (count(conn, "ladder_1h"), count(conn, "ladder_1d")) == (3 * 48, 3 * 32)
    (fold,) = conn.execute("SELECT said, n FROM ladder_1d WHERE start = %s AND probe_key = 1", (first,)).fetchall()
    assert fold == ([0, 0], [288, 288])
    spans = [(key, first, end) for key in (1, 2, 3)]
    runs = both_ways(conn, spans)
    assert [(row[6], row[4], row[5]) for row in runs] == [(576, first, end - timedelta(minutes=5))] * 6
    conn.execute("DELETE FROM measurement WHERE ts >= %s", (first + timedelta(hours=3),))
    assert read_ladder(conn, (4, 5), spans, LIMITS) == runs
    (part,) = read_ladder(conn, (4,), [(1, first + timedelta(minutes=122), end - timedelta(minutes=5))], LIMITS)
    assert part[4:7] == (first + timedelta(minutes=125), end - timedelta(minutes=65), 539)


def test_a_late_row_changes_the_run_at_once_and_its_day_alone_is_folded_again(conn):
    first, end = quiet(conn)
    folded(conn, end + timedelta(hours=1))
    late = first + timedelta(hours=20, minutes=2)
    store(conn, [(2, 4, 4, late, 9999, 1, 8, None, 9, "name")])
    spans = [(key, first, end) for key in (1, 2, 3)]
    before = both_ways(conn, spans)
    assert [(row[3], row[6]) for row in before if row[:2] == (2, "L4")] == [(0, 241), (1, 1), (0, 335)]
    assert roll_up(conn, end + timedelta(hours=1)) == 1
    assert (count(conn, "ladder_1h"), count(conn, "ladder_1d")) == (3 * 48, 3 * 32 - 1)
    assert both_ways(conn, spans) == before
    assert fold_whole_days(conn, end + timedelta(hours=1)) == 1
    assert (count(conn, "ladder_1h"), count(conn, "ladder_1d")) == (3 * 48, 3 * 32)
    assert both_ways(conn, spans) == before


def test_what_was_folded_by_other_limits_is_not_read_and_is_folded_again(conn):
    first, end = quiet(conn, days=1)
    spans = [(1, first, end)]
    folded(conn, end + timedelta(hours=1))
    strict = Limits(gap_s=200, clock_s=0.001, few=1.0)
    found = both_ways(conn, spans, strict)
    assert {(row[3], row[6]) for row in found} == {(5, 1)}
    assert fold_whole_days(conn, end + timedelta(hours=1), strict, 1000) == 3 * 31
    assert both_ways(conn, spans, strict) == found
    assert len(both_ways(conn, spans)) == 2


def test_folds_go_with_the_rows_they_were_made_of(conn):
    first, end = quiet(conn, days=1)
    conn.execute("UPDATE probe SET enrolled_at = %s", (first,))
    folded(conn, end + timedelta(hours=1))
    for at in (first, end):
        insert_beat(conn, at + RAW_KEPT - timedelta(days=1, minutes=1), "test", ok=True)
    drop_old(conn, first + RAW_KEPT)
    assert count(conn, "ladder_1d") == 3
    drop_old(conn, end + RAW_KEPT)
    assert (count(conn, "ladder_1d"), count(conn, "measurement")) == (0, 0)
