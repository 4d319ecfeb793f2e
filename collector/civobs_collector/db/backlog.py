"""What waits to be worked on, what the last day brought, and what the clocks say: for ``civobs doctor``."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class Dirty:
    """Buckets whose roll-ups are to be made again."""

    n: int
    """Those that ended more than a minute ago; the job takes them within seconds of that."""
    probes: int
    """Probes that are not revoked."""


@dataclass(frozen=True, slots=True)
class Day:
    """Batches of the last 24 hours."""

    committed: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Clock:
    """How clocks differ from the one here, in seconds."""

    database_ahead_s: float
    probes_ahead_s: float | None
    """Median over the last hour's batches from synchronised clocks; below zero is the way they took. None: no batch."""


def read_dirty(conn: Connection) -> Dirty:
    """Count dirty buckets."""
    with conn.cursor(row_factory=class_row(Dirty)) as cursor:
        return cursor.execute("""
            SELECT (SELECT count(*) FROM dirty_bucket WHERE bucket < now() - interval '6 minutes') AS n,
                   (SELECT count(*) FROM probe WHERE status <> 'revoked') AS probes""").fetchall()[0]


def count_day(conn: Connection) -> Day:
    """Count what was committed and what was refused in the last 24 hours."""
    with conn.cursor(row_factory=class_row(Day)) as cursor:
        return cursor.execute("""
            SELECT (SELECT count(*) FROM batch WHERE received_at > now() - interval '1 day') AS committed,
                   (SELECT coalesce(sum(n), 0)::int8 FROM rejected_batch WHERE last_at > now() - interval '1 day')
                   AS rejected""").fetchall()[0]


def read_clock(conn: Connection, now: datetime) -> Clock:
    """Compare clocks; ``now`` is this machine's."""
    with conn.cursor(row_factory=class_row(Clock)) as cursor:
        return cursor.execute(
            """
            SELECT extract(epoch FROM clock_timestamp() - %(now)s)::float8 AS database_ahead_s,
                   (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM sealed_at - received_at))
                      FROM batch
                     WHERE clock = 'synced' AND received_at > %(now)s - interval '1 hour')::float8 AS probes_ahead_s""",
            {"now": now},
        ).fetchall()[0]
