"""Who measured when: the bits of the months say what the hourly roll-ups say, in whatever order rows came."""

import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.db.read_coverage import Coverage, read_coverage
from civobs_collector.rollups import roll_up

pytestmark = pytest.mark.db

FIRST = datetime(2028, 1, 30, tzinfo=UTC)
HOURS = 24 * 32
"""The end of January, the leap February, the first of March."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

FROM_HOURS = """
SELECT p.asn, date_bin(%(step)s, r.bucket, %(start)s), count(DISTINCT p.household_key), count(DISTINCT r.bucket)
  FROM rollup_1h r JOIN probe p USING (probe_key) JOIN target t USING (target_key) JOIN kind k ON k.kind = r.kind
 WHERE r.bucket >= %(start)s AND r.bucket < %(end)s AND t.name = 'L0' AND k.name = 'ladder' AND r.n > r.n_not_run
   AND p.cc = 'KE' AND p.status = 'active' AND NOT p.is_anchor
 GROUP BY GROUPING SETS ((1, 2), (2)) ORDER BY 1 NULLS FIRST, 2
"""


def enrol(conn):
    """Homes of one probe and of two, one home in two networks, and probes that do not count: by state, place or use."""
    conn.execute(
        "INSERT INTO household SELECT FROM generate_series(1, 8); INSERT INTO target (name) VALUES ('L0'), ('L5')"
    )
    for number, (home, cc, asn, status, anchor) in enumerate(
        (
            (1, "KE", 1, "active", False),
            (2, "KE", 1, "active", False),
            (2, "KE", 1, "active", False),
            (3, "KE", 2, "active", False),
            (4, "KE", 0, "active", False),
            (5, "KE", 1, "quarantined", False),
            (6, "KE", 2, "active", True),
            (7, "UG", 2, "active", False),
        )
    ):
        conn.execute(
            "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, status, is_anchor)"
            " VALUES (%s, %s, %s, '', %s, %s, 'a', %s, %s)",
            (str(number), home, number.to_bytes(32), cc, asn, status, anchor),
        )


def add(conn, rows):
    """Rows of (hour, probe, target, outcome), marked as ingest marks them."""
    for day in {(FIRST + HOUR * hour).date() for hour, *_ in rows}:
        conn.execute("SELECT ensure_day(%s)", (day,))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family,"
            " validity) SELECT %s, now(), %s, %s, 1, 0, kind, %s, 0, 0 FROM kind WHERE name = 'ladder'",
            [(FIRST + HOUR * hour, probe, target, outcome) for hour, probe, target, outcome in rows],
        )
        cursor.executemany(
            "INSERT INTO dirty_bucket VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [(FIRST + HOUR * hour, probe) for hour, probe, *_ in rows],
        )


def roll_up_all(conn):
    while roll_up(conn, FIRST + DAY * 60, limit=200):
        pass


def random_rows(number):
    """Of hours with gaps of days: a third of them only tried, and half of the targets not the lowest rung."""
    chance = random.Random(20)
    rows = [
        (hour, chance.randint(1, 8), chance.randint(1, 2), chance.choice((0, 1, 2)))
        for hour in range(HOURS)
        for _ in "ab"
    ]
    chance.shuffle(rows)
    return [row for row in rows if row[0] // 24 % 5][:number]


WINDOWS = (
    (FIRST, HOUR, HOURS),
    (FIRST + 7 * HOUR, DAY, 31),
    (FIRST + 50 * HOUR, DAY, 3),
    (FIRST - 400 * DAY, DAY, 500),
    (FIRST + 500 * DAY, HOUR, 24),
)
"""Start, step, steps; in the last one nobody measured."""


def test_the_months_say_what_the_hours_say_also_of_late_rows(dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        enrol(conn)
        rows = random_rows(1000)
        for part in (rows[:700], rows[700:]):
            add(conn, part)
            roll_up_all(conn)
            for start, step, bins in WINDOWS:
                end = start + step * bins
                hourly = conn.execute(FROM_HOURS, {"start": start, "end": end, "step": step}).fetchall()
                coverage = read_coverage(conn, "KE", start=start, end=end, step=step)
                found = [
                    (asn, start + step * number, households, hours)
                    for asn, one in coverage.items()
                    for number, (households, hours) in enumerate(zip(one.households, one.hours, strict=True))
                ]
                assert len(found) == bins * len(coverage)
                assert [row for row in found if row[2:] != (0, 0)] == hourly
                assert bool(hourly) == (end < FIRST + 500 * DAY)


def test_rows_that_come_in_another_order_make_the_same_months(timescale_dsn, plain_dsn):
    tables = []
    for dsn, turned in ((timescale_dsn, False), (plain_dsn, True)):
        with psycopg.connect(dsn, autocommit=True) as conn:
            enrol(conn)
            rows = random_rows(400)
            for part in [rows[300:], rows[:300]] if turned else [rows]:
                add(conn, part)
                roll_up_all(conn)
            tables.append(conn.execute("SELECT * FROM coverage_month ORDER BY 1, 2").fetchall())
    assert tables[0] == tables[1]
    assert {str(month) for _, month, _ in tables[0]} == {"2028-01-01", "2028-02-01", "2028-03-01"}


def test_a_probe_that_moves_takes_its_past_with_it(plain_dsn):
    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        enrol(conn)
        add(conn, [(0, 1, 1, 0), (0, 4, 1, 1), (1, 4, 1, 0)])
        roll_up_all(conn)
        conn.execute("UPDATE probe SET asn = 9 WHERE probe_key = 4; UPDATE probe SET cc = 'UG' WHERE probe_key = 1")
        kenya, uganda = (read_coverage(conn, cc, start=FIRST, end=FIRST + DAY, step=DAY) for cc in ("KE", "UG"))
        assert kenya == {None: Coverage((1,), (2,)), 9: Coverage((1,), (2,))}
        assert uganda == {None: Coverage((1,), (1,)), 1: Coverage((1,), (1,))}


def test_the_last_bin_counts_the_hours_that_are_over_and_no_others(plain_dsn):
    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        enrol(conn)
        add(conn, [(3, 1, 1, 0), (24, 1, 1, 0), (26, 1, 1, 0), (27, 2, 1, 0)])
        roll_up_all(conn)
        coverage = read_coverage(conn, "KE", start=FIRST, end=FIRST + 27 * HOUR, step=DAY)
        assert coverage[None] == Coverage((1, 1), (1, 2))
