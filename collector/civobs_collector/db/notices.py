"""The outbox: what is to be told to whom, what was tried, and what nobody has looked at yet.

A message is one notice or, as a digest, many. Its key is written before its first attempt and stays the same, so that
a receiver can tell a repetition: after a crash between sending and the commit nobody knows whether it arrived.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection

_LOCK = 0x636976_6E6F
"""Key of the advisory lock of the one process that tells: "civno" in ASCII."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version that the public may see; ``record`` is the JSON as it was published."""

    public_id: str
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """What one subscriber is to be told of one version."""

    subscriber: str
    event_key: UUID
    version: int
    told: int | None
    """The version they were told of before."""
    change: str
    made_at: datetime
    not_before: datetime
    urgent: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A notice of a message that is to be sent."""

    event_key: UUID
    version: int
    told: int | None
    change: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is being tried."""

    message: UUID
    attempts: int
    """With this one."""
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice as staff see it."""

    notice_key: int
    subscriber: str
    public_id: str
    version: int
    change: str
    state: str
    attempts: int
    made_at: datetime
    not_before: datetime
    sent_at: datetime | None
    last_error: str | None


def lock_telling(conn: Connection) -> bool:
    """Take the right to tell for as long as the connection lives; False when another process has it."""
    (taken,) = conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() or (False,)
    return bool(taken)


def register(conn: Connection, subscribers: Sequence[str], now: datetime) -> None:
    """Remember since when each is a subscriber."""
    conn.execute(
        "INSERT INTO notice_subscriber (subscriber, since, after_due)"
        " SELECT unnest(%s::text[]), %s, (SELECT coalesce(max(due_key), 0) FROM notice_due) ON CONFLICT DO NOTHING",
        (list(subscribers), now),
    )


def subscribed_after(conn: Connection) -> dict[str, int]:
    """Return the key of the last version on the list when each became a subscriber."""
    return {str(name): int(key) for name, key in conn.execute("SELECT subscriber, after_due FROM notice_subscriber")}


def drop_strangers(conn: Connection, subscribers: Sequence[str]) -> int:
    """Forget what is not sent to those that the settings no longer name; returns how many notices."""
    return conn.execute(
        "UPDATE notice SET state = 'dropped', last_error = 'no subscriber of that name any more'"
        " WHERE state IN ('waiting', 'dead') AND subscriber <> ALL(%s)",
        (list(subscribers),),
    ).rowcount


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A version that was published, by its place in the order."""

    due_key: int
    event_key: UUID
    version: int


def take_due(conn: Connection, limit: int) -> list[Due]:
    """Take what was published off the list of what nobody was told of, in its order."""
    rows = conn.execute(
        "DELETE FROM notice_due WHERE due_key IN (SELECT due_key FROM notice_due ORDER BY due_key LIMIT %s)"
        " RETURNING due_key, event_key, version",
        (limit,),
    ).fetchall()
    return sorted(Due(*row) for row in rows)


def forget_due(conn: Connection) -> None:
    """Empty that list, where there is nobody to tell."""
    conn.execute("DELETE FROM notice_due")


_SERVED = (
    "SELECT public_id, version, published_at, change_kind, reason, record"
    " FROM event_version JOIN event USING (event_key)"
    " WHERE event_key = %s AND public_id IS NOT NULL AND NOT held AND level <> 'probe'"
)


def read_served(conn: Connection, event_key: UUID, version: int) -> Version | None:
    """Return a version if the public may see it."""
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(f"{_SERVED} AND version = %s", (event_key, version)).fetchone()


def read_served_before(conn: Connection, event_key: UUID, version: int, subscriber: str) -> Version | None:
    """Return what the public saw of an event, before this version, when somebody became a subscriber."""
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(
            f"{_SERVED} AND version < %s AND published_at <="  # noqa: S608
            " (SELECT since FROM notice_subscriber WHERE subscriber = %s) ORDER BY version DESC LIMIT 1",
            (event_key, version, subscriber),
        ).fetchone()


def fold(conn: Connection, subscriber: str, event_key: UUID) -> None:
    """Drop what waits of an event and was never tried: a later version says all of it, or that it was nothing."""
    conn.execute(
        "UPDATE notice SET state = 'dropped', last_error = 'a later version said it'"
        " WHERE subscriber = %s AND event_key = %s AND state = 'waiting' AND message IS NULL",
        (subscriber, event_key),
    )


def last_tried(conn: Connection, subscriber: str, event_key: UUID) -> int | None:
    """Return the newest version of an event that a subscriber was told of, or may have been."""
    (found,) = conn.execute(
        "SELECT max(version) FROM notice WHERE subscriber = %s AND event_key = %s AND message IS NOT NULL",
        (subscriber, event_key),
    ).fetchone() or (None,)
    return found  # type: ignore[no-any-return]


def add(conn: Connection, notice: Notice) -> None:
    """Put a notice into the outbox."""
    conn.execute(
        "INSERT INTO notice (subscriber, event_key, version, told, change, made_at, not_before, urgent)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(notice.subscriber, notice.event_key, notice.version, notice.told),
            *(notice.change, notice.made_at, notice.not_before, notice.urgent),
        ),
    )


