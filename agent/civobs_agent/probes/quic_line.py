"""One QUIC connection to one address, by aioquic without its sockets, so that no packet can go anywhere else.

The socket is connected: the system sends to that address and hands over nothing that comes from another. aioquic is
not told the address at all, so a server's preferred address (RFC 9000 §9.6) finds nothing to be compared with; what
aioquic would still send to another place is dropped here. Certificates are not verified during the handshake but right
after it and before anything is sent (``quic_certificate.py``): aioquic tells all its reasons by one alert.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

from aioquic.h3.connection import H3Connection, QpackDecompressionFailed
from aioquic.h3.events import DataReceived, Headers, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, QuicEvent, StreamReset
from cryptography.x509 import Certificate
from pylsqpack import Decoder

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes.quic_faults import fault_of_end
from civobs_agent.probes.stream import numeric_socket
from civobs_wire.failure import Failure

_PEER = ("peer", 0)
"""What aioquic takes for the address of the other side."""
MAX_EARLY = 64
"""Events kept from before the request; a server opens three streams of its own (RFC 9114 §6.2)."""
MAX_HEAD = 16_384
"""Bytes of an answer's head as they come; a large one is 2 kB."""


logging.getLogger("quic").setLevel(logging.CRITICAL)
"""aioquic's own log repeats what strangers say, who may say the probe's address."""


