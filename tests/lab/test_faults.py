"""Each kind of fault is seen by plain tools in a network that was built for it, and is gone when it is mended."""

import socket
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest
from icmplib import multiping, ping
from pyroute2 import IPRoute

from civobs_lab import faults
from civobs_lab.lab import build
from civobs_lab.observatory import API_PORT, BROKER_PORT
from civobs_lab.scenario import Scenario
from civobs_lab.timeline import steps
from civobs_lab.topology import load

pytestmark = pytest.mark.netns

HOME = "xa-64500-1"
OTHER_NETWORK = "xa-64501-1"
MOBILE = "xa-64510-1"
CONTROL = "xb-64504-1"
INSIDE_PROVIDER = "resolver-64500"
DOMESTIC = ("xa-echo", "xa-news", "xa-dns")
ABROAD = ("root-m", "root-n", "echo-n", "site-p", "observatory", "relay")
ALL = {*DOMESTIC, *ABROAD, INSIDE_PROVIDER}


@pytest.fixture(scope="module")
def lab():
    with build(load(Path("two-countries")).with_probes({"AS64510": 1}), time_scale=600.0) as built:
        yield built


def scenario(*parts):
    """A scenario of these faults from its tenth minute to its twentieth."""
    given = [{"start": "10m", "end": "20m"} | part for part in parts]
    return Scenario.model_validate({"title": "A test", "resembles": "nothing", "fault": given})


@contextmanager
def broken(lab, **fault):
    """A fault for the length of a block."""
    made = scenario(fault)
    begin, mend = steps(made, lab.network.topology)
    faults.perform(lab, made, begin)
    try:
        yield
    finally:
        faults.perform(lab, made, mend)
    assert not lab.broken


def inside(lab, household, function):
    """Call a function at a home's device."""
    return lab.network[f"device-{household}"].namespace.run(function)


def address_of(lab, host, version=4):
    link = lab.network.topology.host(host)[2]
    return str(link.address if version == 4 else link.address6)


def reaches(lab, household, host, version=4):
    """Whether one of two echo requests from a home's device is answered."""
    address = address_of(lab, host, version)
    return inside(lab, household, lambda: ping(address, count=2, interval=0.05, timeout=0.3).is_alive)


def reached(lab, household):
    """Which of all hosts a home reaches by IPv4."""
    hosts = {address_of(lab, name): name for name in ALL}
    answers = inside(lab, household, lambda: multiping(list(hosts), count=2, interval=0.05, timeout=0.3))
    return {hosts[answer.address] for answer in answers if answer.is_alive}


def connects(lab, household, host, port, version=4):
    """``True``, or the kind of error a TCP connect ends in."""
    address = address_of(lab, host, version)

    def attempt():
        try:
            socket.create_connection((address, port), timeout=0.3).close()
        except OSError as error:
            return type(error)
        return True

    return inside(lab, household, attempt)


def asks(lab, household, name="www.site.example"):
    """Whether the resolver that the home was given answers."""
    resolver = address_of(lab, f"resolver-{household.split('-')[1]}")
    question = dns.message.make_query(name, "A")

    def attempt():
        try:
            return bool(dns.query.udp(question, resolver, timeout=1.0).answer)
        except dns.exception.Timeout:
            return False

    return inside(lab, household, attempt)


def page(lab, household, host):
    """What a plain request to a host's address brings; empty where there is no answer."""
    address = address_of(lab, host)

    def attempt():
        try:
            with socket.create_connection((address, 80), timeout=1.0) as line:
                line.sendall(b"GET / HTTP/1.1\r\nHost: www.site.example\r\nConnection: close\r\n\r\n")
                return b"".join(iter(lambda: line.recv(4096), b""))
        except OSError:
            return b""

    return inside(lab, household, attempt)


