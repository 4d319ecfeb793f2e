"""What the observatory can say of itself: signs of life, the last commit, what was refused."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest sign of life of one role's process."""

    role: str
    instance: str
    at: datetime
    ok: bool
    age_s: float


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """Batches refused for one reason."""

    reason: str
    n: int
    first_at: datetime
    last_at: datetime


def read_beats(conn: Connection) -> list[Beat]:
    """Return the newest beat of each role and instance. Ages are by the database's clock."""
    with conn.cursor(row_factory=class_row(Beat)) as cursor:
        return cursor.execute(
            "SELECT DISTINCT ON (role, instance) role, instance, at, ok,"
            " extract(epoch FROM now() - at)::float8 AS age_s"
            " FROM collector_beat WHERE at > now() - interval '1 day' ORDER BY role, instance, at DESC"
        ).fetchall()


def read_last_commit_age(conn: Connection) -> float | None:
    """Return seconds since the newest batch was received; None when there is none."""
    row = conn.execute("SELECT extract(epoch FROM now() - max(received_at))::float8 FROM batch").fetchone()
    return None if row is None or row[0] is None else float(row[0])


def count_quarantine(conn: Connection) -> list[QuarantineCount]:
    """Count refused batches by reason, most frequent first."""
    with conn.cursor(row_factory=class_row(QuarantineCount)) as cursor:
        return cursor.execute(
            "SELECT reason, sum(n)::int8 AS n, min(received_at) AS first_at, max(last_at) AS last_at"
            " FROM rejected_batch GROUP BY reason ORDER BY n DESC, reason"
        ).fetchall()