class _Http3(H3Connection):
    """HTTP/3 in which a head cannot unpack to more than some MiB.

    With a table that the server fills (RFC 9204 §3.2), one byte stands for up to 4 kB, and 64 KiB of them for 256 MiB;
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


@dataclass(slots=True)
class Answer:
    """What has come of the answer to a request. Times are those of ``time.perf_counter``."""

    status: int | None = None
    first_byte_at: float | None = None
    body_bytes: int = 0
    whole: bool = False


class QuicLine(asyncio.DatagramProtocol):
    """A connection. Methods raise MeasurementError and OSError; the caller sets the time limits."""

    def __init__(self, settings: QuicConfiguration, family: IpFamily, context: Context, most: int) -> None:
        self._quic = QuicConnection(configuration=settings)
        self._http: H3Connection | None = None
        self._per_packet = HEADER_BYTES[family] + UDP_BYTES
        self._context = context
        self._most = most
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._early: list[QuicEvent] = []
        self._negotiated = False
        self._fault: Fault | None = None
        self.agreed: HandshakeCompleted | None = None
        self.answer = Answer()
        self.received = 0
        """Bytes of all datagrams."""
        self.on_arrival: Callable[[int], None] = lambda _: None
        """Told of each datagram that comes."""

    @classmethod
    async def open(cls, address: str, port: int, settings: QuicConfiguration, context: Context, *, most: int) -> Self:
        """Begin a handshake. More than ``most`` bytes from the other side end the connection.

        Raises MeasurementError ``target_refused``, OSError.
        """
        refused = context.refusal.refuses(address)
        if refused is not None:
            raise MeasurementError(Failure.TARGET_REFUSED, refused)
        handle, where = numeric_socket(address, port, socket.SOCK_DGRAM)
        line = cls(settings, 6 if handle.family == socket.AF_INET6 else 4, context, most)
        try:
            handle.connect(where)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: line, sock=handle)
        except BaseException:
            handle.close()
            raise
        line._advance(lambda now: line._quic.connect(_PEER, now))
        return line

    async def shake_hands(self) -> HandshakeCompleted:
        """Wait for the end of the handshake."""
        await self._until(lambda: self.agreed is not None)
        assert self.agreed is not None  # noqa: S101 - it is what was waited for
        return self.agreed

    def chain(self) -> list[Certificate]:
        """The other side's certificates, leaf first."""
        tls = self._quic.tls  # aioquic has no other way to them
        leaf: Certificate | None = tls._peer_certificate  # noqa: SLF001
        return [] if leaf is None else [leaf, *tls._peer_certificate_chain]  # noqa: SLF001

    @property
    def version(self) -> str | None:
        """The version of QUIC that is spoken, in hexadecimal (RFC 9000 §15)."""
        number: int | None = self._quic._version  # noqa: SLF001 - aioquic has no other way to it
        return None if number is None else f"{number:x}"

    async def request(self, headers: list[tuple[str, str]], *, body_bytes: int) -> Answer:
        """Send a request and wait for its answer, up to so many bytes of its body."""
        if self.agreed is None or self.agreed.alpn_protocol != "h3":
            raise MeasurementError(Failure.UNEXPECTED_ANSWER, "the handshake agreed on no HTTP/3")
        self._advance(lambda _: self._send_request([(name.encode(), value.encode()) for name, value in headers]))
        await self._until(lambda: self.answer.whole or self.answer.body_bytes >= body_bytes)
        return self.answer

    def _send_request(self, headers: Headers) -> None:
        self._http = _Http3(self._quic)
        self._http.send_headers(self._quic.get_next_available_stream_id(), headers, end_stream=True)
        early, self._early = self._early, []
        for event in early:
            self._hear(event)

    def close(self) -> None:
        """Say goodbye, once, and let the socket go."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._quic.close()
            with contextlib.suppress(Exception):  # whatever state a stranger has brought it into
                self._send_pending()
            self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _where: object) -> None:
        self._context.spend(len(data) + self._per_packet)
        self.received += len(data)
        self.on_arrival(len(data))
        if self.received > self._most:
            self._end(Fault(Failure.UNEXPECTED_ANSWER, f"more than {self._most} bytes"))
            return
        # RFC 8999 §6: version 0 is the answer to a version that is not spoken.
        self._negotiated = self._negotiated or (data[:1] >= b"\x80" and data[1:5] == bytes(4))
        self._advance(lambda now: self._quic.receive_datagram(data, _PEER, now))

    def error_received(self, error: Exception) -> None:
        """An ICMP error or a refusal of this system's. One that comes after an answer may be anybody's: passed over."""
        if self.received == 0:
            self._end(fault_of(error))

    # driving aioquic

    def _advance(self, step: Callable[[float], None]) -> None:
        """Let aioquic work, hear what it has to say, and send what it wants sent."""
        if self._fault is not None:
            return
        try:
            step(asyncio.get_running_loop().time())
            while (event := self._quic.next_event()) is not None:
                self._hear(event)
            self._transmit()
            # aioquic tells of an end once all that may still be under way has come; why it ends it knows at once.
            ended = self._quic._close_event  # noqa: SLF001
            if ended is not None:
                self._end(fault_of_end(ended, negotiated=self._negotiated))
        except Exception as error:  # noqa: BLE001 - a stranger's bytes; the callback of an event loop is an edge
            self._end(Fault(Failure.UNEXPECTED_ANSWER, f"aioquic: {type(error).__name__}"))

    def _hear(self, event: QuicEvent) -> None:
        match event:
            case HandshakeCompleted():
                self.agreed = event
                self._changed.set()
            case StreamReset(stream_id=0):
                self._end(Fault(Failure.HTTP_REQUEST_FAILED, f"request refused by code 0x{event.error_code:x}"))
            case _ if self._http is not None:
                self._hear_http(self._http, event)
            case _ if len(self._early) < MAX_EARLY:
                self._early.append(event)

    def _hear_http(self, http: H3Connection, event: QuicEvent) -> None:
        answer = self.answer
        for each in http.handle_event(event):
            if answer.first_byte_at is None:
                answer.first_byte_at = time.perf_counter()
            match each:
                case HeadersReceived():
                    status = dict(each.headers).get(b":status", b"")
                    if answer.status is None and status.isdigit() and int(status) >= 200:
                        answer.status = int(status)
                case DataReceived():
                    answer.body_bytes += len(each.data)
            if isinstance(each, HeadersReceived | DataReceived):
                answer.whole = answer.whole or each.stream_ended
        self._changed.set()

    def _transmit(self) -> None:
        self._send_pending()
        if self._timer is not None:
            self._timer.cancel()
        due = self._quic.get_timer()
        loop = asyncio.get_running_loop()
        self._timer = None if due is None else loop.call_at(due, self._advance, self._timed_out)

    def _timed_out(self, now: float) -> None:
        self._timer = None
        self._quic.handle_timer(now)

    def _send_pending(self) -> None:
        assert self._transport is not None  # noqa: S101 - there is one from the first call on
        for data, where in self._quic.datagrams_to_send(asyncio.get_running_loop().time()):
            if where == _PEER:
                self._context.spend(len(data) + self._per_packet)
                self._transport.sendto(data)

    def _end(self, fault: Fault) -> None:
        if self._fault is None:
            self._fault = fault
            self._changed.set()

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._fault is not None:
                raise MeasurementError(self._fault.failure, self._fault.note)
            self._changed.clear()
            await self._changed.wait()
