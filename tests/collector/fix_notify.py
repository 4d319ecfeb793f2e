"""Receivers that misbehave on request, a publisher of versions, and the outbox run at moments of a test's choice."""

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from civobs_collector.config import ApiSettings, CollectorSettings, DatabaseSettings
from civobs_collector.db import notices
from civobs_collector.db.connect import connect
from civobs_collector.detect.record import EventRecord, Level, Scope, Status
from civobs_collector.detect.versions import NewVersion
from civobs_collector.detect_read import publish
from civobs_collector.notify import outbox
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.settings import MailSettings, NotifySettings, SubscriberSettings
from civobs_collector.notify.texts import Content, content
from civobs_lab.certificates import CertificateAuthority
from tests.collector.fix_web import shutdown_record

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
BASE = "https://observatory.example"


def opening(**changes: Any) -> EventRecord:
    """The shutdown while it lasts."""
    return shutdown_record(**({"status": Status.OPEN, "resolution": None} | changes))


def small(level: Level = Level.NETWORK, cc: str = "KE", **changes: Any) -> EventRecord:
    """An open event of one network."""
    return opening(scope=Scope(level=level, cc=cc, asns=(33771,), asns_observed=(33771, 36866)), **changes)


@dataclass(slots=True)
class Taken:
    """A request as the receiver had it."""

    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(slots=True)
class Receiver:
    """A web server that answers what it is told to answer, and keeps what it was sent."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; 204 when it runs out."""
    taken: list[Taken] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=sesame"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.taken.append(Taken({name.lower(): value for name, value in self.headers.items()}, body))
            found.may_answer.wait(30)
            status = found.answers.pop(0) if found.answers else 204
            try:
                self.send_response(status)
                self.send_header("location", found.url)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        found.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class PostOffice:
    """A mail server with a certificate and one account; keeps what it took."""

    port: int = 0
    ca_file: Path = Path()
    answers: list[str] = field(default_factory=list)
    """Answers to the next messages; it takes them when that runs out."""
    letters: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 # its name
        if self.answers:
            return self.answers.pop(0)
        self.encrypted.append(session.ssl is not None)
        letter = message_from_bytes(envelope.content or b"", policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"


class FreePort(Controller):
    """On the port that the system gives it."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def post_office(tmp_path: Path) -> Iterator[PostOffice]:
    """With STARTTLS, which it insists on."""
    authority = CertificateAuthority(tmp_path / "ca")
    file = authority.issue(("localhost",), (IPv4Address("127.0.0.1"),))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    found = PostOffice(ca_file=authority.ca_file)

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        found.logins.append(given.login)
        return AuthResult(success=given.password == b"sesame", handled=False)

    controller = FreePort(
        found,
        hostname="127.0.0.1",
        port=0,
        tls_context=context,
        require_starttls=True,
        auth_require_tls=True,
        authenticator=check,
    )
    controller.start()
    try:
        found.port = controller.port
        yield found
    finally:
        controller.stop()


@dataclass(slots=True)
class Newsroom:
    """Publishes versions and looks after the outbox, at moments that the test says; keeps what was told."""

    conn: psycopg.Connection[Any]
    settings: NotifySettings
    told: list[tuple[str, UUID, Content]] = field(default_factory=list)
    """Subscriber, key of the message, and what it said."""
    down: set[str] = field(default_factory=set)
    """Subscribers who cannot be reached."""
    versions: dict[UUID, int] = field(default_factory=dict)

    def publish(self, record: EventRecord, at: datetime = START) -> UUID:
        """The next version of the record's event."""
        number = self.versions[record.event_key] = self.versions.get(record.event_key, 0) + 1
        kind = "new" if number == 1 else "extended"
        public = record.scope.level is not Level.PROBE
        publish(self.conn, NewVersion(record.event_key, number, kind, "detected", record, public), at)
        return record.event_key

    def another(self, record: EventRecord, at: datetime = START) -> UUID:
        """An event of its own that says the same."""
        return self.publish(record.model_copy(update={"event_key": uuid4()}), at)

    def round(self, at: datetime = START) -> list[str]:
        """One round of the role at that moment; returns the subjects of what arrived."""
        before = len(self.told)
        outbox.collect(self.conn, self.settings, at)
        for one in self.settings.subscribers:
            outbox.put_together(self.conn, self.settings, one, at)
            while letter := outbox.claim(self.conn, self.settings, one, at, BASE):
                if one.name in self.down:
                    error = SendError("cannot be reached")
                    if not outbox.failed(self.conn, self.settings, letter, at, error=str(error), final=error.final):
                        break
                else:
                    self.told.append((one.name, letter.message, content(letter.told, BASE)))
                    outbox.sent(self.conn, letter, at)
        return [said.subject for _, _, said in self.told[before:]]

    def states(self) -> list[str]:
        """States of all notices, in their order."""
        found = notices.list_notices(self.conn, ("waiting", "sent", "dead", "dropped"), None, 1000)
        return [one.state for one in reversed(found)]


def subscriber(name: str = "desk", **changes: Any) -> SubscriberSettings:
    """Somebody with an address that nothing is sent to."""
    return SubscriberSettings.model_validate({"name": name, "mail": f"{name}@example.org"} | changes)


@pytest.fixture
def newsroom(plain_dsn: str) -> Iterator[Newsroom]:
    """With one subscriber, who became one an hour before the start."""
    with connect(DatabaseSettings(dsn=plain_dsn), "notify", autocommit=True) as conn:
        found = Newsroom(conn, NotifySettings(subscribers=(subscriber(),)))
        outbox.begin(conn, found.settings, START - timedelta(hours=1))
        yield found


def site_settings(dsn: str, *subscribers: SubscriberSettings, mail: MailSettings | None = None) -> CollectorSettings:
    """Settings of a role that looks and tries ten times a second."""
    return CollectorSettings(
        database=DatabaseSettings(dsn=dsn),
        api=ApiSettings(public_url=BASE),
        notify=NotifySettings(every_s=0.1, timeout_s=5, retry_s=(0.1,) * 5, subscribers=subscribers),
        mail=mail or MailSettings(),
    )


def send(sender: Any, said: Content, message: UUID | None = None) -> None:
    """Deliver once, now."""
    asyncio.run(sender.send(said, message or uuid4(), datetime.now(UTC)))
