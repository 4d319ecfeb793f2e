"""Clients that want harm: each loses its connection in bounded time, and the anchor goes on serving others."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from pathlib import Path

import h2.connection
import hpack
import pytest
from aioquic.asyncio import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, FrameType, H3Connection, encode_frame
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated
from hyperframe.frame import HeadersFrame, SettingsFrame

from civobs_anchor.ndt7 import TEST_S
from civobs_wire.anchor import BYTES_PATH, NDT7_DOWNLOAD_PATH, NDT7_SUBPROTOCOL, NDT7_UPLOAD_PATH
from tests.anchor.clients import careless, fetch_h1, fetch_h3, tell
from tests.anchor.fix_anchor import NAME, Program, ports

ADDRESS = "127.0.0.1"
PATIENCE_S = 8
"""The fixture's anchor waits 2 s for a client's next bytes, its plain port 1 s."""
UPGRADE = (
    f"Host: {NAME}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PROTOCOL = f"Sec-WebSocket-Protocol: {NDT7_SUBPROTOCOL}\r\n"


def still_serves(anchor):
    return fetch_h1(anchor, ADDRESS, "GET", f"{BYTES_PATH}?n=1")[0] == 200


def resident_kib(anchor):
    lines = Path(f"/proc/{anchor.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def ended(one, within_s=PATIENCE_S):
    """Whether the other side ends a connection in time."""
    one.settimeout(within_s)
    try:
        while one.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def tls(anchor, alpn=None):
    context = careless()
    if alpn:
        context.set_alpn_protocols([alpn])
    return context.wrap_socket(socket.create_connection((ADDRESS, anchor.https), 5), server_hostname=NAME)


@pytest.mark.parametrize(
    "noise", [b"\xff" * 4096, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x05hello"]
)
def test_what_is_no_tls_is_turned_away(anchor, noise):
    with socket.create_connection((ADDRESS, anchor.https), 5) as one:
        one.sendall(noise)
        assert ended(one)
    assert still_serves(anchor)


def test_half_a_handshake_is_waited_for_no_longer_than_a_handshake_may_take(anchor):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        careless().wrap_bio(incoming, outgoing, server_hostname=NAME).do_handshake()
    hello = outgoing.read()
    with socket.create_connection((ADDRESS, anchor.https), 5) as one:
        one.sendall(hello[: len(hello) // 2])
        assert ended(one)


@pytest.mark.parametrize(
    "request_head", [b"BREW /bytes HTTP/1.1\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET /bytes HTTP/1.1\r\nHost\r\n\r\n"]
)
def test_nonsense_over_tls_is_answered_400(anchor, request_head):
    with tls(anchor, "http/1.1") as one:
        one.sendall(request_head)
        assert one.recv(4096).startswith(b"HTTP/1.1 400")
        assert ended(one)


def test_endless_headers_end_where_the_limit_is(anchor):
    with tls(anchor, "http/1.1") as one:
        one.settimeout(5)
        one.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                one.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")
        assert ended(one)
    assert still_serves(anchor)


def test_a_slow_client_is_waited_for_no_longer_than_it_may_idle(anchor):
    with tls(anchor, "http/1.1") as one:
        one.sendall(b"GET /bytes?n=1 HTTP/1.1\r\n")
        assert ended(one)


def test_a_silent_client_of_the_plain_port_is_waited_for_no_longer_than_it_may_idle(anchor):
    with socket.create_connection((ADDRESS, anchor.http), 5) as one:
        assert ended(one)


def test_a_client_that_does_not_take_its_answer_is_left(anchor):
    with tls(anchor, "http/1.1") as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(f"GET {BYTES_PATH}?n=60000000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        time.sleep(2.5)
        assert ended(one)


def test_a_body_longer_than_allowed_is_not_taken(anchor):
    before = resident_kib(anchor)
    with tls(anchor, "http/1.1") as one:
        one.settimeout(10)
        one.sendall(f"POST {BYTES_PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000000000000\r\n\r\n".encode())
        try:
            for _ in range(2000):
                one.sendall(bytes(65_536))
        except OSError:
            pass
        else:
            pytest.fail("took 130 MB")
    assert still_serves(anchor)
    assert resident_kib(anchor) < before + 20_000


def test_names_made_up_one_after_the_other_do_not_fill_the_memory(anchor):
    for number in range(300):
        context = careless()
        with (
            socket.create_connection((ADDRESS, anchor.https), 5) as tcp,
            context.wrap_socket(tcp, server_hostname=f"n{number}.example"),
        ):
            pass
        if number == 260:
            full = resident_kib(anchor)
    # The cache is full by then: what is new takes the place of what is old.
    assert resident_kib(anchor) < full + 3_000


def test_streams_beyond_the_limit_end_the_connection(anchor):
    """A client that keeps to no limit, which a library would not let us be."""
    encoder = hpack.Encoder()
    lines = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", BYTES_PATH)]
    frames = [SettingsFrame(0)]
    frames += [HeadersFrame(1 + 2 * n, encoder.encode(lines), flags=["END_HEADERS"]) for n in range(40)]
    with tls(anchor, "h2") as one:
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(frame.serialize() for frame in frames))
        assert ended(one)
    assert still_serves(anchor)


def test_h2_that_is_none_ends_the_connection(anchor):
    for nonsense in (
        b"\xff" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ):
        with tls(anchor, "h2") as one:
            one.sendall(nonsense)
            assert ended(one)


def test_a_frame_without_an_end_is_not_kept(anchor):
    with tls(anchor, "h2") as one, contextlib.suppress(OSError):
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x01\x00\x00\x00\x00\x01")
        for _ in range(100):
            one.sendall(bytes(65_536))
        pytest.fail("took 6 MB of one frame")
    assert still_serves(anchor)


class Deaf(QuicConnectionProtocol):
    """Sends and does not care what comes back, but why it ended."""

    ended_by = None

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.ended_by = event.error_code


def test_a_head_without_an_end_is_not_kept_over_quic(anchor):
    async def run():
        settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=NAME, verify_mode=ssl.CERT_NONE)
        async with connect(ADDRESS, anchor.https, configuration=settings, create_protocol=Deaf) as client:
            stream = client._quic.get_next_available_stream_id()
            client._quic.send_stream_data(stream, b"\x01\xbf\xff\xff\xff" + bytes(1_000_000))
            client.transmit()
            async with asyncio.timeout(PATIENCE_S):
                await client.wait_closed()

    asyncio.run(run())
    assert still_serves(anchor)


TABLE = b"\x3f\xe1\x1f" + b"\x41a\x7f\x81\x1e" + b"v" * 3_968
"""Into the table of 4096 bytes goes one field with a value of 3968 (RFC 9204 §4.3)."""


@pytest.mark.parametrize(
    ("packed", "error"),
    [
        (b"\x02\x00" + b"\x80" * 15_000, ErrorCode.QPACK_ENCODER_STREAM_ERROR),
        (b"\x00\x00" + b"\xd9" * 50_000, ErrorCode.QPACK_DECOMPRESSION_FAILED),
    ],
    ids=["of a table that the client fills", "of the fixed table"],
)
def test_a_head_of_which_each_byte_is_a_field_is_not_unpacked(packed, error, anchor):
    async def run():
        settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=NAME, verify_mode=ssl.CERT_NONE)
        async with connect(ADDRESS, anchor.https, configuration=settings, create_protocol=Deaf) as client:
            http = H3Connection(client._quic)
            if error is ErrorCode.QPACK_ENCODER_STREAM_ERROR:
                client._quic.send_stream_data(http._local_encoder_stream_id, TABLE)
            stream = client._quic.get_next_available_stream_id()
            client._quic.send_stream_data(stream, encode_frame(FrameType.HEADERS, packed), end_stream=True)
            client.transmit()
            async with asyncio.timeout(PATIENCE_S):
                await client.wait_closed()
            return client.ended_by

    before = resident_kib(anchor)
    assert asyncio.run(run()) == error
    assert resident_kib(anchor) - before < 16_384
    assert still_serves(anchor)


def test_resetting_streams_over_and_over_ends_the_connection(anchor):
    client = h2.connection.H2Connection()
    client.initiate_connection()
    lines = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", f"{BYTES_PATH}?n=60000000")]
    with tls(anchor, "h2") as one, contextlib.suppress(OSError):
        one.settimeout(PATIENCE_S)
        for _ in range(50):
            for _ in range(100):
                stream = client.get_next_available_stream_id()
                client.send_headers(stream, lines, end_stream=True)
                client.reset_stream(stream)
            one.sendall(client.data_to_send())
        assert ended(one)
    assert still_serves(anchor)


@pytest.mark.parametrize(
    "request_head",
    [
        f"GET {NDT7_DOWNLOAD_PATH} HTTP/1.1\r\n{UPGRADE}\r\n",
        f"GET /ndt/v7/else HTTP/1.1\r\n{UPGRADE}{PROTOCOL}\r\n",
        f"GET {NDT7_DOWNLOAD_PATH}?{'x' * 5000} HTTP/1.1\r\n{UPGRADE}{PROTOCOL}\r\n",
        f"POST {NDT7_UPLOAD_PATH} HTTP/1.1\r\n{UPGRADE}{PROTOCOL}\r\n",
        f"GET {NDT7_UPLOAD_PATH} HTTP/1.1\r\n{UPGRADE.replace('13', '12')}{PROTOCOL}\r\n",
    ],
)
def test_what_is_no_ndt7_is_refused(anchor, request_head):
    with tls(anchor, "http/1.1") as one:
        one.sendall(request_head.encode())
        status = int(one.recv(4096).split()[1])
        assert 400 <= status < 500
        assert ended(one)


@pytest.mark.parametrize("path", [NDT7_DOWNLOAD_PATH, NDT7_UPLOAD_PATH])
@pytest.mark.parametrize("frames", [b"\xff" * 1000, b"\x82\x05hello", b"\x82\xff" + b"\xff" * 8])
def test_frames_that_break_the_rules_end_ndt7(anchor, path, frames):
    with tls(anchor, "http/1.1") as one:
        one.sendall(f"GET {path} HTTP/1.1\r\n{UPGRADE}{PROTOCOL}\r\n".encode() + frames)
        assert ended(one)
    assert still_serves(anchor)


def test_a_client_that_leaves_in_the_middle_of_ndt7_keeps_nobody_waiting(anchor):
    with tls(anchor, "http/1.1") as one:
        one.sendall(f"GET {NDT7_DOWNLOAD_PATH} HTTP/1.1\r\n{UPGRADE}{PROTOCOL}\r\n".encode())
        assert one.recv(100_000)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    began = time.monotonic()
    assert still_serves(anchor)
    assert time.monotonic() - began < TEST_S / 2


@pytest.mark.parametrize(
    "datagram", [b"", b"\x00", bytes(range(256)), b"\xff" * 1200, b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(40)]
)
def test_datagrams_that_are_nothing_get_nothing(anchor, datagram):
    for port in (anchor.https, anchor.stun):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.1)
            one.connect((ADDRESS, port))
            one.send(datagram)
            with pytest.raises(TimeoutError):
                one.recv(2048)


def test_an_endless_request_to_the_plain_port_is_cut(anchor):
    answer = tell(ADDRESS, anchor.http, b"A" * 200_000)
    assert len(answer) < 66_000


def test_a_dripping_client_of_the_plain_port_gets_what_it_said_so_far(anchor):
    with socket.create_connection((ADDRESS, anchor.http), 5) as one:
        one.sendall(b"GET /ec")
        said = b""
        while more := one.recv(4096):
            said += more
    assert said.endswith(b"\r\n\r\nGET /ec")


@pytest.fixture
def strict(tmp_path):
    """An anchor that allows next to nothing."""
    numbers = ports()
    limits = {
        "connections": 6,
        "connections_per_client": 3,
        "bytes_per_day": 300_000,
        "datagrams_per_s": 3,
        "connection_s": 2,
    }
    program = Program(tmp_path, ports=numbers, limits=limits | {"bytes_per_request": 100_000})
    yield type("Strict", (), numbers)
    assert program.stop() == 0
    assert len(program.said) == 1, "".join(program.said)


def test_limits_hold_for_a_client_over_all_ports_and_end_with_its_connections(strict):
    waiting = [socket.create_connection((ADDRESS, strict.http), 5) for _ in range(3)]
    assert tell(ADDRESS, strict.http, b"GET /known HTTP/1.1\r\n\r\n") == b""
    with pytest.raises(OSError):  # noqa: PT011 - closed in the handshake
        fetch_h1(strict, ADDRESS, "GET", f"{BYTES_PATH}?n=1")
    with pytest.raises(ConnectionError):
        fetch_h3(strict, ADDRESS, "GET", f"{BYTES_PATH}?n=1", name="localhost")
    # Another family is another client.
    assert fetch_h1(strict, "::1", "GET", f"{BYTES_PATH}?n=1")[0] == 200
    for one in waiting:
        assert ended(one)
        one.close()


def test_the_bytes_of_a_day_end(strict):
    statuses = [fetch_h1(strict, ADDRESS, "GET", f"{BYTES_PATH}?n=90000")[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert fetch_h1(strict, ADDRESS, "POST", BYTES_PATH, bytes(60_000))[0] == 413
    assert fetch_h1(strict, "::1", "GET", f"{BYTES_PATH}?n=90000")[0] == 200


def test_a_forged_source_is_sent_no_more_than_so_many_answers(strict):
    request = bytes.fromhex("000100002112a442") + bytes(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.3)
        one.connect((ADDRESS, strict.stun))
        for _ in range(100):
            one.send(request)
        answers = 0
        with contextlib.suppress(TimeoutError):
            while one.recv(2048):
                answers += 1
    assert 3 <= answers <= 6
