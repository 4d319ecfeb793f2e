"""The archive: every committed batch byte for byte as it came, in append-only files, one for each start and day.

A file ``YYYY/MM/DD.<instance>-<k>.pack`` (UTC; ``k`` counts the starts of that day) is a row of records::

    SHA-256 of the message (32 bytes) | length (4 bytes, big-endian) | message

A batch's row in the database names file and offset, and its digest must agree: the archive can be replayed and checked
without the database, and the database's rows may be dropped after their time. Records are on the disk *before* the
transaction commits, so a crash may leave records that no row names, never a row without its record.

A process writes only files that it made itself. What an earlier one left, torn at its end by a crash or damaged since,
is never opened for writing, so no offset that a row names is given out twice.
"""

import hashlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from civobs_collector.errors import NotFoundError, ResourceError
from civobs_wire.limits import MAX_PACKED_BYTES

_HEAD = struct.Struct(">32sI")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a record begins: a path below the archive's folder, and the offset in bytes of its head."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in the file; ``whole`` says that the bytes fit their digest."""

    offset: int
    sha256: bytes
    message: bytes
    whole: bool


class Archive:
    """Appends to a file of the day that it made itself, so no two processes write one file."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._instance = instance
        self._day = ""
        self._name = ""
        self._descriptor = -1
        self._end = 0

    def append(self, messages: Sequence[bytes], now: datetime) -> list[Location]:
        """Write messages and force them to the disk. Raises OSError, having left no half record behind."""
        day = f"{now:%Y/%m/%d}"
        if day != self._day:
            self.close()
            self._open(day)
        places: list[Location] = []
        parts: list[bytes] = []
        offset = self._end
        for message in messages:
            parts += (_HEAD.pack(hashlib.sha256(message).digest(), len(message)), message)
            places.append(Location(self._name, offset))
            offset += _HEAD.size + len(message)
        try:
            _write_all(self._descriptor, b"".join(parts), self._end)
            os.fsync(self._descriptor)
        except OSError:
            self._forget_tail()
            raise
        self._end = offset
        return places

    def close(self) -> None:
        """Close the file of the day; the next append makes another one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._day = ""

    def _open(self, day: str) -> None:
        parent = (self._folder / day).parent
        parent.mkdir(parents=True, exist_ok=True)
        stem = f"{Path(day).name}.{self._instance}"
        number = _last_number(parent, stem)
        descriptor = -1
        while descriptor < 0:
            number += 1
            with suppress(FileExistsError):
                descriptor = os.open(
                    parent / f"{stem}-{number}.pack", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
                )
        try:
            _sync_folders(parent, self._folder)
        except BaseException:
            os.close(descriptor)
            raise
        self._name = f"{day}.{self._instance}-{number}.pack"
        self._day, self._descriptor, self._end = day, descriptor, 0

    def _forget_tail(self) -> None:
        # A page that could not be written may be marked clean after a failed fsync, so the tail is cut off and
        # written again rather than synced again. If even that fails, nothing more is written to this file.
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            self.close()
            raise


def scan(path: Path) -> Iterator[Record]:
    """Go through a file's records. Ends at the last complete one, whatever stands behind it."""
    with path.open("rb") as file:
        offset = 0
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            digest, length = _HEAD.unpack(head)
            if not 0 < length <= MAX_PACKED_BYTES:
                return
            message = file.read(length)
            if len(message) < length:
                return
            yield Record(offset, digest, message, hashlib.sha256(message).digest() == digest)
            offset += _HEAD.size + length


def read(folder: Path, place: Location, sha256: bytes) -> bytes:
    """Give the message of this digest back. Raises NotFoundError if it is not there."""
    remedy = "restore the archive's folder from its copy"
    try:
        with (folder / place.file).open("rb") as file:
            file.seek(place.offset)
            head = file.read(_HEAD.size)
            _, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
            message = file.read(min(length, MAX_PACKED_BYTES))
    except OSError as error:
        raise NotFoundError(f"cannot read {place.file} of the archive: {error.strerror}", remedy) from None
    # Not against the digest that stands before it: that would fit another batch's record as well.
    if hashlib.sha256(message).digest() != sha256:
        raise NotFoundError(f"no whole record of this digest at {place.offset} of {place.file}", remedy)
    return message


@dataclass(frozen=True, slots=True)
class Health:
    """What a check of one file found; offsets in bytes."""

    records: int
    damaged: tuple[int, ...]
    """Where records begin whose bytes do not fit their digest."""
    tail: int
    """Bytes behind the last complete record."""


def verify(path: Path) -> Health:
    """Check every record of a file against its digest."""
    records, damaged, end = 0, [], 0
    for record in scan(path):
        records += 1
        end = record.offset + _HEAD.size + len(record.message)
        if not record.whole:
            damaged.append(record.offset)
    return Health(records, tuple(damaged), path.stat().st_size - end)


def check_folder(folder: Path) -> None:
    """Make the folder. Raises ResourceError if this process cannot write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"cannot make the archive's folder {folder}: {error.strerror}", "set ingest.archive_dir to a folder of ours"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResourceError(f"cannot write into {folder}", "give the folder to the user that runs civobs")


def _last_number(parent: Path, stem: str) -> int:
    """The highest number a file of this day and instance has; 0 if there is none."""
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)\.pack")
    matches = (pattern.fullmatch(path.name) for path in parent.iterdir())
    return max((int(match[1]) for match in matches if match), default=0)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folders(folder: Path, top: Path) -> None:
    """Make new names durable too: a file that survives without its folder's entry is lost."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == top or top not in folder.parents:
            return
        folder = folder.parent
