"""Plain clients for the lab's servers: sockets, ssl, dnspython and aioquic, and nothing of the agent's."""

import asyncio
import http.client
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import dns.message
import dns.query
from aioquic.asyncio import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated

TIMEOUT_S = 5.0
"""For what should come."""
SILENCE_S = 0.3
"""How long to wait for what should not come: a lab's answer is there within 50 ms."""


@dataclass
class Page:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes | bytearray


def trusting(certificates):
    """A client's context that trusts the lab's authority."""
    return ssl.create_default_context(cafile=str(certificates.ca_file))


def get(address, *, host, path="/", method="GET", body=None, headers=None, timeout_s=TIMEOUT_S):
    """Plain HTTP."""
    connection = http.client.HTTPConnection(address, 80, timeout=timeout_s)
    return _page(connection, method, path, body, {"Host": host, **(headers or {})})


def get_tls(address, certificates, *, host, path="/", method="GET", body=None, headers=None, timeout_s=TIMEOUT_S):
    """HTTPS by address, with the name in the handshake."""
    connection = http.client.HTTPSConnection(address, 443, timeout=timeout_s)
    tcp = socket.create_connection((address, 443), timeout=timeout_s)
    try:
        connection.sock = trusting(certificates).wrap_socket(tcp, server_hostname=host)
    except BaseException:
        tcp.close()
        raise
    return _page(connection, method, path, body, {"Host": host, **(headers or {})})


def _page(connection, method, path, body, headers):
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def get_h3(address, certificates, *, host, path="/", method="GET", body=b"", timeout_s=TIMEOUT_S):
    """HTTP/3. Raises QuicError, TimeoutError."""
    ended = []

    async def fetch():
        settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=host, cafile=str(certificates.ca_file))
        async with asyncio.timeout(timeout_s):
            made = partial(_Client, ended=ended)
            async with connect(address, 443, configuration=settings, create_protocol=made) as client:
                return await client.fetch(method, host, path, body)

    try:
        return asyncio.run(fetch())
    except ConnectionError:
        raise QuicError(ended[0].error_code, ended[0].reason_phrase) from None


class QuicError(OSError):
    """How a connection ended: QUIC's or HTTP/3's number, and the reason given."""


@dataclass
class _Exchange:
    done: asyncio.Future
    page: Page = field(default_factory=lambda: Page(0, {}, bytearray()))


class _Client(QuicConnectionProtocol):
    def __init__(self, *words, ended, **named):
        super().__init__(*words, **named)
        self._ended = ended
        self._http = H3Connection(self._quic)
        self._exchange = None

    async def fetch(self, method, host, path, body):
        if self._ended:
            raise ConnectionError
        self._exchange = _Exchange(asyncio.get_running_loop().create_future())
        stream = self._quic.get_next_available_stream_id()
        lines = {":method": method, ":scheme": "https", ":authority": host, ":path": path}
        headers = [(name.encode(), value.encode()) for name, value in lines.items()]
        self._http.send_headers(stream, headers, end_stream=not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await self._exchange.done

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self._ended.append(event)
            if self._exchange is not None and not self._exchange.done.done():
                self._exchange.done.set_exception(ConnectionError)
        for each in self._http.handle_event(event):
            page = self._exchange.page
            if isinstance(each, HeadersReceived):
                page.headers |= {name.decode(): value.decode() for name, value in each.headers}
                page.status = int(page.headers[":status"])
            elif isinstance(each, DataReceived):
                page.body += each.data
            if each.stream_ended:
                self._exchange.done.set_result(page)


def ask(server, name, kind="A", timeout_s=TIMEOUT_S):
    """A question over UDP."""
    return dns.query.udp(dns.message.make_query(name, kind), server, timeout=timeout_s)


def ask_tls(server, certificates, name, kind="A", timeout_s=TIMEOUT_S):
    """A question over TLS. dnspython's own client wraps a socket that is not connected, and hides how it ends."""
    query = dns.message.make_query(name, kind)
    with (
        socket.create_connection((server, 853), timeout=timeout_s) as tcp,
        trusting(certificates).wrap_socket(tcp, server_hostname=server) as tls,
    ):
        dns.query.send_tcp(tls, query)
        return dns.query.receive_tcp(tls)[0]


def addresses(answer):
    """What an answer leads to."""
    return {str(record) for rrset in answer.answer for record in rrset}


def connects(address, port, timeout_s=SILENCE_S):
    """Number of the error of a TCP connection, 0 for none."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        one.settimeout(timeout_s)
        return one.connect_ex((address, port))


def tell(address, port, data, timeout_s=TIMEOUT_S):
    """What comes back over TCP until the other side closes. Raises OSError."""
    with socket.create_connection((address, port), timeout=timeout_s) as one:
        one.sendall(data)
        # Where the other side has reset the connection already, reading says so.
        with suppress(OSError):
            one.shutdown(socket.SHUT_WR)
        said = b""
        while more := one.recv(65_536):
            said += more
        return said


def send_datagram(address, port, data, timeout_s=SILENCE_S):
    """What comes back over UDP. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(timeout_s)
        one.connect((address, port))
        one.send(data)
        return one.recv(65_536)
