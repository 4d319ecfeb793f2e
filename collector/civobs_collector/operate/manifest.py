"""What a folder of backups holds, and how each file of it is checked.

::

    DIR/20261122T030000Z/manifest.json   written last: a folder without it is no backup
                        /database.dump   pg_dump, custom format
                        /files/…         keys, settings, the broker's state, under their paths
    DIR/archive/…                        the archive, shared by all of them: its files only grow

Only its owner may read it: it holds the observatory's private keys.
"""

import hashlib
import os
import posixpath
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, field_validator

from civobs_collector.errors import BackupError

MANIFEST, DUMP, FILES, ARCHIVE = "manifest.json", "database.dump", "files", "archive"
_STAMP = "%Y%m%dT%H%M%SZ"
_STAMPED = re.compile(r"\d{8}T\d{6}Z")
_CHUNK = 1 << 20

Tell = Callable[[str, int], None]
"""Called as work goes on: with what is done, and how many bytes of it are."""


class Note(BaseModel):
    """One file: its path below its folder, and the digest of its first ``size`` bytes."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    sha256: str

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        """A restore runs as one who may write anywhere, and a copy of a backup may have been in others' hands."""
        if "\0" in value or value.startswith("/") or posixpath.normpath(value).split("/")[0] == "..":
            raise ValueError("leads out of its folder")
        return value


class Manifest(BaseModel):
    """What one backup holds."""

    model_config = ConfigDict(frozen=True)

    form: Literal[1] = 1
    made_at: AwareDatetime
    program: str
    """The version of civobs that made it."""
    server: str
    """PostgreSQL's version."""
    timescale: str | None
    """TimescaleDB's version; None on plain PostgreSQL. It is restored into the same."""
    migrations: tuple[str, ...]
    counts: dict[str, int]
    """Rows of each table in the dump."""
    dump: Note
    archive: tuple[Note, ...]
    files: tuple[Note, ...]
    settings: str | None
    """Which of the files were the settings."""
    keys: dict[str, str]
    """Which of the files were which key of ``[keys]``."""


def stamp(moment: datetime) -> str:
    """The name of a backup of this moment."""
    return moment.astimezone(UTC).strftime(_STAMP)


def complete_backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if _STAMPED.fullmatch(one.name) and (one / MANIFEST).is_file())


def complete_until(folder: Path, now: datetime) -> list[Path]:
    """The same without those of a clock that ran ahead: one of next year would be the newest until then."""
    return [one for one in complete_backups(folder) if one.name <= stamp(now)]


def made_at(backup: Path) -> datetime:
    """When a backup was begun, by its name."""
    return datetime.strptime(backup.name, _STAMP).replace(tzinfo=UTC)


def read_manifest(backup: Path) -> Manifest:
    """Read what a backup says of itself. Raises BackupError."""
    try:
        return Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    except OSError as error:
        raise BackupError(f"cannot read {backup / MANIFEST}: {error.strerror}", "name a folder of backups") from None
    except ValidationError:
        raise BackupError(f"{backup / MANIFEST} is no manifest that this version knows", "take another one") from None


def digest(path: Path, size: int, tell: Tell | None = None) -> str | None:
    """The digest of a file's first ``size`` bytes; None if it has fewer. Raises OSError."""
    with path.open("rb") as file:
        made = hashlib.sha256()
        done = copy_part(file, None, size, made.update, tell and (lambda n: tell(f"check {path.name}", n)))
    return made.hexdigest() if done == size else None


def copy_part(
    source: IO[bytes],
    target: IO[bytes] | None,
    size: int,
    see: Callable[[bytes], None],
    count: Callable[[int], None] | None = None,
) -> int:
    """Pass up to ``size`` bytes on and show each piece to ``see``; returns how many there were."""
    done = 0
    while done < size and (piece := source.read(min(_CHUNK, size - done))):
        see(piece)
        if target is not None:
            target.write(piece)
        done += len(piece)
        if count is not None:
            count(len(piece))
    return done


def write_new(path: Path, data: bytes) -> None:
    """Write a small file that only its owner may read, and make it last."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's new names last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
