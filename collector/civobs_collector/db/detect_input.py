"""What the detector reads: one query a source, each linear in the rows of the window.

A month of ladder rows is folded to runs of like outcomes in the database, so a few thousand rows travel instead of
millions. Rows come back as tuples: what they mean to the detector is said in ``detect_read``.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

from civobs_collector.db.connect import Connection
from civobs_wire.failure import FAILURE_CODES, Failure
from civobs_wire.measurement import KIND_CODES

Rows = list[tuple[Any, ...]]
Span = tuple[int, datetime, datetime]
"""A probe's key and a stretch of time."""

_RUNS = (resources.files("civobs_collector.db") / "sql" / "ladder_runs.sql").read_text(encoding="utf-8")
_PRESENCE = (resources.files("civobs_collector.db") / "sql" / "presence_facts.sql").read_text(encoding="utf-8")


def read_probes(conn: Connection) -> Rows:
    """probe_key, probe_id, household, cc, asn, enrolled_at, admin1, is_anchor, active."""
    return conn.execute(
        "SELECT probe_key, probe_id, household_key, cc, asn, enrolled_at, admin1, is_anchor, status = 'active'"
        " FROM probe ORDER BY probe_key"
    ).fetchall()


def read_presence(conn: Connection, since: datetime, now: datetime) -> Rows:
    """Statements received in the window, and the last one before it of each probe.

    probe_key, received_at, state, session, boot_id, keepalive_s, late, and of a will: when the last batch before it
    came.
    """
    return conn.execute(_PRESENCE, {"since": since, "now": now}).fetchall()


def read_ladder(
    conn: Connection, rungs: Sequence[int], spans: Iterable[Span], *, gap_s: float, clock_s: float, few: float
) -> Rows:
    """First and last rows of the runs of these rungs within the spans, by probe, rung, family and time.

    probe_key, rung as ``L4``, family, outcome (0 ok, 1 failed, 2 agent down, 3 paused, 4 not run otherwise, 5 clock not
    known, 6 ok by a few), ts, clock_err_ms, number within all rows, is_first, is_last. A hole longer than ``gap_s``
    ends a run; rows whose clock may be wrong by more than ``clock_s`` have outcome 5, rows of L4 of which no more than
    the share ``few`` answered, and of L2 of which not all did, have 6. Of L5 the outcome is that of finding the name.
    """
    keys, starts, ends = zip(*spans, strict=True) if (spans := list(spans)) else ((), (), ())
    return conn.execute(
        _RUNS,
        {
            "kind": KIND_CODES["ladder"],
            "rungs": [f"L{rung}" for rung in rungs],
            "keys": list(keys),
            "starts": list(starts),
            "ends": list(ends),
            "gap": timedelta(seconds=gap_s),
            "clock_ms": clock_s * 1000,
            "few": few,
            "agent_down": FAILURE_CODES[Failure.AGENT_DOWN],
            "paused": [FAILURE_CODES[Failure.PAUSED], FAILURE_CODES[Failure.SHUTTING_DOWN]],
        },
    ).fetchall()


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
