"""Traces over real routers: both families, three methods, and what is done to the way."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path as File

import pytest

from civobs_agent.probes import path
from civobs_agent.probes.path import Way as To
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target

from .fix_way import HOST, HOST6, LINKS, LINKS6

pytestmark = pytest.mark.netns

HOPS = ("refused:private", "refused:carrier_nat", "198.51.100.2", "203.0.113.2", HOST)
HOPS6 = ("refused:home_network", "2001:db8:2::2", "2001:db8:3::2", "2001:db8:4::2", HOST6)
METHODS = ("icmp", "udp", "tcp")
TARGET = Target(id="t", url=f"https://{HOST}/")
CAP_NET_RAW = 13
_CAPSET_VERSION = 0x20080522
"""capabilities(7), capset(2)."""


@pytest.fixture
def outside(context):
    """The context of a probe at the near end of the way."""
    home = (ip_network(LINKS[0]), ip_network(LINKS6[0]))
    return replace(context, refusal=Refusal(lab_ranges=True, home=home), time_scale=6.0)


def measured(way, context, address=HOST, **fields):
    """Rows by method."""
    host = f"[{address}]" if ":" in address else address
    target = Target(id="t", url=f"https://{host}/")
    rows = way.device(lambda: path.measure(target, replace(context, **fields)))
    family = 6 if ":" in address else 4
    return {row.method: row for row in rows if row.family == family}


def traced(way, context, method, address=HOST):
    port = {"icmp": 0, "udp": path.UDP_PORT, "tcp": 443}[method]
    row, spent = way.device(lambda: path.trace(To(address, method, port), context, target="t"))
    assert spent > 0
    return row


def without_raw(function):
    """Call a function in this thread, which is about to end, without the capability."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _CAPSET_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    assert libc.capget(header, data) == 0
    words = list(struct.unpack("=6I", data.raw))
    words[0] &= ~(1 << CAP_NET_RAW)
    assert libc.capset(header, struct.pack("=6I", *words)) == 0
    return function()


def told(row):
    return [hop.address for hop in row.hops]


@pytest.mark.parametrize(("address", "hops"), [(HOST, HOPS), (HOST6, HOPS6)])
def test_each_method_finds_every_hop_and_the_end(way, outside, address, hops):
    rows = measured(way, outside, address)
    assert set(rows) == set(METHODS)
    ends = {"icmp": "reached", "udp": "reached", "tcp": "reset"}
    for method, row in rows.items():
        assert (row.outcome, row.reached, row.address) == (Outcome.OK, True, address)
        assert tuple(told(row)) == hops
        assert [(hop.ttl, hop.sent, hop.received) for hop in row.hops] == [(ttl, 2, 2) for ttl in range(1, 6)]
        assert [hop.answer for hop in row.hops] == [None] * 4 + [ends[method]]
        assert row.first_public_ttl == (3 if address == HOST else 2)
        assert row.last_answer_ttl == 5
        assert all(0 < ms < 1000 for hop in row.hops for ms in hop.rtt_ms)
        assert row.flow > 0
    assert [rows[method].port for method in METHODS] == [0, 33434, 443]
    assert (rows["icmp"].mtu, rows["udp"].mtu, rows["tcp"].mtu) == (None, 1500, None)
    assert outside.meter.spent < 9_000


def headers(way, work):
    """What leaves the device while ``work`` runs: whole packets from their IP header on."""
    tap = way.run("router", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)))
    with tap:
        tap.bind(("near", 3))
        tap.setblocking(False)
        work()
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (*_, kind, _, _) = tap.recvfrom(2048)
                if kind != socket.PACKET_OUTGOING:
                    packets.append(data)
        return packets


@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_routers_choose_a_way_by_varies(way, outside, method):
    protocol = {"icmp": 1, "udp": 17, "tcp": 6}[method]
    old = [one for one in headers(way, lambda: traced(way, outside, method)) if one[0] >> 4 == 4 and one[9] == protocol]
    # Of ICMP type, code, checksum and identifier; of the others both ports.
    assert len({one[20:26] if method == "icmp" else one[20:24] for one in old}) == 1
    assert len({one[8] for one in old}) >= 5
    protocol = 58 if method == "icmp" else protocol
    new = headers(way, lambda: traced(way, outside, method, HOST6))
    new = [one for one in new if one[0] >> 4 == 6 and one[6] == protocol and not (method == "icmp" and one[40] != 128)]
    assert len({(one[:4], one[40:46] if method == "icmp" else one[40:44]) for one in new}) == 1
    assert len({one[7] for one in new}) >= 5


@pytest.mark.parametrize("address", [HOST, HOST6])
def test_a_silent_hop_leaves_a_gap_and_the_way_goes_on(way, outside, address):
    silence = ("icmp type time-exceeded drop", "icmpv6 type time-exceeded drop")
    with way.rules("carrier", "output", *silence):
        for method in METHODS:
            row = traced(way, outside, method, address)
            assert [(hop.address is None, hop.sent, hop.received) for hop in row.hops][1] == (True, 2, 0)
            assert (row.reached, len(row.hops)) == (True, 5)


@pytest.mark.parametrize("address", [HOST, HOST6])
def test_what_is_swallowed_shows_how_far_it_came(way, outside, address):
    with way.rules("abroad", "forward", "drop"):
        for method in METHODS:
            row = traced(way, outside, method, address)
            assert (row.outcome, row.reached, row.last_answer_ttl) == (Outcome.OK, False, 4)
            assert told(row)[-1] == (HOPS if address == HOST else HOPS6)[3]


