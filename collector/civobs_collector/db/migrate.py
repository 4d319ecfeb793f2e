"""Migrations: numbered ``.sql`` files, applied in order, forward only, each once.

What was applied is recorded with its SHA-256, so a file edited afterwards is found out. One process migrates at a
time. A file runs in one transaction together with its record. A file whose first line is ``-- no-transaction`` is for
what PostgreSQL or TimescaleDB refuse inside one (``ALTER EXTENSION``, indexes built chunk by chunk): its statements,
set apart by lines that say ``-- then``, run one by one, and because it may be cut off between two of them each must
be repeatable.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg

from civobs_collector import __version__
from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.db.edition import Storage, storage_edition
from civobs_collector.db.grafana_role import grant_grafana, note_address
from civobs_collector.db.lookups import fill_vocabularies
from civobs_collector.db.publisher import grant_publisher
from civobs_collector.errors import DatabaseError

OLDEST_SERVER = 150_000
"""PostgreSQL 15; multiranges came with 14, and 14 is out of support in November 2026."""

_FILE = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_NO_TRANSACTION = "-- no-transaction"
_THEN = re.compile(r"^-- then\s*$", re.MULTILINE)
_LOCK = 0x636976_6F62
"""Key of the advisory lock that makes migration exclusive: "civob" in ASCII."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str = field(repr=False)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()

    @property
    def statements(self) -> tuple[str, ...]:
        """What runs outside a transaction, one by one; empty for a file that runs in one."""
        if self.sql.partition("\n")[0].strip() != _NO_TRANSACTION:
            return ()
        return tuple(part.strip() for part in _THEN.split(self.sql) if part.strip())


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """Where a database stands: files applied before, just now, and still to come."""

    storage: Storage
    before: tuple[str, ...]
    applied: tuple[str, ...]
    pending: tuple[str, ...]

    @property
    def current(self) -> bool:
        return not self.pending


def migrate(
    dsn: str,
    *,
    folder: Traversable | None = None,
    up_to: int | None = None,
    plain: bool = False,
    public_url: str | None = None,
) -> MigrationReport:
    """Bring a database up to date, fill its vocabularies and grant the program's role and Grafana's what they need.

    Doing it again changes nothing. Raises DatabaseError.
    ``up_to`` stops after that number. ``plain`` keeps a new database without TimescaleDB on a server that has it.
    ``public_url`` is kept for links from dashboards.
    """
    known = read_migrations(folder)
    with _exclusive(dsn) as conn:
        _require_server(conn)
        with conn.transaction():
            _make_record(conn)
        before = _compare(conn, known)
        if not before and not plain:
            _load_timescaledb(conn)
        pending = [one for one in known if one.number not in before]
        chosen = [one for one in pending if up_to is None or one.number <= up_to]
        for one in chosen:
            _apply(conn, one)
        if folder is None and len(chosen) == len(pending):
            with conn.transaction():
                fill_vocabularies(conn)
                grant_publisher(conn)
                grant_grafana(conn)
                if public_url is not None:
                    note_address(conn, public_url)
        return MigrationReport(
            storage_edition(conn),
            tuple(before.values()),
            tuple(one.name for one in chosen),
            tuple(one.name for one in pending[len(chosen) :]),
        )


def migration_state(conn: Connection, *, folder: Traversable | None = None) -> MigrationReport:
    """Compare without changing anything. Raises DatabaseError when a file was edited or the database is newer."""
    known = read_migrations(folder)
    with conn.transaction():
        (there,) = conn.execute("SELECT to_regclass('migration') IS NOT NULL").fetchone() or (False,)
        before = _compare(conn, known) if there else {}
        storage = storage_edition(conn)
    pending = tuple(one.name for one in known if one.number not in before)
    return MigrationReport(storage, tuple(before.values()), (), pending)


def require_current(conn: Connection) -> None:
    """For every role, before its work: raises DatabaseError unless the database fits this program."""
    with database_errors():
        state = migration_state(conn)
    if not state.current:
        raise DatabaseError(f"the database lacks {state.pending[0]}", "run: civobs migrate")


