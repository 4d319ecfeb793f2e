"""What a censor does over time, to one end only, to a rate, to a request; and that garbage does not harm it."""

import contextlib
import os
import random
import signal
import socket
import time

import dns.message
import pytest
from icmplib import ping
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw

from civobs_lab.censor.box import CensorError
from civobs_lab.censor.rule import Rule

from .fix_censored import (
    BAD,
    BRIEF_S,
    GOOD,
    PATIENCE_S,
    A,
    B,
    ask,
    ask_tcp,
    echo,
    echo_request,
    http,
    page,
    tls,
    word,
)
from .test_censor import LIE, hits, in_force

pytestmark = pytest.mark.netns

BAD_SITE = ["bad.example"]


def alice(censored, act, *words, patience=PATIENCE_S):
    return censored.run("alice", lambda: word(act, *words, patience))


def test_residual_blocking_is_between_two_ends_and_passes(censored):
    rule = {"method": "reset", "names": BAD_SITE, "layers": ["tls"], "residual": "2s"}
    suffer = ("tls good", "http good", "http bad", "dns good tcp", "dns bad tcp")
    with in_force(censored, **rule):
        assert alice(censored, tls, GOOD, A) == "ok"
        assert alice(censored, tls, BAD, A) == "reset"
        triggered = time.monotonic()
        # Datagrams know no reset; the other server, the other family and the neighbour have triggered nothing.
        fine = ("udp", "ping", "tls good 6", "bob http bad", "ping B")
        expected = hits("refused", *suffer) | hits("ok", *fine)
        assert censored.battery(expected, only=expected) == expected
        assert time.monotonic() - triggered < 2
        time.sleep(max(0, triggered + 2.3 - time.monotonic()))
        assert censored.battery(only=expected) == dict.fromkeys(expected, "ok")


@pytest.mark.parametrize("on_path", [False, True])
def test_residual_lies_are_told_of_every_name(censored, on_path):
    rule = {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE], "residual": "1s", "on_path": on_path}
    with in_force(censored, **rule):
        assert alice(censored, ask, GOOD, "A", A) == "ok"
        assert alice(censored, ask, BAD, "A", A) == LIE
        assert alice(censored, ask, GOOD, "A", A) == LIE
        assert alice(censored, ask, GOOD, "A", B) == "ok"
        time.sleep(1.2)
        assert alice(censored, ask, GOOD, "A", A) == "ok"


def test_residual_blocking_without_names_begins_with_what_is_selected(censored):
    rule = {"method": "drop", "addresses": [A], "protocol": "udp", "ports": [7], "residual": "1s"}
    with in_force(censored, **rule):
        assert alice(censored, echo_request, A) == "ok"
        assert alice(censored, echo, A, patience=0.2) == "timeout"
        assert alice(censored, http, GOOD, A, patience=0.2) == "timeout"
        assert alice(censored, http, GOOD, B) == "ok"
        time.sleep(1.5)
        assert alice(censored, http, GOOD, A) == "ok"


@contextlib.contextmanager
def conversation(censored):
    """A connection to a plain listener, both ends of it."""
    listener = censored.run("world", lambda: socket.create_server((A, 8080)))
    listener.settimeout(PATIENCE_S)
    near = censored.run("alice", lambda: socket.create_connection((A, 8080), timeout=PATIENCE_S))
    far, _ = listener.accept()
    with listener, near, far:
        yield near, far


def heard(end, patience):
    end.settimeout(patience)
    return word(lambda: end.recv(100) or b"end")


@pytest.mark.parametrize("on_path", [False, True])
@pytest.mark.parametrize(
    ("direction", "near_hears", "far_hears"),
    [("both", "reset", "reset"), ("in", "reset", None), ("out", None, "reset")],
)
def test_resets_go_to_the_ends_that_the_direction_names(censored, on_path, direction, near_hears, far_hears):
    request = f"GET / HTTP/1.1\r\nHost: {BAD}\r\n\r\n".encode()
    with (
        in_force(censored, method="reset", names=BAD_SITE, direction=direction, on_path=on_path),
        conversation(censored) as (near, far),
    ):
        near.sendall(request)
        if on_path:
            # From beside the path nothing can be taken away: the server has the request as well, and when it
            # acknowledges it, a customer's own machine that was reset tells it so.
            assert heard(far, BRIEF_S) == request
            far_hears = "reset"
        assert heard(far, BRIEF_S) == (far_hears or "timeout")
        assert heard(near, BRIEF_S) == (near_hears or "timeout")


