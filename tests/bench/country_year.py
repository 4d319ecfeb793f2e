"""A country's year as it lies in the tables after it: what ``bench_detect`` and ``bench_pages`` read.

Rows are made in the database itself. The ladder has a row every five minutes for the two rungs that the detector reads
whole, services one a target and day, asked by all within the same hour; half of the networks are cut off for three
hours once a month, and three services are blocked in them for twenty days of every sixty. Roll-ups are there as the
collector would have made them, and folds of the ladder by its own job.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.ladder import fold_touched
from civobs_collector.db.migrate import migrate
from civobs_collector.rollups import LIMITS, RAW_KEPT, fold_whole_days
from civobs_lab.postgres import Kind, PostgresServer

END = datetime(2026, 11, 1, tzinfo=UTC)
NETWORKS = 4
LADDER_STEP = timedelta(minutes=5)
RUNGS = ("L0", "L4", "L5")
"""The first only in the coverage, for the pages."""
OUTSIDE = 5
"""Probes in another country, with which a failing service is compared."""
BLOCKED = 3
"""Services that are blocked at times."""
STRAY = 200
"""One run of so many fails for no reason that anybody else would meet."""

_PROBES = """
INSERT INTO household (created_at)
SELECT %(start)s - interval '90 days' FROM generate_series(1, %(probes)s + %(outside)s);
INSERT INTO network (asn, name, cc, user_share) SELECT 64500 + n, 'Network ' || n, 'KE', 0.2
  FROM generate_series(0, %(networks)s - 1) n;
INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)
SELECT 'probe' || n, n, sha256(n::text::bytea), '', CASE WHEN n > %(probes)s THEN 'UG' ELSE 'KE' END,
       64500 + CASE WHEN n > %(probes)s THEN 10 ELSE n %% %(networks)s END, 'bench', %(start)s - interval '90 days'
  FROM generate_series(1, %(probes)s + %(outside)s) n;
INSERT INTO target (name) SELECT unnest(%(rungs)s::text[]);
INSERT INTO target (name) SELECT 'site' || n || '.example' FROM generate_series(1, %(targets)s) n;
INSERT INTO presence SELECT probe_key, %(start)s - interval '1 hour', 'online', 'first' || probe_key,
       gen_random_uuid(), %(start)s - interval '1 hour', 5, 60, false FROM probe;
INSERT INTO collector_beat SELECT at, 'ingest', 'bench', true
  FROM generate_series(%(start)s, %(end)s, interval '1 minute') at;
"""
_LADDER = """
INSERT INTO measurement
  (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity, value, ms, failure)
SELECT at, at, probe_key, target_key, extract(epoch FROM at)::int8, 5, 1, cut::int, 4, 0, (NOT cut)::int, 20,
       CASE WHEN cut THEN (SELECT failure FROM failure WHERE name = 'generic_timeout_error') END
  FROM probe
 CROSS JOIN generate_series(%(day)s, %(day)s + interval '1 day' - %(step)s, %(step)s) at
 CROSS JOIN (SELECT target_key, name = 'L4' AS decides FROM target WHERE name IN ('L4', 'L5')) rung
 CROSS JOIN LATERAL (SELECT decides AND asn < 64502 AND %(dark)s AND extract(hour FROM at) BETWEEN 5 AND 7 AS cut) it
"""
_SERVICES = """
INSERT INTO measurement
  (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity, value, ms, failure, detail)
SELECT at, at, probe_key, target_key, extract(epoch FROM at)::int8, 5, http, bad::int, 4, 0,
       CASE WHEN NOT bad THEN 200 END, 90, CASE WHEN bad THEN reset END,
       CASE WHEN bad THEN '{"failure": "connection_reset", "stage": "tls", "address": "198.51.100.7"}'::jsonb
            ELSE '{"status": 200, "address": "198.51.100.7", "verified": true}'::jsonb END
  FROM probe
 CROSS JOIN (SELECT target_key, row_number() OVER (ORDER BY target_key) AS n FROM target WHERE name LIKE 'site%%') t
 CROSS JOIN (SELECT (SELECT kind FROM kind WHERE name = 'http') AS http,
                    (SELECT failure FROM failure WHERE name = 'connection_reset') AS reset) codes
 CROSS JOIN LATERAL (
   SELECT %(day)s + interval '1 minute' * ((n * 60) %% 1440 + probe_key %% 40) AS at,
          %(blocked)s AND n <= %(n_blocked)s AND asn < 64502
          OR hashint8(probe_key * 1000003 + n * 31 + %(number)s) %% %(stray)s = 0 AS bad) it
