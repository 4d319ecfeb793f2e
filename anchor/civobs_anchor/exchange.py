"""A request and its answer over HTTP, whatever carries them: what ``http1``, ``http2`` and ``http3`` have in common."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

MAX_KEPT = 65_536
"""Of a request's body; what comes after it is counted and let go. A DNS message has 65,535 bytes at most."""
PIECE = 65_536
_NOISE = os.urandom(PIECE)
"""Nothing on the way can compress it."""
NO_LIMIT = 2**62
IDLE_S = 20.0
"""How long a client may take for its next bytes, or to take ours, where nobody says otherwise ([limits] idle_s)."""


class TooMuchError(Exception):
    """A body is longer than it may be."""


@dataclass(slots=True)
class Request:
    """What was asked for, once its body is in."""

    method: str
    target: str
    host: str
    """Without a port, lower case; empty where the client named none."""
    client: str
    """Address, IPv4 without the prefix of a mapped one."""
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)
    received: int = 0
    """Bytes of the body, also of those that were not kept."""
    room: int = NO_LIMIT
    """Bytes that the body may have."""
    began: float = field(default_factory=time.monotonic)
    ended: float = field(default_factory=time.monotonic)

    def receive(self, data: bytes) -> None:
        """Take a piece of the body. Raises TooMuchError."""
        self.ended = time.monotonic()
        if not self.received:
            self.began = self.ended
        self.received += len(data)
        if self.received > self.room:
            raise TooMuchError
        self.body += data[: MAX_KEPT - len(self.body)]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def value(self, name: str) -> str:
        """One value of the query; empty if it is not there."""
        return parse_qs(self.target.partition("?")[2]).get(name, [""])[0]


def asked(fields: dict[str, str], client: str) -> Request:
    """A request as HTTP/2 and HTTP/3 carry its head: what HTTP/1.1 has in its first line has names of its own."""
    return Request(
        method=fields.get(":method", ""),
        target=fields.get(":path", "/"),
        host=named_host(fields.get(":authority", "")),
        client=client,
        content_type=fields.get("content-type", ""),
    )


def ignore(_: int) -> None:
    """Count nothing."""


@dataclass(slots=True)
class Response:
    """What is answered: a body, and after it so many bytes of noise."""

    status: int
    content_type: str = "text/html; charset=utf-8"
    body: bytes = b""
    noise: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    byte_s: float | None = None
    """As fast as it goes, or no faster than this."""
    count: Callable[[int], None] = ignore
    """Told of each piece before it is sent."""

    def lines(self) -> list[tuple[str, str]]:
        """All headers, with names in lower case as HTTP/2 and HTTP/3 want them."""
        length = str(len(self.body) + self.noise)
        return [("content-type", self.content_type), ("content-length", length), *self.headers]

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, bit by bit, in its time."""
        rest = self.noise
        piece = PIECE if self.byte_s is None else max(1, min(PIECE, int(self.byte_s / 10)))
        if self.body:
            yield self.body
        while rest:
            now = min(rest, piece)
            self.count(now)
            yield _NOISE[:now]
            rest -= now
            await asyncio.sleep(0 if self.byte_s is None else now / self.byte_s)


Answer = Callable[[Request], Awaitable[Response]]


class Service(Protocol):
    """What is served, in two steps: the head of a request is seen before its body is taken."""

    def admit(self, request: Request) -> Response | None:
        """Say how much of a body there may be (``request.room``), or refuse with an answer."""

    async def answer(self, request: Request) -> Response:
        """Answer, now that the body is in."""


@dataclass(frozen=True, slots=True)
class Open:
    """A service that takes any body."""

    respond: Answer

    def admit(self, request: Request) -> Response | None:  # noqa: ARG002 - whatever it is
        return None

    async def answer(self, request: Request) -> Response:
        return await self.respond(request)


def told(status: int, text: str) -> Response:
    """A short answer in words."""
    return Response(status, "text/plain", f"{text}\n".encode())


TOO_LONG = told(413, "This is more than one request may bring.")


def named_host(header: str) -> str:
    """The host of a Host header or an authority; empty for nonsense."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def plain(address: str) -> str:
    """An address as a dual-stack socket gives it, without the mapping."""
    return address.removeprefix("::ffff:")
