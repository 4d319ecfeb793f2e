"""Databases for tests: one server of each kind for the run, one fresh migrated database for each test.

``CIVOBS_TEST_DSN`` names another server with TimescaleDB, with a role that may create databases, in place of the one
started here: that is how the Community edition is tested. A server that is named but does not answer fails the tests.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import conninfo, sql

from civobs_collector.db.migrate import migrate
from civobs_lab.postgres import Kind, PostgresServer

_TEMPLATE = "civobs_template"
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its kind, and the way to its ``postgres`` database."""

    kind: Kind
    dsn: str

    def database(self, name: str) -> str:
        return conninfo.make_conninfo(self.dsn, dbname=name)


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[Server]:
    if given := os.environ.get("CIVOBS_TEST_DSN"):
        server = Server(Kind.TIMESCALE, given)
        _make_template(server)
        yield server
        _drop(server, server_template())
        return
    with _started(Kind.TIMESCALE) as server:
        yield server


@pytest.fixture(scope="session")
def plain_server() -> Iterator[Server]:
    with _started(Kind.PLAIN) as server:
        yield server


@pytest.fixture
def timescale_dsn(timescale_server: Server) -> Iterator[str]:
    with fresh_database(timescale_server) as dsn:
        yield dsn


@pytest.fixture
def plain_dsn(plain_server: Server) -> Iterator[str]:
    with fresh_database(plain_server) as dsn:
        yield dsn


@pytest.fixture(params=list(Kind))
def database_server(request: pytest.FixtureRequest) -> Server:
    """Each kind of server in turn."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def dsn(database_server: Server) -> Iterator[str]:
    """A fresh migrated database on each kind of server in turn."""
    with fresh_database(database_server) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(database_server: Server) -> Iterator[str]:
    """A fresh database without any table, on each kind of server in turn."""
    with fresh_database(database_server, template="template0") as dsn:
        yield dsn


@contextmanager
def fresh_database(server: Server, template: str | None = None) -> Iterator[str]:
    """A database for one test, gone afterwards."""
    name = f"civobs_test_{os.getpid()}_{next(_NUMBERS)}"
    _create(server, name, template or server_template())
    try:
        yield server.database(name)
    finally:
        _drop(server, name)


def server_template() -> str:
    """The migrated database that others are copied from; its name tells runs on the same server apart."""
    return f"{_TEMPLATE}_{os.getpid()}"


@contextmanager
def _started(kind: Kind) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="civobs-pg-"))
    postgres = PostgresServer(kind, folder)
    try:
        postgres.start()
        server = Server(kind, postgres.dsn())
        _make_template(server)
        yield server
    finally:
        postgres.kill()
        shutil.rmtree(folder)


def _make_template(server: Server) -> None:
    _create(server, server_template(), "template0")
    migrate(server.database(server_template()))
    # Otherwise TimescaleDB's scheduler lives in it, and a database with somebody in it cannot be copied.
    _run(server, "ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", server_template())


def _create(server: Server, name: str, template: str) -> None:
    end = time.monotonic() + 30
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        while True:
            try:
                conn.execute(statement)
            except psycopg.errors.ObjectInUse:
                # TimescaleDB's scheduler or autovacuum is in the template; the former stays unless it is sent away.
                if time.monotonic() > end:
                    raise
                conn.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (template,)
                )
            else:
                return


def _drop(server: Server, name: str) -> None:
    _run(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _run(server: Server, statement: LiteralString, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(sql.Identifier(name)))
