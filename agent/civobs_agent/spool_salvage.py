"""Opens the spool's file; a damaged one is set aside, and what can still be read of it is carried over.

Never a crash loop: whatever the file looks like, the agent gets a working spool that begins above every number ever
used, and the loss is said in the record.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from civobs_agent.sealing import Entry, Keep, Lane, Sealed
from civobs_agent.seqfloor import Numbers, SeqFloor
from civobs_agent.spool_store import DamagedError, DiskError, Store
from civobs_wire.batch import unpack
from civobs_wire.envelope import Verifier
from civobs_wire.errors import WireError
from civobs_wire.measurement import parse_row

logger = logging.getLogger(__name__)

FILE = "spool.db"
KEPT_DAMAGED = 3
"""Damaged files kept for inspection; a failing card must not fill itself with them."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What became of a damaged spool."""

    cause: str
    n: int
    """Rows carried over, sealed ones included."""
    n_lost: int
    """Rows known to have been there and not readable: at least this many."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A working store, and whether it had to be made anew."""

    store: Store
    numbers: Numbers
    reset: Reset | None


def open_store(folder: Path, floor: SeqFloor, key: Verifier) -> Opened:
    """Open the spool of a state folder, repairing what must be. Raises DiskError while the disk is unusable."""
    path = folder / FILE
    try:
        fresh = not path.exists() or path.stat().st_size == 0
        store = Store(path)
        numbers = store.numbers()
    except DamagedError as damage:
        return replace_damaged(folder, floor, key, str(damage))
    known = floor.known
    if fresh and known is not None:
        # A new file where there was one before: somebody removed it, or the card was restored without it.
        return Opened(store, known, Reset("the spool was gone", 0, 0))
    return Opened(store, numbers, None)


def replace_damaged(folder: Path, floor: SeqFloor, key: Verifier, cause: str) -> Opened:
    """Set the file aside and begin a new one with what can be read of the old. Raises DiskError."""
    aside = _set_aside(folder)
    logger.error("spool damaged cause=%r kept_as=%s", cause, aside.name)
    store = Store(folder / FILE)
    rows: list[Entry] = []
    batches: list[Sealed] = []
    n = 0
    known_rows = 0
    readable = Numbers()
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{aside}?mode=ro", uri=True)) as old:
        known_rows = _known_rows(old)
        readable = _numbers(old)
        for entry in _rows(old):
            rows.append(entry)
            n += 1
            if len(rows) >= 1000:
                _carry(store, rows, batches)
        for batch in _batches(old, key):
            batches.append(batch)
            n += batch.n
            readable = Numbers(readable.seq, max(readable.batch_seq, batch.batch_seq + 1))
            if len(batches) >= 100:
                _carry(store, rows, batches)
    _carry(store, rows, batches)
    own = store.numbers()
    numbers = floor.after_loss(Numbers(max(own.seq, readable.seq), max(own.batch_seq, readable.batch_seq)))
    return Opened(store, numbers, Reset(cause, n, max(0, known_rows - n)))


def _set_aside(folder: Path) -> Path:
    path = folder / FILE
    earlier = sorted(folder.glob("spool-damaged-*.db"), key=lambda file: file.stat().st_mtime)
    for old in earlier[: max(0, len(earlier) - KEPT_DAMAGED + 1)]:
        for suffix in ("", "-wal", "-shm"):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    number = 1 + max((int(file.stem.rsplit("-", 1)[1]) for file in earlier), default=0)
    aside = folder / f"spool-damaged-{number:06d}.db"
    try:
        for suffix in ("-wal", "-shm", ""):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise DiskError(str(error)) from error
    return aside


def _carry(store: Store, rows: list[Entry], batches: list[Sealed]) -> None:
    with store.transaction(on_card=True):
        store.put_rows(rows)
        store.put_batches(batches)
    rows.clear()
    batches.clear()


def _known_rows(old: sqlite3.Connection) -> int:
    """How many rows the old file holds, as far as it can say."""
    total = 0
    for query in ("SELECT count(*) FROM row", "SELECT coalesce(sum(n), 0) FROM batch"):
        with suppress(sqlite3.Error):
            total += int(old.execute(query).fetchone()[0])
    return total


def _numbers(old: sqlite3.Connection) -> Numbers:
    found = {"next_seq": 1, "next_batch_seq": 1}
    for name in found:
        with suppress(sqlite3.Error, TypeError, ValueError):
            found[name] = int(old.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()[0])
    return Numbers(max(1, found["next_seq"]), max(1, found["next_batch_seq"]))


def _both_ways(old: sqlite3.Connection, table: str, key: str) -> Iterator[tuple[object, ...]]:
    """Every row that can be reached from the front, then from the back: a damaged page stops a walk."""
    last: int | None = None
    whole = False
    with suppress(sqlite3.Error):
        for found in old.execute(f"SELECT * FROM {table} ORDER BY {key}"):  # noqa: S608 - our own names
            last = found[0]
            yield found
        whole = True
    if whole:
        return
    with suppress(sqlite3.Error):
        for found in old.execute(f"SELECT * FROM {table} ORDER BY {key} DESC"):  # noqa: S608 - our own names
            if last is not None and found[0] <= last:
                return
            yield found


def _rows(old: sqlite3.Connection) -> Iterator[Entry]:
    for seq, boot_id, keep, _at, _anchored, body in _both_ways(old, "row", "seq"):
        try:
            row = parse_row(str(body))
            entry = Entry(row, str(boot_id), Keep(int(str(keep))))
        except (ValidationError, ValueError):
            continue
        if row.seq == seq:
            yield entry


def _batches(old: sqlite3.Connection, key: Verifier) -> Iterator[Sealed]:
    """Batches whose signature still fits: the signature is as good a checksum as any."""
    for number, lane, keep, _n, _from, _to, message in _both_ways(old, "batch", "batch_seq"):
        if not isinstance(message, bytes):
            continue
        try:
            batch = unpack(message, key)
            degree, first = Keep(int(str(keep))), Lane(int(str(lane)))
        except (WireError, ValueError):
            continue
        if batch.batch_seq != number:
            continue
        times = [round(row.at.timestamp() * 1000) for row in batch.measurements]
        yield Sealed(batch.batch_seq, first, degree, len(times), min(times), max(times), message)
