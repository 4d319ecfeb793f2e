"""Who sent what is in the archive: each probe's public key and place, beside it, so that it can be read by itself.

One file an ingest process, ``roster.<instance>.jsonl``: a line for each probe when it is first seen and when something
about it changes. Lines are only added. Without it, a probe enrolled after the last backup would be a stranger, and its
batches could not be verified.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from civobs_collector.db.roster import Enrolled


class Roster:
    """The file of this process."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._path = folder / f"roster.{instance}.jsonl"
        self._noted: dict[str, Enrolled] | None = None

    def note(self, probes: Iterable[Enrolled], now: datetime) -> None:
        """Write down what is new of these probes and force it to the disk. Raises OSError."""
        if self._noted is None:
            self._noted = {one.probe_id: one for _, one in _lines(self._path)}
        new = [one for one in probes if self._noted.get(one.probe_id) != one]
        if not new:
            return
        lines = b"".join(orjson.dumps({"at": now, **asdict(one)}, default=bytes.hex) + b"\n" for one in new)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            # A line that a crash cut short stays one that cannot be read, and takes none with it.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._noted |= {one.probe_id: one for one in new}


def read_rosters(folder: Path) -> list[Enrolled]:
    """Every probe as it was noted last, by whichever process. Raises OSError."""
    newest: dict[str, tuple[datetime, Enrolled]] = {}
    for path in sorted(folder.glob("roster.*.jsonl")):
        for at, one in _lines(path):
            if one.probe_id not in newest or newest[one.probe_id][0] <= at:
                newest[one.probe_id] = (at, one)
    return [one for _, one in newest.values()]


def _lines(path: Path) -> list[tuple[datetime, Enrolled]]:
    if not path.exists():
        return []
    found = (_line(line) for line in path.read_bytes().splitlines() if line)
    return [one for one in found if one is not None]


def _line(line: bytes) -> tuple[datetime, Enrolled] | None:
    try:
        values: dict[str, Any] = orjson.loads(line)
        at = datetime.fromisoformat(values.pop("at"))
        values["signing_key"] = bytes.fromhex(values["signing_key"])
        values["enrolled_at"] = datetime.fromisoformat(values["enrolled_at"])
        return at, Enrolled(**values)
    except (ValueError, KeyError, TypeError):
        return None
