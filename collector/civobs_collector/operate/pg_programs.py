"""pg_dump and pg_restore: found, called, and their words turned into a cause and a remedy.

What they connect to goes into their environment, never into their arguments, which anybody on the machine can read.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from psycopg import pq

from civobs_collector.config import CollectorSettings
from civobs_collector.errors import BackupError, ResourceError
from civobs_collector.operate.manifest import DUMP, Note, Tell, copy_part

_LEAST_BYTES = 1000
"""A dump of no tables at all is longer."""
_WHOLE = 1 << 62


def find_program(settings: CollectorSettings, name: str, server_number: int) -> str:
    """The program of the server's own version if there is one. Raises ResourceError."""
    given = settings.backup.programs_dir
    major = server_number // 10_000
    folders = [str(given)] if given else [f"/usr/lib/postgresql/{major}/bin", os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ResourceError(
            f"there is no {name} {f'in {given}' if given else 'on this machine'}",
            f"install postgresql-client-{major}, or set programs_dir in [backup]",
        )
    return found


def dump(settings: CollectorSettings, server_number: int, snapshot: str, target: Path, tell: Tell) -> Note:
    """Write the database as one snapshot sees it. Raises BackupError or ResourceError, and leaves no half file."""
    words = [find_program(settings, "pg_dump", server_number), "--format=custom", f"--snapshot={snapshot}"]
    made, path = hashlib.sha256(), target / DUMP
    with tempfile.TemporaryFile() as said, path.open("wb") as file:
        process = subprocess.Popen(
            [*words, "--no-password"], env=_environment(settings.database.dsn), stdout=subprocess.PIPE, stderr=said
        )
        with process:
            assert process.stdout is not None  # noqa: S101 # asked for above
            size = copy_part(process.stdout, file, _WHOLE, made.update, lambda n: tell("dump the database", n))
        file.flush()
        os.fsync(file.fileno())
        if process.returncode != 0 or size < _LEAST_BYTES:
            path.unlink()
            raise BackupError(f"pg_dump: {_said(said) or 'wrote nothing'}", _remedy(server_number))
    return Note(path=DUMP, size=size, sha256=made.hexdigest())


def load(settings: CollectorSettings, server_number: int, backup: Path, tell: Tell) -> None:
    """Load a dump into the empty database of the settings; its owner and grants are made anew by ``migrate``.

    Raises BackupError at the first error; what was loaded until then stays.
    """
    words = ["--no-owner", "--no-acl", "--exit-on-error", "--no-password", "--format=custom"]
    environment = _environment(settings.database.dsn)
    command = [
        find_program(settings, "pg_restore", server_number),
        *words,
        f"--dbname={environment.get('PGDATABASE', '')}",
    ]
    path = backup / DUMP
    with tempfile.TemporaryFile() as said, path.open("rb") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert process.stdin is not None  # noqa: S101 # asked for above
        try:
            copy_part(file, process.stdin, _WHOLE, lambda _: None, lambda n: tell("load the database", n))
            process.stdin.close()
        except BrokenPipeError:
            # It has said why and gone.
            process.stdin = None
        if process.wait() != 0:
            raise BackupError(f"pg_restore: {_said(said) or 'failed'}", _remedy(server_number))


def _environment(dsn: str) -> dict[str, str]:
    """Give what libpq is to connect to as variables."""
    given = {
        option.envvar.decode(): option.val.decode()
        for option in pq.Conninfo.parse(dsn.encode())
        if option.val is not None and option.envvar is not None
    }
    return {**os.environ, **given}


def _said(file: IO[bytes]) -> str:
    """The first error of a program."""
    file.seek(0)
    lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[0][:500]


def _remedy(server_number: int) -> str:
    return (
        f"use the programs of PostgreSQL {server_number // 10_000} (programs_dir in [backup]), and see the server's log"
    )
