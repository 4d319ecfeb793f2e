"""A backup of everything an observatory cannot make again: database, archive, keys, settings, the broker's state.

The database is taken as one snapshot sees it, while everything runs. The archive is copied afterwards: a batch is in
the archive before its row is committed, so each row of the dump has its bytes in the copy.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from civobs_collector import __version__
from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.edition import Storage, storage_edition
from civobs_collector.db.migrate import migration_state, require_current
from civobs_collector.db.table_counts import BatchFile, batch_files, count_rows, export_snapshot
from civobs_collector.errors import BackupError
from civobs_collector.operate import pg_programs
from civobs_collector.operate.archive_copy import copy_archive
from civobs_collector.operate.manifest import (
    ARCHIVE,
    FILES,
    MANIFEST,
    Manifest,
    Note,
    Tell,
    complete_backups,
    read_manifest,
    stamp,
    sync_folder,
    write_new,
)
from civobs_collector.operate.named_files import KEPT, named_files

_LOCK = ".lock"
_PARTIAL = ".partial"
_NOT_EVERYWHERE = {"desk_key"}
"""Keys that an observatory can do without."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished backup."""

    folder: Path
    manifest: Manifest
    removed: tuple[str, ...]
    """Older ones that went to keep as many as were asked for."""


def back_up(
    settings: CollectorSettings,
    folder: Path,
    settings_file: Path | None,
    keep: int | None,
    tell: Tell,
    *,
    current: bool = True,
) -> Made:
    """Make a backup. Raises BackupError, ResourceError or DatabaseError, and then leaves none behind.

    ``keep`` removes all but so many of the newest; the archive's copy is never thinned. ``current`` insists on tables
    of this version; before an upgrade they are older.
    """
    now = datetime.now(UTC)
    with _locked(folder):
        before = complete_backups(folder)
        partial = folder / f"{stamp(now)}{_PARTIAL}"
        try:
            partial.mkdir(mode=0o700)
            manifest = _fill(settings, partial, settings_file, now, tell, current=current)
            partial.rename(folder / stamp(now))
            sync_folder(folder)
        except OSError as error:
            raise BackupError(
                f"cannot write {error.filename or folder}: {error.strerror}", "see that there is room in the folder"
            ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        surplus = before[: max(0, len(before) + 1 - keep)] if keep else []
        for old in surplus:
            try:
                shutil.rmtree(old)
            except OSError as error:
                raise BackupError(
                    f"{stamp(now)} is whole, but {old} cannot be removed: {error.strerror or error}",
                    "remove it by hand, as its owner",
                ) from None
    return Made(folder / stamp(now), manifest, tuple(old.name for old in surplus))


def _fill(
    settings: CollectorSettings, target: Path, settings_file: Path | None, now: datetime, tell: Tell, *, current: bool
) -> Manifest:
    folder = target.parent
    with database_errors(), connect(settings.database, "backup", statement_timeout_s=0) as conn:
        if current:
            require_current(conn)
        storage, migrations = storage_edition(conn), migration_state(conn).before
        conn.commit()
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot = export_snapshot(conn)
        tell("count rows", 0)
        counts, named = count_rows(conn), batch_files(conn)
        dump = pg_programs.dump(settings, storage.server_number, snapshot, target, tell)
    older = complete_backups(folder)
    before = {note.path: note for note in read_manifest(older[-1]).archive} if older else {}
    archive = copy_archive(settings.ingest.archive_dir, folder / ARCHIVE, before, tell)
    _require_bytes(named, archive)
    files, keys, name = _copy_files(settings, target / FILES, settings_file)
    manifest = _manifest(storage, now, migrations, counts, dump).model_copy(
        update={"archive": tuple(archive), "files": tuple(files), "keys": keys, "settings": name}
    )
    write_new(target / MANIFEST, manifest.model_dump_json(indent=1).encode())
    return manifest


def _manifest(
    storage: Storage, now: datetime, migrations: tuple[str, ...], counts: dict[str, int], dump: Note
) -> Manifest:
    return Manifest(
        made_at=now,
        program=__version__,
        server=storage.server_version,
        timescale=storage.timescale_version,
        migrations=migrations,
        counts=counts,
        dump=dump,
        archive=(),
        files=(),
        settings=None,
        keys={},
    )


def _require_bytes(named: Sequence[BatchFile], archive: Sequence[Note]) -> None:
    """Raise BackupError unless the archive has what rows of the dump name."""
    sizes = {note.path: note.size for note in archive}
    lacking = [one for one in named if sizes.get(one.file, -1) <= one.last_offset]
    if lacking:
        raise BackupError(
            f"the archive lacks {lacking[0].file}, in which {lacking[0].batches} batches of the database are kept"
            + (f", and {len(lacking) - 1} more files" if len(lacking) > 1 else ""),
            "bring it back from an older backup (civobs archive restore DIR), or correct archive_dir in [ingest]",
        )


def _copy_files(
    settings: CollectorSettings, target: Path, settings_file: Path | None
) -> tuple[list[Note], dict[str, str], str | None]:
    """Copy keys, settings and what ``[backup] also`` names, under their paths."""
    target.mkdir(mode=0o700)
    keys = {name: path for name, path in settings.keys if path.is_file() or name not in _NOT_EVERYWHERE}
    wanted = [*keys.values(), *settings.backup.also, *named_files(settings.model_dump(), KEPT)]
    wanted += [path.with_suffix(".pub") for path in keys.values() if path.with_suffix(".pub").is_file()]
    if settings_file is not None:
        wanted.append(settings_file)
    notes = {note.path: note for path in wanted for note in _copy_tree(path.absolute(), target)}
    names = {name: _inside(path) for name, path in keys.items()}
    return list(notes.values()), names, None if settings_file is None else _inside(settings_file)


def _inside(path: Path) -> str:
    return path.absolute().as_posix().lstrip("/")


def _copy_tree(path: Path, target: Path) -> Iterator[Note]:
    try:
        if not path.is_dir():
            yield _copy(path, target)
            return
        for one in sorted(path.rglob("*")):
            # What a running program replaces, as the broker does its state, may be gone since it was listed.
            with suppress(FileNotFoundError):
                if one.is_file():
                    yield _copy(one, target)
    except OSError as error:
        raise BackupError(
            f"cannot read {error.filename}: {error.strerror}",
            "run as a user who can read it, or correct [keys] and also in [backup]",
        ) from None


def _copy(path: Path, target: Path) -> Note:
    content = path.read_bytes()
    copy = target / _inside(path)
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_new(copy, content)
    return Note(path=_inside(path), size=len(content), sha256=hashlib.sha256(content).hexdigest())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One backup at a time; what a killed one left is cleared away. Raises BackupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BackupError(f"cannot write into {folder}: {error.strerror}", "name a folder of ours") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another backup into {folder} is under way", "wait for it") from None
        for rest in folder.glob(f"*{_PARTIAL}"):
            shutil.rmtree(rest)
        yield
    finally:
        os.close(descriptor)
