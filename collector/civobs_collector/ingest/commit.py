"""One transaction: batches into the inbox, their rows, marks for roll-ups, quarantine, presence, receipts.

Everything that can fail for a reason of its own comes before it: keys of targets, partitions, packing, the archive
(on the disk before the commit). What fails leaves nothing behind but bytes in the archive that no row names.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from civobs_collector.db.connect import Connection
from civobs_collector.db.edition import ensure_day
from civobs_collector.db.lookups import TargetKeys
from civobs_collector.evidence.archive import Archive, Location
from civobs_collector.ingest import store
from civobs_collector.ingest.decode import Arrived, Heard, Judged, Refused, Sound
from civobs_collector.ingest.reasons import BY_NAME
from civobs_collector.ingest.rows import HourlySample, Packed, pack_rows
from civobs_collector.ingest.store import Number, Room, Settled

UNVOUCHED_PART = 10
"""One in so many bytes of the quarantine may be of messages that no probe's signature settles: strangers can send as
many as they like, and must not use up the room without which no probe's refused batch is receipted."""


class RaceLostError(Exception):
    """Another writer put one of our batches into the inbox after we had looked: look again."""


@dataclass(slots=True)
class Flush:
    """What one transaction takes. It outlives failed attempts, so that nothing is packed or archived twice."""

    items: list[Judged] = field(default_factory=list)
    order: list[Arrived] = field(default_factory=list)
    """All messages to acknowledge, in the order they came."""
    packed: dict[bytes, Packed] = field(default_factory=dict)
    places: dict[bytes, Location] = field(default_factory=dict)

    def singles(self) -> list["Flush"]:
        """One flush for each item, to find the one the database refuses."""
        return [Flush([item], [], self.packed, self.places) for item in self.items]


@dataclass(slots=True)
class Committed:
    """What a transaction, or several, made of a flush."""

    stored: list[Sound] = field(default_factory=list)
    duplicates: list[Sound] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    receipts: dict[int, Settled] = field(default_factory=dict)

    def add(self, other: "Committed") -> None:
        """Take in the result of a later transaction."""
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.refused += other.refused
        self.receipts |= other.receipts


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The items by what is to be done with them."""

    new: list[Sound]
    duplicates: list[Sound]
    refused: list[Refused]
    heard: list[Heard]


class Committer:
    """Commits flushes over one connection at a time, and remembers what it need not ask the database again."""

    def __init__(self, archive: Archive, quarantine_bytes: int) -> None:
        self._archive = archive
        self._targets = TargetKeys()
        self._sample = HourlySample()
        self._days: set[date] = set()
        self._room = Room(quarantine_bytes, quarantine_bytes // UNVOUCHED_PART)
        self._quarantined = Room(0, 0)

    def begin(self, conn: Connection) -> None:
        """Take up a new connection; it may lead to a server promoted or restored, where nothing known holds."""
        self._targets = TargetKeys()
        self.forget_days()
        self.measure_quarantine(conn)

    def forget_days(self) -> None:
        """Look again for the partition of each day."""
        self._days.clear()

    def measure_quarantine(self, conn: Connection) -> None:
        """Find out how full the quarantine is."""
        self._quarantined = store.quarantined_bytes(conn)

    def close(self) -> None:
        """Give the archive's file up, so that another process may take over."""
        self._archive.close()

    def commit(self, conn: Connection, flush: Flush, now: datetime) -> Committed:
        """Store a flush. Raises psycopg.Error or OSError with nothing stored; ``now`` dates archive and receipts."""
        while True:
            try:
                return self._commit(conn, flush, now)
            except RaceLostError:
                continue

    def _commit(self, conn: Connection, flush: Flush, now: datetime) -> Committed:
        work = self._packable(conn, _sort(conn, flush.items), flush)
        self._archive_new(work.new, flush, now)
        with conn.transaction():
            if work.new:
                self._insert(conn, work.new, flush)
            rejected, used = self._quarantine(conn, work.refused)
            if work.heard:
                store.insert_presence(conn, work.heard)
            committed = [one.number for one in (*work.new, *work.duplicates)]
            receipts = store.move_receipts(conn, committed, rejected, now)
        # Not before the commit: an attempt that fails keeps nothing.
        self._quarantined = used
        return Committed(work.new, work.duplicates, work.refused, receipts)

    def _packable(self, conn: Connection, work: _Sorted, flush: Flush) -> _Sorted:
        """Pack the rows of new batches; a batch that cannot be packed is refused."""
        fresh = [one for one in work.new if one.sha256 not in flush.packed]
        targets = self._targets.resolve(conn, {row.target for one in fresh for row in one.batch.measurements})
        for one in fresh:
            try:
                flush.packed[one.sha256] = pack_rows(one, targets, self._sample)
            except ValueError as error:
                work.new.remove(one)
                work.refused.append(refuse(one, "out_of_range", str(error)))
        days = {day for one in work.new for day in flush.packed[one.sha256].days}
        for day in sorted(days - self._days):
            ensure_day(conn, day)
            self._days.add(day)
        return work

    def _archive_new(self, new: list[Sound], flush: Flush, now: datetime) -> None:
        unplaced = [one for one in new if one.sha256 not in flush.places]
        if unplaced:
            places = self._archive.append([one.arrived.payload for one in unplaced], now)
            flush.places.update(zip((one.sha256 for one in unplaced), places, strict=True))

    def _insert(self, conn: Connection, new: list[Sound], flush: Flush) -> None:
        inserted = store.insert_batches(conn, [(one, flush.places[one.sha256]) for one in new])
        if len(inserted) < len(new):
            raise RaceLostError
        # Rows of one probe side by side: the index over them is built that way twice as fast (ingest.md §2.2).
        packed = [(one.sender.probe_key, flush.packed[one.sha256]) for one in sorted(new, key=lambda one: one.number)]
        store.copy_rows(conn, (one.rows for _, one in packed))
        store.mark_dirty(conn, ((bucket, probe_key) for probe_key, one in packed for bucket in one.buckets))

    def _quarantine(self, conn: Connection, refused: list[Refused]) -> tuple[list[Number], Room]:
        """Keep what was refused; returns the numbers whose sending again would be useless, and what is kept then."""
        used = self._quarantined
        if not refused:
            return [], used
        entries: list[tuple[Refused, bool, bool]] = []
        settled: list[Number] = []
        for one in refused:
            number = _vouched_number(one)
            more = used.with_more(len(one.arrived.payload), vouched=number is not None)
            keep = more.fits(self._room)
            used = more if keep else used
            # Bytes that were not kept are not receipted: the probe's copy is then the only one.
            receipted = keep and number is not None
            entries.append((one, keep, receipted))
            if receipted and number is not None:
                settled.append(number)
        store.quarantine(conn, entries)
        return settled, used


