"""The spool's file: SQLite in WAL mode, one connection, one transaction for each write.

``synchronous=NORMAL`` survives ``kill -9``; a power cut may lose the last commits. So a transaction that seals is
committed with ``FULL``: what may be sent is on the card, and no batch number can come back after a power cut.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from civobs_agent.sealing import Entry, Keep, Lane, Sealed, unix_ms
from civobs_agent.seqfloor import Numbers
from civobs_wire.measurement import ClockState, parse_row

APPLICATION_ID = 0x43495642
"""``CIVB``: tells ``file`` and us whose file it is."""
SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS row (
  seq INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, keep INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  anchored INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
  batch_seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, keep INTEGER NOT NULL, n INTEGER NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, message BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS batch_first ON batch (batch_seq) WHERE lane = 0;
CREATE TABLE IF NOT EXISTS unsent (batch_seq INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS boot (
  boot_id TEXT PRIMARY KEY, clock TEXT NOT NULL, clock_err_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BATCH_COLUMNS = "batch_seq, lane, keep, n, from_ms, to_ms, message"


class DamagedError(Exception):
    """The file is not, or no longer, a sound spool."""


class DiskError(Exception):
    """The file cannot be read or written at the moment: no space, an I/O error, a read-only file system."""


@contextmanager
def classified() -> Iterator[None]:
    """Turn SQLite's errors into the two that need different answers."""
    try:
        yield
    except sqlite3.Error as error:
        # Without a code it is Python's own: a text that is no UTF-8. The disk gave it, so waiting will not mend it.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF in _DAMAGE:
            raise DamagedError(str(error)) from error
        if isinstance(error, sqlite3.OperationalError) and code & 0xFF != sqlite3.SQLITE_ERROR:
            raise DiskError(str(error)) from error
        # A missing table or column, a value of the wrong type: a file that is not what it says it is.
        raise DamagedError(str(error)) from error


@contextmanager
def _understood() -> Iterator[None]:
    """The same where values are read back: SQLite has no checksums, so a flipped bit shows only in what it gives."""
    try:
        with classified():
            yield
    except ValueError as error:
        raise DamagedError(f"a value cannot be read ({type(error).__name__})") from error


