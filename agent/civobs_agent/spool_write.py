"""One write of the spool: a single transaction that forgets, anchors, evicts, seals and stores."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from civobs_agent.sealing import Entry, Head, Keep, Lane, Sealed, seal, unix_ms
from civobs_agent.self_report import ClockLike, MomentLike, agent_row
from civobs_agent.seqfloor import Numbers, SeqFloor
from civobs_agent.spool_full import Evicted, choose_evictions
from civobs_agent.spool_store import DiskError, Store
from civobs_wire.envelope import Signer
from civobs_wire.measurement import AgentEvent, AnyMeasurement, ClockState
from civobs_wire.scalars import INT4_MAX

PAGE = 1000
"""Unsealed rows taken from the file at a time: bounds memory when days of them are sealed at once."""
ROW_BYTES = 500
"""About what an unsealed row takes; only decides when to make room."""
HEADROOM = 0.05
"""Share of the cap freed at once, so that a full spool does not evict with every write."""


@dataclass(slots=True)
class Write:
    """What one transaction is given, and what it leaves behind."""

    clock: ClockLike
    key: Signer
    probe_id: str | None
    plan_id: str | None
    floor: SeqFloor
    max_bytes: int
    bytes_before: int
    sealing: bool
    seal_unanchored: bool
    """Seal rows of this boot although the clock was never known."""
    entries: list[Entry]
    numbers: Numbers
    evicted: Evicted
    settled: AbstractSet[int]
    protect: tuple[int, int] | None
    notes: dict[str, str]
    met: bool
    """The collector was heard in this run, so numbers from now on are above all that it has seen."""
    batches: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Change in the number of batches kept, of their rows, of their bytes."""
    _moment: MomentLike | None = None

    @property
    def moment(self) -> MomentLike:
        if self._moment is None:
            self._moment = self.clock.moment()
        return self._moment

    def run(self, store: Store) -> None:
        """Do all of it or, with DiskError or DamagedError, nothing. Sealed batches are on the card afterwards."""
        with store.transaction(on_card=self.sealing and self.probe_id is not None):
            self._forget(store)
            if self.protect is not None:
                store.protect(*self.protect, self.numbers.batch_seq - PAGE)
            if self.moment.state is not ClockState.UNKNOWN:
                self._anchor(store)
            self._make_room(store)
            if self.sealing and self.probe_id is not None:
                self._seal_all(store)
            store.put_rows(self.entries)
            self._note(store)

    def _forget(self, store: Store) -> None:
        for number in self.settled:
            for _, n, size in store.batch_numbers(number, number):
                self._count(-1, -n, -size)
        store.drop_batches(sorted(self.settled))

    def _count(self, batches: int, rows: int, size: int) -> None:
        self.batches = [old + new for old, new in zip(self.batches, (batches, rows, size), strict=True)]

    def _add(self, row: AnyMeasurement) -> None:
        numbered = row.model_copy(update={"seq": self.numbers.seq})
        self.numbers = replace(self.numbers, seq=self.numbers.seq + 1)
        self.entries.append(Entry(numbered, str(self.clock.boot_id), Keep.EVIDENCE))

    def _anchor(self, store: Store) -> None:
        """Give rows of this boot the time the clock, known by now, says they were taken at."""
        boot_id = str(self.clock.boot_id)
        n = 0
        step_ms = 0.0
        while page := store.rows(boot_id, after=0, limit=PAGE, unanchored=True):
            anchored = [self._anchored(entry) for entry in page]
            step_ms = _step_ms(page[-1], anchored[-1])
            store.put_rows(anchored)
            n += len(page)
        for index, entry in enumerate(self.entries):
            if entry.boot_id == boot_id and entry.row.validity.clock is ClockState.UNKNOWN:
                self.entries[index] = self._anchored(entry)
                step_ms = _step_ms(entry, self.entries[index])
                n += 1
        if n:
            self._add(agent_row(AgentEvent.CLOCK_SET, self.moment, n=n, step_ms=step_ms))

    def _anchored(self, entry: Entry) -> Entry:
        row = entry.row
        then = self.clock.reanchor(row.mono_ms)
        return replace(
            entry,
            row=row.model_copy(
                update={
                    "at": then.at,
                    "slot_at": row.slot_at + (then.at - row.at),
                    "clock_err_ms": then.err_ms,
                    "validity": row.validity.model_copy(update={"clock": self.moment.state}),
                }
            ),
        )

    def _make_room(self, store: Store) -> None:
        # Less what `_forget` has freed: nothing unsent goes to make room for what was receipted.
        excess = self.bytes_before + self.batches[2] + len(self.entries) * ROW_BYTES - self.max_bytes
        if excess > 0:
            gone = choose_evictions(store, excess + round(self.max_bytes * HEADROOM))
            self._count(-len(gone.batches), -gone.n_batch_rows, -gone.batch_bytes)
            self.evicted += gone
        if self.evicted:
            self._add(
                agent_row(
                    AgentEvent.SPOOL_EVICTED,
                    self.moment,
                    n=len(self.evicted.batches),
                    n_lost=self.evicted.n_rows,
                    from_at=self.evicted.from_at,
                    to_at=self.evicted.to_at,
                    note=self.evicted.note,
                )
            )
            self.evicted = Evicted()

    def _seal_all(self, store: Store) -> None:
        current = str(self.clock.boot_id)
        waits = self.moment.state is ClockState.UNKNOWN and not self.seal_unanchored
        for boot_id in store.row_boots():
            if boot_id == current and waits:
                continue
            while page := store.rows(boot_id, after=0, limit=PAGE):
                self._seal(store, page, boot_id)
                store.drop_rows([entry.row.seq for entry in page])
        rest: list[Entry] = []
        for boot_id in dict.fromkeys(entry.boot_id for entry in self.entries):
            mine = [entry for entry in self.entries if entry.boot_id == boot_id]
            if boot_id == current and waits:
                rest += mine
            else:
                self._seal(store, mine, boot_id)
        self.entries = rest

    def _seal(self, store: Store, entries: Sequence[Entry], boot_id: str) -> None:
        sealed = seal(entries, self._head(store, boot_id), self.numbers.batch_seq)
        store.put_batches(sealed)
        if not self.met:
            store.set_unsent([batch.batch_seq for batch in sealed])
        self.numbers = replace(self.numbers, batch_seq=self.numbers.batch_seq + len(sealed))
        self._count(len(sealed), sum(batch.n for batch in sealed), sum(len(batch.message) for batch in sealed))

    def _head(self, store: Store, boot_id: str) -> Head:
        """For a boot that is over, the clock is what it was worth at the end of that boot."""
        if boot_id == str(self.clock.boot_id):
            clock, err_ms = self.moment.state, self.moment.err_ms
        else:
            clock, err_ms = store.boot(boot_id) or (ClockState.UNKNOWN, INT4_MAX)
        assert self.probe_id is not None  # noqa: S101 - _seal_all is only called with it
        return Head(self.key, self.probe_id, boot_id, self.moment.at, clock, err_ms, self.plan_id)

    def _note(self, store: Store) -> None:
        moment = self.moment
        reserve(self.floor, store, self.numbers)
        store.set_boot(str(self.clock.boot_id), moment.state, moment.err_ms, unix_ms(moment.at))
        for name, value in self.notes.items():
            store.set_note(f"agent.{name}", value)


def reserve(floor: SeqFloor, store: Store, numbers: Numbers) -> None:
    """Note the next numbers, in the file beside the spool first. Raises DiskError."""
    try:
        floor.reserve(numbers)
    except OSError as error:
        raise DiskError(str(error)) from error
    store.set_numbers(numbers)


def _step_ms(before: Entry, after: Entry) -> float:
    return (after.row.at - before.row.at).total_seconds() * 1000


def first_batches(store: Store, limit: int, skip: AbstractSet[int]) -> list[Sealed]:
    """The first ``limit`` batches in the order of sending, without those to skip."""
    found: list[Sealed] = []
    for lane in Lane:
        after = 0
        while len(found) < limit:
            page = store.batches(lane, limit + 8, after=after)
            found += [batch for batch in page if batch.batch_seq not in skip][: limit - len(found)]
            if len(page) < limit + 8:
                break
            after = page[-1].batch_seq
    return found
