"""Takes batches that the database lacks in from the archive, exactly once, by the code that took them in first.

For after a restore: what came between the backup and the loss is in the archive, and probes have let go of it.

When a batch arrived only the database knew. A file's records stand in the order of their arrival, so each came no
earlier than those before it arrived or, by a synchronised clock, were sealed. That is taken for it: rather too early
than too late, because a batch must not be a sign of life at a time when there was none.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.evidence.archive import Archive, Location, Record, check_folder, scan
from civobs_collector.ingest import store
from civobs_collector.ingest.commit import Committer, Flush
from civobs_collector.ingest.decode import Arrived, Refused, Sound, Window, judge
from civobs_collector.ingest.twins import parse_quickly
from civobs_collector.ingest.writer import accepted_window, store_flush
from civobs_wire.batch import CONTEXT, Batch
from civobs_wire.envelope import peek
from civobs_wire.errors import WireError
from civobs_wire.limits import MAX_UNPACKED_BYTES
from civobs_wire.measurement import ClockState
from civobs_wire.topics import Leaf, Topic

_AT_ONCE = 500
_SLACK = timedelta(days=1)
"""More room for times than at the first arrival: all of these were accepted once, and only that moment is estimated."""

Tell = Callable[[str, int], None]
"""Called with a file's name and its bytes when it is done."""


@dataclass(slots=True)
class Replayed:
    """What became of the archive's records."""

    files: int = 0
    known: int = 0
    """Batches that the database had."""
    stored: int = 0
    refused: int = 0
    """Could not be stored; those that the database refused are in quarantine."""
    unknown: int = 0
    """Of probes that are not on the allow-list."""
    damaged: list[str] = field(default_factory=list)
    """Places, as file:offset, whose bytes do not fit their digest."""


@dataclass(frozen=True, slots=True)
class _Day:
    """What the database has of one file, and what bounds the arrival of the rest."""

    name: str
    known: dict[int, tuple[bytes, datetime]]
    """By offset: digest and time of arrival."""
    begin: datetime
    end: datetime


def replay(settings: CollectorSettings, since: date | None, tell: Tell) -> Replayed:
    """Store every batch of the archive that the database lacks; of files since a UTC date, if one is given.

    May run beside a running ingest, again and again. Raises DatabaseError, ResourceError or OSError.
    """
    report, folder = Replayed(), settings.ingest.archive_dir
    check_folder(folder)
    # It is opened for no file: all that is stored has its place already.
    committer = Committer(Archive(folder, f"{settings.ingest.instance}-replay"), settings.ingest.quarantine_bytes)
    with database_errors(), connect(settings.database, "replay", autocommit=True) as conn:
        require_current(conn)
        committer.begin(conn)
        replayer = _Replayer(conn, committer, accepted_window(settings), report)
        for path in sorted(folder.glob("[0-9]*/[0-9]*/[0-9]*.pack")):
            name = path.relative_to(folder).as_posix()
            day = _day_of(name)
            if day is None or (since is not None and day < since):
                continue
            replayer.take(path, name, day)
            report.files += 1
            tell(name, path.stat().st_size)
    return report


class _Replayer:
    """Goes through files, record by record."""

    def __init__(self, conn: Connection, committer: Committer, window: Window, report: Replayed) -> None:
        self._conn = conn
        self._committer = committer
        self._window = Window(window.oldest + _SLACK, window.newest + _SLACK)
        self._report = report
        # Also of a probe that was shut out since: what is in the archive came before.
        self._senders = {one.probe_id: replace(one, status="active") for one in store.read_senders(conn)}

    def take(self, path: Path, name: str, day: date) -> None:
        """Store what the database lacks of one file."""
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        file = _Day(name, store.read_placed(self._conn, name, begin), begin, min(begin + timedelta(days=1), written))
        flush = Flush()
        for sound, place in self._lacking(path, file):
            flush.items.append(sound)
            flush.places[sound.sha256] = place
            if len(flush.items) == _AT_ONCE:
                self._store(flush)
                flush = Flush()
        if flush.items:
            self._store(flush)

    def _store(self, flush: Flush) -> None:
        done = store_flush(self._committer, self._conn, flush)
        self._report.stored += len(done.stored)
        self._report.known += len(done.duplicates)
        self._report.refused += len(done.refused)

    def _lacking(self, path: Path, file: _Day) -> Iterator[tuple[Sound, Location]]:
        came = file.begin
        for record in scan(path):
            there = file.known.get(record.offset)
            if not record.whole:
                self._report.damaged.append(f"{file.name}:{record.offset}")
            elif there is not None and there[0] == record.sha256:
                came = max(came, there[1])
                self._report.known += 1
            elif (batch := _read(record)) is None:
                self._report.refused += 1
            else:
                came = _arrival(batch, came, file.end)
                sound = self._judge(record, batch.probe_id, came)
                if sound is not None:
                    yield sound, Location(file.name, record.offset)

    def _judge(self, record: Record, probe_id: str, came: datetime) -> Sound | None:
        # `late`: nobody knows any more how long it had waited.
        arrived = Arrived(0, 0, 0, str(Topic(probe_id, Leaf.BATCH)), record.message, came, late=True)
        item = judge(arrived, self._senders, self._window)
        if isinstance(item, Sound):
            return item
        if isinstance(item, Refused) and item.reason == "unknown_probe":
            self._report.unknown += 1
        else:
            self._report.refused += 1
        return None


def _arrival(batch: Batch, came: datetime, end: datetime) -> datetime:
    """No earlier than what stands before it, nor than it was sealed; no later than the file was written."""
    if batch.clock is ClockState.SYNCED:
        came = max(came, batch.sealed_at - timedelta(milliseconds=batch.clock_err_ms))
    return min(came, end)


def _read(record: Record) -> Batch | None:
    """What a record says, before its signature is verified: whose key that takes stands in it."""
    try:
        text = zlib.decompressobj().decompress(peek(CONTEXT, record.message), MAX_UNPACKED_BYTES)
        return parse_quickly(text)
    except (WireError, zlib.error):
        return None


def _day_of(name: str) -> date | None:
    """The UTC date of a file called YYYY/MM/DD.INSTANCE-K.pack."""
    try:
        return datetime.strptime(name[:10], "%Y/%m/%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None