class Store:
    """The open file. Every method may raise DiskError or DamagedError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with classified():
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        for row in self._db.execute("PRAGMA quick_check(1)"):
            if row[0] != "ok":
                raise DamagedError(str(row[0]))
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise DamagedError(f"written by a newer agent (version {version})")
        if self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise DiskError("the file system does not allow write-ahead logging")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA cache_size = -1024")
        if version != SCHEMA_VERSION:
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute("COMMIT")

    def close(self) -> None:
        with classified():
            self._db.close()

    @contextmanager
    def transaction(self, *, on_card: bool) -> Iterator[None]:
        """All of it or nothing; ``on_card`` waits until it would survive a power cut."""
        with classified():
            self._db.execute(f"PRAGMA synchronous = {'FULL' if on_card else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # Rows not yet sealed.

    def put_rows(self, entries: Sequence[Entry]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    entry.row.seq,
                    entry.boot_id,
                    entry.keep,
                    unix_ms(entry.row.at),
                    entry.row.validity.clock is not ClockState.UNKNOWN,
                    entry.row.model_dump_json(exclude_none=True),
                )
                for entry in entries
            ],
        )

    def rows(self, boot_id: str, *, after: int, limit: int, unanchored: bool = False) -> list[Entry]:
        """Rows of one boot with numbers above ``after``, in order."""
        with _understood():
            found = self._db.execute(
                "SELECT keep, body FROM row WHERE boot_id = ? AND seq > ? AND anchored <= ? ORDER BY seq LIMIT ?",
                (boot_id, after, 0 if unanchored else 1, limit),
            ).fetchall()
            return [Entry(parse_row(body), boot_id, Keep(keep)) for keep, body in found]

    def drop_rows(self, seqs: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM row WHERE seq = ?", [(seq,) for seq in seqs])

    def row_boots(self) -> list[str]:
        """Boots that have unsealed rows, oldest first."""
        with classified():
            return [boot for (boot,) in self._db.execute("SELECT boot_id FROM row GROUP BY boot_id ORDER BY min(seq)")]

    # Sealed batches.

    def put_batches(self, batches: Sequence[Sealed]) -> None:
        self._db.executemany(
            f"INSERT INTO batch ({_BATCH_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
            [(b.batch_seq, b.lane, b.keep, b.n, b.from_ms, b.to_ms, b.message) for b in batches],
        )

    def batches(self, lane: Lane, limit: int, *, after: int = 0) -> list[Sealed]:
        """The oldest batches of a lane."""
        with _understood():
            found = self._db.execute(
                f"SELECT {_BATCH_COLUMNS} FROM batch WHERE lane = {int(lane)} AND batch_seq > ?"  # noqa: S608 - an int
                " ORDER BY batch_seq LIMIT ?",
                (after, limit),
            ).fetchall()
            return [_sealed(row) for row in found]

    def batch(self, number: int) -> Sealed | None:
        with _understood():
            found = self._db.execute(
                f"SELECT {_BATCH_COLUMNS} FROM batch WHERE batch_seq = ?",  # noqa: S608 - constant columns
                (number,),
            ).fetchone()
            return None if found is None else _sealed(found)

    def batch_numbers(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Number, rows and bytes of the batches kept in a range."""
        with classified():
            return self._db.execute(
                "SELECT batch_seq, n, length(message) FROM batch WHERE batch_seq BETWEEN ? AND ?", (first, last)
            ).fetchall()

    def drop_batches(self, numbers: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM batch WHERE batch_seq = ?", [(number,) for number in numbers])
        self.set_sent(numbers)

    # Which batches were never handed to the uplink. Only those sealed before this run heard the collector are noted:
    # later ones have numbers above all that it has seen, so nothing depends on it.

    def unsent(self, first: int, last: int) -> list[int]:
        """Numbers in a range of batches that nobody can have received, rising."""
        with classified():
            found = self._db.execute(
                "SELECT batch_seq FROM unsent WHERE batch_seq BETWEEN ? AND ? ORDER BY batch_seq", (first, last)
            )
            return [number for (number,) in found]

    def set_unsent(self, numbers: Sequence[int]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO unsent VALUES (?)", [(number,) for number in numbers])

    def set_sent(self, numbers: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM unsent WHERE batch_seq = ?", [(number,) for number in numbers])

    # Eviction.

    def protect(self, from_ms: int, to_ms: int, newest_batches_from: int) -> None:
        """Keep what was taken in this interval longer than routine."""
        self._db.execute(
            "UPDATE batch SET keep = ? WHERE keep < ? AND batch_seq >= ? AND from_ms <= ? AND to_ms >= ?",
            (Keep.NEAR_CHANGE, Keep.NEAR_CHANGE, newest_batches_from, to_ms, from_ms),
        )
        self._db.execute(
            "UPDATE row SET keep = ? WHERE keep < ? AND at_ms BETWEEN ? AND ?",
            (Keep.NEAR_CHANGE, Keep.NEAR_CHANGE, from_ms, to_ms),
        )

    def evictable(self, keep: Keep, limit: int) -> list[tuple[str, int, int, int, int, int]]:
        """The oldest batches and rows of one degree: what, number, rows, bytes, first and last time."""
        with classified():
            return self._db.execute(
                "SELECT * FROM (SELECT 'row', seq, 1, length(body), at_ms, at_ms FROM row WHERE keep = ?1"
                " UNION ALL SELECT 'batch', batch_seq, n, length(message), from_ms, to_ms FROM batch WHERE keep = ?1)"
                " ORDER BY 5 LIMIT ?2",
                (int(keep), limit),
            ).fetchall()

    # Sums and notes.

    def row_sums(self) -> tuple[int, int]:
        """Unsealed rows and their bytes."""
        with classified():
            rows, size = self._db.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM row").fetchone()
        return int(rows), int(size)

    def batch_sums(self) -> tuple[int, int, int]:
        """Batches, their rows, their bytes. Walks the whole table."""
        with classified():
            batches, rows, size = self._db.execute(
                "SELECT count(*), coalesce(sum(n), 0), coalesce(sum(length(message)), 0) FROM batch"
            ).fetchone()
        return int(batches), int(rows), int(size)

    def oldest_ms(self) -> int | None:
        """Wall time of the oldest thing kept."""
        with classified():
            found = self._db.execute(
                "SELECT min(t) FROM (SELECT (SELECT at_ms FROM row ORDER BY seq LIMIT 1) AS t"
                " UNION ALL SELECT (SELECT from_ms FROM batch ORDER BY batch_seq LIMIT 1)"
                " UNION ALL SELECT (SELECT from_ms FROM batch WHERE lane = 0 ORDER BY batch_seq LIMIT 1))"
            ).fetchone()
        return None if found[0] is None else int(found[0])

    def numbers(self) -> Numbers:
        """The next numbers, from the note and from what is there."""
        with _understood():
            row = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM row").fetchone()[0]
            batch = self._db.execute("SELECT coalesce(max(batch_seq), 0) + 1 FROM batch").fetchone()[0]
            return Numbers(max(row, int(self.note("next_seq") or 1)), max(batch, int(self.note("next_batch_seq") or 1)))

    def set_numbers(self, numbers: Numbers) -> None:
        self.set_note("next_seq", str(numbers.seq))
        self.set_note("next_batch_seq", str(numbers.batch_seq))

    def note(self, name: str) -> str | None:
        with classified():
            found = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def set_note(self, name: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            " WHERE value <> excluded.value",
            (name, value),
        )

    def boot(self, boot_id: str) -> tuple[ClockState, int] | None:
        """What the clock of a boot was worth when it was last heard of."""
        with _understood():
            found = self._db.execute("SELECT clock, clock_err_ms FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
            return None if found is None else (ClockState(found[0]), int(found[1]))

    def last_life(self) -> tuple[str, int, ClockState] | None:
        """The boot heard of last, when (Unix milliseconds), and what its clock was worth."""
        with _understood():
            found = self._db.execute("SELECT boot_id, last_ms, clock FROM boot ORDER BY rowid DESC LIMIT 1").fetchone()
            return None if found is None else (str(found[0]), int(found[1]), ClockState(found[2]))

    def set_boot(self, boot_id: str, clock: ClockState, clock_err_ms: int, last_ms: int) -> None:
        self._db.execute(
            "INSERT INTO boot VALUES (?, ?, ?, ?) ON CONFLICT (boot_id) DO UPDATE SET"
            " clock = excluded.clock, clock_err_ms = excluded.clock_err_ms, last_ms = excluded.last_ms",
            (boot_id, clock, clock_err_ms, last_ms),
        )
        self._db.execute("DELETE FROM boot WHERE boot_id <> ? AND boot_id NOT IN (SELECT boot_id FROM row)", (boot_id,))


def _sealed(row: tuple[int, int, int, int, int, int, bytes]) -> Sealed:
    """A batch from its columns. Raises ValueError for what is none."""
    number, lane, keep, n, from_ms, to_ms, message = row
    return Sealed(number, Lane(lane), Keep(keep), n, from_ms, to_ms, message)
