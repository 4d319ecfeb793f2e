"""The temporary folder of one run, named after the process that made it, so that a later run can tell it is dead.

Processes and namespaces of a dead run are gone already: the kernel takes them down (``namespace.py``,
``processes.py``). What a ``kill -9`` leaves is this folder.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"^civobs-lab-(?P<pid>\d+)-(?P<started>\d+)(-\d+)?$")
_STARTTIME = 19
"""Field 22 of proc_pid_stat(5), counted from the one behind the command's closing bracket."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for this run. Sweeps those of dead runs first; its own goes when the block ends."""
    sweep()
    parent = Path(tempfile.gettempdir())
    name = f"civobs-lab-{os.getpid()}-{_started(os.getpid())}"
    folder = next(path for number in range(1000) if _made(path := parent / (f"{name}-{number}" if number else name)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove the folders of runs whose process is gone; say which."""
    swept = []
    for folder in Path(tempfile.gettempdir()).glob("civobs-lab-*"):
        match = _NAME.match(folder.name)
        if match and folder.is_dir() and _started(int(match["pid"])) != int(match["started"]):
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def _made(path: Path) -> bool:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: tells it from a later one with the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_STARTTIME])
