"""What people decided about events, as it is stored: written once, read in the order in which it was written."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A decision as it is stored."""

    review_key: int
    event_key: UUID
    at: datetime
    reviewer: str
    action: str
    note: str
    sources: Sequence[str]
    body: dict[str, Any]


_COLUMNS = "review_key, event_key, at, reviewer, action, note, sources, body"


def read(conn: Connection, events: Collection[UUID]) -> list[ReviewRow]:
    """Every decision about these events, the oldest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM review WHERE event_key = ANY(%s) ORDER BY review_key",  # noqa: S608 # constant
        (list(events),),
    )
    return [ReviewRow(*row) for row in rows]


def insert(conn: Connection, row: ReviewRow, staff_key: int | None) -> int:
    """Write a decision; ``review_key`` is given by the table and returned. The event is there already."""
    (key,) = conn.execute(
        "INSERT INTO review (event_key, at, reviewer, staff_key, action, note, sources, body)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING review_key",
        (
            *(row.event_key, row.at, row.reviewer, staff_key, row.action),
            *(row.note, list(row.sources), Jsonb(row.body)),
        ),
    ).fetchone() or (0,)
    return int(key)
