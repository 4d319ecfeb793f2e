"""Fingerprints as they are stored: imported once each, changed in what is said of them, never deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from psycopg import sql
from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class StoredFingerprint:
    """A row of table ``fingerprint``."""

    source: str
    fingerprint_id: str
    role: str
    scope: str
    location: str
    form: str
    pattern: str
    countries: list[str]
    confidence: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What an import changed."""

    new: int
    changed: int
    same: int
    withdrawn: int


_COLUMNS = tuple(one.name for one in fields(StoredFingerprint))
_SAID = ("scope", "countries", "confidence", "note")
"""What may change of a fingerprint while it stays the same."""

_STORE = sql.SQL("""
INSERT INTO fingerprint ({columns}) VALUES ({values})
    ON CONFLICT (source, fingerprint_id, role, location, form, md5(pattern)) DO UPDATE
   SET ({said}, withdrawn_at) = ROW({new}, NULL)
 WHERE (fingerprint.withdrawn_at, {old}) IS DISTINCT FROM (NULL::timestamptz, {new})
RETURNING fingerprint_key, xmax = 0
""").format(
    columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
    values=sql.SQL(", ").join(sql.Placeholder() * len(_COLUMNS)),
    said=sql.SQL(", ").join(map(sql.Identifier, _SAID)),
    old=sql.SQL(", ").join(sql.Identifier("fingerprint", name) for name in _SAID),
    new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in _SAID),
)

_WITHDRAW = """
UPDATE fingerprint SET withdrawn_at = now()
 WHERE source = %(source)s AND withdrawn_at IS NULL
   AND (fingerprint_id, role, location, form, pattern) NOT IN (
       SELECT * FROM unnest(%(ids)s::text[], %(roles)s::text[], %(locations)s::text[], %(forms)s::text[],
                            %(patterns)s::text[]))
"""

_LIST = sql.SQL("""
SELECT {columns} FROM fingerprint
 WHERE withdrawn_at IS NULL AND (%(source)s::text IS NULL OR source = %(source)s)
 ORDER BY source COLLATE "C", fingerprint_id COLLATE "C", fingerprint_key
""").format(columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)))


def store_fingerprints(conn: Connection, rows: Sequence[StoredFingerprint], *, replace: bool) -> Stored:
    """Add what is new and change what is said of the rest; ``replace`` withdraws what these sources no longer have."""
    new = changed = 0
    with conn.transaction(), conn.cursor() as cursor:
        for row in rows:
            found = cursor.execute(_STORE, [getattr(row, name) for name in _COLUMNS]).fetchone()
            new += found is not None and bool(found[1])
            changed += found is not None and not found[1]
        withdrawn = sum(_withdraw(conn, source, rows) for source in {row.source for row in rows}) if replace else 0
    return Stored(new, changed, len(rows) - new - changed, withdrawn)


def list_fingerprints(conn: Connection, source: str | None = None) -> list[StoredFingerprint]:
    """Those that are in use, by source and id."""
    with conn.cursor(row_factory=class_row(StoredFingerprint)) as cursor:
        return cursor.execute(_LIST, {"source": source}).fetchall()


def _withdraw(conn: Connection, source: str, rows: Sequence[StoredFingerprint]) -> int:
    own = [row for row in rows if row.source == source]
    columns = ("fingerprint_id", "role", "location", "form", "pattern")
    ids, roles, locations, forms, patterns = ([getattr(row, name) for row in own] for name in columns)
    values = {"ids": ids, "roles": roles, "locations": locations, "forms": forms, "patterns": patterns}
    return conn.execute(_WITHDRAW, {"source": source, **values}).rowcount
