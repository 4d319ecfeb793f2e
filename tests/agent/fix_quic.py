"""QUIC servers on the loopback, each beside a TLS server on the same port, that misbehave on request.

What a server does with a connection follows from its port; what it does with a request, from the path.
"""

import asyncio
import socket
from dataclasses import dataclass, field
from functools import partial

import pytest
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.buffer import Buffer
from aioquic.h3.connection import FrameType, H3Connection, encode_frame
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted, ProtocolNegotiated
from aioquic.quic.packet import (
    QuicPreferredAddress,
    pull_quic_transport_parameters,
    push_quic_transport_parameters,
)

from tests.agent.fix_net import BODY, LOOPBACK, _serve_http, free_port

OTHER_VERSION = bytes.fromhex("5a5a5a5a")


@dataclass
class QuicSites:
    """Ports by what is there, the paths that were asked for, and what came to the place that nobody should turn to."""

    ports: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    elsewhere: list[bytes] = field(default_factory=list)
    elsewhere_port: int = 0

    def url(self, name, path="/"):
        return f"https://site.test:{self.ports[name]}{path}"


class _Http3(QuicConnectionProtocol):
    """Answers as the path says."""

    def __init__(self, quic, stream_handler=None, *, sites, prefers=False, end=None):
        super().__init__(quic, stream_handler)
        self._sites, self._http, self._end = sites, None, end
        if prefers:
            plain = quic._serialize_transport_parameters
            quic._serialize_transport_parameters = lambda: _preferring(plain(), sites.elsewhere_port)

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted) and self._end is not None:
            self._quic.close(**self._end)
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        for each in [] if self._http is None else self._http.handle_event(event):
            if isinstance(each, HeadersReceived):
                path = dict(each.headers)[b":path"].decode()
                self._sites.asked.append(path)
                self._answer(path, each.stream_id)

    def _answer(self, path, stream):
        http, head = self._http, [(b":status", b"404" if path == "/missing" else b"200")]
        if path == "/stall":
            return
        if path == "/reset":
            self._quic.reset_stream(stream, 0x10C)
            self.transmit()
            return
        if path in {"/bomb", "/table"}:
            # Heads of which each byte stands for a whole field: of the fixed table, and of one that was filled before.
            if path == "/table":
                self._quic.send_stream_data(http._local_encoder_stream_id, b"\x3f\xe1\x1f" + _literal(4000))
            packed = b"\x00\x00" + b"\xd9" * 50_000 if path == "/bomb" else b"\x02\x00" + b"\x80" * 15_000
            self._quic.send_stream_data(stream, encode_frame(FrameType.HEADERS, packed), end_stream=True)
            self.transmit()
            return
        if path == "/informed":
            http.send_headers(stream, [(b":status", b"103")])
        http.send_headers(stream, head)
        if path == "/endless":
            http.send_data(stream, bytes(600_000), end_stream=False)
        elif path == "/part":
            http.send_data(stream, b"few", end_stream=False)
        else:
            http.send_data(stream, BODY, end_stream=True)
        self.transmit()


def _literal(n_bytes):
    """An instruction to put a field into the table: name ``a``, a value of so many bytes (RFC 9204 §4.3.3)."""
    return b"\x41a\x7f" + _rest(n_bytes - 127) + b"v" * n_bytes


def _rest(number):
    """What is left of an integer behind its prefix (RFC 7541 §5.1)."""
    return bytes([number & 0x7F | 0x80]) + _rest(number >> 7) if number > 127 else bytes([number])


def _preferring(parameters, port):
    """The same transport parameters, with a wish to be spoken to at another address."""
    told = pull_quic_transport_parameters(Buffer(data=parameters))
    told.preferred_address = QuicPreferredAddress(
        ipv4_address=("127.0.0.1", port), ipv6_address=None, connection_id=bytes(8), stateless_reset_token=bytes(16)
    )
    buffer = Buffer(capacity=2048)
    push_quic_transport_parameters(buffer, told)
    return buffer.data


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with what a function makes of it."""

    def __init__(self, answers):
        self._answers = answers

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        for answer in self._answers(data, peer):
            self._transport.sendto(answer, peer)


def other_versions(data, *versions):
    """Version Negotiation, as a server sends it that speaks these."""
    theirs = data[6 : 6 + data[5]]
    ours = data[7 + len(theirs) : 7 + len(theirs) + data[6 + len(theirs)]]
    return b"\x80" + bytes(4) + bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs + b"".join(versions)


def _of_another_version(data, peer):
    return [other_versions(data, OTHER_VERSION)]


def _garbage(data, peer):
    return [b"\xff" * 40, b"", b"\xc0", data[::-1], b"\xc0\x00\x00\x00\x01\xff" + bytes(60)]


def _flood(data, peer):
    return [b"\xc0\x00\x00\x00\x01" + bytes(1400)] * 300


class _Servers:
    """Starts them, remembers their ports, and closes them."""

    def __init__(self, sites, certificates):
        self._sites, self._certificates = sites, certificates
        self._closing = []

    def settings(self, name="good", alpn="h3"):
        made = QuicConfiguration(is_client=False, alpn_protocols=[alpn])
        file = self._certificates.folder / f"{name}.pem"
        made.load_cert_chain(file, file)
        return made

    async def beside(self, name):
        """A TLS server, and the port it is on."""
        hosts, tls = list(LOOPBACK.values()), self._certificates.server("good")
        server = await asyncio.start_server(_serve_http, hosts, free_port(), ssl=tls, ssl_handshake_timeout=5)
        self._closing.append(server)
        self._sites.ports[name] = server.sockets[0].getsockname()[1]
        return self._sites.ports[name]

    async def quic(self, name, configuration, *, retry=False, **how):
        port = await self.beside(name)
        for host in LOOPBACK.values():
            protocol = partial(_Http3, sites=self._sites, **how)
            server = await serve(host, port, configuration=configuration, create_protocol=protocol, retry=retry)
            self._closing.append(server)

    async def datagrams(self, port, answers):
        for host in LOOPBACK.values():
            make = partial(_Datagrams, answers)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(make, (host, port))
            self._closing.append(transport)

    async def start(self):
        sites = self._sites
        sites.elsewhere_port = free_port(socket.SOCK_DGRAM)
        await self.datagrams(sites.elsewhere_port, lambda data, _: sites.elsewhere.append(data) or [])
        for name in ("good", "other", "expired", "unknown", "chained"):
            await self.quic(name, self.settings(name))
        await self.quic("retry", self.settings(), retry=True)
        await self.quic("prefers", self.settings(), prefers=True)
        await self.quic("no-h3", self.settings(alpn="echo"))
        await self.quic("refuses", self.settings(), end={"error_code": 2, "frame_type": 0, "reason_phrase": "::1"})
        await self.datagrams(await self.beside("silent"), lambda data, peer: [])
        await self.datagrams(await self.beside("version"), _of_another_version)
        await self.datagrams(await self.beside("garbage"), _garbage)
        await self.datagrams(await self.beside("flood"), _flood)
        await self.beside("closed")
        sites.ports["nothing"] = free_port()

    async def stop(self):
        for server in self._closing:
            server.close()
        await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
def quic_sites(server_loop, certificates):
    """TLS and QUIC on one port each, by IPv4 and IPv6."""
    sites = QuicSites()
    servers = _Servers(sites, certificates)
    server_loop.run(servers.start())
    yield sites
    server_loop.run(servers.stop())
