"""Every row of the servers' table of misbehaviour is seen by plain clients, and is gone when it is cleared."""

import http.client
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from aioice.stun import Class, Message, Method, parse_message
from aioquic.h3.connection import ErrorCode
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

from civobs_lab.servers.misbehaviour import ALL, LIE_ADDRESSES, SLOW_BYTE_S, SLOW_S, TABLE, Does, able
from civobs_lab.switchboard import Switchboard, SwitchError
from tests.lab.fix_servers import TIME_SCALE
from tests.lab.lab_clients import (
    SILENCE_S,
    TIMEOUT_S,
    QuicError,
    addresses,
    ask_tls,
    get,
    get_h3,
    get_tls,
    send_datagram,
    tell,
)

pytestmark = pytest.mark.netns

NAME = "www.site.example"
SIZE = 32_768
AHEAD_S = 3 * 3600
NTP_EPOCH_S = 2_208_988_800
QUIC_CRYPTO_ERROR = 0x100
"""RFC 9000 §20.1: to it the number of the TLS alert is added."""
UNKNOWN_VERSION = b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(8) + b"\x08" + bytes(8)
HOSTS = {"tcp": "root", "authority": "root", "resolver": "resolver-xa", "web": "site", "h3": "site", "portal": "portal"}
"""Of the services; the rest is on ``measure``."""


def see_tcp(served, address, wait_s=TIMEOUT_S):
    return "ok" if served.home(tell, address, 443, b"", wait_s) == b"" else "talks"


def see_web(served, address, wait_s=TIMEOUT_S):
    page = served.home(get_tls, address, served.certificates, host=NAME, timeout_s=wait_s)
    return judged(page, NAME.encode())


def see_portal(served, address, wait_s=TIMEOUT_S):
    page = served.home(get, address, host=NAME, timeout_s=wait_s)
    return "ok" if page.status == 302 else str(page.status)


def see_echo(served, address, wait_s=TIMEOUT_S):
    sent = b"GET /Odd HTTP/1.1\r\nHost: a\r\n\r\n"
    bare = served.home(tell, address, 7, sent, wait_s)
    answer = served.home(tell, address, 80, sent, wait_s)
    if not answer:
        return "closed"
    status, body = answer.split()[1], answer.partition(b"\r\n\r\n")[2]
    if status != b"200":
        return status.decode()
    assert bare == body
    return {sent: "ok", sent.swapcase(): "lie"}[body]


def see_h3(served, address, wait_s=TIMEOUT_S):
    # A client of QUIC takes no notice of ICMP: first see whether anybody is there (RFC 9000 §6).
    served.home(send_datagram, address, 443, UNKNOWN_VERSION.ljust(1200, b"\0"), wait_s)
    page = served.home(get_h3, address, served.certificates, host=NAME, timeout_s=wait_s)
    return judged(page, NAME.encode())


def see_throughput(served, address, wait_s=TIMEOUT_S):
    """By TCP; where QUIC fares otherwise, that too."""
    by_tcp, by_quic = (
        seen(lambda: bytes_of(served, address, get_tls, wait_s)),
        seen(lambda: bytes_of(served, address, get_h3, wait_s)),
    )
    return by_tcp if by_tcp == by_quic else f"{by_tcp}, {by_quic} by QUIC"


def bytes_of(served, address, fetch, wait_s):
    if fetch is get_h3:
        served.home(send_datagram, address, 443, UNKNOWN_VERSION.ljust(1200, b"\0"), wait_s)
    page = served.home(fetch, address, served.certificates, host=address, path=f"/bytes?n={SIZE}", timeout_s=wait_s)
    return "ok" if (page.status, len(page.body)) == (200, SIZE) else str(page.status)


def judged(page, text):
    if page.status != 200:
        return str(page.status)
    return "ok" if text in page.body else "lie"


def told(answer, right):
    if answer.rcode() != dns.rcode.NOERROR:
        return dns.rcode.to_text(answer.rcode()).lower()
    return {right: "ok", LIE_ADDRESSES[0]: "lie"}[addresses(answer).pop()]


def see_names(served, address, wait_s=TIMEOUT_S):
    """By UDP; where TCP fares otherwise, that too."""
    right, query = served.at("site"), dns.message.make_query(NAME, "A")
    # Not dnspython's own client: its socket is not connected, so it hears nothing of ICMP.
    data = query.to_wire()
    by_udp = seen(lambda: told(dns.message.from_wire(served.home(send_datagram, address, 53, data, wait_s)), right))
    by_tcp = seen(lambda: told(served.home(dns.query.tcp, query, address, timeout=wait_s), right))
    return by_udp if by_udp == by_tcp else f"{by_udp}, {by_tcp} by TCP"