"""
_ROLLUP = """
INSERT INTO rollup_1h (bucket, probe_key, kind, target_key, family, n, n_ok, n_not_run, ms_hist)
SELECT date_trunc('hour', ts), probe_key, kind, target_key, 4, count(*), count(*) FILTER (WHERE outcome = 0), 0, '{}'
  FROM measurement WHERE ts >= %(day)s AND ts < %(day)s + interval '1 day' GROUP BY 1, 2, 3, 4;
"""
_COVERAGE = """
INSERT INTO coverage_month (probe_key, month, hours)
SELECT probe_key, month::date, bit_or(set_bit(0::bit(744), (extract(epoch FROM at - month) / 3600)::int4, 1))
  FROM probe
 CROSS JOIN generate_series(%(start)s AT TIME ZONE 'UTC', %(end)s AT TIME ZONE 'UTC' - interval '1 hour', '1 hour') at
 CROSS JOIN LATERAL (SELECT date_trunc('month', at) AS month) m GROUP BY 1, 2
"""
_DARK = """
INSERT INTO presence SELECT probe_key, %(day)s + interval '5 hours 90 seconds', 'offline', %(session)s || probe_key,
       gen_random_uuid(), %(day)s, 5, 60, false FROM probe WHERE asn < 64502;
INSERT INTO presence SELECT probe_key, %(day)s + interval '8 hours 1 minute', 'online', %(next)s || probe_key,
       gen_random_uuid(), %(day)s + interval '8 hours', 5, 60, false FROM probe WHERE asn < 64502;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    probes: int
    """Of the country; ``OUTSIDE`` are elsewhere."""
    targets: int
    days: int
    blocked: int = 0
    """Services that are blocked by half of the networks from the third day on, to the end."""

    @property
    def start(self) -> datetime:
        return END - timedelta(days=self.days)

    @property
    def rows_a_day(self) -> int:
        """Rows of ``measurement``."""
        return (self.probes + OUTSIDE) * (2 * (timedelta(days=1) // LADDER_STEP) + self.targets)

    @property
    def rows(self) -> int:
        return self.rows_a_day * self.days


@contextmanager
def filled(size: Size, kind: Kind) -> Iterator[str]:
    """A server of this bench's own with the year in it; its DSN."""
    with tempfile.TemporaryDirectory(prefix="civobs-bench-") as folder:
        server = PostgresServer(kind, Path(folder))
        server.start()
        try:
            dsn = server.dsn()
            migrate(dsn)
            fill(dsn, size)
            yield dsn
        finally:
            server.kill()


def fill(dsn: str, size: Size) -> None:
    """Write the year, a transaction a day."""
    values = {"start": size.start, "end": END, "probes": size.probes, "targets": size.targets}
    with psycopg.connect(dsn, autocommit=True) as conn, psycopg.ClientCursor(conn) as cursor:
        cursor.execute(_PROBES, values | {"networks": NETWORKS, "outside": OUTSIDE, "rungs": list(RUNGS)})
        session = "first"
        for number in range(size.days):
            day = {"day": size.start + timedelta(days=number), "number": number}
            dark = number % 30 == 10
            with conn.transaction():
                cursor.execute("SELECT ensure_day(%(day)s::date)", day)
                cursor.execute(_LADDER, day | {"step": LADDER_STEP, "dark": dark})
                at_times = {"blocked": 20 <= number % 60 < 40, "n_blocked": BLOCKED}
                always = {"blocked": number >= 2, "n_blocked": size.blocked}
                cursor.execute(_SERVICES, day | (always if size.blocked else at_times) | {"stray": STRAY})
                cursor.execute(_ROLLUP, day)
                if dark:
                    cursor.execute(_DARK, day | {"session": session, "next": f"again{number}-"})
                    session = f"again{number}-"
        cursor.execute(_COVERAGE, values)
        _fold(dsn, size.days)
        cursor.execute("VACUUM ANALYZE")


def _fold(dsn: str, days: int) -> None:
    """Fold the ladder as the job has at midnight: by hours and whole days, and the last day by hours only yet."""
    with connect(DatabaseSettings(dsn=dsn, statement_timeout_s=3600), "rollups", autocommit=True) as conn:
        keys = [key for (key,) in conn.execute("SELECT probe_key FROM probe")]
        for day in range(min(days, RAW_KEPT.days), 0, -1):
            hours = [END - timedelta(days=day) + timedelta(hours=hour) for hour in range(24)]
            fold_touched(conn, [(hour, key) for hour in hours for key in keys], END, LIMITS)
        while fold_whole_days(conn, END, limit=2000):
            pass
