"""Copies of the archive: its files only grow, so a copy is a beginning of what it was made of.

A file of the archive is never changed in what it has. Two that differ where both have bytes are one sound and one
damaged file: which is which a person has to find out, so nothing is written over.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from civobs_collector.errors import BackupError
from civobs_collector.operate.manifest import Note, Tell, copy_part, digest, sync_folder

_KEPT = ("*.pack", "*.jsonl")
"""What an archive is made of (evidence/archive.py, evidence/roster.py)."""


def archive_files(folder: Path) -> list[Path]:
    """Everything in an archive, in order. Raises BackupError if it cannot be read."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise BackupError(
            f"cannot read the archive {folder}", "run as the user of civobs, or mend archive_dir in [ingest]"
        )
    return sorted(path for pattern in _KEPT for path in folder.rglob(pattern))


def copy_archive(source: Path, target: Path, before: Mapping[str, Note], tell: Tell) -> list[Note]:
    """Copy what is new since the notes of ``before`` were made; gives a note of each file. Raises BackupError."""
    return list(_copied(source, target, before, tell))


def _copied(source: Path, target: Path, before: Mapping[str, Note], tell: Tell) -> Iterator[Note]:
    for path in archive_files(source):
        name, size = path.relative_to(source).as_posix(), path.stat().st_size
        copy, known = target / name, before.get(name)
        if known is not None and known.size >= size and copy.is_file() and copy.stat().st_size >= known.size:
            yield known
        elif size:
            yield copy_file(path, copy, Note(path=name, size=size, sha256=""), known, tell)


def copy_file(source: Path, target: Path, wanted: Note, known: Note | None, tell: Tell) -> Note:
    """Copy the first bytes of a file in one step that is done or not done. Raises BackupError.

    An empty digest asks for none; ``known`` is a shorter beginning that it must have.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made, partial = hashlib.sha256(), target.with_name(f"{target.name}.partial")
    try:
        with (
            source.open("rb") as file,
            os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to,
        ):
            begun = copy_part(file, to, known.size if known else 0, made.update, lambda n: tell("copy the archive", n))
            if known is not None and made.hexdigest() != known.sha256:
                raise BackupError(f"{source} is not what it was at the last backup", _WHICH)
            size = begun + copy_part(file, to, wanted.size - begun, made.update, lambda n: tell("copy the archive", n))
            to.flush()
            os.fsync(to.fileno())
        if size < wanted.size or wanted.sha256 not in {"", made.hexdigest()}:
            raise BackupError(f"{source} is not what its manifest says", _WHICH)
        partial.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise BackupError(
            f"cannot copy {source}: {error.strerror}", "see that there is room and that it can be read"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return Note(path=wanted.path, size=size, sha256=made.hexdigest())


_WHICH = "one of the two copies is damaged: civobs archive check FOLDER says which; move that file away"


def bring_back(notes: list[Note], copy: Path, archive: Path, tell: Tell) -> int:
    """Put files that an archive lacks back into it; gives their number. Raises BackupError, having overwritten nothing.

    What survived the loss may well be longer than its copy, and stays.
    """
    brought = 0
    for note in notes:
        source, target = copy / note.path, archive / note.path
        there = target.stat().st_size if target.is_file() else 0
        if there >= note.size:
            if digest(target, note.size, tell) != note.sha256:
                raise BackupError(f"{target} differs from its copy {source}", _WHICH)
            continue
        if there and digest(target, there, tell) != digest(source, there):
            raise BackupError(f"{target} differs from its copy {source}", _WHICH)
        copy_file(source, target, note, None, tell)
        target.chmod(0o640)
        brought += 1
    return brought
