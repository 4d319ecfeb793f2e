"""The desk's audit: everything that a person did to the record, or was refused. Rows are added and never changed.

No address, password, code or token is ever a part of a row.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from civobs_collector.db.connect import Connection

Outcome = Literal["done", "refused"]


def record(  # noqa: PLR0913 - a column each
    conn: Connection,
    at: datetime,
    login: str,
    action: str,
    outcome: Outcome,
    *,
    staff_key: int | None = None,
    event_key: UUID | None = None,
    detail: str = "",
) -> None:
    """Add a line, in the caller's transaction. ``login`` is the name given where nobody is signed in."""
    conn.execute(
        "INSERT INTO audit (at, staff_key, login, action, outcome, event_key, detail)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (at, staff_key, login, action, outcome, event_key, detail),
    )
