"""DNS over TLS and over HTTPS at a resolver's own address: one question each, its certificate verified.

Both go to the address of the plan, not to what their name resolves to: whether that name resolves is another question.
"""

import asyncio
import base64

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11

from civobs_agent.faults import MeasurementError
from civobs_agent.net import Context
from civobs_agent.probes.dns_message import MAX_MESSAGE, question
from civobs_agent.probes.place import Place, place_of
from civobs_agent.probes.question import Server, over_stream, read_answer
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure

TIMEOUTS = table(
    Timeout("resolver.dot", 10.0, "connect, handshake and answer; OONI gives a handshake 10 s"),
    Timeout("resolver.doh", 10.0, "the same"),
)
DOT_PORT = 853
"""RFC 7858 §3.1."""
MEDIA_TYPE = "application/dns-message"
MOST = 4 * MAX_MESSAGE
"""Bytes of an HTTP answer, its head and frames with it."""
AGENT_HEADERS = [("accept", MEDIA_TYPE)]
"""No more than is needed: a resolver learns nothing of who asks (RFC 8484 §8.2)."""


async def over_tls(server: Server, name: str, context: Context) -> None:
    """Ask for the neutral name. Raises MeasurementError, OSError, EOFError."""
    query = question(context.neutral_name, "A", context.rng)
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["resolver.dot"])):
        async with await Stream.connect(server.address, server.port, context) as stream:
            await stream.start_tls(context.roots.verifying(), name, ["dot"])
            await over_stream(stream, query)


async def over_https(address: str, url: str, context: Context) -> None:
    """Ask with a GET, over HTTP/2 or, where the server speaks no other, HTTP/1.1. Raises as ``over_tls``."""
    try:
        place = place_of(url.removesuffix("{?dns}"))
    except ValueError:
        raise MeasurementError(Failure.NOTHING_TO_ASK, "the plan's URL is none") from None
    query = question(context.neutral_name, "A", context.rng)
    query.id = 0  # RFC 8484 §4.1: so that caches know the question again
    packed = base64.urlsafe_b64encode(query.to_wire()).rstrip(b"=").decode()
    path = f"{place.path}{'&' if '?' in place.path else '?'}dns={packed}"
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["resolver.doh"])):
        async with await Stream.connect(address, place.port, context) as stream:
            tls = await stream.start_tls(context.roots.verifying(), place.host, ["h2", "http/1.1"])
            exchange = _http2 if tls.selected_alpn_protocol() == "h2" else _http1
            status, body = await exchange(stream, place, path)
    if status != 200:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, f"status {status}")
    response, wrong = read_answer(body, query)
    if response is None:
        raise MeasurementError(wrong or Failure.DNS_SERVER_MISBEHAVING)


async def _http2(stream: Stream, place: Place, path: str) -> tuple[int, bytes]:
    """Status and body over HTTP/2."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    answer = _Http2Answer(connection)
    try:
        connection.initiate_connection()
        pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", place.authority), (":path", path)]
        connection.send_headers(1, pseudo + AGENT_HEADERS, end_stream=True)
        await stream.send(connection.data_to_send())
        while not answer.ended:
            answer.take(await stream.receive())
            if out := connection.data_to_send():
                await stream.send(out)
    except (h2.exceptions.ProtocolError, ValueError):
        raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "not HTTP/2") from None
    return answer.status, bytes(answer.body)


class _Http2Answer:
    """What has come of the one request."""

    def __init__(self, connection: h2.connection.H2Connection) -> None:
        self._connection = connection
        self._size = 0
        self.status = 0
        self.body = bytearray()
        self.ended = False

    def take(self, data: bytes) -> None:
        """Raises EOFError, MeasurementError and h2's ProtocolError."""
        self._size += len(data)
        if not data:
            raise EOFError
        if self._size > MOST:
            raise MeasurementError(Failure.DNS_SERVER_MISBEHAVING, "an answer without an end")
        for event in self._connection.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.status = int(dict(event.headers).get(b":status", 0))
                case h2.events.DataReceived():
                    self.body += event.data
                    self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended = True
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise MeasurementError(Failure.CONNECTION_RESET, f"HTTP/2 error {event.error_code}")


async def _http1(stream: Stream, place: Place, path: str) -> tuple[int, bytes]:
    """Status and body over HTTP/1.1."""
    connection = h11.Connection(h11.CLIENT)
    status, body, size = 0, bytearray(), 0
    headers = [("host", place.authority), *AGENT_HEADERS, ("connection", "close")]
    try:
        await stream.send(connection.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
        while True:
            match connection.next_event():
                case h11.Response() as head:
                    status = head.status_code
                case h11.Data() as part:
                    body += part.data
                case h11.EndOfMessage() | h11.ConnectionClosed():
                    return status, bytes(body)
                case h11.NEED_DATA:
                    data = await stream.receive()
                    size += len(data)
                    if size > MOST:
                        raise MeasurementError(Failure.DNS_SERVER_MISBEHAVING, "an answer without an end")
                    connection.receive_data(data)
    except h11.RemoteProtocolError:
        raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "not HTTP/1.1") from None
