"""Households, claims, probes and network names, for enrolment and for the operator.

These rows say who measures where: what the public may see of them is in ``read_probes.py``.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


class ProbeStatus(StrEnum):
    """What the allow-list says of a probe."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    """Its rows are kept and counted for nothing."""
    REVOKED = "revoked"
    """Nothing is taken from it, for good: its key may be in other hands."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe."""

    probe_key: int
    probe_id: str
    household_key: int
    signing_key: bytes
    cc: str
    asn: int
    admin1: str | None
    is_anchor: bool
    access: str | None
    """``fixed`` or ``mobile``; None where nobody has said."""
    status: str
    """A ``ProbeStatus``."""
    consent_tier: int
    board: str | None
    agent: str
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class ProbeActivity:
    """What has been heard of a probe."""

    n_batches: int
    n_measurements: int
    last_batch_at: datetime | None
    last_presence: str | None
    last_presence_at: datetime | None
    n_rejected: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a household is and what its device is for: what a claim code stands for."""

    cc: str
    asn: int = 0
    admin1: str | None = None
    is_anchor: bool = False
    access: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim code's row, locked for the transaction that read it."""

    household_key: int
    cc: str
    asn: int
    admin1: str | None
    is_anchor: bool
    access: str | None
    expired: bool
    probe_key: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """What an enrolment says of the device."""

    signing_key: bytes
    csr_pem: str
    agent: str
    board: str | None
    consent_tier: int


_PROBES_SQL = """
SELECT probe_key, probe_id, household_key, signing_key, cc, asn, admin1, is_anchor, access, status, consent_tier,
       board, agent, enrolled_at
  FROM probe
 WHERE (%(cc)s::text IS NULL OR cc = %(cc)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(probe_id)s::text IS NULL OR probe_id = %(probe_id)s)
   AND (%(signing_key)s::bytea IS NULL OR signing_key = %(signing_key)s)
 ORDER BY probe_key
"""

_ACTIVITY_SQL = """
SELECT coalesce(b.n_batches, 0) AS n_batches, coalesce(b.n_measurements, 0)::int8 AS n_measurements, b.last_batch_at,
       s.state AS last_presence, s.received_at AS last_presence_at,
       (SELECT coalesce(sum(n), 0)::int8 FROM rejected_batch r WHERE r.probe_id = %(probe_id)s) AS n_rejected
  FROM (SELECT count(*) AS n_batches, sum(n) AS n_measurements, max(received_at) AS last_batch_at
          FROM batch WHERE probe_key = %(probe_key)s) b
  LEFT JOIN LATERAL (SELECT state, received_at FROM presence WHERE probe_key = %(probe_key)s
                      ORDER BY received_at DESC LIMIT 1) s ON true
"""


def list_probes(conn: Connection, *, cc: str | None = None, status: str | None = None) -> list[Probe]:
    """All probes, or those of a country or status, oldest first."""
    return _probes(conn, cc=cc, status=status)


def find_probe(conn: Connection, probe_id: str) -> Probe | None:
    """The probe of this id."""
    return next(iter(_probes(conn, probe_id=probe_id)), None)


def find_probe_by_key(conn: Connection, signing_key: bytes) -> Probe | None:
    """The probe that signs with this public key, 32 bytes."""
    return next(iter(_probes(conn, signing_key=signing_key)), None)


def _probes(
    conn: Connection,
    *,
    cc: str | None = None,
    status: str | None = None,
    probe_id: str | None = None,
    signing_key: bytes | None = None,
) -> list[Probe]:
    wanted = {"cc": cc, "status": status, "probe_id": probe_id, "signing_key": signing_key}
    with conn.cursor(row_factory=class_row(Probe)) as cursor:
        return cursor.execute(_PROBES_SQL, wanted).fetchall()


def read_activity(conn: Connection, probe: Probe) -> ProbeActivity:
    """What has been heard of a probe so far."""
    with conn.cursor(row_factory=class_row(ProbeActivity)) as cursor:
        cursor.execute(_ACTIVITY_SQL, {"probe_key": probe.probe_key, "probe_id": probe.probe_id})
        activity = cursor.fetchone()
    if activity is None:
        raise AssertionError("an aggregate without GROUP BY has one row")
    return activity


