"""IPv6 that is absent, broken, working or translated, in a home with a real router, and what is told of it."""

import fcntl
import os
import struct
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import dns.rcode
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from civobs_agent.probes import ipv6, nat64
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import FamilyState
from civobs_wire.plan import Anchor, Server
from tests.agent.fix_natted import WORLD
from tests.agent.fix_net import plan_with

pytestmark = pytest.mark.netns
SERVER = Server(id="anchor-a", name="a.example", address=WORLD[4][0], address6=WORLD[6][0])


def anchor(name, address, method):
    return Anchor(id=name, rung=4, address=address, family=6 if ":" in address else 4, method=method)


ANCHORS = (
    anchor("four", WORLD[4][0], "dns"),
    anchor("six", WORLD[6][0], "dns"),
    anchor("ping", WORLD[6][1], "icmp"),
)
PLAN = plan_with(anchors=ANCHORS, servers=(SERVER,))
FORWARD = "type filter hook forward priority 0;"
WELL_KNOWN = "64:ff9b::/96"


def row_of(natted, plan=PLAN, **settings):
    rows, _ = natted.rows(ipv6.measure, plan, scale=20.0, **settings)
    assert len(rows) == 1
    return rows[0]


def checks(row):
    return {check.id: check.failure or "ok" for check in row.checks}


def test_ipv6_that_works_is_preferred_and_raced(natted):
    row = row_of(natted)
    assert (row.outcome, row.family, row.state) == (Outcome.OK, 6, FamilyState.WORKING)
    assert (row.address_assigned, row.route_present, row.tunnel) == (True, True, None)
    assert (row.preferred, row.dns64, row.nat64_prefix, row.nat64_works) == ("6", False, None, None)
    assert checks(row) == dict.fromkeys(("four", "six", "ping", "anchor-a.4", "anchor-a.6", "dns64"), "ok")
    assert row.faster == ("4" if row.v4_ms < row.v6_ms else "6")


def test_ipv6_without_a_way_out_is_broken_and_ipv4_is_faster(natted):
    with natted.rules(carrier=f"chain f {{ {FORWARD} meta nfproto ipv6 drop; }}"):
        row = row_of(natted)
    assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.GENERIC_TIMEOUT_ERROR)
    assert (row.state, row.faster, row.v6_ms, row.dns64) == (FamilyState.BROKEN, "4", None, None)
    # It is what a host would still try first.
    assert row.preferred == "6"


def test_ipv6_that_is_refused_at_once_is_broken_too(natted):
    with natted.rules(carrier=f"chain f {{ {FORWARD} meta nfproto ipv6 reject with icmpv6 no-route; }}"):
        row = row_of(natted)
    assert (row.state, row.failure) == (FamilyState.BROKEN, Failure.NETWORK_UNREACHABLE)


def test_a_line_that_is_down_says_nothing_about_ipv6(natted):
    with natted.rules(carrier=f"chain f {{ {FORWARD} drop; }}"):
        row = row_of(natted)
    assert (row.outcome, row.state, row.faster) == (Outcome.FAILED, FamilyState.UNKNOWN, None)


@contextmanager
def told(natted, undone, *words):
    natted.tell("device", "ip", *words)
    try:
        yield
    finally:
        natted.tell("device", "ip", *undone)


@contextmanager
def without(natted, family):
    via = {"-4": "192.168.7.1", "-6": "2001:db8:7::1"}[family]
    words = (family, "route", "del", "default", "via", via, "metric", "100")
    with told(natted, (family, "route", "add", "default", "via", via, "metric", "100"), *words):
        yield


def test_no_ipv6_is_a_finding_and_no_failure(natted):
    with without(natted, "-6"):
        row = row_of(natted)
    assert (row.outcome, row.failure, row.state, row.preferred) == (Outcome.OK, None, FamilyState.ABSENT, "4")
    assert (row.address_assigned, row.route_present, row.checks) == (True, False, ())


def test_a_home_without_ipv4_is_told_to_prefer_what_it_has(natted):
    with without(natted, "-4"):
        row = row_of(natted)
    assert (row.state, row.preferred, row.faster, row.v4_ms) == (FamilyState.WORKING, "6", None, None)


def test_a_local_address_comes_after_ipv4(natted):
    with told(
        natted,
        ("-6", "addr", "replace", "2001:db8:7::2/64", "dev", "up"),
        *("-6", "addr", "del", "2001:db8:7::2/64", "dev", "up"),
    ):
        natted.tell("device", "ip", "-6", "addr", "add", "fd00:7::2/64", "dev", "up")
        try:
            row = row_of(natted)
        finally:
            natted.tell("device", "ip", "-6", "addr", "del", "fd00:7::2/64", "dev", "up")
            # The kernel forgot the way out together with the address.
            natted.places["device"].configure()
    assert (row.state, row.preferred) == (FamilyState.BROKEN, "4")


# DNS64 and NAT64


@contextmanager
def resolver_says(natted, *says, rcode=dns.rcode.NOERROR):
    natted.resolver.says, natted.resolver.rcode = says, rcode
    try:
        yield
    finally:
        natted.resolver.says, natted.resolver.rcode = (), dns.rcode.NOERROR


