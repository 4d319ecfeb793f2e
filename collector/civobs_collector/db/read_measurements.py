"""Measurements as the public may read them.

The household, the probe's id and the free text of a row stay inside: ``detail`` is read through a list of keys that
cannot describe a home (``PUBLIC_DETAIL``).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection

PUBLIC_DETAIL = ("stage", "status", "rcode", "n", "n_ok", "sent", "received", "version")
"""Facts about the target's answer. Never notes, addresses or counters that would link a probe's quarters."""


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One measurement with what is needed to page on (``probe_key``, ``seq``) and to name it (``probe_id``)."""

    ts: datetime
    slot_at: datetime
    probe_key: int
    probe_id: str
    seq: int
    cc: str
    asn: int
    kind: str
    target: str
    family: int
    outcome: int
    failure: str | None
    value: float | None
    ms: float | None
    clock_err_ms: int
    detail: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class MeasurementFilter:
    """Which measurements: ``start`` inclusive, ``end`` exclusive; None or empty means all."""

    start: datetime
    end: datetime
    cc: str | None = None
    asns: tuple[int, ...] = ()
    kind: str | None = None
    target: str | None = None
    outcome: int | None = None


_LIST_SQL = """
SELECT m.ts, m.slot_at, m.probe_key, p.probe_id, m.seq, p.cc, p.asn, k.name AS kind, t.name AS target, m.family,
       m.outcome, f.name AS failure, m.value, m.ms, m.clock_err_ms,
       (SELECT jsonb_object_agg(key, value) FROM jsonb_each(m.detail) WHERE key = ANY(%(detail)s)) AS detail
  FROM measurement m
  JOIN probe p USING (probe_key)
  JOIN kind k ON k.kind = m.kind
  JOIN target t USING (target_key)
  LEFT JOIN failure f ON f.failure = m.failure
 WHERE m.ts >= %(start)s AND m.ts < %(end)s
   AND (%(cc)s::text IS NULL OR p.cc = %(cc)s)
   AND (%(asns)s::int8[] IS NULL OR p.asn = ANY(%(asns)s))
   AND (%(kind)s::text IS NULL OR k.name = %(kind)s)
   AND (%(target)s::text IS NULL OR t.name = %(target)s)
   AND (%(outcome)s::int2 IS NULL OR m.outcome = %(outcome)s)
   AND (%(after_at)s::timestamptz IS NULL
        OR (m.ts, m.probe_key, m.seq) > (%(after_at)s, %(after_probe)s, %(after_seq)s))
 ORDER BY m.ts, m.probe_key, m.seq
 LIMIT %(limit)s
"""


def list_measurements(
    conn: Connection, wanted: MeasurementFilter, limit: int, after: tuple[datetime, int, int] | None = None
) -> list[MeasurementRow]:
    """Return measurements, oldest first; ``after`` is (ts, probe_key, seq) of the last one seen."""
    values = {
        "start": max(wanted.start, after[0]) if after else wanted.start,
        "end": wanted.end,
        "cc": wanted.cc,
        "asns": list(wanted.asns) or None,
        "kind": wanted.kind,
        "target": wanted.target,
        "outcome": wanted.outcome,
        "after_at": after[0] if after else None,
        "after_probe": after[1] if after else None,
        "after_seq": after[2] if after else None,
        "limit": limit,
        "detail": list(PUBLIC_DETAIL),
    }
    with conn.cursor(row_factory=class_row(MeasurementRow)) as cursor:
        return cursor.execute(_LIST_SQL, values).fetchall()
