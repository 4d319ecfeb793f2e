"""Resolvers on the loopback over a small signed tree of zones with a root of its own, plain, over TLS and over HTTPS.

Their zones are signed with fresh keys; ``Zones.anchor`` is the digest of the root's key, which only a test hands to the
probe.
"""

import asyncio
import base64
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import h2.config
import h2.connection
import h2.events
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.agent.fix_net import LOOPBACK, free_port

SIGNED, BOGUS, WHOAMI, NEUTRAL = "www.signed.test", "bogus.test", "whoami.test", "www.example.com"
EGRESS = "9.9.9.200"
ALGORITHM = "ECDSAP256SHA256"


class Zones:
    """``.``, ``test.`` and ``signed.test.``, each signed by the key that its parent vouches for."""

    def __init__(self, ends=timedelta(days=1)):
        self._times = {"inception": datetime.now(UTC) - timedelta(days=2), "expiration": datetime.now(UTC) + ends}
        self.records = {}
        self._keys = {}
        parent = None
        for zone in (".", "test.", "signed.test."):
            private = ec.generate_private_key(ec.SECP256R1())
            public = dns.dnssec.make_dnskey(private.public_key(), ALGORITHM, flags=257)
            self._keys[zone] = private, public
            name = dns.name.from_text(zone)
            if parent is None:
                self.anchor = dns.dnssec.make_ds(name, public, "SHA256").to_text()
            else:
                self._add(parent, zone, "DS", dns.dnssec.make_ds(name, public, "SHA256").to_text())
            self._add(zone, zone, "DNSKEY", public.to_text())
            parent = zone
        self._add("signed.test.", f"{SIGNED}.", "A", "9.9.9.1")
        self._add("test.", f"{BOGUS}.", "A", "9.9.9.2")
        self.forge(BOGUS)

    def _add(self, zone, name, rdtype, text):
        records = dns.rrset.from_text(name, 300, "IN", rdtype, text)
        private, public = self._keys[zone]
        signature = dns.dnssec.sign(records, private, dns.name.from_text(zone), public, **self._times)
        signatures = dns.rrset.from_rdata(records.name, 300, signature)
        self.records[name, rdtype] = records, signatures

    def forge(self, name):
        """Put another address under the signature of the true one."""
        _, signatures = self.records[f"{name}.", "A"]
        self.records[f"{name}.", "A"] = dns.rrset.from_text(f"{name}.", 300, "IN", "A", "9.9.9.66"), signatures


@dataclass
class Manners:
    """How a resolver behaves."""

    validates: bool = True
    keeps_signatures: bool = True
    mangles: bool = False
    says: dict[str, str] = field(default_factory=lambda: {"id.server.": "res-1", "version.bind.": "resolver 1.0"})


@dataclass
class Recursive:
    """A resolver."""

    zones: Zones
    manners: Manners = field(default_factory=Manners)

    def answer(self, data, transport="udp"):
        """The message that answers a message."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, rdtype = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query, recursion_available=True)
        if any(isinstance(option, dns.edns.NSIDOption) for option in query.options):
            reply.use_edns(0, options=[dns.edns.NSIDOption(b"node-1")])
        if question.rdclass == dns.rdataclass.CH:
            self._say(reply, name)
        elif self.manners.mangles and question.name.to_text() != name:
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._look_up(reply, name, rdtype, query.flags & dns.flags.CD)
        wire = reply.to_wire(max_size=65535)
        if transport == "udp" and len(wire) > 1232:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            wire = reply.to_wire()
        return wire

    def _say(self, reply, name):
        text = self.manners.says.get(name)
        if text is None:
            reply.set_rcode(dns.rcode.REFUSED)
        else:
            reply.answer.append(dns.rrset.from_text(name, 0, "CH", "TXT", f'"{text}"'))

    def _look_up(self, reply, name, rdtype, unchecked):
        plain = {f"{WHOAMI}.": EGRESS, f"{NEUTRAL}.": "9.9.9.3"}.get(name)
        if plain is not None and rdtype == "A":
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", plain))
        elif name == f"{BOGUS}." and self.manners.validates and not unchecked:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif (name, rdtype) in self.zones.records:
            records, signatures = self.zones.records[name, rdtype]
            reply.answer.append(records)
            if unchecked and self.manners.keeps_signatures:
                reply.answer.append(signatures)

    async def over_stream(self, reader, writer):
        """Over TCP or TLS."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.answer(await reader.readexactly(length), "tcp")
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, recursive):
        self._recursive = recursive

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        if self._recursive is not None:
            self._transport.sendto(self._recursive.answer(data), peer)


class Https:
    """DNS over HTTPS. The path says how: ``/missing``, ``/garbage``, ``/endless`` beyond all bounds; else well."""

    def __init__(self, recursive):
        self._recursive = recursive

    def page(self, path):
        """Status and body."""
        parts = urlsplit(path)
        if parts.path == "/missing":
            return 404, b"no such page"
        if parts.path == "/garbage":
            return 200, b"<html>log in here</html>"
        packed = parse_qs(parts.query)["dns"][0]
        return 200, self._recursive.answer(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), "tcp")

    async def http1(self, reader, writer):
        with contextlib.suppress(OSError, EOFError):
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
            if path.startswith("/endless"):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(64):
                    writer.write(b"x" * 65536)
                    await writer.drain()
            status, body = self.page(path)
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async def http2(self, reader, writer):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
        connection.initiate_connection()
        with contextlib.suppress(OSError, EOFError):
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        status, body = self.page(dict(event.headers)[":path"])
                        connection.send_headers(event.stream_id, [(":status", str(status))])
                        connection.send_data(event.stream_id, body, end_stream=True)
                writer.write(connection.data_to_send())
                await writer.drain()
        writer.close()


@dataclass(frozen=True)
class Resolvers:
    """What runs where, on both loopback addresses."""

    recursive: Recursive
    port: int
    silent_udp: int
    """A port that answers over TCP alone."""
    silent: int
    """A port that answers nothing over UDP and nothing over TCP."""
    dot: int
    http1: int
    http2: int


@pytest.fixture(scope="session")
def zones():
    return Zones()


@pytest.fixture
def resolvers(server_loop, certificates, zones):
    recursive = Recursive(zones)
    web = Https(recursive)

    def secure(protocol):
        settings = certificates.server("good")
        settings.set_alpn_protocols([protocol])
        return {"ssl": settings, "ssl_handshake_timeout": 5}

    async def start():
        loop, hosts = asyncio.get_running_loop(), list(LOOPBACK.values())
        ports = {name: free_port(socket.SOCK_DGRAM) for name in ("port", "silent_udp", "silent")}
        things = []
        for name, port in ports.items():
            answering = recursive if name == "port" else None
            for host in hosts:
                endpoint = await loop.create_datagram_endpoint(lambda one=answering: _Datagrams(one), (host, port))
                things.append(endpoint[0])
            things.append(await asyncio.start_server(recursive.over_stream if name != "silent" else _mute, hosts, port))
        for name, handler, protocol in (
            ("dot", recursive.over_stream, "dot"),
            ("http1", web.http1, "http/1.1"),
            ("http2", web.http2, "h2"),
        ):
            ports[name] = free_port()
            things.append(await asyncio.start_server(handler, hosts, ports[name], **secure(protocol)))
        return ports, things

    ports, things = server_loop.run(start())
    yield Resolvers(recursive, **ports)
    for thing in things:
        server_loop.loop.call_soon_threadsafe(thing.close)


async def _mute(reader, writer):
    with contextlib.suppress(OSError, ssl.SSLError):
        await reader.read()
    writer.close()
