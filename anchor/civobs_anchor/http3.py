"""HTTP/3 over QUIC, by aioquic.

One certificate serves every name: QUIC has TLS 1.3 only, where nobody on the way sees a certificate (RFC 9001 §4).
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamHandler
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection, QpackDecompressionFailed
from aioquic.h3.events import DataReceived, H3Event, Headers, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamDataReceived
from aioquic.quic.packet import QuicProtocolVersion
from pylsqpack import Decoder

from civobs_anchor.exchange import IDLE_S, TOO_LONG, Request, Response, Service, TooMuchError, asked, plain

MAX_REQUESTS = 4_000
"""On one connection, as over HTTP/2."""
MAX_UNREAD = 65_536
"""Bytes of one stream that may come without making a whole frame, other than of a body."""
MAX_HEAD = 16_384
"""Bytes of a request's head as they come."""
FIRST_DATAGRAM = 1_200
"""RFC 9000 §14.1."""
LONG_HEADER = 0x80
"""RFC 8999 §5.1."""
VERSIONS = frozenset({QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2})


def configuration(certificate: Path, key: Path | None = None) -> QuicConfiguration:
    """Of a server; its certificate may be changed later and then counts for new connections."""
    made = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, idle_timeout=IDLE_S)
    made.load_cert_chain(certificate, key)
    return made


class _Http3(H3Connection):
    """HTTP/3 in which a head cannot unpack to more than some MiB.

    With a table that the client fills (RFC 9204 §3.2), one byte stands for up to 4 kB, and 64 KiB of them for 256 MiB;
    aioquic has no bound. Without it the longest entry that a byte stands for has some 60 bytes.
    """

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = Decoder(0, 0)
        super()._init_connection()

    def _decode_headers(self, stream_id: int, frame_data: bytes | None) -> Headers:
        if frame_data is not None and len(frame_data) > MAX_HEAD:
            raise QpackDecompressionFailed
        return super()._decode_headers(stream_id, frame_data)


class Server(QuicServer):
    """One UDP port."""

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        # RFC 9000 §6.1: a version is negotiated with a datagram of a client's first size only, or it amplifies.
        if isinstance(data, bytes) and (len(data) >= FIRST_DATAGRAM or not _of_unknown_version(data)):
            super().datagram_received(data, addr)


def _of_unknown_version(data: bytes) -> bool:
    return bool(data and data[0] & LONG_HEADER) and int.from_bytes(data[1:5], "big") not in VERSIONS


def server(settings: QuicConfiguration, service: Service) -> Server:
    """A protocol for one UDP port."""
    return Server(configuration=settings, create_protocol=partial(Http3, service=service))


class Http3(QuicConnectionProtocol):
    """One client."""

    def __init__(
        self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None, *, service: Service
    ) -> None:
        super().__init__(quic, stream_handler)
        self._service = service
        self._http: H3Connection | None = None
        self._requests: dict[int, Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = ""
        self._moved = asyncio.Event()
        """Set whenever the client has said something: it may have taken more."""
        self._count = 0
        self._unread: dict[int, int] = {}
        """By stream, bytes since the last that came to something."""

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        self._client = plain(addr[0])
        super().datagram_received(data, addr)
        self._moved.set()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = _Http3(self._quic)
        elif isinstance(event, ConnectionTerminated):
            for task in self._tasks:
                task.cancel()
        if self._http is not None:
            events = self._http.handle_event(event)
            self._bound(event, events)
            for each in events:
                self._heard(self._http, each)

    def _bound(self, event: QuicEvent, events: list[H3Event]) -> None:
        """Not let the library keep a head, or a frame that it does not know, that never ends."""
        if isinstance(event, StreamDataReceived):
            unread = 0 if events else self._unread.get(event.stream_id, 0) + len(event.data)
            self._unread[event.stream_id] = unread
            if unread > MAX_UNREAD:
                self.close(error_code=ErrorCode.H3_EXCESSIVE_LOAD)
            if event.end_stream:
                del self._unread[event.stream_id]

    def _heard(self, http: H3Connection, event: H3Event) -> None:
        if isinstance(event, HeadersReceived) and event.stream_id not in self._requests:
            self._begin(http, event)
        elif isinstance(event, DataReceived) and event.stream_id in self._requests:
            request = self._requests[event.stream_id]
            try:
                request.receive(event.data)
            except TooMuchError:
                del self._requests[event.stream_id]
                self._start(self._respond(http, event.stream_id, request, TOO_LONG))
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            done = self._requests.pop(event.stream_id, None)
            if done is not None:
                self._start(self._respond(http, event.stream_id, done, None))

    def _begin(self, http: H3Connection, event: HeadersReceived) -> None:
        self._count += 1
        if self._count > MAX_REQUESTS:
            self.close(error_code=ErrorCode.H3_EXCESSIVE_LOAD)
            return
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        request = asked(fields, self._client)
        refused = self._service.admit(request)
        if refused is None:
            self._requests[event.stream_id] = request
        else:
            self._start(self._respond(http, event.stream_id, request, refused))

    def _start(self, answering: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(answering, name="http3 answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, http: H3Connection, stream: int, request: Request, ready: Response | None) -> None:
        response = ready or await self._service.answer(request)
        lines = [(":status", str(response.status)), ("server", "civobs"), *response.lines()]
        http.send_headers(stream, [(name.encode(), value.encode()) for name, value in lines])
        if request.method != "HEAD":
            async for piece in response.pieces():
                http.send_data(stream, piece, end_stream=False)
                self.transmit()
                await self._sent(stream)
        http.send_data(stream, b"", end_stream=True)
        self.transmit()

    async def _sent(self, stream: int) -> None:
        """Wait until the library has sent what it was given, or it would hold a whole answer in memory.

        It says so nowhere else than in the stream itself. The connection's own idle time ends the wait.
        """
        while (one := self._quic._streams.get(stream)) is not None and not one.sender.buffer_is_empty:  # noqa: SLF001
            self._moved.clear()
            await self._moved.wait()
