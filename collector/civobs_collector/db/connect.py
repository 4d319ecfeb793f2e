"""Connections: named after their role, in UTC, with a time limit on each statement.

libpq's words for what went wrong are turned into a cause and a remedy here, in one table, so that no command shows a
traceback for a database that is away.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo, errors
from psycopg_pool import ConnectionPool

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.publisher import step_down
from civobs_collector.errors import DatabaseError

Connection = psycopg.Connection[tuple[Any, ...]]
"""A connection whose rows are tuples, as all queries of this package expect."""

CONNECT_S = 10
"""A server that has not answered by then is taken to be away; libpq by itself would wait for the kernel, minutes."""

_REMEDIES: tuple[tuple[str, str], ...] = (
    (r'database ".*" does not exist', "create it: createdb NAME, then civobs migrate"),
    (r'role ".*" does not exist', "create the role, or name another user in [database] dsn"),
    (r"authentication failed|no password supplied", "give the password by passfile= in [database] dsn"),
    (r"no pg_hba.conf entry", "allow this host and user in the server's pg_hba.conf"),
    (r"too many clients|remaining connection slots", "raise the server's max_connections or run fewer processes"),
    (r"starting up|shutting down|in recovery mode", "wait until the server is up, then try again"),
    (r"could not translate host name|Name or service not known", "correct the host in [database] dsn"),
    (r"refused|No such file|timeout|timed out|unreachable|closed", "start PostgreSQL, or correct [database] dsn"),
)
"""Words of libpq or the server, and what to do; the first that fits counts."""

_BY_CLASS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.UndefinedTable, "run: civobs migrate"),
    (errors.UndefinedColumn, "run: civobs migrate"),
    (errors.UndefinedFunction, "run: civobs migrate"),
    (errors.InsufficientPrivilege, "grant the role of [database] dsn what it lacks"),
    (errors.QueryCanceled, "raise statement_timeout_s in [database]"),
    (errors.ReadOnlySqlTransaction, "name the primary server in [database] dsn, not a standby"),
    (errors.DiskFull, "free space on the database's disk"),
)


def connection_string(settings: DatabaseSettings, role: str, *, statement_timeout_s: float | None = None) -> str:
    """The DSN with what every connection of ours has. 0 seconds mean no limit. Raises DatabaseError.

    Without the server's compiler: it takes a second for statements that run for milliseconds, because the planner takes
    every series of days for a thousand of them.
    """
    seconds = settings.statement_timeout_s if statement_timeout_s is None else statement_timeout_s
    try:
        given = conninfo.conninfo_to_dict(settings.dsn)
    except psycopg.ProgrammingError as error:
        raise DatabaseError(f"[database] dsn: {_first_line(error)}", "write it as: host=… dbname=… user=…") from None
    limit = f"-c statement_timeout={round(seconds * 1000)}"
    options = f"{given.pop('options', '')} -c TimeZone=UTC -c jit=off {limit}".strip()
    ours = {"application_name": f"civobs-{role}", "client_encoding": "UTF8", "options": options}
    return conninfo.make_conninfo("", **{"connect_timeout": CONNECT_S, **given, **ours})


def connect(
    settings: DatabaseSettings, role: str, *, autocommit: bool = False, statement_timeout_s: float | None = None
) -> Connection:
    """Open one connection for ``role`` (``ingest``, ``detect``, …). Raises DatabaseError.

    All but ``migrate`` step down to the role that cannot change what was published.
    """
    text = connection_string(settings, role, statement_timeout_s=statement_timeout_s)
    with database_errors():
        conn = psycopg.connect(text, autocommit=autocommit)
        if role != "migrate":
            step_down(conn)
        return conn


def make_pool(settings: DatabaseSettings, role: str, *, size: int, wait_s: float) -> ConnectionPool[Connection]:
    """Make a pool of autocommitting connections, which the caller opens and closes.

    It does not insist on a database that is away: whoever asks for a connection waits up to ``wait_s`` (PoolTimeout).
    Each connection is tried before it is lent, so that a restarted server costs a reconnection, not a failed request.
    """
    return ConnectionPool(
        connection_string(settings, role),
        min_size=1,
        max_size=size,
        timeout=wait_s,
        reconnect_timeout=CONNECT_S,
        kwargs={"autocommit": True},
        configure=step_down,
        check=ConnectionPool.check_connection,
        name=f"civobs-{role}",
        open=False,
    )


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what psycopg raises within into a DatabaseError with cause and remedy."""
    try:
        yield
    except psycopg.Error as error:
        raise as_database_error(error) from error


def as_database_error(error: psycopg.Error) -> DatabaseError:
    """The cause in one line, and what to do about it."""
    cause = _first_line(error)
    for kind, remedy in _BY_CLASS:
        if isinstance(error, kind):
            return DatabaseError(f"database: {cause}", remedy)
    for words, remedy in _REMEDIES:
        if re.search(words, str(error)):
            return DatabaseError(f"database: {cause}", remedy)
    return DatabaseError(f"database: {cause}", "see the server's log; civobs doctor checks the rest")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
