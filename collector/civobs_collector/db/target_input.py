"""What the detector of services reads: runs of probes against targets, around what failed.

In peace most targets are not read at all: the hourly roll-ups say which of them failed more than now and then. Times
are given from the first moment to before the last one, and each query is linear in the rows of the times it is given:
``service_days`` gives a day at most. There is no index by target: it would make every row dearer that is ever stored,
while of a day's rows, which are read once, all targets that are worth reading are found together. What a column means
to detection is said in ``service_read``.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

from civobs_collector.db.connect import Connection
from civobs_wire.measurement import KIND_CODES

Row = tuple[Any, ...]
TargetSpan = tuple[int, datetime, datetime]
"""A target's key and a stretch of time."""

KINDS = ("dns", "tcp", "tls", "http", "reach", "quic")
"""Kinds of measurement that tell whether a target can be reached."""
_ANSWERED = ("tcp", "http", "reach")
"""Kinds of which one that went well shows that the target was reached."""
_FETCH = 5_000

_FOLDER = resources.files("civobs_collector.db") / "sql"
_FAILING = (_FOLDER / "target_failing.sql").read_text(encoding="utf-8")
_RUNS = (_FOLDER / "target_runs.sql").read_text(encoding="utf-8")
_ADDRESSES = (_FOLDER / "target_addresses.sql").read_text(encoding="utf-8")


def read_settled(conn: Connection, first: datetime, until: datetime) -> dict[datetime, int]:
    """How many rows there are of each day of which all are rolled up: as many as before are the same as before."""
    rows = conn.execute(
        "SELECT day, n FROM (SELECT date_bin('1 day', bucket, timestamptz '2000-01-01Z') AS day, sum(n)::int8 AS n"
        "  FROM rollup_1h WHERE bucket >= %(first)s AND bucket < %(until)s GROUP BY 1) AS rolled_up"
        " WHERE NOT EXISTS (SELECT FROM dirty_bucket d WHERE d.bucket >= day AND d.bucket < day + interval '1 day')",
        {"first": first, "until": until},
    )
    return {day: int(n) for day, n in rows}


def read_fingerprints_digest(conn: Connection) -> str | None:
    """What changes when a fingerprint of block pages does."""
    row = conn.execute("SELECT md5(string_agg(f::text, '' ORDER BY fingerprint_key)) FROM fingerprint f").fetchone()
    return None if row is None else row[0]


def read_failing(conn: Connection, buckets: datetime, since: datetime, until: datetime, share: float) -> list[Row]:
    """cc, household, target_key and the start of an hour in which so large a share of its rows failed.

    ``buckets``: from which roll-ups on; of rows that are not rolled up yet those ``since`` then.
    """
    times = {"buckets": buckets, "since": since, "until": until}
    values = {"share": share, "kinds": _codes(KINDS), **_named("http", "dns")}
    return conn.execute(_FAILING, times | values).fetchall()


def read_runs(conn: Connection, spans: Sequence[TargetSpan], *, clock_s: float) -> Iterator[list[Row]]:
    """Runs of these targets in these times, some thousands at once, in no order.

    target_key, probe_key, kind, family, slot, first and last ts in microseconds since 1970, rows that went well, their
    highest status, what the rows that failed said as JSON, and the first answer that was not the usual one; the last
    three may be null.
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
    # All rows are wanted, and not the first ones soon: the plan for that took seven times as long.
    conn.execute("SET LOCAL cursor_tuple_fraction = 1")
    with conn.cursor(name="civobs_target_runs", binary=True) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_RUNS, values)
        while rows := cursor.fetchmany(_FETCH):
            yield rows


def read_addresses(conn: Connection, targets: Collection[int], since: datetime, until: datetime) -> list[Row]:
    """target_key, cc, asn, address, and what is known of it by the words of ``Told``; each once."""
    values = {
        "targets": sorted(targets),
        "since": since,
        "until": until,
        "kinds": _codes(("tcp", "tls", "http", "reach")),
        **_named("dns", "tcp", "tls"),
    }
    return conn.execute(_ADDRESSES, values).fetchall()


def read_reached(conn: Connection, spans: Sequence[TargetSpan], bin_s: float) -> list[Row]:
    """probe_key, bin and target_key of what was reached, each once. The spans are of probes."""
    if not spans:
        return []
    keys, starts, ends = zip(*spans, strict=True)
    return conn.execute(
        "SELECT DISTINCT m.probe_key, floor(extract(epoch FROM m.ts) / %(bin)s)::int8, m.target_key"
        " FROM unnest(%(probes)s::int4[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) s (probe, start, until)"
        " JOIN measurement m ON m.probe_key = s.probe AND m.ts >= s.start AND m.ts < s.until"
        " WHERE m.kind = ANY(%(kinds)s) AND m.outcome = 0 AND m.ts >= %(first)s AND m.ts < %(last)s",
        {
            "bin": bin_s,
            "probes": list(keys),
            "starts": list(starts),
            "ends": list(ends),
            "first": min(starts),
            "last": max(ends),
            "kinds": _codes(_ANSWERED),
        },
    ).fetchall()


def read_known(
    conn: Connection, probes: Sequence[int], since: datetime, until: datetime, bin_s: float
) -> list[tuple[int, int]]:
    """probe_key and bin in which any target was reached, each once, of these probes."""
    rows = conn.execute(
        "SELECT DISTINCT probe_key, floor(extract(epoch FROM ts) / %(bin)s)::int8 FROM measurement"
        " WHERE probe_key = ANY(%(probes)s) AND kind = ANY(%(kinds)s) AND outcome = 0"
        " AND ts >= %(since)s AND ts < %(until)s",
        {"bin": bin_s, "probes": list(probes), "kinds": _codes(_ANSWERED), "since": since, "until": until},
    )
    return [(probe_key, number) for probe_key, number in rows]


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
