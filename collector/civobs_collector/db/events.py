"""Events as the detector and staff see them: chains of versions, written once, of every level."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from civobs_collector.db.connect import Connection

_LOCK = 0x636976_6576
"""Key of the advisory lock of the one detector that may publish: "civev" in ASCII."""

LAST_SEEN = (
    "coalesce(resolution_latest, onset_latest + (record->'severity'->>'hours')::float8 * interval '1 hour',"
    " onset_latest)"
)
"""When an event that is not open was over, or up to when it was watched where its end is not known."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as it is stored, of any level; ``record`` is the JSON as it was published."""

    event_key: UUID
    public_id: str | None
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    record: dict[str, Any]
    found_at: datetime | None = None
    """When the detector last wrote, if a person has since."""

    @property
    def held(self) -> bool:
        """Whether it is kept from the public."""
        return self.record.get("held") in ("review", "retracted")


@dataclass(frozen=True, slots=True)
class VersionColumns:
    """A version to be written: what the table has in columns of its own, and the record."""

    event_key: UUID
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    detector_version: str
    status: str
    kind: str
    level: str
    cc: str
    asn: int | None
    onset_earliest: datetime
    onset_latest: datetime
    resolution_earliest: datetime | None
    resolution_latest: datetime | None
    record: dict[str, Any]


def hold_publishing(conn: Connection) -> None:
    """Keep everybody from publishing for as long as this connection lasts; waits for whoever does."""
    conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))


def lock_publishing(conn: Connection) -> bool:
    """Take the right to publish until the transaction ends; False when another detector has it."""
    (taken,) = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone() or (False,)
    return bool(taken)


def wait_to_publish(conn: Connection, seconds: int) -> None:
    """Take the same right, waiting for it. Raises psycopg.errors.LockNotAvailable."""
    conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{seconds}s",))
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def earliest_open_onset(conn: Connection, since: datetime, but: Collection[str]) -> datetime | None:
    """When the oldest public event that is still open began, of those since then and of other kinds than these."""
    (found,) = conn.execute(
        "SELECT min(onset_earliest) FROM event_current"
        " WHERE found_open AND level <> 'probe' AND onset_earliest >= %s AND kind <> ALL(%s)",
        (since, sorted(but)),
    ).fetchone() or (None,)
    return found  # type: ignore[no-any-return]


def read_chains(conn: Connection, since: datetime) -> list[StoredVersion]:
    """Newest versions of events that are open or reach into the time since then."""
    return _read(
        conn,
        "event_current",
        f"found_open OR {LAST_SEEN} >= %s ORDER BY event_key",
        (since,),
    )


def create_event(conn: Connection, columns: VersionColumns, *, public: bool) -> str | None:
    """Begin a chain; a public one gets its id. The caller holds the publishing lock."""
    public_id = _mint(conn, columns) if public else None
    conn.execute(
        "INSERT INTO event (event_key, public_id, cc, created_at) VALUES (%s, %s, %s, %s)",
        (columns.event_key, public_id, columns.cc, columns.published_at),
    )
    return public_id


def public_id(conn: Connection, event_key: UUID) -> str | None:
    """The public id of a chain."""
    (found,) = conn.execute("SELECT public_id FROM event WHERE event_key = %s", (event_key,)).fetchone() or (None,)
    return None if found is None else str(found)


def write_version(conn: Connection, columns: VersionColumns) -> None:
    """Add one version to a chain that exists."""
    names = [field.name for field in fields(columns)]
    values = [getattr(columns, name) for name in names]
    conn.execute(
        sql.SQL("INSERT INTO event_version ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(sql.Placeholder() * len(names))
        ),
        [Jsonb(value) if isinstance(value, dict) else value for value in values],
    )


def _mint(conn: Connection, columns: VersionColumns) -> str:
    """The next free id of the country and the year of the onset; the publishing lock makes it unique."""
    prefix = f"CIV-{columns.onset_earliest.year:04d}-{columns.cc}-"
    (last,) = conn.execute(
        "SELECT max(substr(public_id, %s)::int8) FROM event WHERE starts_with(public_id, %s)", (len(prefix) + 1, prefix)
    ).fetchone() or (None,)
    return f"{prefix}{(last or 0) + 1:04d}"


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Whose batches, sealed when: of the networks, of these in some regions, or of one probe if it is given."""

    cc: str
    asns: Sequence[int]
    start: datetime
    end: datetime
    probe_id: str | None = None
    admin1: Sequence[str] = ()


def count_batches(conn: Connection, which: BatchFilter) -> int:
    """Batches of the probes of these networks; anchors left out."""
    (found,) = conn.execute(
        "SELECT count(*) FROM batch b JOIN probe p USING (probe_key) WHERE p.cc = %s"
        " AND CASE WHEN %s::text IS NULL THEN p.asn = ANY(%s) ELSE p.probe_id = %s END"
        " AND (cardinality(%s::text[]) = 0 OR p.admin1 = ANY(%s))"
        " AND NOT p.is_anchor AND b.sealed_at >= %s AND b.sealed_at <= %s",
        (
            *(which.cc, which.probe_id, list(which.asns), which.probe_id),
            *(list(which.admin1), list(which.admin1)),
            *(which.start, which.end),
        ),
    ).fetchone() or (0,)
    return int(found)


def names_of(conn: Connection, cc: str, asns: Collection[int]) -> tuple[str, dict[int, str]]:
    """The name of a country, empty where it has none, and of those of the networks that have one."""
    (country,) = conn.execute("SELECT name FROM country WHERE cc = %s", (cc,)).fetchone() or ("",)
    rows = conn.execute("SELECT asn, name FROM network WHERE asn = ANY(%s) AND name <> '' ORDER BY asn", (list(asns),))
    return str(country), {int(asn): str(name) for asn, name in rows}


def list_events(conn: Connection, *, level: str | None = None, cc: str | None = None) -> list[StoredVersion]:
    """The newest version of every event, the latest onset first."""
    return _read(
        conn,
        "event_current",
        "(%s::text IS NULL OR level = %s) AND (%s::text IS NULL OR cc = %s) ORDER BY onset_earliest DESC, event_key",
        (level, level, cc, cc),
    )


def read_versions(conn: Connection, name: str) -> list[StoredVersion]:
    """All versions of the event with this public id or key, the oldest first; empty when there is none."""
    return _read(
        conn,
        "event_version JOIN event USING (event_key)",
        "public_id = upper(%s) OR event_key::text = lower(%s) ORDER BY version",
        (name, name),
    )


def _read(conn: Connection, source: str, condition: str, values: Sequence[Any]) -> list[StoredVersion]:
    rows = conn.execute(
        sql.SQL(
            "SELECT event_key, public_id, version, published_at, change_kind, reason, record,"
            " CASE reason WHEN 'human_review' THEN (SELECT max(o.published_at) FROM event_version o"
            " WHERE o.event_key = found.event_key AND o.version < found.version AND o.reason <> 'human_review') END"
            " FROM (SELECT * FROM {}) found WHERE {}"
        ).format(sql.SQL(source), sql.SQL(condition)),
        values,
    )
    return [StoredVersion(*row) for row in rows]


def beat(conn: Connection, at: datetime, instance: str) -> None:
    """Sign of life of the detector."""
    conn.execute(
        "INSERT INTO collector_beat (at, role, instance, ok) VALUES (%s, 'detect', %s, true) ON CONFLICT DO NOTHING",
        (at, instance),
    )