@contextmanager
def translator(natted):
    """A NAT64 for one customer at the carrier: a TUN device and header for header (RFC 7915), for TCP alone."""
    carrier, customer, seen_as = natted.places["carrier"], "2001:db8:7::2", "203.0.113.77"

    def build():
        handle = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(handle, 0x400454CA, struct.pack("16sH", b"nat64", 0x1001))
        for words in (
            ("link", "set", "nat64", "up"),
            ("route", "add", f"{seen_as}/32", "dev", "nat64"),
            ("-6", "route", "add", WELL_KNOWN, "dev", "nat64"),
        ):
            subprocess.run(["ip", *words], check=True)
        return handle

    def work(handle):
        while packet := _read(handle):
            if packet[0] >> 4 == 6 and packet[6] == 6:
                six = IPv6(packet)
                far = str(IPv4Address(IPv6Address(six.dst).packed[12:]))
                out = IP(src=seen_as, dst=far, ttl=six.hlim - 1) / _fresh(six[TCP])
            elif packet[0] >> 4 == 4 and packet[9] == 6:
                four = IP(packet)
                near = nat64.embedded(four.src, IPv6Network(WELL_KNOWN))
                out = IPv6(src=near, dst=customer, hlim=four.ttl - 1) / _fresh(four[TCP])
            else:
                continue
            os.write(handle, bytes(out))

    handle = carrier.namespace.run(build)
    natted.tell("world", "ip", "route", "add", f"{seen_as}/32", "via", "203.0.113.2")
    thread = threading.Thread(target=work, args=(handle,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        natted.tell("world", "ip", "route", "del", f"{seen_as}/32")
        natted.tell("carrier", "ip", "link", "del", "nat64")
        thread.join(5)
        os.close(handle)


def _read(handle):
    """A packet; nothing when the device is gone."""
    try:
        return os.read(handle, 2048)
    except OSError:
        return b""


def _fresh(tcp):
    del tcp.chksum
    return tcp


def test_a_home_with_ipv6_alone_reaches_ipv4_through_a_translator(natted):
    says = ("64:ff9b::c000:aa", "64:ff9b::c000:ab")
    with without(natted, "-4"), resolver_says(natted, *says), translator(natted):
        row = row_of(natted)
    assert (row.dns64, row.nat64_prefix, row.nat64_works) == (True, WELL_KNOWN, True)
    assert checks(row)["nat64"] == "ok"


def test_a_resolver_that_makes_addresses_without_a_translator_behind_it_is_told(natted):
    with resolver_says(natted, "64:ff9b::c000:aa"):
        row = row_of(natted)
    assert (row.dns64, row.nat64_prefix, row.nat64_works) == (True, WELL_KNOWN, False)


@pytest.mark.parametrize(
    ("says", "prefix", "works"),
    [
        ("2001:db8:64::c000:aa", "2001:db8:64::/96", False),
        ("fd00:64::c000:aa", "refused:not_global", None),
        ("64:ff9b:1::c000:aa", "refused:not_global", None),
        ("2001:db8:7:64::c000:aa", "refused:home_network", None),
        ("2001:db8:7:0::c000:aa", "refused:home_network", None),
    ],
    ids=["a provider's own", "local", "local by RFC 8215", "of this home", "on this link"],
)
def test_a_prefix_is_named_and_used_only_if_it_is_of_no_home(says, prefix, works, natted):
    with resolver_says(natted, says):
        row = row_of(natted)
    assert (row.dns64, row.nat64_prefix, row.nat64_works) == (True, prefix, works)
    assert "db8:7:" not in row.model_dump_json()


@pytest.mark.parametrize(
    ("says", "rcode", "dns64"),
    [
        ((), dns.rcode.NXDOMAIN, False),
        ((), dns.rcode.SERVFAIL, None),
        (("2001:db8:bad::1",), dns.rcode.NOERROR, False),
    ],
    ids=["no such name", "failing", "a lie"],
)
def test_what_else_a_resolver_says_is_no_translation(says, rcode, dns64, natted):
    with resolver_says(natted, *says, rcode=rcode):
        row = row_of(natted)
    assert (row.dns64, row.nat64_prefix, row.nat64_works) == (dns64, None, None)


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::c000:221"),
        ("64:ff9b::/96", "64:ff9b::c000:221"),
    ],
)
def test_addresses_are_embedded_as_the_standard_shows(prefix, address):
    """RFC 6052 §2.4."""
    network = IPv6Network(prefix)
    assert nat64.embedded("192.0.2.33", network) == str(IPv6Address(address))
    assert nat64.prefix_of(["2001:db8:f::1", nat64.embedded("192.0.0.171", network)]) == network


def test_servers_in_the_home_are_not_connected_to(natted):
    inside = SERVER.model_copy(update={"address": "192.168.7.1", "address6": "2001:db8:7::1"})
    with resolver_says(natted, "64:ff9b::c000:aa"):
        row = row_of(natted, plan_with(servers=(inside,)))
    assert (row.outcome, row.failure, row.state) == (Outcome.NOT_RUN, Failure.NOTHING_TO_ASK, FamilyState.UNKNOWN)
    assert checks(row) == {"anchor-a.4": "target_refused", "anchor-a.6": "target_refused", "dns64": "ok"}
    assert (row.preferred, row.faster, row.nat64_works) == (None, None, None)


def test_a_device_without_resolver_still_has_its_row(natted):
    def without_resolver(context):
        return replace(context, host=replace(context.host, resolvers=()))

    row = row_of(natted, change=without_resolver)
    assert (row.state, row.dns64) == (FamilyState.WORKING, None)