def see_dot(served, address, wait_s=TIMEOUT_S):
    return told(served.home(ask_tls, address, served.certificates, NAME, timeout_s=wait_s), served.at("site"))


def see_doh(served, address, wait_s=TIMEOUT_S):
    page = served.home(
        get_tls,
        address,
        served.certificates,
        host=address,
        path="/dns-query",
        method="POST",
        body=dns.message.make_query(NAME, "A").to_wire(),
        headers={"Content-Type": "application/dns-message"},
        timeout_s=wait_s,
    )
    return told(dns.message.from_wire(page.body), served.at("site")) if page.status == 200 else str(page.status)


def see_stun(served, address, wait_s=TIMEOUT_S):
    request = Message(Method.BINDING, Class.REQUEST)
    answer = parse_message(served.home(send_datagram, address, 3478, bytes(request), wait_s))
    if answer.message_class is Class.ERROR:
        return str(answer.attributes["ERROR-CODE"][0])
    return "lie" if answer.attributes["XOR-MAPPED-ADDRESS"][0] in LIE_ADDRESSES else "ok"


def see_ntp(served, address, wait_s=TIMEOUT_S):
    data = served.home(send_datagram, address, 123, struct.pack("!B47x", 0x23), wait_s)
    if data[1] == 0:
        return data[12:16].decode()
    ahead_s = int.from_bytes(data[40:48], "big") / 2**32 - NTP_EPOCH_S - time.time()
    return {0: "ok", AHEAD_S: "lie"}[round(ahead_s)]


SEE = {
    "tcp": see_tcp,
    "web": see_web,
    "h3": see_h3,
    "portal": see_portal,
    "echo": see_echo,
    "throughput": see_throughput,
    "stun": see_stun,
    "ntp": see_ntp,
    "authority": see_names,
    "resolver": see_names,
    "dot": see_dot,
    "doh": see_doh,
}

SEEN = {
    Does.SILENT: "timeout",
    Does.REFUSE: "refused",
    Does.RESET: "reset",
    Does.SLOW: "ok",
    Does.ERROR: "503",
    Does.CLOSE: "closed",
    Does.WRONG_CERTIFICATE: "wrong name",
    Does.EXPIRED_CERTIFICATE: "expired",
    Does.NXDOMAIN: "nxdomain",
    Does.SERVFAIL: "servfail",
    Does.LIE: "lie",
}
OTHERWISE = {
    (Does.RESET, "authority"): "ok, reset by TCP",
    (Does.RESET, "resolver"): "ok, reset by TCP",
    (Does.RESET, "throughput"): "reset, ok by QUIC",
    (Does.CLOSE, "authority"): "ok, closed by TCP",
    (Does.CLOSE, "resolver"): "ok, closed by TCP",
    (Does.ERROR, "stun"): "500",
    (Does.ERROR, "ntp"): "DENY",
}


ERRORS = (
    (TimeoutError, "timeout"),
    (dns.exception.Timeout, "timeout"),
    (ConnectionRefusedError, "refused"),
    # Before a reset: http.client takes an end without an answer for one.
    (http.client.RemoteDisconnected, "closed"),
    (ConnectionResetError, "reset"),
    (EOFError, "closed"),
    (ssl.SSLEOFError, "closed"),
)
QUIC_ENDS = {
    ErrorCode.H3_INTERNAL_ERROR: "closed",
    QUIC_CRYPTO_ERROR + AlertDescription.certificate_expired: "expired",
    QUIC_CRYPTO_ERROR + AlertDescription.bad_certificate: "wrong name",
}


def seen(look):
    """What a client sees, in a word."""
    try:
        return look()
    except ssl.SSLCertVerificationError as error:
        return "expired" if "expired" in error.verify_message else "wrong name"
    except QuicError as error:
        return QUIC_ENDS[error.args[0]]
    except (OSError, EOFError, dns.exception.DNSException) as error:
        return next(word for kind, word in ERRORS if isinstance(error, kind))


