"""A rule that cannot act is refused with what would; and no bytes a customer may send break the reader."""

import contextlib
import random
import ssl

import dns.message
import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

from civobs_lab.censor import packet as wire
from civobs_lab.censor.box import CensorError
from civobs_lab.censor.buckets import QUEUE_S, Buckets
from civobs_lab.censor.deciding import Decider
from civobs_lab.censor.forging import other_letters
from civobs_lab.censor.names import IncompleteError, QuicHello, dns_question, http_host, tls_name
from civobs_lab.censor.orders import Order, refuse_what_cannot_act
from civobs_lab.censor.rule import Method, Rule

NAMES = ["bad.example"]
CLIENT, SERVER = "192.0.2.2", "198.51.100.10"


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ({"method": "drop", "layers": ["tls"]}, "there are no names; add names"),
        ({"method": "drop", "names": NAMES, "protocol": "icmp"}, "leave protocol out"),
        ({"method": "drop", "protocol": "icmp", "ports": [80]}, "leave ports or protocol out"),
        ({"method": "drop", "addresses": ["198.51.100.0/24"], "family": 6}, "no IP version in common"),
        ({"method": "drop", "family": 5}, "family is 4 or 6"),
        ({"method": "drop", "names": NAMES, "layers": ["quic"], "protocol": "tcp"}, "reads names in dns, http, tls"),
        ({"method": "reset", "names": NAMES, "layers": ["quic"]}, "reads names in dns, http, tls"),
        ({"method": "reset", "protocol": "udp"}, "use drop or reject"),
        ({"method": "drop", "on_path": True}, "beside the path only block_page, inject_dns, reset"),
        ({"method": "inject_dns", "names": NAMES, "layers": ["tls"]}, "reads names in dns"),
        ({"method": "inject_dns", "names": NAMES, "direction": "in"}, "leave direction out"),
        ({"method": "inject_dns", "names": NAMES, "truth_late_ms": 5}, "set on_path"),
        ({"method": "block_page", "names": NAMES, "answers": ["192.0.2.1"]}, "answers belongs to method inject_dns"),
        ({"method": "rewrite", "protocol": "udp"}, "reads no names in what udp carries"),
        ({"method": "drop", "rate_kbit": 5}, "rate_kbit belongs to method police or shape or slow_after"),
    ],
)
def test_a_rule_that_cannot_act_is_refused_with_what_would(rule, remedy):
    with pytest.raises(CensorError, match=remedy):
        refuse_what_cannot_act(Rule(**rule))


def test_names_are_those_listed_and_all_below_them():
    order = Order(1, 8, Rule(method="drop", names=["Bad.Example."]))
    assert all(order.wants(name) for name in ("bad.example", "www.bad.example", "a.b.bad.example"))
    assert not any(order.wants(name) for name in ("verybad.example", "example", "bad.example.org", ""))


def client_hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def quic_initials(name):
    connection = QuicConnection(configuration=QuicConfiguration(server_name=name, alpn_protocols=["h3"]))
    connection.connect((SERVER, 443), now=0.0)
    return [data for data, _ in connection.datagrams_to_send(now=0.0)]


def request(name):
    return f"GET /p HTTP/1.1\r\nHost: {name}:8080\r\nUser-Agent: Probe\r\n\r\n".encode()


def test_a_client_hello_is_read_whole_and_in_records_and_not_before_it_is_complete():
    hello = client_hello("www.bad.example")
    assert tls_name(hello) == "www.bad.example"
    body = hello[5:]
    pieces = b"".join(hello[:3] + len(p).to_bytes(2) + p for p in (body[:3], body[3:40], body[40:]))
    assert tls_name(pieces) == "www.bad.example"
    for length in (0, 4, 5, 8, 100, len(hello) - 1):
        with pytest.raises(IncompleteError):
            tls_name(hello[:length])


def test_a_quic_hello_is_read_and_a_server_s_is_not():
    reader = QuicHello()
    *early, last = quic_initials("www.bad.example")
    for datagram in early:
        with pytest.raises(IncompleteError):
            reader.add(datagram)
    assert reader.add(last) == "www.bad.example"


