"""What ingest reads from and writes to the database: one function a query, none of which commits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from civobs_collector.db.connect import Connection
from civobs_collector.evidence.archive import Location
from civobs_collector.ingest.decode import Heard, Refused, Sender, Sound
from civobs_collector.ingest.rows import COPY_END, COPY_HEAD, COPY_ROWS

Number = tuple[int, int]
"""Probe key and batch number: the key of the inbox."""


def _sql(name: str) -> str:
    # Files of this package are as constant as its code.
    return (resources.files("civobs_collector.ingest") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


_INSERT_BATCHES = _sql("insert_batches")
_MOVE_RECEIPTS = _sql("move_receipts")
_QUARANTINE = _sql("quarantine")
_SETTLED_NUMBERS = _sql("settled_numbers")
_CURRENT_PLANS = _sql("current_plans")


def read_senders(conn: Connection, probe_ids: Sequence[str] | None = None) -> list[Sender]:
    """The allow-list, or what it says of some probes."""
    query = "SELECT probe_key, probe_id, status, cc, signing_key FROM probe"
    if probe_ids is None:
        rows = conn.execute(query).fetchall()
    else:
        rows = conn.execute(f"{query} WHERE probe_id = ANY(%s)", (list(probe_ids),)).fetchall()
    return [
        Sender(key, probe_id, status, cc, Ed25519PublicKey.from_public_bytes(signing_key))
        for key, probe_id, status, cc, signing_key in rows
    ]


def read_known(conn: Connection, numbers: Iterable[Number]) -> dict[Number, bytes]:
    """Digests of those batches that are in the inbox already."""
    keys, seqs = _columns(numbers, 2)
    rows = conn.execute(
        "SELECT b.probe_key, b.batch_seq, b.payload_sha256 FROM batch b"
        " JOIN unnest(%s::int4[], %s::int8[]) AS w (probe_key, batch_seq) USING (probe_key, batch_seq)",
        (keys, seqs),
    )
    return {(key, seq): digest for key, seq, digest in rows}


def read_placed(conn: Connection, file: str, day: datetime) -> dict[int, tuple[bytes, datetime]]:
    """Digests and times of arrival of the batches in one file of the archive, by offset, as far as ``day`` has them.

    One that had waited for the database longer than a day is left out.
    """
    rows = conn.execute(
        "SELECT archive_offset, payload_sha256, received_at FROM batch WHERE archive_file = %s"
        " AND received_at BETWEEN %s::timestamptz - interval '1 day' AND %s::timestamptz + interval '2 days'",
        (file, day, day),
    )
    return {offset: (digest, at) for offset, digest, at in rows}


def read_settled(conn: Connection, batches: Sequence[Sound]) -> dict[Number, set[bytes]]:
    """Digests of refused bytes that these batches' numbers were receipted for, as rejected, before."""
    keys = [one.sender.probe_key for one in batches]
    ids = [one.sender.probe_id for one in batches]
    seqs = [one.batch.batch_seq for one in batches]
    found: dict[Number, set[bytes]] = {}
    for key, seq, digest in conn.execute(_SETTLED_NUMBERS, (keys, ids, seqs)):
        found.setdefault((key, seq), set()).add(digest)
    return found


def insert_batches(conn: Connection, batches: Sequence[tuple[Sound, Location]]) -> set[Number]:
    """Put batches into the inbox, in the order of their keys; returns those that were not there."""
    columns = _columns(
        (
            (
                *(one.sender.probe_key, one.batch.batch_seq, one.batch.boot_id, one.batch.sealed_at),
                *(one.arrived.received_at, len(one.batch.measurements)),
                *(one.batch.measurements[0].seq, one.batch.measurements[-1].seq),
                *(one.batch.clock.value, one.batch.clock_err_ms, one.batch.agent, one.batch.plan_id),
                *(one.sha256, place.file, place.offset),
            )
            for one, place in batches
        ),
        15,
    )
    return {(key, seq) for key, seq in conn.execute(_INSERT_BATCHES, columns)}


def copy_rows(conn: Connection, packed: Iterable[bytes]) -> None:
    """Copy packed rows into ``measurement``."""
    with conn.cursor().copy(COPY_ROWS) as copy:
        copy.write(b"".join((COPY_HEAD, *packed, COPY_END)))


