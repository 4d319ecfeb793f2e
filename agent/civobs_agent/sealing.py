"""Makes batches of rows: sealed once, with a number of their own, resent byte for byte.

Rows of the ladder and of the agent travel in batches of their own, so that after an outage they can go first.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from civobs_agent import AGENT
from civobs_wire.batch import BatchHead, pack_rows
from civobs_wire.envelope import Signer
from civobs_wire.errors import SizeError
from civobs_wire.failure import Outcome
from civobs_wire.limits import TARGET_MEASUREMENTS
from civobs_wire.measurement import AnyMeasurement, ClockState, Ladder


class Keep(IntEnum):
    """How long something is kept when the spool is full: lower goes first."""

    ROUTINE = 0
    LADDER = 1
    NEAR_CHANGE = 2
    """Within some minutes of a rung that changed."""
    EVIDENCE = 3
    """Rungs that failed, and what the agent says of itself."""


class Lane(IntEnum):
    """Which batches go first."""

    LADDER = 0
    REST = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way into a batch."""

    row: AnyMeasurement
    boot_id: str
    keep: Keep
    numbered: bool = True

    @property
    def lane(self) -> Lane:
        return Lane.LADDER if self.row.kind in {"ladder", "agent"} else Lane.REST


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch as it is kept and sent."""

    batch_seq: int
    lane: Lane
    keep: Keep
    n: int
    from_ms: int
    to_ms: int
    """First and last wall time of its rows, Unix milliseconds."""
    message: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What batches sealed at one moment have in common."""

    key: Signer
    probe_id: str
    boot_id: str
    sealed_at: datetime
    clock: ClockState
    clock_err_ms: int
    plan_id: str | None


def keep_of(row: AnyMeasurement) -> Keep:
    """How long a row is kept for its own sake."""
    if row.kind == "agent":
        return Keep.EVIDENCE
    if not isinstance(row, Ladder):
        return Keep.ROUTINE
    return Keep.EVIDENCE if row.outcome is Outcome.FAILED else Keep.LADDER


def unix_ms(at: datetime) -> int:
    """A time as whole milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def seal(entries: Sequence[Entry], head: Head, first_batch_seq: int) -> list[Sealed]:
    """Batches of all entries, which are of one boot and in rising order, numbered from ``first_batch_seq``."""
    sealed: list[Sealed] = []
    for lane in Lane:
        rows = [entry for entry in entries if entry.lane is lane]
        for start in range(0, len(rows), TARGET_MEASUREMENTS):
            for part, message in _packed(
                rows[start : start + TARGET_MEASUREMENTS], head, first_batch_seq + len(sealed)
            ):
                sealed.append(_described(part, lane, first_batch_seq + len(sealed), message))
    return sealed


def _packed(rows: Sequence[Entry], head: Head, batch_seq: int) -> Iterator[tuple[Sequence[Entry], bytes]]:
    """One message, or two or more where one would be over the size limit."""
    try:
        yield rows, pack_rows(_head(head, batch_seq), (entry.row for entry in rows), head.key)
    except SizeError:
        if len(rows) == 1:
            raise
        half = len(rows) // 2
        parts = 0
        for some in (rows[:half], rows[half:]):
            for packed in _packed(some, head, batch_seq + parts):
                parts += 1
                yield packed


def _head(head: Head, batch_seq: int) -> BatchHead:
    return BatchHead(
        probe_id=head.probe_id,
        batch_seq=batch_seq,
        boot_id=UUID(head.boot_id),
        sealed_at=head.sealed_at,
        clock=head.clock,
        clock_err_ms=head.clock_err_ms,
        nonce=secrets.token_hex(16),
        agent=AGENT,
        plan_id=head.plan_id,
    )


def _described(rows: Sequence[Entry], lane: Lane, batch_seq: int, message: bytes) -> Sealed:
    times = [unix_ms(entry.row.at) for entry in rows]
    return Sealed(batch_seq, lane, max(entry.keep for entry in rows), len(rows), min(times), max(times), message)