def refuse(sound: Sound, reason: str, detail: str) -> Refused:
    """Turn a batch that looked sound into a refusal."""
    sender = sound.sender
    return Refused(
        *(sound.arrived, reason, detail, sound.sha256, sender.probe_id, sender.probe_key, sound.batch.batch_seq),
        verified=True,
    )


def refuse_after_database_error(item: Judged, detail: str) -> Refused:
    """What becomes of the one item that the database does not take."""
    match item:
        case Sound():
            return refuse(item, "database_error", detail)
        case Heard():
            digest = hashlib.sha256(item.arrived.payload).digest()
            return Refused(item.arrived, "database_error", detail, digest, item.sender.probe_id)
        case Refused():
            return replace(item, reason="database_error", detail=detail, batch_seq=None)


def _vouched_number(one: Refused) -> Number | None:
    if one.verified and one.batch_seq is not None and one.probe_key is not None and BY_NAME[one.reason].receipted:
        return one.probe_key, one.batch_seq
    return None


def _sort(conn: Connection, items: Iterable[Judged]) -> _Sorted:
    """Tell new batches from those already stored. Of two with one number the first to arrive counts."""
    work = _Sorted([], [], [], [])
    firsts: dict[Number, Sound] = {}
    again: list[Sound] = []
    for item in items:
        match item:
            case Sound():
                if firsts.setdefault(item.number, item) is not item:
                    again.append(item)
            case Heard():
                work.heard.append(item)
            case Refused():
                work.refused.append(item)
    if firsts:
        _compare(conn, firsts, again, work)
    return work


def _compare(conn: Connection, firsts: dict[Number, Sound], again: list[Sound], work: _Sorted) -> None:
    """Sort batches into new, duplicate and reused number by what the database has under their numbers."""
    known = store.read_known(conn, firsts)
    settled = store.read_settled(conn, [one for number, one in firsts.items() if number not in known])
    for number, one in firsts.items():
        if number in known:
            again.append(one)
        elif one.sha256 in settled.get(number, {one.sha256}):
            work.new.append(one)
        else:
            work.refused.append(refuse(one, "number_reused", f"batch {number[1]} was refused with other bytes"))
    known |= {one.number: one.sha256 for one in work.new}
    for one in again:
        if known.get(one.number) == one.sha256:
            work.duplicates.append(one)
        else:
            work.refused.append(refuse(one, "number_reused", f"batch {one.batch.batch_seq} has other bytes already"))
