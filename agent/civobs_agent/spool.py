"""The spool: every row is kept here until the collector says that it is committed.

Rows come in (``record``), wait in memory for at most ``write_interval_s``, are sealed into batches, and stay as those
exact bytes until a receipt settles them. ``kill -9`` at any moment loses at most what had not been written yet;
what the uplink is given is always on the card before. All methods are for the event loop's thread and do not raise
for a full disk or a damaged file: they keep rows in memory, repair, and say so in the record.
"""

import logging
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from civobs_agent.errors import StorageError
from civobs_agent.only_one import OnlyOne
from civobs_agent.recent_slots import RecentSlots
from civobs_agent.reseal import reseal
from civobs_agent.rung_watch import RungWatch
from civobs_agent.sealing import Entry, Sealed, keep_of, unix_ms
from civobs_agent.self_report import ClockLike, agent_row
from civobs_agent.seqfloor import Numbers, SeqFloor
from civobs_agent.spool_full import Evicted, drop_from_memory
from civobs_agent.spool_salvage import Opened, open_store, replace_damaged
from civobs_agent.spool_store import DamagedError, DiskError, Store
from civobs_agent.spool_write import Write, first_batches, reserve
from civobs_wire.envelope import Signer
from civobs_wire.measurement import AgentEvent, AnyMeasurement, ClockState
from civobs_wire.receipt import Receipt

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WRITE_AT = 500
"""Rows in memory that are written without waiting for the interval."""
_SLOTS_NOTE = "recent_slots"
_DELETE_AT = 64
"""Receipted batches that are deleted without waiting for the next write."""


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How often the spool writes and how much it keeps."""

    write_interval_s: float = 60.0
    """Longest time a row is in memory only; 0 writes every row at once. volunteers.md §2: one transaction a minute."""
    seal_interval_s: float = 60.0
    """Longest time a row waits for its batch."""
    max_bytes: int = 200_000_000
    memory_rows: int = 5_000
    """Rows held in memory while the disk cannot be written: about 10 MB."""
    unknown_clock_s: float = 86_400.0
    """How long rows wait for the clock before they are sealed with the error bound they have."""
    unknown_clock_rows: int = 20_000
    around_change_s: float = 900.0
    """Rows this near to a change of the ladder are kept longer than routine."""


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What the spool holds, for status and doctor."""

    last_seq: int
    """Number of the last row ever recorded; 0 before the first."""
    rows_waiting: int
    """Rows not yet sealed, memory included."""
    batches: int
    rows_sealed: int
    bytes: int
    oldest_at: datetime | None
    settled: int
    """Batches receipted as committed since the start."""
    rejected: int
    """Batches the collector put in quarantine since the start."""
    disk: str
    """``ok``, or the system's words."""


@dataclass(frozen=True, slots=True)
class LastLife:
    """The newest sign of life before this start."""

    boot_id: str
    at: datetime
    clock: ClockState