def test_national_shutdown_leaves_only_the_provider(lab):
    with broken(lab, kind="national_shutdown", scope="XA"):
        assert reached(lab, HOME) == {INSIDE_PROVIDER}
        assert not reaches(lab, HOME, "root-m", 6)
        assert not reached(lab, OTHER_NETWORK)
        assert not reached(lab, MOBILE)
        assert reaches(lab, CONTROL, "echo-n")
    assert reached(lab, HOME) == ALL
    assert reaches(lab, HOME, "root-m", 6)


def test_national_shutdown_may_concern_one_kind_of_access_only(lab):
    with broken(lab, kind="national_shutdown", scope="XA", access="mobile"):
        assert not reaches(lab, MOBILE, "echo-n")
        assert reaches(lab, HOME, "echo-n")
    with broken(lab, kind="national_shutdown", scope="XA", access="fixed"):
        assert reaches(lab, MOBILE, "echo-n")
        assert not reaches(lab, HOME, "echo-n")


def test_international_cut_leaves_the_country(lab):
    with broken(lab, kind="international_cut", scope="XA"):
        assert reached(lab, HOME) == {INSIDE_PROVIDER, *DOMESTIC}
        assert reaches(lab, HOME, "xa-echo", 6)
        assert not reaches(lab, HOME, "root-m", 6)
        assert reaches(lab, CONTROL, "echo-n")
    assert reached(lab, HOME) == ALL
    assert reaches(lab, HOME, "root-m", 6)


def test_whitelist_lets_only_the_allowed_hosts_through(lab):
    with broken(lab, kind="whitelist", scope="XA", allowed=["site-p", "observatory"]):
        assert reached(lab, HOME) == {INSIDE_PROVIDER, *DOMESTIC, "site-p", "observatory"}
        assert reaches(lab, HOME, "site-p", 6)
        assert not reaches(lab, HOME, "root-m", 6)
        assert reaches(lab, CONTROL, "echo-n")
    assert reached(lab, HOME) == ALL


def test_network_down_leaves_the_other_provider(lab):
    with broken(lab, kind="network_down", scope="AS64500"):
        assert reached(lab, HOME) == {INSIDE_PROVIDER}
        assert reached(lab, OTHER_NETWORK) == ALL - {INSIDE_PROVIDER}
    assert reached(lab, HOME) == ALL


def test_home_down_leaves_the_neighbours_and_the_home_network(lab):
    with broken(lab, kind="home_down", scope=HOME):
        assert not reached(lab, HOME)
        assert reaches(lab, "xa-64500-2", "echo-n")
        assert inside(lab, HOME, lambda: ping("192.168.1.1", count=1, timeout=0.3).is_alive)
        assert carrier(lab, HOME)
    assert reached(lab, HOME) == ALL
    assert reaches(lab, HOME, "root-m", 6)


def carrier(lab, household):
    """Whether the device's interface has a carrier."""

    def look():
        with IPRoute() as netlink:
            return bool(netlink.link("get", ifname="up")[0].get_attr("IFLA_CARRIER"))

    return inside(lab, household, look)


def test_a_dead_router_takes_the_carrier_away_too(lab):
    with broken(lab, kind="router_dead", scope=HOME):
        assert not carrier(lab, HOME)
        assert not reached(lab, HOME)
    assert carrier(lab, HOME)
    assert reached(lab, HOME) == ALL
    assert reaches(lab, HOME, "root-m", 6)


def test_broken_ipv6_carries_no_packet_and_leaves_ipv4_alone(lab):
    with broken(lab, kind="ipv6_broken", scope="AS64500"):
        assert not reaches(lab, HOME, "root-m", 6)
        assert not reaches(lab, HOME, "xa-echo", 6)
        assert reached(lab, HOME) == ALL
        assert reaches(lab, OTHER_NETWORK, "root-m", 6)
    assert reaches(lab, HOME, "root-m", 6)


