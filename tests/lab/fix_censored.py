"""Two customers, a censor box, and a world with two servers; plain clients that say in a word how it went.

Nothing here knows the agent: sockets, ``ssl``, dnspython, aioquic and icmplib see what a person's programs would see.
"""

import asyncio
import datetime as dt
import errno
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address, ip_network

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from icmplib import ping
from pyroute2 import IPRoute

from civobs_lab.censor.box import CensorBox
from civobs_lab.namespace import Namespace
from civobs_lab.network import Place

A, B = "198.51.100.10", "198.51.100.20"
A6, B6 = "2001:db8:f::10", "2001:db8:f::20"
ALICE, BOB = "192.0.2.2", "192.0.2.6"
BAD, GOOD = "www.bad.example", "www.good.example"
TRUTH, TRUTH6 = "198.51.100.99", "2001:db8:f::99"
PATIENCE_S = 30.0
"""For what is to go well, on a busy machine."""
BRIEF_S = 0.7
"""For what is not to be answered: many times what an answer takes when nobody interferes."""
_WIRES = (
    # upper place, its interface, lower place; addresses of both ends
    ("world", "down", "box", ("198.51.100.1/30", "198.51.100.2/30"), ("2001:db8:c::1/64", "2001:db8:c::2/64")),
    ("box", "to-alice", "alice", ("192.0.2.1/30", "192.0.2.2/30"), ("2001:db8:a::1/64", "2001:db8:a::2/64")),
    ("box", "to-bob", "bob", ("192.0.2.5/30", "192.0.2.6/30"), ("2001:db8:b::1/64", "2001:db8:b::2/64")),
)


class Censored:
    """The little network and what its customers can do."""

    def __init__(self, folder):
        self.places = {name: Place(Namespace(name)) for name in ("world", "box", "alice", "bob")}
        for wire in _WIRES:
            self._wire(*wire)
        for address in (A, B, A6, B6):
            self.places["world"].addresses.append(("lo", ip_address(address), 32 if "." in address else 128))
        for place in self.places.values():
            place.configure()
        for place in self.places.values():
            place.wait_until_ready()
        self.box = CensorBox(self.places["box"], folder / "box")
        self._world = World(self.places["world"].namespace, folder)

    def _wire(self, upper, device, lower, *ends):
        above, below = self.places[upper], self.places[lower]

        def connect_ends():
            with IPRoute() as netlink:
                peer = {"ifname": "up", "net_ns_fd": below.namespace.fd}
                netlink.link("add", ifname=device, kind="veth", peer=peer)

        above.namespace.run(connect_ends)
        for high, low in ends:
            (high_address, high_length), (low_address, low_length) = high.split("/"), low.split("/")
            above.addresses.append((device, ip_address(high_address), int(high_length)))
            below.addresses.append(("up", ip_address(low_address), int(low_length)))
            everything = "0.0.0.0/0" if "." in high else "::/0"
            below.routes.append((ip_network(everything), ip_address(high_address)))
            if upper == "world":
                behind = ["192.0.2.0/24"] if "." in high else ["2001:db8:a::/64", "2001:db8:b::/64"]
                above.routes += [(ip_network(prefix), ip_address(low_address)) for prefix in behind]

    def close(self):
        self.box.close()
        self._world.stop()
        for place in self.places.values():
            place.namespace.close()

    def run(self, who, function):
        return self.places[who].namespace.run(function)

    def battery(self, hit=None, only=None):
        """How everything goes that the customers do, all at once; ``hit`` is what is not expected to go well."""
        names = list(only or BATTERY)

        def how(name):
            who, act, *rest = BATTERY[name]
            patience = BRIEF_S if (hit or {}).get(name) == "timeout" else PATIENCE_S
            return self.run(who, lambda: word(act, *rest, patience))

        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(how, names), strict=True))


def word(act, *rest):
    """What came of it: ``ok`` or how it failed."""
    try:
        return act(*rest)
    except (TimeoutError, dns.exception.Timeout):
        return "timeout"
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        return "reset"
    except ConnectionRefusedError:
        return "refused"
    except EOFError:
        return "reset"
    except OSError as error:
        return "forbidden" if error.errno in (errno.EHOSTUNREACH, errno.EACCES) else errno.errorcode[error.errno]


def tls(name, address, patience=PATIENCE_S):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, 443), timeout=patience) as tcp,
        context.wrap_socket(tcp, server_hostname=name) as secure,
    ):
        secure.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return "ok" if secure.recv(100).startswith(b"HTTP/1.1 200") else "strange"


def page(host, address, patience=PATIENCE_S, path="/", headers=""):
    """All that a server answers to a plain HTTP request."""
    with socket.create_connection((address, 80), timeout=patience) as tcp:
        tcp.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n".encode())
        answer = b""
        while piece := tcp.recv(65536):
            answer += piece
        return answer


def http(host, address, patience=PATIENCE_S):
    answer = page(host, address, patience)
    return "ok" if answer.startswith(b"HTTP/1.1 200") else answer[9:12].decode()


def ask(name, kind, address, patience=PATIENCE_S):
    return told(dns.message.from_wire(datagram(address, 53, dns.message.make_query(name, kind).to_wire(), patience)))


def ask_tcp(name, address, patience=PATIENCE_S):
    return told(dns.query.tcp(dns.message.make_query(name, "A"), address, timeout=patience))


