"""Real servers on the loopback that misbehave on request, their certificates, and the context that may speak to them.

What a server does follows from what it is asked: the first label of a DNS name, the path of a URL, the port of TLS.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from civobs_agent.budget import Meter, Tally
from civobs_agent.clock import Clock
from civobs_agent.host import FamilyFacts, Host, Route
from civobs_agent.net import Context, Roots
from civobs_agent.refusal import Refusal
from civobs_wire.measurement import ClockState, Validity
from civobs_wire.plan import Plan
from tests.agent.name_server import DnsServer, answer_over_tcp

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
PRESENT = FamilyFacts(has_address=True, routes=(Route("lo", ""),))
MISSING = FamilyFacts(has_address=False, routes=())
BODY = b"<html>all is well</html>"


class Loop:
    """An event loop in a thread, for servers that the loop under test must not wait for."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="servers")
        self._thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def close(self):
        async def end():
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.01)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def server_loop():
    loop = Loop()
    yield loop
    loop.close()


# DNS


@pytest.fixture(scope="session")
def dns_port(server_loop):
    """One port with a DNS server over UDP and TCP, IPv4 and IPv6."""

    async def start():
        loop = asyncio.get_running_loop()
        servers, transports, port = [], [], free_port(socket.SOCK_DGRAM)
        for host in LOOPBACK.values():
            servers.append(await asyncio.start_server(answer_over_tcp, host, port))
            transports.append((await loop.create_datagram_endpoint(DnsServer, (host, port)))[0])
        return servers, transports, port

    servers, transports, port = server_loop.run(start())
    yield port
    for one in (*servers, *transports):
        server_loop.loop.call_soon_threadsafe(one.close)


def plan_with(*resolvers, **fields):
    """A plan that names these resolvers, and what else is given."""
    now = datetime.now(UTC)
    times = {"issued_at": now - timedelta(days=1), "expires_at": now + timedelta(days=1)}
    return Plan(plan_id="zz-1", serial=1, cc="ZZ", resolvers=resolvers, **times, **fields)


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody has, on either address and for TCP and UDP alike."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            port = 0
            for family in (socket.AF_INET, socket.AF_INET6):
                for one in (kind, *({socket.SOCK_STREAM, socket.SOCK_DGRAM} - {kind})):
                    probe = held.enter_context(socket.socket(family, one))
                    probe.bind((LOOPBACK[4 if family == socket.AF_INET else 6], port))
                    port = probe.getsockname()[1]
            return port


# TCP, TLS, HTTP


def _reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _page(body=BODY, status="200 OK", extra=""):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{extra}\r\n"
    return head.encode() + body


def _moved(to):
    return _page(b"", "302 Found", f"Location: {to}\r\n")


PAGES = {
    "/": _page(),
    "/missing": _page(b"gone", "404 Not Found"),
    "/moved": _moved("/"),
    "/to-private": _moved("http://192.168.1.1/admin"),
    "/to-metadata": _moved("http://169.254.169.254/latest/"),
    "/to-mapped": _moved("http://[::ffff:10.0.0.1]/"),
    "/to-name-in-home": _moved("http://bogon.test/"),
    "/to-portal": _moved("http://host-198-51-100-7.portal.test:9/"),
    "/round": _moved("/round"),
    "/nowhere": _moved("https://"),
    "/mail": _moved("mailto:nobody@example.org"),
    "/half-ipv6": _moved("http://[bad/"),
    "/far-port": _moved("http://site.test:99999/"),
    "/control": _moved("http://site.test/\x7f"),
    "/two-lines": b"HTTP/1.1 302 Found\r\nLocation: http://site.test/\rX: y\r\nContent-Length: 0\r\n\r\n",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nx",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfew",
    "/garbage": b"220 mail.example ESMTP\r\n\r\n",
    "/silent-end": b"",
    "/until-close": b"HTTP/1.0 200 OK\r\n\r\nread to the end",
    "/portal": _page(
        b"<title>Blocked\n by order</title>Hello ali@example.org, 203.0.113.7, 2001:db8::7, 02:00:5e:10:00:ff,"
        b" c6336407. Your number is 0912 345 6789, your ticket Zk3v9QxPq81LmN72. Ask at 12:34.",
        extra="Server: Portal/2 (203.0.113.7)\r\nVia: 1.1 one\r\nVia: 1.1 two\r\nSet-Cookie: sid=secret\r\n"
        "Content-Type: text/html\r\nX-User: secret\r\nRefresh: 0; url=/login?user=secret\r\n",
    ),
    "/long": _page(b"a word and " * 1000),
    "/late-address": _page(b". " + b"Ab1" * 1363 + b" 203.0.113.7 " + b"y" * 100),
    "/forbidden": _page(b"no", "403 Forbidden", "Server: cdn\r\n"),
    "/legal": _page(b"", "451 Unavailable For Legal Reasons"),
    "/challenge": _page(b"Just a moment...", "403 Forbidden", "cf-mitigated: challenge\r\n"),
    "/region": _moved("https://claude.com/app-unavailable-in-region?ip=192.168.1.7"),
    "/country": _page(b'{"error":{"code":"unsupported_country_region_territory"}}', "403 Forbidden"),
    "/gemini": _page("<p>Gemini isn’t currently supported in your country.</p>".encode()),
    "/article": _page(b"<p>What is not available in your country, and why</p>"),
    "/informed": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _page(),
}


