"""Who is enrolled, in the form in which it is kept beside the archive, and back from there after a loss."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One probe as ``probe`` has it, but for the key that the database gave it."""

    probe_id: str
    household_key: int
    signing_key: bytes
    csr_pem: str
    cc: str
    asn: int
    admin1: str | None
    is_anchor: bool
    access: str | None
    status: str
    consent_tier: int
    board: str | None
    agent: str
    enrolled_at: datetime


_NAMES = [field.name for field in fields(Enrolled)]
_READ = sql.SQL("SELECT {} FROM probe ORDER BY probe_key").format(sql.SQL(", ").join(map(sql.Identifier, _NAMES)))
_MAY_CHANGE = ("cc", "asn", "admin1", "access", "status", "consent_tier", "board", "agent")
_ENROL = sql.SQL(
    "INSERT INTO probe ({}) VALUES ({}) ON CONFLICT (probe_id) DO UPDATE SET ({}) = ROW ({})"
    " WHERE (probe.status <> 'revoked' OR excluded.status = 'revoked') RETURNING (xmax = 0)"
).format(
    sql.SQL(", ").join(map(sql.Identifier, _NAMES)),
    sql.SQL(", ").join(sql.Placeholder() * len(_NAMES)),
    sql.SQL(", ").join(map(sql.Identifier, _MAY_CHANGE)),
    sql.SQL(", ").join(sql.Identifier("excluded", name) for name in _MAY_CHANGE),
)


def read_enrolled(conn: Connection) -> list[Enrolled]:
    """Every probe."""
    with conn.cursor(row_factory=class_row(Enrolled)) as cursor:
        return cursor.execute(_READ).fetchall()


def enrol_again(conn: Connection, probes: Sequence[Enrolled]) -> int:
    """Add probes that are missing, with their households, and what was said of others since; gives how many are new.

    Needs the owner's rights. Who was shut out stays so.
    """
    new = 0
    with conn.transaction():
        for one in probes:
            conn.execute(
                "INSERT INTO household (household_key) OVERRIDING SYSTEM VALUE VALUES (%s) ON CONFLICT DO NOTHING",
                (one.household_key,),
            )
            row = conn.execute(_ENROL, astuple(one)).fetchone()
            new += row == (True,)
        conn.execute(
            "SELECT setval(pg_get_serial_sequence('household', 'household_key'), max(household_key)) FROM household"
        )
    return new
