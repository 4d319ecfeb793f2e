"""What the detector of services reads: runs of probes against targets, around what failed.

In peace most targets are not read at all: the hourly roll-ups say which of them failed more than now and then. Each
query is linear in the rows of the times it is given. What a column means to detection is said in ``service_read``.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

from civobs_collector.db.connect import Connection
from civobs_wire.measurement import KIND_CODES

Row = tuple[Any, ...]
TargetSpan = tuple[int, datetime, datetime]
"""A target's key and a stretch of time."""

KINDS = ("dns", "tcp", "tls", "http", "reach", "quic")
"""Kinds of measurement that tell whether a target can be reached."""
_FETCH = 5_000

_FOLDER = resources.files("civobs_collector.db") / "sql"
_SUSPECTS = (_FOLDER / "target_suspects.sql").read_text(encoding="utf-8")
_RUNS = (_FOLDER / "target_runs.sql").read_text(encoding="utf-8")
_ADDRESSES = (_FOLDER / "target_addresses.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What makes a target worth reading: how many households fail within how long, by which share of their rows."""

    share: float
    households: int
    together: timedelta


def read_suspects(conn: Connection, since: datetime, now: datetime, which: Suspicion) -> list[Row]:
    """target_key and the start of an hour in which it failed so, in order."""
    values = {
        "since": since,
        "now": now,
        "share": which.share,
        "homes": which.households,
        "together": which.together,
        "kinds": _codes(KINDS),
        **_named("http", "dns"),
    }
    return conn.execute(_SUSPECTS, values).fetchall()


def read_runs(conn: Connection, spans: Sequence[TargetSpan], *, clock_s: float) -> Iterator[Row]:
    """Runs of these targets in these times, by target, probe, kind, family and slot.

    probe_key, target_key, kind, family, first and last ts, slot_at, rows that went well, their highest status, details
    of rows that failed, details of answers that were not the usual one; the last two may be null.
    """
    if not spans:
        return
    keys, starts, ends = zip(*spans, strict=True)
    values = {
        "targets": list(keys),
        "starts": list(starts),
        "ends": list(ends),
        "first": min(starts),
        "last": max(ends),
        "kinds": _codes(KINDS),
        "clock_ms": min(clock_s * 1000, 2**31 - 2),
        **_named("http"),
    }
    with conn.cursor(name="civobs_target_runs") as cursor:
        cursor.itersize = _FETCH
        yield from cursor.execute(_RUNS, values)


def read_addresses(conn: Connection, targets: Collection[int], since: datetime, now: datetime) -> list[Row]:
    """target_key, cc, asn, address, and what is known of it by the words of ``Told``; each once."""
    values = {
        "targets": sorted(targets),
        "since": since,
        "now": now,
        "kinds": _codes(("dns", "tcp", "tls", "http", "reach")),
        **_named("dns", "tcp", "tls"),
    }
    return conn.execute(_ADDRESSES, values).fetchall()


def read_reached(conn: Connection, probes: Collection[int], since: datetime, now: datetime, bin_s: float) -> list[Row]:
    """probe_key, bin and the keys of the targets that the probe reached in it, of these probes."""
    return conn.execute(
        "SELECT probe_key, floor(extract(epoch FROM ts) / %(bin)s)::int8, array_agg(DISTINCT target_key)"
        " FROM measurement WHERE probe_key = ANY(%(probes)s) AND kind = ANY(%(kinds)s) AND outcome = 0"
        " AND ts >= %(since)s AND ts <= %(now)s GROUP BY 1, 2",
        {
            "bin": bin_s,
            "probes": sorted(probes),
            "kinds": _codes(("tcp", "http", "reach")),
            "since": since,
            "now": now,
        },
    ).fetchall()


def read_throttling(conn: Connection, probes: Collection[int], since: datetime, now: datetime) -> list[Row]:
    """probe_key, target_key, ts and the whole row of every transfer of a pair, of these probes."""
    return conn.execute(
        "SELECT probe_key, target_key, ts, detail FROM measurement"
        " WHERE probe_key = ANY(%(probes)s) AND kind = %(kind)s AND outcome < 2 AND ts >= %(since)s AND ts <= %(now)s"
        " AND detail IS NOT NULL ORDER BY probe_key, target_key, ts, seq",
        {"probes": sorted(probes), "kind": KIND_CODES["throttling"], "since": since, "now": now},
    ).fetchall()


def read_throughput(conn: Connection, probes: Collection[int], since: datetime, now: datetime) -> list[Row]:
    """Of every transfer of these probes that went well: probe_key, ts, bits a second, and its facts as JSON.

    The facts are server, direction, shrunk and rtt_ms, each null where it is not said; of a row's thousand samples
    none is read. The probes are named because the index begins with them.
    """
    return conn.execute(
        "SELECT probe_key, ts, value, detail->'server', detail->'direction', detail->'shrunk', detail->'rtt_ms'"
        " FROM measurement WHERE probe_key = ANY(%(probes)s) AND kind = %(kind)s AND outcome = 0"
        " AND ts >= %(since)s AND ts <= %(now)s AND value > 0 AND detail IS NOT NULL ORDER BY probe_key, ts, seq",
        {"probes": sorted(probes), "kind": KIND_CODES["throughput"], "since": since, "now": now},
    ).fetchall()


def read_target_names(conn: Connection, targets: Collection[int]) -> dict[int, str]:
    """Ids in the plan, by key."""
    rows = conn.execute("SELECT target_key, name FROM target WHERE target_key = ANY(%s)", (sorted(targets),))
    return {int(key): str(name) for key, name in rows}


def _codes(kinds: Sequence[str]) -> list[int]:
    return [KIND_CODES[kind] for kind in kinds]


def _named(*kinds: str) -> dict[str, int]:
    return {kind: KIND_CODES[kind] for kind in kinds}