def test_a_lie_from_beside_the_path_comes_first_and_the_truth_later(censored):
    rule = {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE], "on_path": True, "truth_late_ms": 1000}

    def both_answers():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(PATIENCE_S)
            udp.sendto(dns.message.make_query(BAD, "A").to_wire(), (A, 53))
            for _ in range(2):
                answer = dns.message.from_wire(udp.recv(512))
                yield str(answer.answer[0][0]), time.monotonic()

    with in_force(censored, **rule):
        (first, first_at), (second, second_at) = censored.run("alice", lambda: list(both_answers()))
        assert (first, second) == (LIE, "198.51.100.99")
        assert 0.9 < second_at - first_at < 4
        begin = time.monotonic()
        assert alice(censored, ask, GOOD, "A", A) == "ok"
        assert alice(censored, ask_tcp, BAD, A) == LIE
        assert time.monotonic() - begin < 1


@pytest.mark.parametrize("pieces", [1, 5, 200])
def test_a_name_is_read_however_the_customer_cuts_it(censored, pieces):
    """Over several segments too, in as many as the box looks at; more than those it does not put together."""
    request = f"GET / HTTP/1.1\r\nHost: {BAD}\r\nPadding: {'x' * 400}\r\nConnection: close\r\n\r\n".encode()
    size = -(-len(request) // pieces)

    def in_pieces():
        with socket.create_connection((A, 80), timeout=PATIENCE_S) as tcp:
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(request), size):
                tcp.sendall(request[at : at + size])
                time.sleep(0.001)
            return tcp.recv(100)[9:12].decode()

    with in_force(censored, method="block_page", names=BAD_SITE):
        assert alice(censored, lambda _: in_pieces()) == ("403" if pieces < 64 else "200")


def test_later_requests_of_a_connection_are_read_too(censored):
    def three():
        with socket.create_connection((A, 80), timeout=PATIENCE_S) as tcp:
            for host in (GOOD, GOOD, BAD):
                tcp.sendall(f"GET / HTTP/1.1\r\nHost: {host}:80\r\n\r\n".encode())
                yield tcp.recv(4096)[9:12].decode()

    with in_force(censored, method="block_page", names=BAD_SITE):
        assert censored.run("alice", lambda: list(three())) == ["200", "200", "403"]


def test_a_block_page_is_all_that_a_customer_reads(censored):
    with in_force(censored, method="block_page", names=BAD_SITE, redirect="http://stop.example/why"):
        answer = censored.run("alice", lambda: page(BAD, A))
    assert answer.startswith(b"HTTP/1.1 302 Found\r\nLocation: http://stop.example/why\r\n")
    assert answer.endswith(b"is forbidden.</body></html>\n")


def test_headers_are_altered_in_letters_and_case_and_keep_their_length(censored):
    sent = b"GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: Probe/1\r\nX-Odd: LeT\r\nConnection: close\r\n\r\n"

    def received(host):
        answer = page(host, A, headers="User-Agent: Probe/1\r\nX-Odd: LeT\r\n")
        return answer.partition(b"\r\n\r\n")[2]

    with in_force(censored, method="rewrite", names=BAD_SITE):
        altered = censored.run("alice", lambda: received(BAD))
        assert censored.run("alice", lambda: received(GOOD)) == sent % GOOD.encode()
    with in_force(censored, method="rewrite", addresses=[B]):
        assert censored.run("alice", lambda: received(GOOD)) == sent % GOOD.encode()
        assert b"hOST: www" in censored.run("alice", lambda: page(GOOD, B))
    assert altered == (
        b"GET / HTTP/1.1\r\nhOST: %s\r\nuSER-aGENT: Xrobe/1\r\nx-oDD: LeT\r\ncONNECTION: close\r\n\r\n" % BAD.encode()
    )
    assert censored.run("alice", lambda: received(BAD)) == sent % BAD.encode()


def test_delay_is_added_each_way(censored):
    def round_trip(address):
        answer = censored.run("alice", lambda: ping(address, count=5, interval=0.02, privileged=False, timeout=5))
        return answer.min_rtt

    plain = round_trip(A)
    with in_force(censored, method="delay", delay_ms=60, addresses=[A]):
        assert plain + 115 < round_trip(A) < plain + 200
        assert round_trip(B) < 50
    with in_force(censored, method="delay", delay_ms=60, direction="in"):
        assert plain + 55 < round_trip(A) < plain + 110
    assert round_trip(A) < 50