def set_status(conn: Connection, probe_id: str, status: ProbeStatus) -> bool:
    """Set a probe's status; False if there is none, or if it was revoked, which is for good."""
    changed = conn.execute(
        "UPDATE probe SET status = %(status)s WHERE probe_id = %(probe_id)s"
        " AND (status <> 'revoked' OR %(status)s = 'revoked')",
        {"status": status, "probe_id": probe_id},
    )
    return changed.rowcount == 1


def set_access(conn: Connection, probe_id: str, access: str) -> None:
    """Say what a probe's household has."""
    conn.execute("UPDATE probe SET access = %s WHERE probe_id = %s", (access, probe_id))


def make_household(conn: Connection) -> int:
    """A new household's key."""
    row = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
    return int(row[0]) if row else 0


def household_exists(conn: Connection, household_key: int) -> bool:
    """Whether a household has this key."""
    return conn.execute("SELECT FROM household WHERE household_key = %s", (household_key,)).fetchone() is not None


def country_exists(conn: Connection, cc: str) -> bool:
    """Whether a code is in the table of countries."""
    return conn.execute("SELECT FROM country WHERE cc = %s", (cc,)).fetchone() is not None


def make_claim(conn: Connection, claim_sha256: bytes, household_key: int, place: Place, *, days: float) -> datetime:
    """Keep the digest of a claim code; the time until which it can be used, by the database's clock."""
    row = conn.execute(
        "INSERT INTO claim (claim_sha256, household_key, cc, asn, admin1, is_anchor, access, expires_at)"
        " VALUES (%(claim_sha256)s, %(household_key)s, %(cc)s, %(asn)s, %(admin1)s, %(is_anchor)s, %(access)s,"
        " now() + make_interval(secs => %(secs)s)) RETURNING expires_at",
        {"claim_sha256": claim_sha256, "household_key": household_key, "secs": days * 86_400, **asdict(place)},
    ).fetchone()
    if row is None:
        raise AssertionError("RETURNING gives the row that was inserted")
    expires_at: datetime = row[0]
    return expires_at


def lock_claim(conn: Connection, claim_sha256: bytes) -> Claim | None:
    """Read a claim and keep others from using it until the transaction ends."""
    with conn.cursor(row_factory=class_row(Claim)) as cursor:
        return cursor.execute(
            "SELECT household_key, cc, asn, admin1, is_anchor, access, expires_at <= now() AS expired, probe_key"
            " FROM claim WHERE claim_sha256 = %s FOR UPDATE",
            (claim_sha256,),
        ).fetchone()


_INSERT_PROBE_SQL = """
WITH made AS (
  INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, admin1, is_anchor, access,
                     consent_tier, board, agent)
  VALUES (%(probe_id)s, %(household_key)s, %(signing_key)s, %(csr_pem)s, %(cc)s, %(asn)s, %(admin1)s, %(is_anchor)s,
          %(access)s, %(consent_tier)s, %(board)s, %(agent)s)
  RETURNING probe_key
), used AS (
  UPDATE claim SET probe_key = made.probe_key FROM made WHERE claim_sha256 = %(claim_sha256)s
)
INSERT INTO receipt (probe_key, updated_at) SELECT probe_key, now() FROM made
"""


def make_probe(conn: Connection, probe_id: str, claim_sha256: bytes, claim: Claim, device: Device) -> None:
    """Make a probe of a device, mark its claim as used, and begin its receipt."""
    conn.execute(
        _INSERT_PROBE_SQL,
        {"probe_id": probe_id, "claim_sha256": claim_sha256, **asdict(claim), **asdict(device)},
    )


def name_network(conn: Connection, asn: int, name: str, cc: str | None, user_share: float | None) -> None:
    """Give a network its name, or a new one."""
    conn.execute(
        "INSERT INTO network (asn, name, cc, user_share) VALUES (%s, %s, %s, %s) ON CONFLICT (asn)"
        " DO UPDATE SET name = excluded.name, cc = coalesce(excluded.cc, network.cc),"
        " user_share = coalesce(excluded.user_share, network.user_share)",
        (asn, name, cc, user_share),
    )
