"""Published events as the pages and the API read them: whole versions, never rewritten.

Events of level ``probe`` concern one household and are never read here, nor is a version that is held: no query in
this module can return one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection
from civobs_collector.db.events import LAST_SEEN


@dataclass(frozen=True, slots=True)
class EventVersionRow:
    """One version of one event; ``record`` is the JSON as it was published, in lists without the rows of its grid."""

    public_id: str
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    record: dict[str, Any]
    supersedes: int | None
    """The version that the public saw before it."""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One line of an event's history."""

    version: int
    published_at: datetime
    change_kind: str
    reason: str
    detector_version: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; None means all. ``start`` and ``end`` keep events that overlap the half-open interval."""

    cc: str | None = None
    asn: int | None = None
    kind: str | None = None
    status: str | None = None
    level: str | None = None
    campaign: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None


_BEFORE = (
    "(SELECT max(o.version) FROM event_version o"
    " WHERE o.event_key = v.event_key AND o.version < v.version AND NOT o.held) AS supersedes"
)
_COLUMNS = f"public_id, v.version, v.published_at, v.change_kind, v.reason, v.record, {_BEFORE}"
_PUBLIC = "public_id = %s AND v.level <> 'probe' AND NOT v.held"


def read_event(conn: Connection, public_id: str) -> EventVersionRow | None:
    """Return the newest version of an event."""
    with conn.cursor(row_factory=class_row(EventVersionRow)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM event_served v WHERE public_id = %s",  # noqa: S608 # constant
            (public_id,),
        ).fetchone()


def read_event_version(conn: Connection, public_id: str, version: int) -> EventVersionRow | None:
    """Return one version of an event."""
    with conn.cursor(row_factory=class_row(EventVersionRow)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM event_version v JOIN event USING (event_key)"  # noqa: S608 # constant
            f" WHERE {_PUBLIC} AND v.version = %s",
            (public_id, version),
        ).fetchone()


def read_history(conn: Connection, public_id: str) -> list[VersionLine]:
    """Return all versions of an event, newest first; empty when there is no such public event."""
    with conn.cursor(row_factory=class_row(VersionLine)) as cursor:
        return cursor.execute(
            "SELECT version, published_at, change_kind, reason, v.detector_version"  # noqa: S608 # constant
            f" FROM event_version v JOIN event USING (event_key) WHERE {_PUBLIC} ORDER BY version DESC",
            (public_id,),
        ).fetchall()


def read_versions(conn: Connection, public_id: str) -> list[EventVersionRow]:
    """Return all versions of an event as they were published, newest first; empty when there is none."""
    with conn.cursor(row_factory=class_row(EventVersionRow)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM event_version v JOIN event USING (event_key)"  # noqa: S608 # constant
            f" WHERE {_PUBLIC} ORDER BY version DESC",
            (public_id,),
        ).fetchall()


_LIST_SQL = f"""
WITH found AS (SELECT * FROM event_served
 WHERE true
   AND (%(cc)s::text IS NULL OR cc = %(cc)s)
   AND (%(asn)s::int8 IS NULL OR record->'scope'->'asns' @> to_jsonb(%(asn)s::int8))
   AND (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(level)s::text IS NULL OR level = %(level)s)
   AND (%(campaign)s::text IS NULL OR record->'campaign'->>'campaign_id' = %(campaign)s)
   AND (%(end)s::timestamptz IS NULL OR onset_earliest < %(end)s)
   AND (%(start)s::timestamptz IS NULL OR status = 'open' OR {LAST_SEEN} >= %(start)s)
   AND (%(after_at)s::timestamptz IS NULL OR (onset_earliest, public_id) < (%(after_at)s, %(after_id)s))
 ORDER BY onset_earliest DESC, public_id DESC
 LIMIT %(limit)s)
SELECT public_id, version, published_at, change_kind, reason, jsonb_set(record, '{{grid,rows}}', '[]') AS record,
       {_BEFORE}
  FROM found v ORDER BY onset_earliest DESC, public_id DESC
"""  # noqa: S608 # only a constant expression is filled in
"""A grid is most of a record, and a list shows none. It is taken out of what is found, and of nothing else."""


def list_events(
    conn: Connection, wanted: EventFilter, limit: int, after: tuple[datetime, str] | None = None
) -> list[EventVersionRow]:
    """Return newest versions, latest onset first, without the rows of their grids.

    ``after`` is (onset_earliest, public_id) of the last one seen.
    """
    values = {
        "cc": wanted.cc,
        "asn": wanted.asn,
        "kind": wanted.kind,
        "status": wanted.status,
        "level": wanted.level,
        "campaign": wanted.campaign and str(wanted.campaign),
        "start": wanted.start,
        "end": wanted.end,
        "after_at": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    with conn.cursor(row_factory=class_row(EventVersionRow)) as cursor:
        return cursor.execute(_LIST_SQL, values).fetchall()


_LATEST_SQL = f"""
WITH found AS (SELECT v.*, public_id FROM event_version v JOIN event e USING (event_key)
 WHERE v.level <> 'probe' AND NOT v.held AND public_id IS NOT NULL AND (%(cc)s::text IS NULL OR e.cc = %(cc)s)
 ORDER BY published_at DESC, public_id DESC, version DESC
 LIMIT %(limit)s)
SELECT public_id, version, published_at, change_kind, reason, jsonb_set(record, '{{grid,rows}}', '[]') AS record,
       {_BEFORE}
  FROM found v ORDER BY published_at DESC, public_id DESC, version DESC
"""  # noqa: S608 # only a constant expression is filled in


def list_versions(conn: Connection, cc: str | None, limit: int) -> list[EventVersionRow]:
    """Return what was published last, of all events or of a country's, without the rows of their grids."""
    with conn.cursor(row_factory=class_row(EventVersionRow)) as cursor:
        return cursor.execute(_LATEST_SQL, {"cc": cc, "limit": limit}).fetchall()


def read_country_names(conn: Connection) -> dict[str, str]:
    """Return the names of countries that the observatory has set itself."""
    return {str(cc): str(name) for cc, name in conn.execute("SELECT cc, name FROM country").fetchall()}