def test_a_captive_portal_answers_for_every_site_and_drops_the_rest(lab):
    before = page(lab, HOME, "site-p")
    with broken(lab, kind="captive_portal", scope=HOME):
        shown = page(lab, HOME, "site-p")
        assert shown.startswith(b"HTTP/1.1")
        assert shown != before
        assert connects(lab, HOME, "site-p", 443) is TimeoutError
        assert not reaches(lab, HOME, "echo-n")
        assert not reaches(lab, HOME, "root-m", 6)
        assert asks(lab, HOME)
        assert reaches(lab, "xa-64500-2", "echo-n")
    assert page(lab, HOME, "site-p") == before
    assert reached(lab, HOME) == ALL


@pytest.mark.parametrize("by", ["address", "port"])
def test_a_blocked_collector_is_out_of_reach_and_nothing_else_is(lab, by):
    listening = [
        opened(lab, host, port) for host, port in (("observatory", 1883), ("observatory", 8080), ("relay", 1883))
    ]
    try:
        with broken(lab, kind="collector_blocked", scope="XA", by=by):
            assert connects(lab, HOME, "observatory", BROKER_PORT) is TimeoutError
            assert connects(lab, HOME, "observatory", API_PORT) is TimeoutError
            assert connects(lab, HOME, "relay", BROKER_PORT) is TimeoutError
            assert connects(lab, OTHER_NETWORK, "relay", BROKER_PORT, 6) is TimeoutError
            assert reaches(lab, HOME, "observatory") is (by == "port")
            assert reached(lab, HOME) >= ALL - {"observatory", "relay"}
            assert connects(lab, CONTROL, "observatory", BROKER_PORT) is True
        with broken(lab, kind="collector_blocked", scope="AS64500", by=by, brokers="first"):
            assert connects(lab, HOME, "observatory", BROKER_PORT) is TimeoutError
            assert connects(lab, HOME, "relay", BROKER_PORT) is True
            assert connects(lab, OTHER_NETWORK, "observatory", BROKER_PORT) is True
        assert connects(lab, HOME, "observatory", API_PORT) is True
    finally:
        for each in listening:
            each.close()


def opened(lab, host, port):
    """Something that listens at a host."""
    place = lab.network[host].namespace
    return place.run(lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))


def test_a_server_misbehaves_for_everybody(lab):
    with broken(lab, kind="server", scope="site-p", does="refuse"):
        assert connects(lab, HOME, "site-p", 443) is ConnectionRefusedError
        assert connects(lab, CONTROL, "site-p", 443) is ConnectionRefusedError
    assert connects(lab, HOME, "site-p", 443) is True


def test_a_dead_resolver_answers_nobody_of_its_network(lab):
    with broken(lab, kind="resolver_dead", scope="AS64500"):
        assert not asks(lab, HOME)
        assert asks(lab, OTHER_NETWORK)
        assert reaches(lab, HOME, INSIDE_PROVIDER)
    assert asks(lab, HOME)


def test_congestion_makes_everything_queue(lab):
    def rtt_behind_a_burst_ms():
        """Of one echo request sent after forty packets that nobody answers."""
        address = address_of(lab, "echo-n")

        def attempt():
            with socket.socket(type=socket.SOCK_DGRAM) as burst:
                for _ in range(40):
                    burst.sendto(bytes(1000), (address, 9))
            return ping(address, count=1, timeout=3).max_rtt

        return inside(lab, HOME, attempt)

    assert rtt_behind_a_burst_ms() < 100
    with broken(lab, kind="congestion", scope="AS64500", rate_kbit=400.0, queue_ms=2000.0):
        assert 400 < rtt_behind_a_burst_ms() < 2500
        assert reaches(lab, OTHER_NETWORK, "echo-n")
    assert rtt_behind_a_burst_ms() < 100


