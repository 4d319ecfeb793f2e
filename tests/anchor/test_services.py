"""Every service of the anchor answers as its clients expect, over both families."""

import asyncio
import json
import socket
import ssl

import pytest
from aioice.stun import Class, Message, Method, parse_message
from cryptography import x509
from websockets.sync.client import connect as connect_websocket

from civobs_wire.anchor import (
    ADDRESS_PATH,
    BYTES_PATH,
    ECHO_HEADERS,
    ECHO_PATH,
    KNOWN_BODY,
    KNOWN_PATH,
    NDT7_DOWNLOAD_PATH,
    NDT7_SUBPROTOCOL,
    NDT7_UPLOAD_PATH,
)
from tests.anchor.clients import fetch_h1, fetch_h2, fetch_h3, shake_hands, tell
from tests.anchor.fix_anchor import NAME, SECOND

BOTH = pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
SIZE = 1_000_000


@BOTH
@pytest.mark.parametrize("fetch", [fetch_h1, fetch_h2, fetch_h3])
def test_bytes_go_down_and_up_in_every_version_of_http(anchor, address, fetch):
    status, body = fetch(anchor, address, "GET", f"{BYTES_PATH}?n={SIZE}")
    assert (status, len(body)) == (200, SIZE)
    assert body[:65_536] != bytes(65_536)
    status, body = fetch(anchor, address, "POST", BYTES_PATH, bytes(SIZE))
    assert (status, json.loads(body)) == (200, {"bytes": SIZE})


@pytest.mark.parametrize(
    "asked", ["", "?n=", "?n=-1", "?n=x", "?n=99999999999", "?n=" + 5000 * "9", "?n=%C2%B2", "?n=1e3"]
)
def test_a_number_of_bytes_that_is_none_or_too_large_is_refused(anchor, asked):
    assert fetch_h1(anchor, "127.0.0.1", "GET", BYTES_PATH + asked)[0] == 400


def test_other_methods_and_paths_are_refused(anchor):
    assert fetch_h1(anchor, "127.0.0.1", "DELETE", BYTES_PATH)[0] == 405
    assert fetch_h1(anchor, "127.0.0.1", "GET", "/etc/passwd")[0] == 404
    assert fetch_h1(anchor, "127.0.0.1", "POST", "/", b"x")[0] == 413


@BOTH
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_name_gets_a_certificate_for_it_on_the_same_port(anchor, address, version):
    for name in ("www.example.com", "under_score.example", "a" * 63 + ".example", "xn--bcher-kva.example"):
        certificate = x509.load_der_x509_certificate(shake_hands(address, anchor.https, name, version))
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert alternatives.get_values_for_type(x509.DNSName) == [name]


@BOTH
def test_its_own_name_and_no_name_get_its_own_certificate(anchor, address):
    own = shake_hands(address, anchor.https, NAME)
    assert own == shake_hands(address, anchor.https, None)
    assert own == shake_hands(address, anchor.https, NAME.upper())
    assert own != shake_hands(address, anchor.https, "www.example.com")
    trusting = ssl.create_default_context(cafile=anchor.ca)
    with (
        socket.create_connection((address, anchor.https), 5) as tcp,
        trusting.wrap_socket(tcp, server_hostname=NAME) as tls,
    ):
        assert tls.getpeercert(binary_form=True) == own


@pytest.mark.parametrize("name", ["www.example.com", NAME])
def test_quic_takes_any_name(anchor, name):
    assert fetch_h3(anchor, "127.0.0.1", "GET", f"{BYTES_PATH}?n=10", name=name)[0] == 200