def _led(path, request):
    """Redirects that depend on the request."""
    head, _, rest = path[1:].replace("?", "/").partition("/")
    host = request.partition("Host: ")[2].partition("\r\n")[0]
    match head:
        case "far":
            return _moved(f"/far/{int(rest) + 1}")
        case "abroad":
            return _moved(f"https://127.0.0.1:{rest}/")
        case "to-login":
            return _moved(f"http://ali:secret@{host}/login/203.0.113.7?user=ali&back=%2f#at")
    return _page(b"", "500 Odd")


async def _serve_http(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = request.split(" ")[1]
        if path == "/reset":
            _reset(writer)
            return
        if path == "/stall":
            await asyncio.sleep(3600)
        if path == "/stall-body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await asyncio.sleep(3600)
        if path == "/endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                # Over TLS, drain() of 3.11 neither waits nor raises once the other side is gone.
                await asyncio.sleep(0)
        if path == "/slow":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
            for _ in range(10):
                await asyncio.sleep(0.02)
                writer.write(b"four")
        else:
            writer.write(PAGES[path] if path in PAGES else _led(path, request))
        await writer.drain()
    with contextlib.suppress(OSError, ssl.SSLError):
        writer.close()
        await writer.wait_closed()


async def _reset_hello(reader, writer):
    await reader.read(10)
    _reset(writer)


async def _stall_hello(reader, writer):
    await asyncio.sleep(3600)


async def _close_hello(reader, writer):
    await reader.read(2000)
    writer.close()


async def _half_hello(reader, writer):
    await reader.read(2000)
    writer.write(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
    await asyncio.sleep(3600)


async def _reset_half_hello(reader, writer):
    await reader.read(2000)
    writer.write(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
    await writer.drain()
    await asyncio.sleep(0.05)
    _reset(writer)


async def _babble_hello(reader, writer):
    await reader.read(2000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


def _alert(writer):
    writer.write(b"\x15\x03\x03\x00\x02\x02\x70")
    writer.close()


def _objector(act, beyond):
    """Does something to connections whose first message names ``site.test``, and passes the others on to a port."""

    async def carry(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def handle(reader, writer):
        hello = await reader.read(4096)
        if b"site.test" in hello:
            act(writer)
            return
        onwards = await asyncio.open_connection("127.0.0.1", beyond)
        onwards[1].write(hello)
        await asyncio.gather(carry(reader, onwards[1]), carry(onwards[0], writer))

    return handle


@dataclass(frozen=True)
class Certificates:
    folder: Path

    def server(self, name):
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings.load_cert_chain(self.folder / f"{name}.pem")
        settings.set_alpn_protocols(["http/1.1"])
        return settings

    @property
    def authority(self):
        return self.folder / "authority.pem"

    @property
    def leaves(self):
        """What they are called, and the servers that show them."""
        return [path.stem for path in self.folder.glob("*.pem") if path != self.authority]

    def digest(self, name):
        """Of the leaf in DER."""
        text = (self.folder / f"{name}.pem").read_text()
        begin, end = text.index("-----BEGIN CERTIFICATE"), text.index("-----END CERTIFICATE-----") + 26
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).hexdigest()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, and leaves that are right, for another name, expired, of an authority nobody knows, of one between,
    and with too many names."""
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.now(UTC)
    day = timedelta(days=1)
    trusted, unknown = _authority("Test Authority", now), _authority("Nobody's Authority", now)
    (folder / "authority.pem").write_bytes(trusted[0].public_bytes(serialization.Encoding.PEM))
    _leaf(folder / "good.pem", trusted, "site.test", now - day, now + day)
    _leaf(folder / "other.pem", trusted, "other.test", now - day, now + day)
    _leaf(folder / "expired.pem", trusted, "site.test", now - 2 * day, now - day)
    _leaf(folder / "unknown.pem", unknown, "site.test", now - day, now + day)
    _leaf(folder / "wild.pem", trusted, "*.test", now - day, now + day)
    _leaf(folder / "router.pem", unknown, "router 192.168.178.1", now - day, now + day)
    between = _authority("Test Intermediate", now, trusted)
    _leaf(folder / "chained.pem", between, "site.test", now - day, now + day)
    with (folder / "chained.pem").open("ab") as file:
        file.write(between[0].public_bytes(serialization.Encoding.PEM))
    for name, n_names in (("crowded", 1_000), ("overfull", 5_000), ("overcrowded", 10_000)):
        _leaf(folder / f"{name}.pem", trusted, "site.test", now - day, now + day, n_names)
    return Certificates(folder)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(name, now, above=None):
    """A root, or one that another authority vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(above[0].subject if above else _name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if above else 1), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((above[1] if above else key).public_key()),
            critical=False,
        )
        .sign(above[1] if above else key, hashes.SHA256())
    )
    return certificate, key


def _leaf(path, authority, host, begins, ends, n_more=0):
    issuer, issuer_key = authority
    names = [x509.DNSName(name) for name in (host, *(f"n{number}.site.test" for number in range(n_more)))]
    key = ec.generate_private_key(ec.SECP256R1())
    loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in LOOPBACK.values()]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(host))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([*names, *loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


@dataclass(frozen=True)
class Sites:
    """Ports of the servers, by what they do."""

    http: int
    https: int
    ports: dict[str, int]


@pytest.fixture(scope="session")
def sites(server_loop, certificates):
    async def start():
        servers = {}
        hosts = list(LOOPBACK.values())
        for name, handler in (
            ("http", _serve_http),
            ("reset", _reset_hello),
            ("stall", _stall_hello),
            ("close", _close_hello),
            ("half", _half_hello),
            ("reset-half", _reset_half_hello),
            ("babble", _babble_hello),
        ):
            servers[name] = await asyncio.start_server(handler, hosts, free_port())
        for name in certificates.leaves:
            servers[name] = await asyncio.start_server(
                _serve_http, hosts, free_port(), ssl=certificates.server(name), ssl_handshake_timeout=5
            )
        beyond = servers["other"].sockets[0].getsockname()[1]
        for name, act in (("objecting", _alert), ("cutting", _reset)):
            servers[name] = await asyncio.start_server(_objector(act, beyond), hosts, free_port())
        return servers

    servers = server_loop.run(start())
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    yield Sites(ports["http"], ports["good"], ports)
    for server in servers.values():
        server_loop.loop.call_soon_threadsafe(server.close)


# What a probe is given


@pytest.fixture
def live_clock(tmp_path):
    return Clock(tmp_path, trust_system=True)


@pytest.fixture
def context(live_clock, dns_port, certificates):
    """A device with IPv4 and IPv6 whose network is the loopback, and whose time runs fast."""
    host = Host(carrier=True, v4=PRESENT, v6=PRESENT, resolvers=("127.0.0.1",))
    return Context(
        clock=live_clock,
        slot_at=live_clock.moment().at,
        host=host,
        validity=Validity(clock=ClockState.SYNCED),
        refusal=Refusal(allowed=frozenset(LOOPBACK.values()), own=frozenset(LOOPBACK.values())),
        meter=Tally(Meter(lambda: live_clock.moment().at)),
        roots=Roots(certificates.authority),
        time_scale=20.0,
        resolver_port=dns_port,
    )


@pytest.fixture
def no_ipv6(context):
    """The same device without IPv6."""
    return replace(context, host=replace(context.host, v6=MISSING))
