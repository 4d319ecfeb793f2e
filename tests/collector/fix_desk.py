"""A served desk with members, and browsers that are signed in."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pyotp
import pytest

from civobs_collector.db import staff
from civobs_collector.db.connect import Connection
from civobs_collector.db.staff import Role
from civobs_collector.desk import codes, members, passwords, sessions
from civobs_collector.desk.sessions import Browser
from tests.collector.fix_web import Site, seed, served_at
from tests.fix_db import fresh_database

PASSWORD = "brick lantern otter seventeen"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Test/1.0"
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of staff with what she knows and has."""

    staff_key: int
    login: str
    name: str
    secret: str

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(datetime.now(UTC) + timedelta(seconds=30 * steps))


@dataclass(frozen=True, slots=True)
class Tab:
    """Requests with headers of one's own. Those that are empty are left out."""

    client: httpx.Client
    headers: dict[str, str]

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._send("GET", path, headers)

    def post(self, path: str, data: dict[str, object] | bytes, **headers: str) -> httpx.Response:
        return self._send("POST", path, headers, **({"content": data} if isinstance(data, bytes) else {"data": data}))

    def _send(self, method: str, path: str, headers: dict[str, str], **body) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in (self.headers | named).items() if value}
        return self.client.request(method, path, headers=kept, **body)


@dataclass(frozen=True, slots=True)
class DeskSite:
    """The application, and a way to its database."""

    site: Site
    key: bytes

    @property
    def url(self) -> str:
        return self.site.url

    def person(self, role: Role = Role.REVIEWER) -> Person:
        """A new member. The hash is the same for all, because making one takes its time."""
        number, secret = next(_NUMBERS), codes.new_secret()
        login, name = f"amina{number}", f"Amina Otieno {number}"
        with connection(self.site.dsn) as conn:
            kept = staff.Secrets(_hash(), codes.seal(self.key, secret))
            key = staff.add_member(conn, login, name, role, kept)
        assert key is not None
        return Person(key, login, name, secret)

    def token(self, person: Person, agent: str = AGENT, at: datetime | None = None) -> str:
        """A session of hers, without the form."""
        with connection(self.site.dsn) as conn:
            return sessions.begin(conn, person.staff_key, Browser("", agent), at or datetime.now(UTC))

    def client(self, token: str = "", agent: str = AGENT) -> "Tab":
        """A browser that says of itself what browsers do, on a line of its own, and has the cookie."""
        line = next(_NUMBERS)
        headers = {
            "user-agent": agent,
            "accept": "text/html",
            "origin": self.url,
            "sec-fetch-site": "same-origin",
            "x-forwarded-for": f"198.51.{line // 250}.{line % 250 + 1}",
        }
        return Tab(self.site.client, headers | ({"cookie": f"__Host-civobs={token}"} if token else {}))

    def csrf(self, token: str) -> str:
        return self.value("SELECT csrf FROM staff_session WHERE session_sha256 = sha256(%s::text::bytea)", token)

    def value(self, statement: str, *values):
        with connection(self.site.dsn) as conn:
            return (conn.execute(statement, values).fetchone() or (None,))[0]

    def audit(self, login: str) -> list[tuple[str, str, str]]:
        """Action, outcome and detail of what is logged under a login, in order."""
        with connection(self.site.dsn) as conn:
            return conn.execute(
                "SELECT action, outcome, detail FROM audit WHERE login = %s ORDER BY audit_key", (login,)
            ).fetchall()


@functools.cache
def _hash() -> str:
    return passwords.hash_password(PASSWORD)


def connection(dsn: str) -> Connection:
    return psycopg.connect(dsn, autocommit=True)


@pytest.fixture(scope="module")
def desk(plain_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskSite]:
    """A desk for the tests of a module, each with members of its own."""
    with fresh_database(plain_server) as dsn:
        yield from _served(dsn, tmp_path_factory.mktemp("desk"))


@pytest.fixture
def own_desk(plain_dsn: str, tmp_path: Path) -> Iterator[DeskSite]:
    """A desk for a test that decides about events or tries to sign in too often."""
    yield from _served(plain_dsn, tmp_path)


def _served(dsn: str, folder: Path) -> Iterator[DeskSite]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        seed(conn, datetime.now(UTC))
        key = members.key_of_desk(conn, folder / "desk.key")
    for site in served_at(dsn, folder):
        yield DeskSite(site, key)
