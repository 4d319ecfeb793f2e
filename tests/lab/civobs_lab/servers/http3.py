"""HTTP/3 over QUIC, by aioquic."""

import asyncio
from functools import partial
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, ProtocolNegotiated, QuicEvent

from civobs_lab.servers.exchange import Answer, Request, named_host, plain
from civobs_lab.servers.misbehaviour import Conduct, Does

IDLE_S = 20.0


def configuration(certificate: Path) -> QuicConfiguration:
    """Of a server; its certificate may be changed later and then counts for new connections."""
    made = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, idle_timeout=IDLE_S)
    made.load_cert_chain(certificate)
    return made


def server(settings: QuicConfiguration, answer: Answer, conduct: Conduct) -> QuicServer:
    """A protocol for one UDP port."""
    return QuicServer(configuration=settings, create_protocol=partial(_Connection, answer=answer, conduct=conduct))


class _Connection(QuicConnectionProtocol):
    """One client."""

    def __init__(
        self, quic: QuicConnection, stream_handler: object = None, *, answer: Answer, conduct: Conduct
    ) -> None:
        super().__init__(quic)
        self._answer = answer
        self._conduct = conduct
        self._http: H3Connection | None = None
        self._requests: dict[int, Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = ""

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        self._client = plain(addr[0])
        super().datagram_received(data, addr)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted) and self._conduct.now(Does.CLOSE):
            self.close(error_code=ErrorCode.H3_INTERNAL_ERROR, reason_phrase="")
        elif isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        elif isinstance(event, ConnectionTerminated):
            for task in self._tasks:
                task.cancel()
        if self._http is not None:
            for each in self._http.handle_event(event):
                self._heard(self._http, each)

    def _heard(self, http: H3Connection, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            self._requests[event.stream_id] = Request(
                method=headers.get(":method", ""),
                target=headers.get(":path", "/"),
                host=named_host(headers.get(":authority", "")),
                client=self._client,
                content_type=headers.get("content-type", ""),
            )
        elif isinstance(event, DataReceived) and event.stream_id in self._requests:
            self._requests[event.stream_id].receive(event.data)
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            request = self._requests.pop(event.stream_id, None)
            if request is not None:
                task = asyncio.create_task(self._respond(http, event.stream_id, request), name="http3 answer")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _respond(self, http: H3Connection, stream: int, request: Request) -> None:
        response = await self._answer(request)
        lines = [(":status", str(response.status)), ("server", "lab"), *response.lines()]
        http.send_headers(stream, [(name.encode(), value.encode()) for name, value in lines])
        if request.method != "HEAD":
            async for piece in response.pieces():
                http.send_data(stream, piece, end_stream=False)
                self.transmit()
        http.send_data(stream, b"", end_stream=True)
        self.transmit()