def test_requests_are_read_one_after_the_other():
    first = b"POST / HTTP/1.1\r\nHost: A.Example\r\nContent-Length: 3\r\n\r\nabc"
    assert http_host(first + request("b.example")) == ("a.example", len(first))
    assert http_host(request("b.example")) == ("b.example", len(request("b.example")))
    assert http_host(b"SSH-2.0-x\r\n\r\n")[0] is None
    with pytest.raises(IncompleteError):
        http_host(first[:20])


@given(st.integers(0, 200))
def test_letters_are_altered_alike_however_much_of_a_request_is_there(length):
    whole = request("www.bad.example") + b"host: body\r\n"
    assert other_letters(whole[:length]) == other_letters(whole)[:length]


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"\xc3\x00\x00\x00\x01"]))
def test_no_bytes_break_what_reads_names(data, begin):
    dns_question(data)
    for read in (tls_name, http_host, QuicHello().add):
        with contextlib.suppress(IncompleteError):
            read(begin + data)


def flood():
    """Packets of every kind that names are read in, forwards and backwards."""
    payloads = [
        (UDP, 53, dns.message.make_query("www.bad.example", "A").to_wire()),
        (UDP, 53, dns.message.make_response(dns.message.make_query("www.bad.example", "AAAA")).to_wire()),
        (TCP, 53, b"\x00\x21" + dns.message.make_query("www.bad.example", "A").to_wire()),
        (TCP, 443, client_hello("www.bad.example")),
        (TCP, 80, request("www.bad.example")),
        *((UDP, 443, initial) for initial in quic_initials("www.bad.example")),
    ]
    for layer, port, payload in payloads:
        for ends in (IP(src=CLIENT, dst=SERVER), IPv6(src="2001:db8::2", dst="2001:db8::1") / IPv6ExtHdrDestOpt()):
            for flags in ("S", "PA", "FA", "R", "") if layer is TCP else ("",):
                head = TCP(sport=4000, dport=port, flags=flags) if layer is TCP else UDP(sport=4000, dport=port)
                yield bytes(ends / head / Raw(payload))


def orders():
    """Every method that reads, forges or holds, by name, some beside the path."""
    more = {
        Method.DELAY: {"delay_ms": 5},
        Method.SHAPE: {"rate_kbit": 100},
        Method.POLICE: {"rate_kbit": 100},
        Method.SLOW_AFTER: {"rate_kbit": 100, "after_kbyte": 5},
        Method.LOSS: {"loss_percent": 5},
        Method.INJECT_DNS: {"answers": ["192.0.2.9"]},
    }
    rules = [Rule(method=method, names=NAMES, residual="1s", **more.get(method, {})) for method in Method]
    rules += [Rule(method=method, names=NAMES, on_path=True, truth_late_ms=5) for method in ("reset", "inject_dns")]
    return [Order(number, 8 + number, rule) for number, rule in enumerate(rules)]


def test_no_packet_breaks_the_reader():
    source, forged, read = random.Random(11), [], 0
    decider = Decider(forged.append)
    decider.obey(orders())
    originals = list(flood())
    for turn in range(600):
        raw = bytearray(source.choice(originals))
        for _ in range(source.randrange(4) if turn >= len(originals) else 0):
            raw[source.randrange(len(raw))] = source.randrange(256)
        cut = source.choice([len(raw), len(raw), source.randrange(len(raw))])
        packet = wire.read(bytes(raw[:cut]), outgoing=source.random() < 0.8)
        if packet is not None:
            read += 1
            decision = decider.decide(packet, source.choice([0, 1 << 9]), turn * 0.01)
            for each in (*forged, *decision.after):
                assert bytes(each)
            forged.clear()
    assert 200 < read < 600


def test_a_bucket_holds_its_burst_and_fills_at_its_rate():
    rule = Rule(method="shape", rate_kbit=80, burst_kbyte=2)
    buckets = Buckets()
    assert [buckets.turn("a", 1000, rule, 10.0) for _ in range(4)] == pytest.approx([10.0, 10.0, 10.1, 10.2])
    assert buckets.turn("b", 1000, rule, 10.0) == 10.0
    assert buckets.turn("a", int(QUEUE_S * 10_000), rule, 10.0) is None
    assert [buckets.take("c", 1000, rule, now) for now in (5.0, 5.0, 5.0, 5.05, 5.11)] == [
        True,
        True,
        False,
        False,
        True,
    ]