def told(answer):
    said = [str(record) for records in answer.answer for record in records]
    return "ok" if said in ([TRUTH], [TRUTH6]) else ",".join(said) or dns.rcode.to_text(answer.rcode())


def datagram(address, port, data, patience):
    """What comes back. The socket is connected, so that refusals by ICMP are heard."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(patience)
        udp.connect((address, port))
        udp.send(data)
        return udp.recv(65536)


def echo(address, patience=PATIENCE_S):
    return "ok" if datagram(address, 7, b"hello", patience) == b"hello" else "strange"


def quic(name, address, patience=PATIENCE_S):
    async def talk():
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["echo"], server_name=name, verify_mode=ssl.CERT_NONE
        )
        async with asyncio.timeout(patience), connect(address, 443, configuration=configuration) as client:
            reader, writer = await client.create_stream()
            writer.write(b"hello")
            writer.write_eof()
            return "ok" if await reader.read() == b"hello" else "strange"

    return asyncio.run(talk())


def echo_request(address, patience=PATIENCE_S):
    return "ok" if ping(address, count=1, timeout=patience, privileged=False).is_alive else "timeout"


BATTERY = {
    "tls bad": ("alice", tls, BAD, A),
    "tls good": ("alice", tls, GOOD, A),
    "tls bad B": ("alice", tls, BAD, B),
    "tls bad 6": ("alice", tls, BAD, A6),
    "tls good 6": ("alice", tls, GOOD, A6),
    "bob tls bad": ("bob", tls, BAD, A),
    "http bad": ("alice", http, BAD, A),
    "http good": ("alice", http, GOOD, A),
    "http bad 6": ("alice", http, BAD, A6),
    "bob http bad": ("bob", http, BAD, A),
    "dns bad": ("alice", ask, BAD, "A", A),
    "dns good": ("alice", ask, GOOD, "A", A),
    "dns bad aaaa": ("alice", ask, BAD, "AAAA", A),
    "dns bad 6": ("alice", ask, BAD, "A", A6),
    "dns bad tcp": ("alice", ask_tcp, BAD, A),
    "dns good tcp": ("alice", ask_tcp, GOOD, A),
    "bob dns bad": ("bob", ask, BAD, "A", A),
    "quic bad": ("alice", quic, BAD, A),
    "quic good": ("alice", quic, GOOD, A),
    "quic bad 6": ("alice", quic, BAD, A6),
    "udp": ("alice", echo, A),
    "udp B": ("alice", echo, B),
    "udp 6": ("alice", echo, A6),
    "ping": ("alice", echo_request, A),
    "ping B": ("alice", echo_request, B),
    "ping 6": ("alice", echo_request, A6),
    "bob ping": ("bob", echo_request, A),
}
"""What is done: by whom, how, to what."""
ALL_WELL = dict.fromkeys(BATTERY, "ok")


class World:
    """Servers at both addresses: DNS, HTTP, TLS, QUIC, echo."""

    def __init__(self, namespace, folder):
        certificate, key = _certificate(folder)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self._quic = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
        self._quic.load_cert_chain(certificate, key)
        self._up, self._stop = threading.Event(), None
        self._thread = threading.Thread(target=lambda: namespace.run(lambda: asyncio.run(self._serve())))
        self._thread.start()
        assert self._up.wait(10)

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        servers = [
            await asyncio.start_server(_http, None, 80),
            await asyncio.start_server(_http, None, 443, ssl=self._tls),
            await asyncio.start_server(_dns_stream, None, 53),
        ]
        for address in (A, B, A6, B6):
            for answer, port in ((_dns_answer, 53), (bytes, 7)):
                transport, _ = await self._loop.create_datagram_endpoint(partial(Answering, answer), (address, port))
                servers.append(transport)
            servers.append(await serve(address, 443, configuration=self._quic, stream_handler=_echo_stream))
        self._up.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        await asyncio.sleep(0.1)


class Answering(asyncio.DatagramProtocol):
    """Answers each datagram."""

    def __init__(self, answer):
        self._answer = answer

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, source):
        self._transport.sendto(self._answer(data), source)


def _dns_answer(wire):
    try:
        question = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return b"garbage"
    answer = dns.message.make_response(question)
    kind = question.question[0].rdtype
    answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", kind, TRUTH if kind == 1 else TRUTH6))
    return answer.to_wire()


async def _dns_stream(reader, writer):
    with _tolerant(writer):
        while length := await reader.readexactly(2):
            answer = _dns_answer(await reader.readexactly(int.from_bytes(length)))
            writer.write(len(answer).to_bytes(2) + answer)


async def _http(reader, writer):
    """``/N`` sends N kilobytes; anything else sends back the request's own head."""
    with _tolerant(writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = head.split(b" ")[1][1:]
            body = bytes(1000 * int(size)) if size else head
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            if b"connection: close" in head.lower():
                return


def _echo_stream(reader, writer):
    async def send_back():
        writer.write(await reader.read())
        writer.write_eof()

    task = asyncio.ensure_future(send_back())
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


_TASKS = set()


class _tolerant:  # noqa: N801
    """Clients and censors may end a connection at any time."""

    def __init__(self, writer):
        self._writer = writer

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._writer.close()
        return kind is not None and issubclass(kind, EOFError | OSError)


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "world")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(BAD), x509.DNSName(GOOD)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "world.pem", folder / "world.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate_file, key_file


@pytest.fixture(scope="module")
def censored(tmp_path_factory):
    built = Censored(tmp_path_factory.mktemp("censored"))
    yield built
    built.close()
