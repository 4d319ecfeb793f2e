"""Roll-ups and retention, without any feature of TimescaleDB's Community edition.

Ingest marks each (bucket, probe) it writes into; this job takes marks away and computes those buckets anew from the
rows, so late batches are in the roll-ups like prompt ones. Taking a mark and writing its roll-up are one transaction.
A mark that an ingest transaction holds is passed over, and taken next time. The ladder's runs are folded with them, and
once a day is over as a whole (``db.ladder``): days stored before there were folds, or by other limits, come in time.

Percentiles do not add up, so each bucket keeps a histogram over fixed edges. Durations are of rows that ended well.
"""

import logging
import threading
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.gauges import drop_old_samples
from civobs_collector.db.ladder import Limits, Stretch, drop_folds, fold_days, fold_touched
from civobs_collector.detect.params import Params
from civobs_collector.errors import DatabaseError

logger = logging.getLogger(__name__)

HIST_EDGES_MS: tuple[float, ...] = tuple(round(10 ** (step / 5 - 1), 4) for step in range(31))
"""0.1 ms to 100 s, five a decade: a percentile read from it is within a quarter of the truth. ``ms_hist[1]`` counts
what is below the first edge, ``ms_hist[32]`` what is not below the last."""

BUCKET = timedelta(minutes=5)
RAW_KEPT = timedelta(days=90)
FIVE_MINUTES_KEPT = timedelta(days=365)
"""How long rows and roll-ups are kept (ingest.md §5); hours and the archive are kept for ever."""
SETTLE = timedelta(seconds=30)
"""A bucket is left alone until it has been over for this long: most of its rows have come then."""
BUCKETS_AT_ONCE = 500
DAYS_AT_ONCE = 100
_PAUSE_S = 10.0
_RETENTION_EVERY = timedelta(hours=1)
_DAYS_EVERY = timedelta(minutes=1)
"""How often days without a fold are looked for: a late batch comes in many parts, and each would have its day anew."""
_SURE = timedelta(days=1)
"""A clock by which ingest has been at work for so long is right."""
_LOCK = 0x6369_726F
"""Advisory lock: one job rolls up at a time, because two could compute one hour from different halves."""

_KEYS = sql.SQL("bucket, probe_key, kind, target_key, family")
_VALUES = ("n", "n_ok", "n_not_run", "ms_min", "ms_max", "ms_sum", "ms_hist")

_TAKE = """
WITH taken AS (
  SELECT bucket, probe_key FROM dirty_bucket WHERE bucket < %s
  ORDER BY bucket, probe_key LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM dirty_bucket d USING taken t WHERE d.bucket = t.bucket AND d.probe_key = t.probe_key
RETURNING d.bucket, d.probe_key
"""

_FIVE_MINUTES = """
INSERT INTO rollup_5m ({keys}, {values})
SELECT b.bucket, m.probe_key, m.kind, m.target_key, m.family,
       count(*), count(*) FILTER (WHERE m.outcome = 0), count(*) FILTER (WHERE m.outcome = 2),
       min(m.ms) FILTER (WHERE m.outcome = 0), max(m.ms) FILTER (WHERE m.outcome = 0),
       sum(m.ms::float8) FILTER (WHERE m.outcome = 0),
       ARRAY[{counts}]::int4[]
FROM unnest(%s::timestamptz[], %s::int4[]) AS b (bucket, probe_key)
JOIN measurement m ON m.probe_key = b.probe_key AND m.ts >= b.bucket AND m.ts < b.bucket + %s
 -- The same once more as constants: the planner leaves out the chunks of other days.
 AND m.ts >= %s AND m.ts < %s
GROUP BY b.bucket, m.probe_key, m.kind, m.target_key, m.family
ON CONFLICT ({keys}) DO UPDATE SET ({values}) = ({new_values})
"""

_ONE_HOUR = """
INSERT INTO rollup_1h ({keys}, {values})
SELECT b.bucket, r.probe_key, r.kind, r.target_key, r.family, sum(r.n), sum(r.n_ok), sum(r.n_not_run),
       min(r.ms_min), max(r.ms_max), sum(r.ms_sum), ARRAY[{counts}]::int4[]
FROM unnest(%s::timestamptz[], %s::int4[]) AS b (bucket, probe_key)
JOIN rollup_5m r ON r.probe_key = b.probe_key AND r.bucket >= b.bucket AND r.bucket < b.bucket + interval '1 hour'
GROUP BY b.bucket, r.probe_key, r.kind, r.target_key, r.family
ON CONFLICT ({keys}) DO UPDATE SET ({values}) = ({new_values})
"""

_COVERAGE = """
INSERT INTO coverage_month AS c (probe_key, month, hours)
SELECT r.probe_key, m.month::date,
       bit_or(set_bit(0::bit(744), (extract(epoch FROM r.bucket AT TIME ZONE 'UTC' - m.month) / 3600)::int4, 1))
FROM unnest(%s::timestamptz[], %s::int4[]) AS b (bucket, probe_key)
JOIN rollup_1h r ON r.probe_key = b.probe_key AND r.bucket = b.bucket AND r.n > r.n_not_run
JOIN target t ON t.target_key = r.target_key AND t.name = 'L0'
JOIN kind k ON k.kind = r.kind AND k.name = 'ladder'
CROSS JOIN LATERAL (SELECT date_trunc('month', r.bucket AT TIME ZONE 'UTC') AS month) m
GROUP BY 1, 2
ON CONFLICT (probe_key, month) DO UPDATE SET hours = c.hours | excluded.hours
  WHERE c.hours | excluded.hours <> c.hours
"""
"""A probe that ran has a row of L0, the ladder's lowest rung, whatever came of it. Bits are only ever added, because an
hour's counts only ever grow."""