def read_migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The files in order; by default those of this program."""
    source = folder if folder is not None else resources.files("civobs_collector") / "migrations"
    found: list[Migration] = []
    for file in source.iterdir():
        if match := _FILE.match(file.name):
            found.append(Migration(int(match.group(1)), file.name, file.read_text(encoding="utf-8")))
        elif file.name.endswith(".sql"):
            raise DatabaseError(f"{file.name} is not a migration's name", "name it like 0002_what_it_does.sql")
    found.sort(key=lambda one: one.number)
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise DatabaseError("the migrations are not numbered 0001, 0002, … without gaps", "install civobs again")
    return tuple(found)


@contextmanager
def _exclusive(dsn: str) -> Iterator[Connection]:
    """A connection that holds the lock: of two processes that migrate, the second waits and finds it done."""
    settings = DatabaseSettings(dsn=dsn)
    with database_errors(), connect(settings, "migrate", autocommit=True, statement_timeout_s=0) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        # Closing the connection releases it, also after an error.
        yield conn


def _require_server(conn: Connection) -> None:
    if conn.info.server_version < OLDEST_SERVER:
        raise DatabaseError(
            f"PostgreSQL {conn.info.server_version // 10_000} is too old", f"use {OLDEST_SERVER // 10_000} or newer"
        )


def _make_record(conn: Connection) -> None:
    conn.execute("""
        CREATE TABLE IF NOT EXISTS migration (
          number     int4 PRIMARY KEY,
          name       text NOT NULL,
          sha256     bytea NOT NULL CHECK (length(sha256) = 32),
          program    text NOT NULL,
          applied_at timestamptz NOT NULL DEFAULT now()
        )""")


def _compare(conn: Connection, known: tuple[Migration, ...]) -> dict[int, str]:
    """Number and name of what is applied. Raises DatabaseError when it does not fit the files."""
    by_number = {one.number: one for one in known}
    applied: dict[int, str] = {}
    for number, name, sha256, program in conn.execute(
        "SELECT number, name, sha256, program FROM migration ORDER BY number"
    ):
        if number not in by_number:
            raise DatabaseError(
                f"the database has {name}, applied by civobs {program}, which civobs {__version__} does not know",
                "install the newer civobs: an older one must not write to this database",
            )
        if by_number[number].sha256 != sha256:
            raise DatabaseError(
                f"{name} is not the file that was applied: it was edited afterwards",
                "restore the file; a change to the tables goes into a new migration",
            )
        applied[number] = name
    return applied


def _load_timescaledb(conn: Connection) -> None:
    """Create the extension where the server has it loaded; only before the first table is made, which it decides."""
    ready = conn.execute("""
        SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
           AND current_setting('timescaledb.disable_load', true) = 'off'  -- a setting that only its loader defines
           AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')""").fetchone()
    if ready != (True,):
        return
    try:
        conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            "this role may not create the extension timescaledb",
            "let a superuser run CREATE EXTENSION timescaledb here, or choose: civobs migrate --plain",
        ) from None


def _apply(conn: Connection, one: Migration) -> None:
    """Run one file and record it. Raises DatabaseError that names the file and the server's words."""
    try:
        for statement in one.statements:
            conn.execute(statement.encode())
        with conn.transaction():
            if not one.statements:
                conn.execute(one.sql.encode())
            conn.execute(
                "INSERT INTO migration (number, name, sha256, program) VALUES (%s, %s, %s, %s)",
                (one.number, one.name, one.sha256, __version__),
            )
    except psycopg.Error as error:
        raise DatabaseError(
            f"{one.name} failed: {str(error).strip().splitlines()[0]}",
            "nothing of it was kept; it is tried again by the next civobs migrate"
            if not one.statements
            else "its statements can be repeated: mend the cause and run civobs migrate again",
        ) from error
