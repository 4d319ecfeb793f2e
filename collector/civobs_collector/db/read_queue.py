"""What waits for a person: events that are held for review, open, or reviewed by nobody yet; and what is near one.

A confirmed event that the detector no longer finds waits too. Records are large: of closed events as few as can be are
looked into.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An event by its newest version, without the rows of its grid."""

    event_key: UUID
    public_id: str | None
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    record: dict[str, Any]


_WAITING = """
WITH found AS (SELECT event_key FROM event_current
 WHERE level <> 'probe'
   AND CASE WHEN held THEN record->>'held' = 'review'
            WHEN status = 'retracted' THEN false
            WHEN status = 'open' THEN true
            WHEN NOT EXISTS (SELECT FROM review WHERE review.event_key = event_current.event_key
                                AND action IN ('confirm', 'retract', 'reopen', 'merge', 'split')) THEN true
            ELSE coalesce(record->'machine'->'said'->>'status' = 'retracted', false) END
 ORDER BY held DESC, status = 'open' DESC, onset_latest DESC, event_key
 LIMIT %s)
SELECT event_key, public_id, version, published_at, change_kind, reason,
       jsonb_set(record, '{grid,rows}', '[]') AS record
  FROM event_current WHERE event_key IN (SELECT event_key FROM found)
 ORDER BY onset_latest DESC, event_key
"""

_REVIEWED = """
WITH found AS (SELECT event_key, max(review_key) AS last FROM review GROUP BY event_key ORDER BY last DESC LIMIT %s)
SELECT event_key, public_id, version, published_at, change_kind, reason,
       jsonb_set(record, '{grid,rows}', '[]') AS record
  FROM event_current JOIN found USING (event_key) ORDER BY last DESC
"""


def list_waiting(conn: Connection, limit: int) -> list[QueueRow]:
    """Return what waits, the latest onset first; those that are held and open are the last to be left out."""
    with conn.cursor(row_factory=class_row(QueueRow)) as cursor:
        return cursor.execute(_WAITING, (limit,)).fetchall()


def list_reviewed(conn: Connection, limit: int) -> list[QueueRow]:
    """Return what was decided about last."""
    with conn.cursor(row_factory=class_row(QueueRow)) as cursor:
        return cursor.execute(_REVIEWED, (limit,)).fetchall()


_NEARBY = """
SELECT other.event_key, other.public_id, other.version, other.published_at, other.change_kind, other.reason,
       jsonb_set(other.record, '{grid,rows}', '[]') AS record
  FROM event_current this JOIN event_current other USING (cc)
 WHERE this.event_key = %s AND other.event_key <> this.event_key
   AND other.level <> 'probe' AND other.public_id IS NOT NULL AND other.status <> 'retracted'
 ORDER BY abs(extract(epoch FROM other.onset_latest - this.onset_latest)), other.event_key
 LIMIT %s
"""


def list_nearby(conn: Connection, event_key: UUID, limit: int) -> list[QueueRow]:
    """Return public events of the same country, those that began nearest in time first."""
    with conn.cursor(row_factory=class_row(QueueRow)) as cursor:
        return cursor.execute(_NEARBY, (event_key, limit)).fetchall()
