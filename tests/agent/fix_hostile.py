"""Servers on the loopback that are out to hurt whoever asks them: floods, drips, lies, bombs.

What an HTTP server does follows from the path, what a TLS server does from its port, what a DNS server does from the
first label of the name. Whatever goes on without end does so until the other side hangs up.
"""

import asyncio
import contextlib
import functools
import itertools
import random
import socket
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.agent.fix_net import LOOPBACK, Certificates, free_port

DRIP_S = 0.05
"""A byte a second, in a laboratory whose time runs twenty times as fast."""
NOISE = random.Random(4).randbytes(4096)
BLOCK = b"x" * 16_384
TITLED = b"<html><title>Pag&#101; of ali@example.ir</title>\n<p>Your address is 203.0.113.7, your number 4415 2290 1138"


def page(*lines, body=b"", status="HTTP/1.1 200 OK"):
    return "\r\n".join((status, *lines, "", "")).encode("latin-1") + body


def forever(piece, head=b""):
    """A server's answer: the head, and then the same piece without end."""
    return itertools.chain([head], itertools.repeat(piece))


@functools.cache
def bomb():
    """Zeros: thirty megabytes in thirty thousand bytes."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(30)), packer.flush()])


CHUNKED = page("Transfer-Encoding: chunked")
HTTP = {
    "/noise": lambda: [NOISE],
    "/endless-noise": lambda: forever(NOISE),
    "/endless-head": lambda: forever(b"X-Field: value\r\n" * 64, b"HTTP/1.1 200 OK\r\n"),
    "/endless-line": lambda: forever(BLOCK, b"HTTP/1.1 200 OK\r\nX-Field: "),
    "/endless-status": lambda: forever(BLOCK, b"HTTP/1.1 200 "),
    "/endless-interim": lambda: forever(page(status="HTTP/1.1 103 Early Hints")),
    "/long-interim": lambda: forever(page("X: " + "i" * 60_000, status="HTTP/1.1 103 Early Hints")),
    "/endless-body": lambda: forever(BLOCK, page()),
    "/endless-crumbs": lambda: forever(b"1\r\nx\r\n" * 512, CHUNKED),
    "/endless-extensions": lambda: forever(b"1;" + b"e" * 32_000 + b"\r\nx\r\n", CHUNKED),
    "/endless-chunk-size": lambda: forever(b"0" * 4096, CHUNKED),
    "/endless-trailer": lambda: forever(b"X-Field: value\r\n" * 64, CHUNKED + b"0\r\n"),
    "/huge-chunk": lambda: [CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nx"],
    "/chunk-noise": lambda: [CHUNKED + b"a chunk\r\n" + NOISE],
    "/broken-head": lambda: [b"HTTP/1.1 200 OK\r\nServer: a"],
    "/too-long": lambda: [page("Content-Length: 3", body=b"abcdef")],
    "/too-short": lambda: [page("Content-Length: 1000000000", body=b"abc")],
    "/huge-length": lambda: [page("Content-Length: " + "9" * 60, body=b"abc")],
    "/negative-length": lambda: [page("Content-Length: -1", body=b"abc")],
    "/two-lengths": lambda: [page("Content-Length: 3", "Content-Length: 4", body=b"abc")],
    "/length-and-chunks": lambda: [
        page("Content-Length: 99", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
    ],
    "/odd-coding": lambda: [page("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")],
    "/switching": lambda: [page("Upgrade: nothing", "Connection: upgrade", status="HTTP/1.1 101 Switching Protocols")],
    "/zero-status": lambda: [page(status="HTTP/1.1 000 Zero")],
    "/long-status": lambda: [page(status="HTTP/1.1 99999 Far")],
    "/nine": lambda: [TITLED],
    "/nul-header": lambda: [page("Server: a\0b")],
    "/split-header": lambda: [page("Server: a\rSet-Cookie: sid=4", "Content-Length: 0")],
    "/into-header": lambda: [page("Location: /nothing%0d%0aX-Injected:%20yes", status="HTTP/1.1 302 Found")],
    "/bomb": lambda: [page("Content-Encoding: gzip", f"Content-Length: {len(bomb())}", body=bomb())],
    "/false-gzip": lambda: [page("Content-Encoding: gzip", "Content-Length: 4096", body=NOISE)],
    "/titles": lambda: forever(b"<title" * 512, page()),
    "/far-name": lambda: [page("Location: http://" + "a" * 60_000 + ".test/", status="HTTP/1.1 302 Found")],
    "/many-fields": lambda: [page(*(f"Server: {number}" for number in range(4000)), "Content-Length: 0")],
}


async def drip(writer, data):
    for number in itertools.count():
        writer.write(data[number % len(data) :][:1])
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def _http(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        if path.startswith("/far/"):
            number = int(path.removeprefix("/far/")) + 1
            writer.write(page(f"Location: /far/{number}", "Content-Length: 0", status="HTTP/1.1 302 Found"))
        elif path == "/drip-head":
            await drip(writer, page("X-Field: a value of some length"))
        elif path == "/drip-body":
            writer.write(page("Content-Length: 100000"))
            await drip(writer, b"x")
        elif path == "/silence":
            await asyncio.sleep(3600)
        else:
            for piece in HTTP.get(path, lambda: [page("Content-Length: 0", status="HTTP/1.1 404 Not Found")])():
                writer.write(piece)
                await writer.drain()
    await _end(writer)


async def _end(writer):
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


# TLS


def record(kind, body, length=None):
    """A TLS record; its length may lie."""
    return bytes([kind]) + b"\x03\x03" + (len(body) if length is None else length).to_bytes(2, "big") + body


HELLO_OF_16_MB = b"\x02" + (2**24 - 1).to_bytes(3, "big") + b"\x03\x03" + bytes(4000)
TLS = {
    "noise": lambda: [NOISE],
    "endless_zeros": lambda: forever(bytes(16_384)),
    "endless_hello": lambda: itertools.chain([record(22, HELLO_OF_16_MB)], itertools.repeat(record(22, bytes(4000)))),
    "wrong_length": lambda: [record(22, b"\x02", 60_000)],
    "empty_records": lambda: forever(record(22, b"") * 64),
    "endless_warnings": lambda: forever(record(21, b"\x01\x5a") * 64),
    "http_over_tls": lambda: [page(body=b"Bad Request", status="HTTP/1.1 400 Bad Request")],
}


def _tls_of(pieces):
    async def answer(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.read(2000)
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
        await _end(writer)

    return answer


async def _drip_tls(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read(2000)
        await drip(writer, record(22, HELLO_OF_16_MB))
    await _end(writer)


async def _good(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(page("Content-Length: 2", body=b"ok"))
        await writer.drain()
    await _end(writer)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory):
    """Certificates that sign themselves, for 1,000 and for 10,000 names."""
    folder = tmp_path_factory.mktemp("crowded")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crowd.test")])
    now = datetime.now(UTC)
    for number in (1_000, 10_000):
        names = x509.SubjectAlternativeName([x509.DNSName(f"name-{one}.crowd.test") for one in range(number)])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(7).not_valid_before(now - timedelta(days=1))
        certificate = builder.not_valid_after(now + timedelta(days=1)).add_extension(names, critical=False)
        pem = certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / f"{number}.pem").write_bytes(private + pem)
    return Certificates(folder)


# DNS


def record_of(name, rdtype):
    return dns.rrset.from_text(name, 60, "IN", rdtype, {"A": "127.0.0.1", "AAAA": "::1"}.get(rdtype, "nothing."))


def aliases(*names):
    return [dns.rrset.from_text(name, 60, "IN", "CNAME", following) for name, following in itertools.pairwise(names)]


def answered(query, *answer, flags=0):
    """The packet of a reply with these records."""
    reply = dns.message.make_response(query)
    reply.answer, reply.flags = list(answer), reply.flags | flags
    return reply.to_wire(max_size=65_535)


def good(query):
    return answered(query, record_of(query.question[0].name, query.question[0].rdtype.name))


def swapped(query):
    """The letters of the question in the other case, in the question and in the answer."""
    name = dns.name.from_text(str(query.question[0].name).swapcase())
    reply = dns.message.make_response(query)
    reply.question = [dns.rrset.RRset(name, query.question[0].rdclass, query.question[0].rdtype)]
    reply.answer = [record_of(name, query.question[0].rdtype.name)]
    return reply.to_wire()


def crowd(query):
    """Hundreds of addresses, none of which anybody may speak to."""
    name, rdtype = query.question[0].name, query.question[0].rdtype.name
    one = "10.9.{0}.{1}" if rdtype == "A" else "2001:db8::{0}:{1}"
    return answered(
        query, dns.rrset.from_text_list(name, 60, "IN", rdtype, [one.format(*divmod(n, 250)) for n in range(400)])
    )


def pointer(query):
    """RFC 1035 §4.1.4: a name that says that it goes on where it begins."""
    return query.id.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\xc0\x0c" + query.to_wire()[12:]


def wrong_id(query):
    packet = bytearray(good(query))
    packet[1] ^= 1
    return bytes(packet)


DNS = {
    "noise": lambda _: [NOISE[:512]],
    "loop": lambda query: [
        answered(query, *aliases(str(query.question[0].name), "round.", str(query.question[0].name)))
    ],
    "ladder": lambda query: [
        answered(query, *aliases(str(query.question[0].name), *(f"step-{n}.test." for n in range(60))))
    ],
    "pointer": lambda query: [pointer(query)],
    "swapped": lambda query: [swapped(query)],
    "flood": lambda query: [wrong_id(query)] * 2000 + [good(query)],
    "twice": lambda query: [good(query)] * 500,
    "crowd": lambda query: [crowd(query)],
    "cut": lambda query: [answered(query, flags=dns.flags.TC)],
}


def dns_packets(data):
    """What comes of a question: packets, in order."""
    query = dns.message.from_wire(data)
    return DNS.get(query.question[0].name.labels[0].decode().lower(), lambda query: [good(query)])(query)


class _DnsOverUdp(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        for packet in dns_packets(data):
            self.transport.sendto(packet, peer)


async def _dns_over_tcp(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        if b"\x03cut" in data.lower():
            writer.write(b"\xff\xff")
            await drip(writer, NOISE)
        for packet in dns_packets(data):
            writer.write(len(packet).to_bytes(2, "big") + packet)
            await writer.drain()
    await _end(writer)


# All of them


@dataclass(frozen=True)
class Hostile:
    """Ports: of the HTTP server, of the DNS server, and of the TLS servers by what they do."""

    http: int
    good: int
    dns: int
    tls: dict[str, int]


@pytest.fixture(scope="session")
def hostile(server_loop, crowded, certificates):
    async def start():
        hosts, loop = list(LOOPBACK.values()), asyncio.get_running_loop()
        handlers = {"http": _http, "good": _good, "drip": _drip_tls}
        handlers |= {name: _tls_of(pieces) for name, pieces in TLS.items()}
        servers = {name: await asyncio.start_server(handler, hosts, free_port()) for name, handler in handlers.items()}
        secure = {f"crowd_{names}": crowded.server(str(names)) for names in (1_000, 10_000)}
        secure["tickets"] = certificates.server("good")
        secure["tickets"].num_tickets = 5_000
        for name, settings in secure.items():
            servers[name] = await asyncio.start_server(_good, hosts, free_port(), ssl=settings, ssl_handshake_timeout=5)
        port = free_port(socket.SOCK_DGRAM)
        transports = []
        for host in hosts:
            servers[f"dns {host}"] = await asyncio.start_server(_dns_over_tcp, host, port)
            transports.append((await loop.create_datagram_endpoint(_DnsOverUdp, (host, port)))[0])
        return servers, transports, port

    bomb()  # takes longer than a server may take to answer
    servers, transports, dns_port = server_loop.run(start())
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    yield Hostile(ports["http"], ports["good"], dns_port, ports)
    for one in (*servers.values(), *transports):
        server_loop.loop.call_soon_threadsafe(one.close)
