"""Fetches so many bytes from an anchor under some name, by TLS over TCP or by QUIC, and counts how they come.

Whose certificate it is does not matter: the anchor makes one for any name. The name stands in the handshake alone; the
request inside is the same under every name.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Literal

import h11
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration

from civobs_agent.faults import Fault, MeasurementError, fault_of, words_of
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.quic_line import QuicLine
from civobs_agent.probes.quic_trace import QuicTraces
from civobs_agent.probes.stream import Stream
from civobs_agent.probes.tcp_info import look
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import BYTES_PATH
from civobs_wire.failure import Failure
from civobs_wire.row import Received

TIMEOUTS = table(
    Timeout("transfer.connect", 10.0, "OONI web_connectivity"),
    Timeout("transfer.handshake", 10.0, "OONI web_connectivity"),
    Timeout("transfer.body", 20.0, "detection.md §3.5; OONI dd-007 has about as much"),
)
ALPN = ("http/1.1",)
SLACK = 65_536
"""Bytes taken in beyond twice the body, for heads and what comes twice. Where more is always there already, nothing
waits, and no time limit is looked at."""
UNASKED = 2_048
"""Bytes that a server may send over TCP before it has heard a request: tickets of TLS 1.3; OpenSSL sends two of 250."""

Transport = Literal["tcp", "quic"]


@dataclass(frozen=True, slots=True)
class Source:
    """An anchor at one address."""

    server: str
    host: str
    """Its own name, which the request inside is for."""
    address: str
    port: int
    family: IpFamily


@dataclass(slots=True)
class Transfer:
    """How one went, filled in as it goes; names are those of the row."""

    connect_ms: float | None = None
    handshake_ms: float | None = None
    first_byte_ms: float | None = None
    bytes: int | None = None
    seconds: float | None = None
    """From the request on, to the last byte or to the end of the time."""
    rtt_min_ms: float | None = None
    rtt_ms: float | None = None
    rtt_receiver_ms: float | None = None
    lost_packets: int | None = None
    samples: tuple[Received, ...] = ()
    ended: Literal["done", "time", "failed"] = "failed"
    fault: Fault | None = field(default=None)

    @property
    def goodput_bps(self) -> float | None:
        """Body in bits a second; None if nothing of it came."""
        return self.bytes * 8 / self.seconds if self.bytes and self.seconds else None


class _Clocked:
    """Counts what comes from the request on: the body, and all that it is wrapped in as it arrives."""

    def __init__(self, transfer: Transfer, context: Context) -> None:
        self._transfer = transfer
        self._instants = Instants(context.rng, context.time_scale)
        self._began = time.perf_counter()
        self._arrived = 0
        self.body = 0

    def arrived(self, n_bytes: int) -> None:
        self._arrived += n_bytes
        self._instants.count(self._ms(), n_bytes)

    def first(self, at: float | None = None) -> None:
        """The answer begins, now or at this time of ``time.perf_counter``."""
        if self._transfer.first_byte_ms is None:
            self._transfer.first_byte_ms = self._ms() if at is None else (at - self._began) * 1000

    def cut(self, wanted: int) -> None:
        """The time is up: what came of a record that is not whole counts too."""
        if self._arrived > UNASKED:
            self.body = max(self.body, min(wanted, self._arrived))

    def end(self) -> None:
        """Write down what came until now."""
        ms = self._ms()
        self._transfer.bytes, self._transfer.seconds = self.body, ms / 1000
        self._transfer.samples = self._instants.end(ms)

    def _ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000


async def fetch(transport: Transport, source: Source, name: str, wanted: int, context: Context) -> Transfer:
    """One transfer under this name. What goes wrong is in it."""
    transfer = Transfer()
    try:
        refused = context.refusal.refuses(source.address)
        if refused is not None:
            raise MeasurementError(Failure.TARGET_REFUSED, refused)  # noqa: TRY301 - one place fills in the fault
        go = _by_tcp if transport == "tcp" else _by_quic
        await go(transfer, source, name, wanted, context)
        if not transfer.bytes:  # slow is a result; nothing at all in all that time is a failure
            raise TimeoutError
    except MeasurementError as error:
        transfer.fault = error.fault
    except h11.RemoteProtocolError as error:
        transfer.fault = Fault(Failure.HTTP_REQUEST_FAILED, words_of(error))
    except (OSError, EOFError) as error:
        transfer.fault = fault_of(error)
    return transfer


async def _by_tcp(transfer: Transfer, source: Source, name: str, wanted: int, context: Context) -> None:
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["transfer.connect"])):
        stream = await Stream.connect(source.address, source.port, context)
    async with stream:
        transfer.connect_ms = stream.connect_ms
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["transfer.handshake"])):
            await stream.start_tls(_any_certificate(), name, ALPN)
        transfer.handshake_ms = stream.handshake_ms
        clocked = _Clocked(transfer, context)
        stream.on_arrival = clocked.arrived
        try:
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["transfer.body"])):
                await _read_body(stream, clocked, source, wanted)
            transfer.ended = "done"
        except TimeoutError:
            transfer.ended = "time"
            clocked.cut(wanted)
        finally:
            clocked.end()
            _take_info(transfer, stream)


async def _read_body(stream: Stream, clocked: _Clocked, source: Source, wanted: int) -> None:
    """One exchange. Raises h11.RemoteProtocolError, MeasurementError, EOFError, OSError."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", source.host), ("Connection", "close")]
    head = connection.send(h11.Request(method="GET", target=f"{BYTES_PATH}?n={wanted}", headers=headers))
    end = connection.send(h11.EndOfMessage())
    await stream.send((head or b"") + (end or b""))
    while clocked.body < wanted:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = await stream.receive()
                if not data:
                    raise EOFError
                clocked.first()
                if stream.received > 2 * wanted + SLACK:
                    raise MeasurementError(Failure.UNEXPECTED_ANSWER, f"{stream.received} bytes instead of {wanted}")
                connection.receive_data(data)
            case h11.Response():
                _expect_200(event.status_code)
            case h11.Data():
                clocked.body += len(event.data)
            case h11.EndOfMessage():
                raise MeasurementError(Failure.UNEXPECTED_ANSWER, f"{clocked.body} bytes instead of {wanted}")


