"""What the detector reads: one query a source, each linear in the rows of the window.

Rows come back as tuples: what they mean to the detector is said in ``detect_read``. The ladder has a module of its own.
"""

from datetime import datetime, timedelta
from importlib import resources
from typing import Any

from civobs_collector.db.connect import Connection

Rows = list[tuple[Any, ...]]

_PRESENCE = (resources.files("civobs_collector.db") / "sql" / "presence_facts.sql").read_text(encoding="utf-8")


def read_probes(conn: Connection) -> Rows:
    """probe_key, probe_id, household, cc, asn, enrolled_at, admin1, is_anchor, active, access."""
    return conn.execute(
        "SELECT probe_key, probe_id, household_key, cc, asn, enrolled_at, admin1, is_anchor, status = 'active',"
        " access FROM probe ORDER BY probe_key"
    ).fetchall()


def read_presence(conn: Connection, since: datetime, now: datetime) -> Rows:
    """Statements received in the window, and the last one before it of each probe.

    probe_key, received_at, state, session, boot_id, keepalive_s, late, of a will when the last batch before it was
    sealed, and which of its brokers the probe spoke by, or null.
    """
    return conn.execute(_PRESENCE, {"since": since, "now": now}).fetchall()


def read_away(conn: Connection, since: datetime, now: datetime, *, gap_s: float) -> Rows:
    """When no ingest process that had its broker gave a sign of life for longer than ``gap_s``."""
    gap = timedelta(seconds=gap_s)
    return conn.execute(
        "SELECT at, following FROM ("
        "  SELECT at, lead(at, 1, %(now)s) OVER (ORDER BY at) AS following FROM ("
        "    SELECT %(since)s::timestamptz AS at UNION"
        "    SELECT at FROM collector_beat WHERE role = 'ingest' AND ok AND at >= %(since)s AND at <= %(now)s) beat"
        ") pair WHERE following - at > %(gap)s ORDER BY at",
        {"since": since, "now": now, "gap": gap},
    ).fetchall()


def read_networks(conn: Connection) -> Rows:
    """asn, cc, share of the country's users; the last two may be null."""
    return conn.execute("SELECT asn, cc, user_share FROM network ORDER BY asn").fetchall()


def anything_before(conn: Connection, at: datetime) -> bool:
    """Whether a probe had been heard of by then, so that a window from ``at`` begins in the middle of things."""
    (found,) = conn.execute("SELECT EXISTS (SELECT FROM presence WHERE received_at < %s)", (at,)).fetchone() or (False,)
    return bool(found)
