"""Brings an observatory back from a backup: files, archive, database, and then what the backup did not have yet.

The archive has every batch that was ever receipted, so what came after the backup is taken in again from there. What
only the database had is gone from the backup on: statements of presence, decisions, claim codes, published versions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from civobs_collector.config import CollectorSettings
from civobs_collector.db.alone import alone
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.edition import Storage, storage_edition
from civobs_collector.db.fresh import load_extension, prepare_load, set_aside, settle_load
from civobs_collector.db.migrate import migrate
from civobs_collector.db.public_ids import pass_over
from civobs_collector.db.roster import enrol_again
from civobs_collector.db.table_counts import count_rows, read_tables
from civobs_collector.errors import BackupError, CivobsCollectorError
from civobs_collector.evidence.roster import read_rosters
from civobs_collector.ingest.replay import Replayed, replay
from civobs_collector.ingest.retained import replace_receipts
from civobs_collector.ingest.writer import shard_locks
from civobs_collector.operate import pg_programs
from civobs_collector.operate.archive_copy import bring_back, copy_file
from civobs_collector.operate.manifest import (
    ARCHIVE,
    DUMP,
    FILES,
    MANIFEST,
    Manifest,
    Note,
    Tell,
    complete_backups,
    digest,
    read_manifest,
)


@dataclass(slots=True)
class Restored:
    """What was brought back."""

    backup: Path
    manifest: Manifest
    set_aside: str | None = None
    """The name that the database which was there has now."""
    files: list[str] = field(default_factory=list)
    archive_files: int = 0
    enrolled: int = 0
    """Probes that had enrolled since the backup."""
    replayed: Replayed = field(default_factory=Replayed)
    receipts: int | None = None
    """Receipts put in place at the broker; None if it was away, with ``broker`` to say why."""
    broker: CivobsCollectorError | None = None


def choose(folder: Path) -> Path:
    """The backup that is meant: the folder itself, or the newest in it. Raises BackupError."""
    if (folder / MANIFEST).is_file():
        return folder
    found = complete_backups(folder)
    if not found:
        raise BackupError(f"there is no whole backup in {folder}", "name a folder that civobs backup has written to")
    return found[-1]


def check(backup: Path, tell: Tell) -> Manifest:
    """Compare every file of a backup with its digest. Raises BackupError that names the first that differs."""
    manifest = read_manifest(backup)
    notes = [(backup, manifest.dump), *((backup / FILES, one) for one in manifest.files)]
    notes += [(backup.parent / ARCHIVE, one) for one in manifest.archive]
    for folder, note in notes:
        path = folder / note.path
        try:
            sound = digest(path, note.size, tell) == note.sha256
        except OSError as error:
            raise BackupError(f"cannot read {path}: {error.strerror}", "take another backup") from None
        if not sound:
            raise BackupError(f"{path} is not what the manifest says", "take another backup, or another copy of it")
    return manifest


def restore(settings: CollectorSettings, backup: Path, *, replace: bool, skip_ids: int, tell: Tell) -> Restored:
    """Bring everything back into an empty database; ``replace`` sets one aside that is not empty.

    Raises BackupError, DatabaseError or ResourceError; every step can be repeated.
    """
    manifest = check(backup, tell)
    done = Restored(backup, manifest)
    storage, aside = _require_room(settings, manifest, replace=replace)
    done.files = _bring_files(settings, backup, manifest, tell)
    done.archive_files = bring_archive(settings, backup, tell)
    done.set_aside = set_aside(settings.database) if aside else None
    with alone(settings.database, shard_locks()):
        _load(settings, storage, backup, manifest, tell)
        done.enrolled = _complete(settings, manifest, skip_ids)
        done.replayed = replay(settings, (manifest.made_at - timedelta(days=1)).date(), tell)
        try:
            with connect(settings.database, "restore", autocommit=True) as conn:
                done.receipts = replace_receipts(settings, conn, datetime.now(UTC))
        except CivobsCollectorError as error:
            done.broker = error
    return done


def _require_room(settings: CollectorSettings, manifest: Manifest, *, replace: bool) -> tuple[Storage, bool]:
    """What server this is, and whether its database must be set aside. Raises BackupError if that was not said."""
    with database_errors(), connect(settings.database, "migrate", autocommit=True) as conn:
        storage, tables = storage_edition(conn), read_tables(conn)
        if manifest.timescale is not None:
            load_extension(conn, manifest.timescale, create=False)
    if tables and not replace:
        raise BackupError(
            f"the database is not empty: it has {tables[0]} and {len(tables) - 1} more tables",
            "name an empty one in [database] dsn, or say --replace to set this one aside under another name",
        )
    return storage, bool(tables)


def _bring_files(settings: CollectorSettings, backup: Path, manifest: Manifest, tell: Tell) -> list[str]:
    """Put keys back where they are missing; what is there already must be the same."""
    notes = {note.path: note for note in manifest.files}
    brought: list[str] = []
    for name, path in settings.keys:
        note = notes.get(manifest.keys.get(name, ""))
        if note is None:
            continue
        if path.exists():
            if digest(path, note.size) != note.sha256:
                raise BackupError(
                    f"{path} is another key than the backup's",
                    "probes believe only the backup's: move this file away, and run the command again",
                )
            continue
        copy_file(backup / FILES / note.path, path, note, None, tell)
        brought.append(str(path))
    return brought


def bring_archive(settings: CollectorSettings, backup: Path, tell: Tell) -> int:
    """Put back what the archive lacks of all that was ever copied, later than this backup too."""
    newest: dict[str, Note] = {}
    for one in complete_backups(backup.parent):
        newest |= {note.path: note for note in read_manifest(one).archive}
    return bring_back(list(newest.values()), backup.parent / ARCHIVE, settings.ingest.archive_dir, tell)


def _load(settings: CollectorSettings, storage: Storage, backup: Path, manifest: Manifest, tell: Tell) -> None:
    with database_errors(), connect(settings.database, "migrate", autocommit=True, statement_timeout_s=0) as conn:
        prepare_load(conn, manifest.timescale)
    try:
        pg_programs.load(settings, storage.server_number, backup, tell)
    finally:
        # A connection of its own: the extension reads its state when a session begins.
        with database_errors(), connect(settings.database, "migrate", autocommit=True, statement_timeout_s=0) as conn:
            settle_load(conn, manifest.timescale)
    with database_errors(), connect(settings.database, "migrate", autocommit=True, statement_timeout_s=0) as conn:
        tell("count rows", 0)
        _compare(count_rows(conn), manifest.counts)
        conn.execute("ANALYZE")


def _compare(found: dict[str, int], wanted: dict[str, int]) -> None:
    for name, n in wanted.items():
        if found.get(name) != n:
            raise BackupError(
                f"table {name} has {found.get(name, 0)} rows of {n}", f"{DUMP} did not load whole: see the server's log"
            )


def _complete(settings: CollectorSettings, manifest: Manifest, skip_ids: int) -> int:
    """Grants and newer tables, ids that stay unused, and probes that enrolled since; gives the number of those."""
    migrate(settings.database.dsn, plain=manifest.timescale is None)
    with database_errors(), connect(settings.database, "migrate", autocommit=True) as conn:
        pass_over(conn, _years(manifest.made_at), skip_ids)
        return enrol_again(conn, read_rosters(settings.ingest.archive_dir))


def _years(since: datetime) -> Iterable[int]:
    return range(since.year, datetime.now(UTC).year + 1)