@pytest.mark.parametrize("address", [HOST, HOST6])
@pytest.mark.parametrize(
    ("reason", "answer"),
    [("admin-prohibited", "prohibited"), ("host-unreachable", "unreachable"), ("port-unreachable", "unreachable")],
)
def test_who_refuses_the_way_is_named(way, outside, reason, answer, address):
    with way.rules("border", "forward", f"reject with icmpx {reason}"):
        for method in METHODS:
            row = traced(way, outside, method, address)
            assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.HOST_UNREACHABLE)
            assert (row.reached, row.hops[-1].answer) == (False, answer)
            # The last packet came as far as the hop behind it would have been.
            assert (row.last_answer_ttl, told(row)[-1]) == (4, (HOPS if address == HOST else HOPS6)[2])


@contextlib.contextmanager
def terse(way, name):
    """A router that repeats eight bytes of a packet whose time to live runs out, as RFC 792 asks, and no more."""

    def sockets():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)), raw

    tap, raw = way.run(name, sockets)
    tap.bind(("near", 0x0800))
    tap.settimeout(0.1)
    ended = threading.Event()

    def serve():
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                packet, (*_, kind, _, _) = tap.recvfrom(2048)
                if kind != socket.PACKET_OUTGOING and packet[8] == 1:
                    error = bytearray(struct.pack("!BBHI", 11, 0, 0, 0) + packet[:28])
                    total = sum(struct.unpack("!18H", error))
                    error[2:4] = (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
                    raw.sendto(error, (socket.inet_ntoa(packet[12:16]), 0))

    server = threading.Thread(target=serve)
    with tap, raw, way.rules(name, "output", "icmp type time-exceeded ip length > 56 drop"):
        server.start()
        try:
            yield
        finally:
            ended.set()
            server.join()


def test_a_router_that_repeats_too_little_is_found_by_asking_one_at_a_time(way, outside):
    with terse(way, "carrier"):
        row = traced(way, outside, "udp")
    assert tuple(told(row)) == HOPS
    # Which packet the first answer was about can be told only if no other was under way.
    assert [hop.received for hop in row.hops] in ([2, 1, 2, 2, 2], [2, 2, 2, 2, 2])


def test_tcp_alone_is_swallowed_or_reset_on_the_way(way, outside):
    with way.rules("border", "forward", "tcp dport 443 drop"):
        rows = measured(way, outside)
        assert (rows["icmp"].reached, rows["tcp"].reached, rows["tcp"].last_answer_ttl) == (True, False, 3)
    with way.rules("border", "forward", "tcp dport 443 reject with tcp reset"):
        rows = measured(way, outside)
        # The host is five hops away; what answers in its name is not.
        assert (rows["icmp"].last_answer_ttl, rows["tcp"].last_answer_ttl) == (5, 4)
        assert rows["tcp"].hops[-1].answer == "reset"


@pytest.mark.parametrize("address", [HOST, HOST6])
def test_a_narrow_link_is_found_where_routers_say_so(way, outside, address):
    with way.narrow("border", "abroad", 1400):
        assert traced(way, outside, "udp", address).mtu == 1400
    too_big = ("icmp type destination-unreachable icmp code 4 drop", "icmpv6 type packet-too-big drop")
    with way.narrow("border", "abroad", 1400), way.rules("border", "output", *too_big):
        row = traced(way, outside, "udp", address)
        assert (row.reached, row.mtu) == (True, None)


def test_only_public_addresses_are_traced_and_each_way_of_not_running_is_a_row(way, outside):
    before = outside.meter.spent
    rows = way.device(lambda: path.measure(Target(id="t", url="https://192.168.7.2/"), outside))
    assert {row.failure for row in rows} == {Failure.TARGET_REFUSED}
    assert [row.hops for row in rows] == [(), ()]
    (row,) = way.device(lambda: path.measure(Target(id="t", url=f"https://{HOST}/"), replace(outside, left=lambda: 1)))
    assert row.failure is Failure.BUDGET_EXHAUSTED
    assert outside.meter.spent == before


def test_an_address_of_the_home_is_no_number_in_a_row(way, outside):
    outside.known.mapped[4] = "198.51.100.2"
    row = traced(way, outside, "icmp")
    assert told(row) == ["refused:private", "refused:carrier_nat", "gateway", "203.0.113.2", HOST]
    # A router that answers from its public address: it is the home's all the same.
    bare = replace(outside, refusal=Refusal(allowed=frozenset({"192.168.7.2", HOST})))
    assert told(traced(way, bare, "icmp"))[0] == "gateway"


def test_where_echo_sockets_are_forbidden_a_raw_one_is_tried(way, outside):
    groups = File("/proc/sys/net/ipv4/ping_group_range")
    before = way.run("device", groups.read_text)
    way.run("device", lambda: groups.write_text("1 0"))
    try:
        for address, hops in ((HOST, HOPS), (HOST6, HOPS6)):
            row = traced(way, outside, "icmp", address)
            assert tuple(told(row)) == hops
            assert {hop.received for hop in row.hops} == {2}
        # CAP_NET_RAW is what makes it work: without it the row says so, and the other methods go on.
        rows = way.run("device", lambda: without_raw(lambda: asyncio.run(path.measure(TARGET, outside))))
    finally:
        way.run("device", lambda: groups.write_text(before))
    rows = {row.method: row for row in rows if row.family == 4}
    assert (rows["icmp"].outcome, rows["icmp"].failure) == (Outcome.NOT_RUN, Failure.NO_PERMISSION)
    assert rows["icmp"].reached is None
    assert rows["udp"].reached is rows["tcp"].reached is True
