"""What goes when the spool is full: routine first, the oldest first, rows around a change last.

Whatever goes is counted with its interval, because a hole that says why it is there is still evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from civobs_agent.sealing import Entry, Keep, unix_ms
from civobs_agent.spool_store import Store

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Evicted:
    """What was given up."""

    n_rows: int = 0
    n_batch_rows: int = 0
    """How many of them were in sealed batches."""
    bytes: int = 0
    batch_bytes: int = 0
    from_ms: int | None = None
    to_ms: int | None = None
    batches: tuple[int, ...] = field(default=())
    """Numbers of sealed batches that went: they explain the gaps the collector sees."""

    def __bool__(self) -> bool:
        return self.n_rows > 0

    def __add__(self, other: "Evicted") -> "Evicted":
        starts = [ms for ms in (self.from_ms, other.from_ms) if ms is not None]
        ends = [ms for ms in (self.to_ms, other.to_ms) if ms is not None]
        return Evicted(
            self.n_rows + other.n_rows,
            self.n_batch_rows + other.n_batch_rows,
            self.bytes + other.bytes,
            self.batch_bytes + other.batch_bytes,
            min(starts, default=None),
            max(ends, default=None),
            self.batches + other.batches,
        )

    @property
    def from_at(self) -> datetime | None:
        return None if self.from_ms is None else datetime.fromtimestamp(self.from_ms / 1000, UTC)

    @property
    def to_at(self) -> datetime | None:
        return None if self.to_ms is None else datetime.fromtimestamp(self.to_ms / 1000, UTC)

    @property
    def note(self) -> str | None:
        """``batch_seq 12-40,44``: for a person who asks about the gap."""
        if not self.batches:
            return None
        return number_ranges(self.batches)


def number_ranges(numbers: Sequence[int]) -> str:
    """``batch_seq 12-40,44``."""
    return "batch_seq " + ",".join(f"{a}-{b}" if b > a else str(a) for a, b in _ranges(sorted(numbers)))


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def choose_evictions(store: Store, excess: int) -> Evicted:
    """Delete until ``excess`` bytes are free or nothing is left. Inside a transaction."""
    gone = Evicted()
    for keep in Keep:
        while gone.bytes < excess:
            found = store.evictable(keep, _PAGE)
            if not found:
                break
            rows: list[int] = []
            batches: list[int] = []
            for what, number, n, size, from_ms, to_ms in found:
                if gone.bytes >= excess:
                    break
                if what == "row":
                    rows.append(number)
                    gone += Evicted(n, 0, size, 0, from_ms, to_ms)
                else:
                    batches.append(number)
                    gone += Evicted(n, n, size, size, from_ms, to_ms, (number,))
            store.drop_rows(rows)
            store.drop_batches(batches)
    return gone


def drop_from_memory(buffer: Sequence[Entry], limit: int) -> tuple[list[Entry], Evicted]:
    """At most ``limit`` rows of a buffer that cannot be written, and what went."""
    excess = len(buffer) - limit
    if excess <= 0:
        return list(buffer), Evicted()
    order = sorted(range(len(buffer)), key=lambda index: (buffer[index].keep, index))
    going = set(order[:excess])
    gone = Evicted()
    for index in going:
        at = unix_ms(buffer[index].row.at)
        gone += Evicted(1, from_ms=at, to_ms=at)
    return [entry for index, entry in enumerate(buffer) if index not in going], gone