def test_a_name_moves_to_another_host(lab):
    def resolved():
        resolver = address_of(lab, INSIDE_PROVIDER)
        question = dns.message.make_query("www.site.example", "A")
        answer = inside(lab, HOME, lambda: dns.query.udp(question, resolver, timeout=2.0))
        return {item.address for rrset in answer.answer for item in rrset if rrset.rdtype == 1}

    def moves_to(host):
        """Once the resolver has forgotten what it knew."""
        return lab.wait_until(lambda: resolved() == {address_of(lab, host)}, 20)

    with broken(lab, kind="name_moves", scope="site-q", name="www.site.example", countries=["XA"]):
        assert moves_to("site-q")
    assert moves_to("site-p")


def test_a_censor_acts_at_the_providers_at_the_gateway_or_at_one_network(lab):
    rule = {"kind": "censor", "method": "drop", "hosts": ["echo-n"]}
    with broken(lab, **rule, scope="XA"):
        assert not reaches(lab, HOME, "echo-n")
        assert not reaches(lab, OTHER_NETWORK, "echo-n", 6)
        assert reaches(lab, HOME, "root-m")
    with broken(lab, **rule, scope="XA", at="gateway"):
        assert not reaches(lab, HOME, "echo-n")
        assert reaches(lab, HOME, "root-m")
    with broken(lab, **rule, scope="AS64500"):
        assert not reaches(lab, HOME, "echo-n")
        assert reaches(lab, OTHER_NETWORK, "echo-n")
    with broken(lab, **rule, scope="AS64500", households=[HOME]):
        assert not reaches(lab, HOME, "echo-n")
        assert reaches(lab, "xa-64500-2", "echo-n")
    assert reached(lab, HOME) == ALL


def test_a_censor_that_was_prepared_has_its_reader_before_it_is_told_to_act(lab):
    made = scenario({"kind": "censor", "scope": "AS64501", "method": "drop", "names": ["www.site.example"]})
    timeline = steps(made, lab.network.topology)
    before = readers(lab)
    faults.prepare(lab, made, timeline)
    assert len(readers(lab) - before) == 1
    prepared = readers(lab)
    for step in timeline:
        faults.perform(lab, made, step)
        assert readers(lab) == prepared


def readers(lab):
    """Processes that read for the censors of this lab."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = file.read_bytes().decode().split("\0")
            if "civobs_lab.censor.program" in words and any(word.startswith(str(lab.folder)) for word in words):
                found.add(int(file.parent.name))
    return found


def test_overlapping_faults_stay_until_the_last_of_them_is_over(lab):
    made = scenario(
        {"kind": "home_down", "scope": HOME},
        {"kind": "router_dead", "scope": HOME, "start": "12m", "end": "18m"},
        {"kind": "national_shutdown", "scope": "XA", "end": "14m"},
        {"kind": "national_shutdown", "scope": "XA", "access": "fixed", "end": "16m"},
    )
    timeline = steps(made, lab.network.topology)
    seen = []
    for step in timeline:
        faults.perform(lab, made, step)
        seen.append((step.at_s / 60, reaches(lab, OTHER_NETWORK, "echo-n"), carrier(lab, HOME)))
    assert [each for each in seen if each[0] >= 12] == [
        (12.0, False, False),
        (14.0, False, False),
        (16.0, True, False),
        (18.0, True, True),
        (20.0, True, True),
    ]
    assert reached(lab, HOME) == ALL


def test_doing_a_step_twice_and_mending_what_is_whole_are_harmless(lab):
    made = scenario({"kind": "international_cut", "scope": "XA"})
    begin, mend = steps(made, lab.network.topology)
    for step in (mend, begin, begin, mend, mend):
        faults.perform(lab, made, step)
    assert reached(lab, HOME) == ALL
    faults.perform(lab, made, begin)
    kept = dict(lab.broken)
    lab.mend()
    for each in kept.values():
        each()
    assert reached(lab, HOME) == ALL


def test_what_cannot_begin_leaves_nothing_broken(lab):
    forged = scenario({"kind": "forged_probes", "scope": "AS64500"})
    _, begin, _ = steps(forged, lab.network.topology)
    with pytest.raises(faults.FaultError, match="nobody has enrolled"):
        faults.perform(lab, forged, begin)
    assert not lab.broken