_READY = """
SELECT notice_key FROM notice n
 WHERE subscriber = %s AND state = 'waiting' AND message IS NULL AND not_before <= %s
   -- What is told of an event is told in order.
   AND NOT EXISTS (SELECT FROM notice e WHERE e.subscriber = n.subscriber AND e.event_key = n.event_key
                    AND e.state = 'waiting' AND e.version < n.version)
 ORDER BY notice_key
"""


def ready(conn: Connection, subscriber: str, now: datetime) -> list[int]:
    """Return the keys of the notices that are in no message yet and whose time has come."""
    return [int(key) for (key,) in conn.execute(_READY, (subscriber, now))]


def tried_since(conn: Connection, subscriber: str, since: datetime) -> tuple[int, datetime | None]:
    """Return how many messages were first tried since then, and when the last was."""
    n, last = conn.execute(
        "SELECT count(DISTINCT message), max(tried_at) FROM notice WHERE subscriber = %s AND tried_at >= %s",
        (subscriber, since),
    ).fetchone() or (0, None)
    return int(n), last


def put_together(conn: Connection, message: UUID, keys: Collection[int], now: datetime) -> None:
    """Make one message of some notices."""
    conn.execute("UPDATE notice SET message = %s, tried_at = %s WHERE notice_key = ANY(%s)", (message, now, list(keys)))


_NEXT = """
SELECT message, max(attempts) FROM notice
 WHERE subscriber = %s AND state = 'waiting' AND message IS NOT NULL
 GROUP BY message HAVING max(not_before) <= %s AND (bool_or(urgent) OR NOT %s)
 ORDER BY min(notice_key) LIMIT 1
"""


def next_message(conn: Connection, subscriber: str, now: datetime, *, quiet: bool) -> tuple[UUID, int] | None:
    """Return the oldest message whose time has come, and how often it was tried. In quiet hours, urgent ones only."""
    row = conn.execute(_NEXT, (subscriber, now, quiet)).fetchone()
    return None if row is None else (row[0], int(row[1]))


def claim(conn: Connection, message: UUID, again_at: datetime) -> Claimed:
    """Count an attempt before it is made, and say when the next is due should this process not survive it."""
    with conn.cursor(row_factory=class_row(Part)) as cursor:
        parts = cursor.execute(
            "SELECT event_key, version, told, change FROM notice WHERE message = %s ORDER BY notice_key", (message,)
        ).fetchall()
    (attempts,) = conn.execute(
        "UPDATE notice SET attempts = attempts + 1, not_before = %s WHERE message = %s RETURNING attempts",
        (again_at, message),
    ).fetchone() or (0,)
    return Claimed(message, int(attempts), tuple(parts))


def finish(conn: Connection, message: UUID, at: datetime, *, state: str, error: str | None) -> None:
    """Write down how an attempt ended: ``sent``, ``dead``, or ``waiting`` for the next."""
    conn.execute(
        "UPDATE notice SET state = %(state)s, last_error = %(error)s,"
        " sent_at = CASE WHEN %(state)s = 'sent' THEN %(at)s::timestamptz END"
        " WHERE message = %(message)s AND state = 'waiting'",
        {"state": state, "error": error, "at": at, "message": message},
    )


_LIST = """
SELECT notice_key, subscriber, public_id, version, change, state, attempts, made_at, not_before, sent_at, last_error
  FROM notice JOIN event USING (event_key)
 WHERE state = ANY(%s) AND (%s::text IS NULL OR subscriber = %s) ORDER BY notice_key DESC LIMIT %s
"""


def list_notices(conn: Connection, states: Collection[str], subscriber: str | None, limit: int) -> list[NoticeRow]:
    """Return notices in these states, the newest first."""
    with conn.cursor(row_factory=class_row(NoticeRow)) as cursor:
        return cursor.execute(_LIST, (list(states), subscriber, subscriber, limit)).fetchall()


_DEAD = (
    "state = 'dead' AND (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)"
    " AND (cardinality(%(keys)s::int8[]) = 0"
    "      OR message IN (SELECT message FROM notice WHERE notice_key = ANY(%(keys)s::int8[])))"
)


def give_up(conn: Connection, *, subscriber: str | None, keys: Collection[int]) -> int:
    """Forget what was given up: all, one subscriber's, or the messages of these; returns how many notices."""
    return conn.execute(
        f"UPDATE notice SET state = 'dropped' WHERE {_DEAD}",  # noqa: S608 # constant
        {"subscriber": subscriber, "keys": list(keys)},
    ).rowcount


def revive(conn: Connection, now: datetime, *, subscriber: str | None, keys: Collection[int]) -> int:
    """Try again what was given up, with the key it had; returns how many notices."""
    return conn.execute(
        f"UPDATE notice SET state = 'waiting', attempts = 0, not_before = %(now)s WHERE {_DEAD}",  # noqa: S608 # constant
        {"now": now, "subscriber": subscriber, "keys": list(keys)},
    ).rowcount
