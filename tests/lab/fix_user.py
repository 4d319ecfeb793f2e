"""A command run by an ordinary user, wherever the checkout and its interpreter lie.

Under root it is given to ``nobody``, in a mount namespace in which folders that only root may enter (``/root``, say)
hold no more than what the command needs of them. Nothing is changed outside.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_NOBODY = 65534


class OrdinaryUser:
    """Runs commands; ``folder`` is the user's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *words: str) -> list[str]:
        """The command line that runs ``words`` as that user."""
        if os.geteuid() != 0:
            return list(words)
        drop = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--")
        return ["unshare", "--mount", "sh", "-c", _showing(), "show", *drop, *words]

    def run(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run to the end; both outputs as text."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, env=self.env, timeout=timeout_s
        )


@pytest.fixture
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Somebody without rights, with a folder to write to."""
    folder = Path(tempfile.mkdtemp(prefix="civobs-user-"))
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
    try:
        yield OrdinaryUser(folder)
    finally:
        shutil.rmtree(folder)


def _showing() -> str:
    """A shell script: what an ordinary user needs of closed folders is bound into empty ones; then the command."""
    needed = {_ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    closed = {path: folder for path in needed if (folder := _closed_above(path)) is not None}
    lines = ["set -e", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for number, path in enumerate(closed):
        lines += [f"mkdir /mnt/{number}", f"mount --bind '{path}' /mnt/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs '{folder}'" for folder in sorted(set(closed.values()))]
    for number, path in enumerate(closed):
        lines += [f"mkdir -p '{path}'", f"mount --move /mnt/{number} '{path}'"]
    return "\n".join([*lines, "umount /mnt", 'exec "$@"'])


def _closed_above(path: Path) -> Path | None:
    """The outermost folder above it that others may not enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)
