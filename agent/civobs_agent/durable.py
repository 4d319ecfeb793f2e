"""Writes a small file so that a power cut leaves the old content or the new, never a mixture.

Write beside it, fsync, rename, fsync the folder: ext4 promises no less and no more (rename(2), fsync(2)).
"""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` in one step. Raises OSError and leaves the old content then.

    What root writes, as when enrolling by hand, belongs to the folder's owner: the agent, which is not root.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(handle, mode)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(handle, folder.st_uid, folder.st_gid)
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