async def _by_quic(transfer: Transfer, source: Source, name: str, wanted: int, context: Context) -> None:
    traces = QuicTraces()
    settings = QuicConfiguration(
        alpn_protocols=H3_ALPN, server_name=name, verify_mode=ssl.CERT_NONE, quic_logger=traces
    )
    began = context.begin()
    most = 2 * wanted + SLACK
    async with await QuicLine.open(source.address, source.port, settings, context, most=most) as line:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["transfer.handshake"])):
            await line.shake_hands()
        transfer.handshake_ms = began.elapsed_ms()
        clocked = _Clocked(transfer, context)
        line.on_arrival = clocked.arrived
        try:
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["transfer.body"])):
                answer = await line.request(_request(source, wanted), body_bytes=wanted)
            _expect_200(answer.status)
            if answer.body_bytes < wanted:
                raise MeasurementError(Failure.UNEXPECTED_ANSWER, f"{answer.body_bytes} bytes instead of {wanted}")
            transfer.ended = "done"
        except TimeoutError:
            transfer.ended = "time"
        finally:
            clocked.body = min(wanted, line.answer.body_bytes)
            if line.answer.first_byte_at is not None:
                clocked.first(line.answer.first_byte_at)
            clocked.end()
            if traces.trace is not None:
                transfer.rtt_ms, transfer.rtt_min_ms = traces.trace.rtt_ms, traces.trace.rtt_min_ms
                transfer.lost_packets = traces.trace.lost


def _expect_200(status: int | None) -> None:
    if status != 200:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, None if status is None else f"status {status}")


def _take_info(transfer: Transfer, stream: Stream) -> None:
    info = look(stream.handle)
    transfer.rtt_ms, transfer.rtt_min_ms, transfer.rtt_receiver_ms = info.rtt_ms, info.min_rtt_ms, info.receiver_rtt_ms
    if info.out_of_order is not None and info.retransmitted is not None:
        transfer.lost_packets = info.out_of_order + info.retransmitted


def _request(source: Source, wanted: int) -> list[tuple[str, str]]:
    return [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", source.host),
        (":path", f"{BYTES_PATH}?n={wanted}"),
    ]


def _any_certificate() -> ssl.SSLContext:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    return settings