@BOTH
@pytest.mark.parametrize(
    "request_bytes",
    [
        f"GeT {ECHO_PATH} HTTP/1.1\r\nhOsT: Www.Site.example\r\nX-Odd:  two  spaces \r\n\r\n".encode(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"ABCD four words / HTTP/9.9\r\n",
        b"\xff\x00\x01 nothing that anybody speaks",
    ],
)
def test_the_plain_port_returns_what_it_got_byte_for_byte(anchor, address, request_bytes):
    head, _, body = tell(address, anchor.http, request_bytes).partition(b"\r\n\r\n")
    assert body == request_bytes
    assert b"\r\nContent-Type: message/http\r\n" in head


def test_the_plain_ports_headers_are_those_that_probes_know(anchor):
    head = tell("127.0.0.1", anchor.http, b"GET /echo HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[0].decode()
    lines = [tuple(line.split(": ", 1)) for line in head.splitlines()[1:]]
    assert [name for name, _ in lines[:4]] == ["Content-Type", "Content-Length", "Cache-Control", "Connection"]
    assert tuple(lines[4:]) == ECHO_HEADERS


@BOTH
def test_known_page_and_address_are_told(anchor, address):
    for path, content in ((KNOWN_PATH, KNOWN_BODY), (ADDRESS_PATH, address.encode())):
        answer = tell(address, anchor.http, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.partition(b"\r\n\r\n")[2] == content


def stun(address, port, change=0, more=b""):
    """The answer to a binding request, where it came from, and the port it was asked from."""
    request = Message(Method.BINDING, Class.REQUEST)
    if change:
        request.attributes["CHANGE-REQUEST"] = change
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        one.bind(("::1" if ":" in address else "127.0.0.1", 0))
        one.sendto(bytes(request) + more, (address, port))
        data, origin = one.recvfrom(2048)
        return parse_message(data), origin[:2], one.getsockname()[1], len(data)


def test_stun_answers_from_all_four_ends_and_names_them(anchor):
    ends = {0: ("127.0.0.1", anchor.stun), 2: ("127.0.0.1", anchor.stun_other)}
    ends |= {4: (SECOND, anchor.stun), 6: (SECOND, anchor.stun_other)}
    for change, where in ends.items():
        answer, origin, own, size = stun("127.0.0.1", anchor.stun, change)
        assert answer.message_class is Class.RESPONSE
        assert origin == where == answer.attributes["RESPONSE-ORIGIN"]
        assert answer.attributes["OTHER-ADDRESS"] == ends[6]
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == ("127.0.0.1", own)
        assert size < 100


def test_stun_without_a_second_address_refuses_to_change_it(anchor):
    assert stun("::1", anchor.stun, 4)[0].attributes["ERROR-CODE"][0] == 420
    answer, origin, _, _ = stun("::1", anchor.stun, 2)
    assert origin[1] == anchor.stun_other
    assert "OTHER-ADDRESS" not in answer.attributes


def ndt7(anchor, path):
    trusting = ssl.create_default_context(cafile=anchor.ca)
    tcp = socket.create_connection(("127.0.0.1", anchor.https), 5)
    url = f"wss://{NAME}:{anchor.https}{path}?client_name=test"
    return connect_websocket(url, sock=tcp, ssl=trusting, subprotocols=[NDT7_SUBPROTOCOL], max_size=2**24)


def test_a_foreign_client_of_ndt7_downloads_and_is_told_of_the_connection(anchor):
    sizes, told = [], []
    with ndt7(anchor, NDT7_DOWNLOAD_PATH) as client:
        while not told:
            message = client.recv(5)
            if isinstance(message, str):
                told.append(json.loads(message))
            else:
                sizes.append(len(message))
    assert sizes[0] == 1 << 13
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1 << 20
    assert told[0]["Origin"] == "server"
    assert told[0]["Test"] == "download"
    assert told[0]["AppInfo"]["NumBytes"] > 0
    assert told[0]["TCPInfo"]["BytesAcked"] > 0
    assert 0 < told[0]["TCPInfo"]["MinRTT"] <= told[0]["TCPInfo"]["RTT"] + 1000


def test_a_foreign_client_of_ndt7_uploads_and_is_told_how_much_came(anchor):
    with ndt7(anchor, NDT7_UPLOAD_PATH) as client:
        sent, told = 0, None
        while told is None:
            client.send(bytes(65_536))
            sent += 65_536
            try:
                told = json.loads(client.recv(0))
            except TimeoutError:
                continue
    assert told["Test"] == "upload"
    assert 0 < told["AppInfo"]["NumBytes"] <= sent
    assert told["TCPInfo"]["BytesReceived"] >= told["AppInfo"]["NumBytes"]


def test_h2_answers_a_small_question_beside_a_large_answer(anchor):
    """What latency under load is measured by."""
    from tests.anchor.clients import beside

    large, small = asyncio.run(beside(anchor, "127.0.0.1", 20_000_000))
    assert small < large
