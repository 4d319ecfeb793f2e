"""Signed plans: kept as the bytes that were signed, the newest serial of a country counts."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection
from civobs_wire.plan import Plan

CHANNEL = "civobs_plan"
"""Whoever publishes plans to probes may LISTEN here; the payload is the country."""


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A row of table ``plan``."""

    plan_id: str
    serial: int
    cc: str
    issued_at: datetime
    expires_at: datetime
    message: bytes


@dataclass(frozen=True, slots=True)
class CountryExpiry:
    """How long the probes of a country have a plan in force."""

    cc: str
    n_probes: int
    plan_id: str | None
    plan_cc: str | None
    left_s: float | None
    """Seconds until it expires by the database's clock, negative once it has; None without a plan."""


_FOR_COUNTRY_SQL = """
SELECT plan_id, serial, cc, issued_at, expires_at, message
  FROM plan
 WHERE cc = %(cc)s OR cc = 'ZZ'
 ORDER BY cc = 'ZZ', serial DESC
 LIMIT 1
"""

_EXPIRY_SQL = """
SELECT c.cc, c.n_probes, best.plan_id, best.cc AS plan_cc,
       extract(epoch FROM best.expires_at - now())::float8 AS left_s
  FROM (SELECT cc, count(*) AS n_probes FROM probe WHERE status <> 'revoked' GROUP BY cc) c
  LEFT JOIN LATERAL (SELECT plan_id, cc, expires_at FROM plan WHERE plan.cc = c.cc OR plan.cc = 'ZZ'
                      ORDER BY plan.cc = 'ZZ', serial DESC LIMIT 1) best ON true
 ORDER BY c.cc
"""


def store_plan(conn: Connection, plan: Plan, message: bytes) -> None:
    """Keep a signed plan and tell who publishes it."""
    conn.execute(
        "INSERT INTO plan (plan_id, serial, cc, issued_at, expires_at, message) VALUES (%s, %s, %s, %s, %s, %s)",
        (plan.plan_id, plan.serial, plan.cc, plan.issued_at, plan.expires_at, message),
    )
    conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, plan.cc))


def list_plans(conn: Connection) -> list[StoredPlan]:
    """All plans, by country, newest first."""
    with conn.cursor(row_factory=class_row(StoredPlan)) as cursor:
        return cursor.execute(
            "SELECT plan_id, serial, cc, issued_at, expires_at, message FROM plan ORDER BY cc, serial DESC"
        ).fetchall()


def newest_serial(conn: Connection, cc: str) -> int:
    """The highest serial published for exactly this code; 0 if none."""
    row = conn.execute("SELECT coalesce(max(serial), 0) FROM plan WHERE cc = %s", (cc,)).fetchone()
    return int(row[0]) if row else 0


def plan_for_country(conn: Connection, cc: str) -> StoredPlan | None:
    """The plan that probes of a country are to have: its own newest, else the newest for any country."""
    with conn.cursor(row_factory=class_row(StoredPlan)) as cursor:
        return cursor.execute(_FOR_COUNTRY_SQL, {"cc": cc}).fetchone()


def plan_expiry(conn: Connection) -> list[CountryExpiry]:
    """For each country with probes, how long its plan is in force."""
    with conn.cursor(row_factory=class_row(CountryExpiry)) as cursor:
        return cursor.execute(_EXPIRY_SQL).fetchall()
