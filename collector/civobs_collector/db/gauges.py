"""Samples of gauges: written once a minute by each role, read by views, kept for a month."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from civobs_collector.db.connect import Connection
from civobs_collector.gauges import KEPT_D, Sample, checked


def insert_samples(conn: Connection, at: datetime, role: str, instance: str, samples: Sequence[Sample]) -> None:
    """Keep what one role measured at one time."""
    sound = checked(samples)
    conn.execute(
        "INSERT INTO gauge_sample (at, role, instance, name, label, value)"
        " SELECT %s, %s, %s, s.* FROM unnest(%s::text[], %s::text[], %s::float8[]) s ON CONFLICT DO NOTHING",
        (
            *(at, role, instance),
            *([one.name for one in sound], [one.label for one in sound], [float(one.value) for one in sound]),
        ),
    )


_STORED = """
SELECT 'database_bytes', pg_database_size(current_database())::float8
UNION ALL
SELECT 'notices_waiting', count(*) + (SELECT count(*) FROM notice_due)
  FROM notice WHERE state = 'waiting' AND not_before <= %(now)s
UNION ALL
SELECT 'notices_dead', count(*) FROM notice WHERE state = 'dead'
UNION ALL
SELECT 'dirty_buckets', count(*) FROM dirty_bucket WHERE bucket < %(now)s - interval '6 minutes'
"""


def read_stored(conn: Connection, now: datetime) -> list[Sample]:
    """What the database says of itself and of what waits in it."""
    return [Sample(name, value) for name, value in conn.execute(_STORED, {"now": now})]


def drop_old_samples(conn: Connection, now: datetime) -> int:
    """Delete samples that were kept for long enough; returns how many."""
    return conn.execute("DELETE FROM gauge_sample WHERE at < %s", (now - timedelta(days=KEPT_D),)).rowcount