@pytest.mark.parametrize(
    ("does", "service"), sorted({(row.does, service) for row in TABLE for service in row.services})
)
def test_each_misbehaviour_is_seen_for_as_long_as_it_is_set(served, does, service):
    host = HOSTS.get(service, "measure")
    address = served.at(host)

    def look(wait_s):
        return seen(lambda: SEE[service](served, address, wait_s))

    with served.told(host, does):
        began = time.monotonic()
        seen_now = look(SILENCE_S if does is Does.SILENT else TIMEOUT_S)
        took_s = time.monotonic() - began
    assert seen_now == OTHERWISE.get((does, service), SEEN[does])
    assert look(TIMEOUT_S) == "ok"
    if does is Does.SLOW:
        body_s = SIZE / (SLOW_BYTE_S * TIME_SCALE) if service == "throughput" else 0
        assert took_s > SLOW_S / TIME_SCALE + body_s


def test_a_silent_server_says_nothing_more_on_open_connections(served):
    address = served.at("measure")

    def talk():
        with socket.create_connection((address, 7), timeout=2) as one:
            one.sendall(b"a")
            assert one.recv(1) == b"a"
            one.settimeout(SILENCE_S)
            with served.told("measure", "silent"):
                one.sendall(b"b")
                with pytest.raises(TimeoutError):
                    one.recv(1)
            one.settimeout(3)
            return one.recv(1)

    assert served.home(talk) == b"b"


def test_a_quic_connection_ends_when_its_port_is_shut(served):
    size = round(10 * SLOW_BYTE_S * TIME_SCALE)
    fetch = partial(get_h3, served.at("measure"), served.certificates, host=served.at("measure"))
    with served.told("measure", "slow"), ThreadPoolExecutor(max_workers=1) as one:
        download = one.submit(served.home, fetch, path=f"/bytes?n={size}")
        time.sleep(2 * SLOW_S / TIME_SCALE)
        with served.told("measure", "refuse"), pytest.raises(QuicError) as ended:
            download.result()
    assert ended.value.args[0] == QuicErrorCode.NO_ERROR


@pytest.mark.parametrize("port", [53, 123, 443, 3478])
def test_noise_is_not_answered(served, port):
    host = "root" if port == 53 else "measure"
    for noise in (b"", b"\x00", bytes(range(256)), b"\xff" * 1200):
        with pytest.raises(TimeoutError):
            served.home(send_datagram, served.at(host), port, noise, SILENCE_S / 4)


def test_an_expired_certificate_goes_before_what_has_moved_there_and_a_wrong_one_before_that(served):
    def look():
        return seen(lambda: see_web(served, served.at("site")))

    served.switchboard.move("www.other.example", "site")
    with served.told("site", "expired_certificate"):
        assert look() == "expired"
        with served.told("site", "wrong_certificate"):
            assert look() == "wrong name"
        assert look() == "expired"
    served.switchboard.move_back("www.other.example")
    assert look() == "ok"


def test_what_was_set_twice_is_cleared_twice(served):
    address = served.at("resolver-xa")
    with served.told("resolver-xa", "servfail"):
        with served.told("resolver-xa", "servfail"):
            pass
        assert seen(lambda: see_names(served, address)) == "servfail"
    served.switchboard.clear("resolver-xa", "servfail")
    assert seen(lambda: see_names(served, address)) == "ok"


def test_ports_that_open_again_are_as_silent_as_the_host(served):
    address = served.at("site")
    with served.told("site", "silent"):
        with served.told("site", "refuse"):
            assert seen(lambda: see_web(served, address)) == "refused"
        assert seen(lambda: see_web(served, address, SILENCE_S)) == "timeout"
    assert seen(lambda: see_web(served, address)) == "ok"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (lambda board: board.set("nobody", "silent"), "no host nobody.*resolver-xa"),
        (lambda board: board.set("portal", "nxdomain"), "serves portal and cannot do nxdomain.*silent, refuse"),
        (lambda board: board.clear("site", "nonsense"), "cannot do nonsense"),
        (lambda board: board.move("no.example", "site"), "no name no.example.*www.site.example"),
        (lambda board: board.move(NAME, "nobody"), "no host nobody"),
        (lambda board: board.move_back("no.example"), "no name no.example"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(served, order, words):
    with pytest.raises(SwitchError, match=words):
        order(served.switchboard)


def test_a_switchboard_without_servers_says_so(tmp_path):
    with pytest.raises(SwitchError, match="do not answer"):
        Switchboard(tmp_path / "nothing").set("site", "silent")


def test_every_service_can_be_silent_and_every_word_has_a_row():
    for service in ALL:
        assert Does.SILENT in able([service])
    assert able(ALL) == tuple(Does)