def mark_dirty(conn: Connection, buckets: Iterable[tuple[datetime, int]]) -> None:
    """Ask for new roll-ups of (bucket, probe).

    A mark that is there already is locked, not just left: otherwise a roll-up could take it away, unable to see the
    rows of this transaction, and nobody would ask again.
    """
    starts, keys = _columns(sorted(set(buckets)), 2)
    conn.execute(
        "INSERT INTO dirty_bucket (bucket, probe_key) SELECT * FROM unnest(%s::timestamptz[], %s::int4[])"
        " ON CONFLICT (bucket, probe_key) DO UPDATE SET bucket = excluded.bucket WHERE false",
        (starts, keys),
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything a probe need not send again."""

    committed: Multirange[int]
    rejected: Multirange[int]


def read_all_settled(conn: Connection) -> list[tuple[str, Settled]]:
    """What each probe need not send again, nothing for a probe of which nothing was taken, by its id."""
    rows = conn.execute(
        "SELECT probe_id, coalesce(committed, '{}'), coalesce(rejected, '{}')"
        " FROM probe LEFT JOIN receipt USING (probe_key) ORDER BY probe_key"
    )
    return [(probe_id, Settled(committed, rejected)) for probe_id, committed, rejected in rows]


def move_receipts(
    conn: Connection, committed: Iterable[Number], rejected: Iterable[Number], now: datetime
) -> dict[int, Settled]:
    """Add batch numbers to receipts; returns the receipts as they are then. What is committed is never rejected."""
    moves: dict[int, tuple[set[int], set[int]]] = {}
    for side, numbers in enumerate((committed, rejected)):
        for key, seq in numbers:
            moves.setdefault(key, (set(), set()))[side].add(seq)
    if not moves:
        return {}
    keys = sorted(moves)
    values = ([str(_multirange(moves[key][side])) for key in keys] for side in (0, 1))
    rows = conn.execute(_MOVE_RECEIPTS, (now, keys, *values))
    return {key: Settled(committed, rejected) for key, committed, rejected in rows}


def quarantine(conn: Connection, refused: Sequence[tuple[Refused, bool, bool]]) -> None:
    """Keep what was refused, with (keep its bytes, receipted). The same bytes on the same topic are counted."""
    # One statement may touch a row only once, so the same bytes twice are one row that counts two.
    once: dict[tuple[bytes, str], tuple[Refused, bool, bool]] = {}
    counts: Counter[tuple[bytes, str]] = Counter()
    for entry in refused:
        place = (entry[0].sha256, entry[0].arrived.topic)
        once.setdefault(place, entry)
        counts[place] += 1
    columns = _columns(
        (
            (
                *(one.arrived.received_at, counts[place], one.arrived.topic, one.probe_id, one.batch_seq, one.reason),
                one.detail.replace("\x00", "�")[:1000],
                *(one.sha256, one.arrived.payload if keep else None, receipted),
            )
            for place, (one, keep, receipted) in sorted(once.items(), key=lambda item: item[0])
        ),
        10,
    )
    conn.execute(_QUARANTINE, columns)


@dataclass(frozen=True, slots=True)
class Room:
    """Payload bytes in quarantine, or how many there may be."""

    total: int
    unvouched: int
    """Those of ``total`` that no receipt speaks of: anybody who reaches the broker may have sent them."""

    def with_more(self, n: int, *, vouched: bool) -> "Room":
        """What it would be with another ``n`` bytes."""
        return Room(self.total + n, self.unvouched + (0 if vouched else n))

    def fits(self, limit: "Room") -> bool:
        """Whether it is within a limit."""
        return self.total <= limit.total and self.unvouched <= limit.unvouched


def quarantined_bytes(conn: Connection) -> Room:
    """Payload bytes in quarantine."""
    row = conn.execute(
        "SELECT coalesce(sum(length(payload)), 0)::int8,"
        " coalesce(sum(length(payload)) FILTER (WHERE NOT receipted), 0)::int8 FROM rejected_batch"
    ).fetchone()
    return Room(*row) if row else Room(0, 0)


def insert_presence(conn: Connection, heard: Sequence[Heard]) -> None:
    """Keep statements of presence. What the broker repeats, a retained one after each connection, is there already."""
    columns = _columns(
        (
            (
                *(one.sender.probe_key, one.arrived.received_at, one.presence.state.value, one.presence.session),
                *(one.presence.boot_id, one.presence.at, one.presence.clock_err_ms, one.presence.keepalive_s),
                *(one.arrived.late, one.presence.broker),
            )
            for one in sorted(heard, key=lambda one: (one.sender.probe_key, one.arrived.received_at))
        ),
        10,
    )
    conn.execute(
        "INSERT INTO presence (probe_key, received_at, state, session, boot_id, said_at, clock_err_ms, keepalive_s,"
        " late, broker) SELECT * FROM unnest(%s::int4[], %s::timestamptz[], %s::text[], %s::text[], %s::uuid[],"
        " %s::timestamptz[], %s::int4[], %s::int4[], %s::bool[], %s::int2[]) ON CONFLICT DO NOTHING",
        columns,
    )


def insert_beat(conn: Connection, at: datetime, instance: str, *, ok: bool) -> None:
    """Say that this process was there, and whether absence meant anything while it was."""
    conn.execute(
        "INSERT INTO collector_beat (at, role, instance, ok) VALUES (%s, 'ingest', %s, %s) ON CONFLICT DO NOTHING",
        (at, instance, ok),
    )


@dataclass(frozen=True, slots=True)
class CurrentPlan:
    """The newest plan of a country."""

    plan_id: str
    cc: str
    message: bytes


def read_plans(conn: Connection) -> Mapping[str, CurrentPlan]:
    """The newest plan of each country, by country."""
    return {cc: CurrentPlan(plan_id, cc, message) for plan_id, cc, message in conn.execute(_CURRENT_PLANS)}


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in quarantine."""

    rejected_key: int
    received_at: datetime
    topic: str
    payload: bytes


def read_quarantine(conn: Connection, reason: str | None, after: int, limit: int) -> list[Kept]:
    """Messages in quarantine whose bytes were kept, in the order they came, behind ``after``."""
    rows = conn.execute(
        "SELECT rejected_key, received_at, topic, payload FROM rejected_batch WHERE payload IS NOT NULL"
        " AND rejected_key > %s AND (%s::text IS NULL OR reason = %s) ORDER BY rejected_key LIMIT %s",
        (after, reason, reason, limit),
    )
    return [Kept(*row) for row in rows]


def release(conn: Connection, rejected_key: int) -> None:
    """Take a message out of quarantine, because it is stored now."""
    conn.execute("DELETE FROM rejected_batch WHERE rejected_key = %s", (rejected_key,))


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as columns, one list for each ``unnest`` argument."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _multirange(numbers: set[int]) -> Multirange[int]:
    ranges: list[Range[int]] = []
    first = last = 0
    for number in sorted(numbers):
        if number != last + 1 or not first:
            if first:
                ranges.append(Range(first, last + 1))
            first = number
        last = number
    if first:
        ranges.append(Range(first, last + 1))
    return Multirange(ranges)