_AT_WORK = "SELECT FROM collector_beat WHERE at >= %s AND at < %s LIMIT 1"


def ladder_limits(params: Params) -> Limits:
    """What makes rows of the ladder alike and neighbours: folds are made by it and read by it."""
    return Limits(params["ladder.gap"], params["ladder.clock"], params["ladder.few"])


LIMITS = ladder_limits(Params())
"""Those of a clock that does not run fast."""


def roll_up(conn: Connection, now: datetime, limits: Limits = LIMITS, limit: int = BUCKETS_AT_ONCE) -> int:
    """Compute up to ``limit`` marked buckets that are over, in one transaction; returns how many there were."""
    with conn.transaction():
        if not _alone(conn):
            return 0
        taken = conn.execute(_TAKE, (now - BUCKET - SETTLE, limit)).fetchall()
        if not taken:
            return 0
        # A statement of its own, whose snapshot sees every row committed before the marks could be locked.
        starts, keys = [row[0] for row in taken], [row[1] for row in taken]
        conn.execute(_five_minutes(), (starts, keys, BUCKET, min(starts), max(starts) + BUCKET))
        hours = sorted({(_hour(start), key) for start, key in taken})
        which = ([hour for hour, _ in hours], [key for _, key in hours])
        conn.execute(_one_hour(), which)
        conn.execute(_COVERAGE, which)
        fold_touched(conn, taken, now, limits)
    return len(taken)


def fold_whole_days(conn: Connection, now: datetime, limits: Limits = LIMITS, limit: int = DAYS_AT_ONCE) -> int:
    """Fold up to ``limit`` days of single probes that are over and rolled up, in one transaction; returns how many."""
    last = Stretch.DAY.start(now - BUCKET - SETTLE) - Stretch.DAY.length
    with conn.transaction():
        if not _alone(conn):
            return 0
        return fold_days(conn, Stretch.DAY.start(now - RAW_KEPT), last, limits, limit)


def drop_old(conn: Connection, now: datetime) -> list[str]:
    """Drop days of rows that are past their time, and old five-minute roll-ups; returns what was dropped.

    Refuses, by doing nothing, while one of those days still has a bucket that is not rolled up, and until ingest has
    been at work for a day by this clock: one that was set years ahead would drop everything.
    """
    before = (now - RAW_KEPT).replace(hour=0, minute=0, second=0, microsecond=0)
    with conn.transaction():
        if conn.execute(_AT_WORK, (now - 2 * _SURE, now - _SURE)).fetchone() is None:
            return []
        row = conn.execute("SELECT count(*) FROM dirty_bucket WHERE bucket < %s", (before,)).fetchone()
        if row is not None and row[0]:
            logger.warning("retention waits: buckets=%d are not rolled up yet", row[0])
            return []
        conn.execute("DELETE FROM rollup_5m WHERE bucket < %s", (now - FIVE_MINUTES_KEPT,))
        drop_folds(conn, before)
        drop_old_samples(conn, now)
        return [str(name) for (name,) in conn.execute("SELECT drop_days(%s)", (before,)).fetchall()]


def run_rollups(settings: DatabaseSettings, limits: Limits, halt: threading.Event) -> None:
    """Roll up and drop until ``halt`` is set; trouble with the database is said once and waited out.

    Where a statement takes longer than it may, the next ones do less.
    """
    said = ""
    next_retention = next_days = datetime.min.replace(tzinfo=UTC)
    share = 1
    while not halt.is_set():
        try:
            with connect(settings, "rollups", autocommit=True) as conn:
                while not halt.is_set():
                    now = datetime.now(UTC)
                    most, days = BUCKETS_AT_ONCE // share, DAYS_AT_ONCE // share
                    done = roll_up(conn, now, limits, most)
                    said = ""
                    if now >= next_retention:
                        # Before it is tried: were it to fail, it must not keep days from being folded.
                        next_retention = now + _RETENTION_EVERY
                        drop_old(conn, now)
                    if done == most:
                        continue
                    if now >= next_days and fold_whole_days(conn, now, limits, days) < days:
                        next_days = now + _DAYS_EVERY
                        share = 1
                    halt.wait(_PAUSE_S if now < next_days else 0)
        except psycopg.errors.QueryCanceled:
            logger.warning("roll-ups go on in smaller parts: a statement took too long share=1/%d", share)
            halt.wait(0 if share < DAYS_AT_ONCE // 2 else _PAUSE_S)
            share = min(2 * share, DAYS_AT_ONCE)
        except (psycopg.Error, DatabaseError) as error:
            if not said:
                said = str(error)
                logger.warning("roll-ups wait: cause=%r", said.strip().partition("\n")[0])
            halt.wait(_PAUSE_S)


def _alone(conn: Connection) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _five_minutes() -> sql.Composed:
    edges = sql.Literal(list(HIST_EDGES_MS))
    counts = sql.SQL(", ").join(
        sql.SQL("count(*) FILTER (WHERE m.outcome = 0 AND width_bucket(m.ms::float8, {}::float8[]) = {})").format(
            edges, sql.Literal(index)
        )
        for index in range(len(HIST_EDGES_MS) + 1)
    )
    return _filled(_FIVE_MINUTES, counts)


def _one_hour() -> sql.Composed:
    counts = sql.SQL(", ").join(
        sql.SQL("sum(r.ms_hist[{}])").format(sql.Literal(index + 1)) for index in range(len(HIST_EDGES_MS) + 1)
    )
    return _filled(_ONE_HOUR, counts)


def _filled(template: str, counts: sql.Composable) -> sql.Composed:
    names = [sql.Identifier(name) for name in _VALUES]
    return sql.SQL(template).format(
        keys=_KEYS,
        values=sql.SQL(", ").join(names),
        new_values=sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in names),
        counts=counts,
    )