class Spool:
    """Keeps rows and batches in ``folder``.

    ``clock`` anchors rows, ``key`` signs batches. Raises StorageError if another process has the folder, or nobody can
    use it. Call ``tick`` every second or so, ``close`` at the end.
    """

    def __init__(
        self,
        folder: Path,
        clock: ClockLike,
        key: Signer,
        limits: SpoolLimits | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._key = key
        self._limits = limits or SpoolLimits()
        self._monotonic = monotonic
        self._floor = SeqFloor(folder / "numbers.json")
        self._store: Store | None = None
        self._next: Numbers | None = None
        """None until the file could be opened for the first time: rows are numbered then."""
        self._probe_id: str | None = None
        self.plan_id: str | None = None
        """The plan in force; batches carry it."""
        self._buffer: list[Entry] = []
        self._notes: dict[str, str] = {}
        self._evicted = Evicted()
        self._settled: set[int] = set()
        """Receipted, not yet deleted from the file: deleting waits for the next write to spare the card."""
        self._met = False
        """A receipt was heard in this run: numbers are above all that the collector has seen."""
        self._handed: set[int] = set()
        """Handed to the uplink while the disk could not note it."""
        self._slots = RecentSlots()
        self._watch = RungWatch(self._limits.around_change_s)
        self._batches = [0, 0, 0]
        """Batches kept, their rows, their bytes."""
        self._rows = (0, 0)
        self._n_settled = self._n_rejected = 0
        self._disk = "ok"
        self._closed = False
        self._written_at = self._sealed_at = self._begun_at = monotonic()
        self.last_life: LastLife | None = None
        """The newest sign of life found on opening; None for a new spool."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(
                f"cannot make {folder}: {error.strerror}", "name a writable folder with state_dir in the settings"
            ) from None
        self._lock = OnlyOne(folder)
        self._guarded(lambda _store: None)

    # What the measuring side calls.

    def record(self, rows: Sequence[AnyMeasurement]) -> None:
        """Take rows in, numbered in this order. Their ``seq`` is a placeholder."""
        boot_id = str(self._clock.boot_id)
        for row in rows:
            self._slots.add(row)
            keep = max(keep_of(row), self._watch.degree(row))
            self._buffer.append(self._numbered(Entry(row, boot_id, keep, numbered=False)))
        if self._watch.take_change():
            self._buffer = [self._watch.raised(entry) for entry in self._buffer]
            self._write(sealing=True)
        elif self._limits.write_interval_s <= 0 or len(self._buffer) >= _WRITE_AT:
            self._write(sealing=False)
        if len(self._buffer) > self._limits.memory_rows:
            self._buffer, gone = drop_from_memory(self._buffer, self._limits.memory_rows)
            self._evicted += gone

    def remember(self, name: str, value: str) -> None:
        """Keep a small text with the rows: it is written with the next of them."""
        self._notes[name] = value

    def recall(self, name: str) -> str | None:
        """What was remembered under a name, in this run of the agent or an earlier one."""
        if name in self._notes:
            return self._notes[name]
        return self._guarded(lambda store: store.note(f"agent.{name}"))

    def has_slot(self, kind: str, target: str, slot_at: datetime) -> bool:
        """Whether a row for this slot was recorded in the last minutes, before the last restart included."""
        return self._slots.has(kind, target, slot_at)

    # What the agent's frame calls.

    def identify(self, probe_id: str) -> None:
        """Batches can be sealed from now on."""
        self._probe_id = probe_id

    def tick(self) -> None:
        """Write and seal what is due."""
        now = self._monotonic()
        if now - self._sealed_at >= self._limits.seal_interval_s and (self._buffer or self._rows[0] or self._settled):
            self._write(sealing=True)
        elif now - self._written_at >= self._limits.write_interval_s and (self._buffer or self._settled or self._notes):
            self._write(sealing=False)

    def flush(self) -> None:
        """Write and seal everything now."""
        self._write(sealing=True)

    def close(self) -> None:
        """Write everything and close the file; the spool is not used again."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        if self._store is not None:
            with suppress(DiskError, DamagedError):
                self._store.close()
            self._store = None
        self._lock.release()

    # What the uplink calls.

    def next_batches(self, limit: int, without: AbstractSet[int] = frozenset()) -> list[Sealed]:
        """Up to ``limit`` batches to send, those of the ladder first, then the oldest; all are on the card."""
        skip = self._settled | without
        return self._guarded(lambda store: first_batches(store, limit, skip)) or []

    def batch(self, number: int) -> Sealed | None:
        """One batch by its number; None if it was receipted or given up."""
        return None if number in self._settled else self._guarded(lambda store: store.batch(number))

    def handed_out(self, numbers: Sequence[int]) -> None:
        """These batches are about to be sent: from here on their bytes stay as they are, and a receipt settles them."""
        if not self._guarded(lambda store: _note_sent(store, numbers)):
            self._handed.update(numbers)

    def settle(self, receipt: Receipt) -> int:
        """Let go of every batch the receipt settles; gives their number. The caller has verified the receipt.

        Batches that were never handed out are no business of a receipt that names them: they are sealed anew.
        """
        return self._guarded(lambda store: self._settle(store, receipt)) or 0

    def state(self) -> SpoolState:
        oldest = self._guarded(Store.oldest_ms)
        if oldest is None and self._buffer:
            oldest = unix_ms(self._buffer[0].row.at)
        return SpoolState(
            last_seq=0 if self._next is None else self._next.seq - 1,
            rows_waiting=self._rows[0] + len(self._buffer),
            batches=self._batches[0] - len(self._settled),
            rows_sealed=self._batches[1],
            bytes=self._rows[1] + self._batches[2],
            oldest_at=None if oldest is None else datetime.fromtimestamp(oldest / 1000, UTC),
            settled=self._n_settled,
            rejected=self._n_rejected,
            disk=self._disk,
        )

    # Inside.

    def _numbered(self, entry: Entry) -> Entry:
        if entry.numbered or self._next is None:
            return entry
        row = entry.row.model_copy(update={"seq": self._next.seq})
        self._next = replace(self._next, seq=self._next.seq + 1)
        return replace(entry, row=row, numbered=True)

    def _guarded(self, action: Callable[[Store], T], *, writes: bool = False) -> T | None:
        """Run something on the store; open it if need be, repair it once; None while the disk is unusable."""
        for _ in range(2):
            try:
                if self._store is None:
                    self._adopt(open_store(self._folder, self._floor, self._key.public_key()))
                assert self._store is not None  # noqa: S101 - _adopt has set it
                result = action(self._store)
            except DiskError as error:
                if self._disk == "ok":
                    logger.warning("spool cannot be written cause=%r rows_in_memory=%d", str(error), len(self._buffer))
                self._disk = str(error)
                return None
            except DamagedError as error:
                self._set_aside(str(error))
            else:
                if writes and self._disk != "ok":
                    logger.warning("spool can be written again")
                    self._disk = "ok"
                return result
        return None

    def _set_aside(self, cause: str) -> None:
        if self._store is not None:
            with suppress(DiskError, DamagedError):
                self._store.close()
            self._store = None
        try:
            self._adopt(replace_damaged(self._folder, self._floor, self._key.public_key(), cause))
        except (DiskError, DamagedError) as error:
            self._disk = str(error)

    def _adopt(self, opened: Opened) -> None:
        self._store = opened.store
        ahead = self._next or Numbers()
        self._next = Numbers(max(ahead.seq, opened.numbers.seq), max(ahead.batch_seq, opened.numbers.batch_seq))
        self._buffer = [self._numbered(entry) for entry in self._buffer]
        self._batches = list(opened.store.batch_sums())
        self._rows = opened.store.row_sums()
        life = opened.store.last_life()
        if self.last_life is None and life is not None:
            self.last_life = LastLife(life[0], datetime.fromtimestamp(life[1] / 1000, UTC), life[2])
            self._slots.load(opened.store.note(f"agent.{_SLOTS_NOTE}"))
        if opened.reset is not None:
            lost = opened.reset
            self.record(
                [agent_row(AgentEvent.SPOOL_RESET, self._clock.moment(), n=lost.n, n_lost=lost.n_lost, note=lost.cause)]
            )

    def _write(self, *, sealing: bool) -> None:
        now = self._monotonic()
        self._written_at = now
        if sealing:
            self._sealed_at = now
        self._guarded(lambda store: self._write_to(store, sealing=sealing), writes=True)

    def _write_to(self, store: Store, *, sealing: bool) -> None:
        if self._next is None:
            raise DiskError("not open")
        limits = self._limits
        write = Write(
            clock=self._clock,
            key=self._key,
            probe_id=self._probe_id,
            plan_id=self.plan_id,
            floor=self._floor,
            max_bytes=limits.max_bytes,
            bytes_before=self._rows[1] + self._batches[2],
            sealing=sealing,
            seal_unanchored=(
                self._monotonic() - self._begun_at >= limits.unknown_clock_s
                or self._rows[0] + len(self._buffer) >= limits.unknown_clock_rows
            ),
            entries=list(self._buffer),
            numbers=self._next,
            evicted=self._evicted,
            settled=frozenset(self._settled),
            protect=self._watch.protect,
            notes={**self._notes, _SLOTS_NOTE: self._slots.text()},
            met=self._met,
        )
        write.run(store)
        self._buffer.clear()
        self._next = write.numbers
        self._evicted = write.evicted
        self._settled -= write.settled
        self._watch.protect = None
        self._notes.clear()
        self._batches = [old + change for old, change in zip(self._batches, write.batches, strict=True)]
        self._rows = store.row_sums()

    def _settle(self, store: Store, receipt: Receipt) -> int:
        self._stay_above(store, receipt)
        newly = 0
        for ranges, refused in ((receipt.committed, False), (receipt.rejected, True)):
            for first, last in ranges:
                new = {number for number, _, _ in store.batch_numbers(first, last)} - self._settled
                self._settled |= new
                newly += len(new)
                if refused and new:
                    self._n_rejected += len(new)
                    logger.warning("batches refused by the collector numbers=%s", sorted(new))
                else:
                    self._n_settled += len(new)
        if len(self._settled) >= _DELETE_AT:
            self._write_to(store, sealing=False)
        return newly

    def _stay_above(self, store: Store, receipt: Receipt) -> None:
        """Never use a number again that the collector has seen: the card may have been restored from a copy."""
        ranges = (*receipt.committed, *receipt.rejected)
        seen = max((last for _, last in ranges), default=0)
        if self._next is None:
            return
        named = any(set(store.unsent(first, last)) - self._handed for first, last in ranges)
        if named or seen >= self._next.batch_seq:
            self._renumber(store, seen)
        self._met = True

    def _renumber(self, store: Store, seen: int) -> None:
        """Numbers went back: go on above ``seen``, and seal anew what was not sent yet."""
        assert self._next is not None  # noqa: S101 - its caller has looked
        logger.error("batch numbers went back next=%d seen_by_collector=%d", self._next.batch_seq, seen)
        going = [number for number in store.unsent(1, seen) if number not in self._handed | self._settled]
        first = max(seen + 1, self._next.batch_seq)
        with store.transaction(on_card=True):
            done = reseal(store, going, self._key, first)
            numbers = replace(self._next, batch_seq=done.next_number)
            reserve(self._floor, store, numbers)
        self._next = numbers
        self._met = True
        self._batches = list(store.batch_sums())
        self.record(
            [agent_row(AgentEvent.SPOOL_RESET, self._clock.moment(), n=done.n, n_lost=done.n_lost, note=done.note)]
        )


def _note_sent(store: Store, numbers: Sequence[int]) -> bool:
    """On the card before the bytes leave: a batch that comes back as never sent would be sent under two numbers."""
    new = [number for number in numbers if store.unsent(number, number)]
    if new:
        with store.transaction(on_card=True):
            store.set_sent(new)
    return True