def test_loss_is_as_frequent_as_it_says(censored):
    def lost(address, count=400):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect((address, 7))
            udp.settimeout(0.3)
            came = 0
            for _ in range(count // 20):
                for _ in range(20):
                    udp.send(b"?")
                with contextlib.suppress(TimeoutError):
                    for _ in range(20):
                        came += len(udp.recv(10))
                        udp.settimeout(0.03)
                udp.settimeout(0.3)
        return 1 - came / count

    with in_force(censored, method="loss", loss_percent=30, addresses=[A], direction="out"):
        # Four standard deviations of a binomial with n = 400 and p = 0.3.
        assert 0.2 < censored.run("alice", lambda: lost(A)) < 0.4
        assert censored.run("alice", lambda: lost(B)) == 0


def download(name, address, least_s=2.0, kilobytes=3000):
    """Kilobits a second of a plain HTTP download."""
    with socket.create_connection((address, 80), timeout=PATIENCE_S) as tcp:
        tcp.sendall(f"GET /{kilobytes} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        begin, count = time.monotonic(), 0
        while count < 1000 * kilobytes and time.monotonic() < begin + least_s:
            with contextlib.suppress(TimeoutError):
                tcp.settimeout(max(0.01, begin + least_s - time.monotonic()))
                count += len(tcp.recv(65536))
        return 8 * count / 1000 / (time.monotonic() - begin)


@pytest.mark.parametrize(
    ("method", "rate_kbit", "burst_kbyte", "least", "most"),
    # A policer's victim waits for its own timers and gets less than it is allowed; the burst comes on top of both.
    [("police", 130, 16, 0.25, 1.7), ("shape", 130, 4, 0.7, 1.3), ("shape", 2000, 16, 0.8, 1.15)],
)
def test_a_name_is_slowed_to_the_rate_and_no_other(censored, method, rate_kbit, burst_kbyte, least, most):
    rates = {"rate_kbit": rate_kbit, "burst_kbyte": burst_kbyte}
    with in_force(censored, method=method, names=BAD_SITE, layers=["http"], **rates):
        slowed = censored.run("alice", lambda: download(BAD, A, 1.5))
        free = censored.run("alice", lambda: download(GOOD, A))
    print(f"{method} at {rate_kbit} kbit/s: {slowed:.0f} kbit/s; another name: {free:.0f} kbit/s")
    assert least < slowed / rate_kbit < most
    assert free > 10_000


def test_a_policer_drops_and_a_shaper_queues(censored):
    """Which tells them apart from outside: echoes among a flood are lost, or late."""

    def flood():
        """How many of 60 kilobytes came back, and how long after the first was sent the last one did."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect((A, 7))
            udp.settimeout(1.0)
            begin, last, came = time.monotonic(), 0.0, 0
            for _ in range(60):
                udp.send(bytes(972))
            with contextlib.suppress(TimeoutError):
                while came < 60:
                    udp.recv(2000)
                    came, last = came + 1, time.monotonic() - begin
            return came, last

    selected = {"addresses": [A], "protocol": "udp", "direction": "out", "rate_kbit": 500, "burst_kbyte": 10}
    with in_force(censored, method="police", **selected):
        came, last_s = censored.run("alice", flood)
        assert 8 <= came < 30
        assert last_s < 0.5
    with in_force(censored, method="shape", **selected):
        came, last_s = censored.run("alice", flood)
        assert came == 60
        assert 0.75 < last_s < 1.5  # (60 - 10) kB at 500 kbit/s are 0.8 s


def test_a_connection_slows_down_after_so_much(censored):
    with in_force(censored, method="slow_after", after_kbyte=500, rate_kbit=200, ports=[80]):
        begin = time.monotonic()
        assert censored.run("alice", lambda: download(GOOD, A, kilobytes=400)) > 10_000
        slowed = censored.run("alice", lambda: download(GOOD, A, least_s=2.0))
        assert 0.8 * (500 * 8 / 2) < slowed < 1.3 * (500 * 8 / 2 + 200)
        assert time.monotonic() - begin < 20


def test_garbage_and_fragments_are_survived_and_fragments_are_read(censored):
    source = random.Random(7)

    def throw():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for port in (53, 443, 53, 443):
                for length in (0, 1, 7, 12, 60, 1200):
                    first = bytes([0xC0 | source.randrange(64)]) if port == 443 else b""
                    udp.sendto((first + source.randbytes(length)), (A, port))
        with socket.create_connection((A, 443), timeout=PATIENCE_S) as tcp:
            tcp.sendall(b"\x16\x03\x01\x40\x00" + source.randbytes(3000))
        with socket.create_connection((A, 80), timeout=PATIENCE_S) as tcp:
            tcp.sendall(b"GET \xff\xfe\r\nHost\x00:\r\n\r\n")

    def throw_raw():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            question = dns.message.make_query(BAD, "A")
            question.use_edns(options=[])
            packet = IP(src="192.0.2.2", dst=A) / UDP(sport=4000, dport=53) / Raw(question.to_wire())
            for piece in fragment(packet, 24):
                raw.sendto(bytes(piece), (A, 0))
            raw.sendto(bytes(IP(src="192.0.2.2", dst=A, proto=6) / Raw(b"\x01\xbb\x01\xbb")), (A, 0))
            raw.sendto(bytes(IP(src="192.0.2.2", dst=A, proto=17) / Raw(b"\x00\x35\x00\x35\xff\xff")), (A, 0))

    def hear():
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("192.0.2.2", 4000))
        listener.settimeout(PATIENCE_S)
        return listener

    with (
        in_force(censored, method="inject_dns", names=BAD_SITE, answers=[LIE]),
        in_force(censored, method="drop", names=BAD_SITE, layers=["tls", "http", "quic"]),
    ):
        censored.run("alice", throw)
        with censored.run("alice", hear) as listener:
            censored.run("alice", throw_raw)
            assert str(dns.message.from_wire(listener.recv(512)).answer[0][0]) == LIE
        censored.box.check()
        assert alice(censored, tls, GOOD, A) == "ok"
        assert alice(censored, ask, BAD, "A", A) == LIE


def test_several_rules_act_at_once_and_are_lifted_one_by_one(censored):
    box = censored.box
    lie = box.apply(Rule(method="inject_dns", names=["one.example"], answers=[LIE]))
    drop = box.apply(Rule(method="drop", names=["two.example"], layers=["dns"]))
    slow = box.apply(Rule(method="delay", delay_ms=400, names=["three.example"], layers=["dns"]))

    def timed():
        begin = time.monotonic()
        return alice(censored, ask, "three.example", "A", A), time.monotonic() - begin > 0.4

    assert alice(censored, ask, "one.example", "A", A) == LIE
    assert alice(censored, ask, "two.example", "A", A, patience=0.3) == "timeout"
    assert timed() == ("ok", True)
    box.lift(lie)
    assert alice(censored, ask, "one.example", "A", A) == "ok"
    assert alice(censored, ask, "two.example", "A", A, patience=0.3) == "timeout"
    box.lift(drop)
    assert alice(censored, ask, "two.example", "A", A) == "ok"
    assert timed() == ("ok", True)
    box.lift(slow)
    assert timed() == ("ok", False)
    with pytest.raises(CensorError, match="no rule"):
        box.lift(slow)


def test_the_death_of_the_reader_is_noticed(censored):
    """Until then a censor in the path lets nothing past that it would have read, and one beside it lets everything."""
    in_path = censored.box.apply(Rule(method="drop", names=BAD_SITE, layers=["tls"], ports=[443]))
    beside = censored.box.apply(Rule(method="inject_dns", names=BAD_SITE, answers=[LIE], on_path=True))
    assert alice(censored, ask, BAD, "A", A) == LIE
    os.kill(censored.box._reader.pid, signal.SIGKILL)
    assert alice(censored, tls, GOOD, A, patience=0.5) == "timeout"
    assert alice(censored, ask, BAD, "A", A) == "ok"
    with pytest.raises(CensorError, match="ended with"):
        censored.box.check()
    with pytest.raises(CensorError, match="ended with"):
        censored.box.apply(Rule(method="drop", addresses=[A]))
    for number in (in_path, beside):
        with pytest.raises(CensorError, match="ended with"):
            censored.box.lift(number)
    assert alice(censored, tls, GOOD, A) == "ok"
    censored.box.close()
    with in_force(censored, method="drop", names=BAD_SITE, layers=["tls"]):
        assert alice(censored, tls, BAD, A, patience=0.5) == "timeout"
        assert alice(censored, tls, GOOD, A) == "ok"
