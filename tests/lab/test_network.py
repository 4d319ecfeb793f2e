"""The small Internet connects what it says and breaks what it is told to, as plain sockets see it."""

import errno
import json
import socket
import ssl
import sys
import time
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from icmplib import multiping, ping

from civobs_lab import faults
from civobs_lab.certificates import CertificateAuthority
from civobs_lab.faults import Fault, FaultKind, UnknownScopeError
from civobs_lab.network import LabNetwork
from civobs_lab.processes import Program, command_in
from civobs_lab.servers import READY, describe
from civobs_lab.topology import LAB_RANGE6, LAB_RANGES, TopologyError, load

pytestmark = pytest.mark.netns

HOME = "xa-64500-1"
OTHER_NETWORK = "xa-64501-1"
CONTROL = "xb-64504-1"
INSIDE_PROVIDER = "resolver-64500"
DOMESTIC = ("xa-echo", "xa-news", "xa-dns")
ABROAD = ("root-m", "root-n", "echo-n", "peer-p", "observatory")
ALL = {*DOMESTIC, *ABROAD, INSIDE_PROVIDER}


@pytest.fixture(scope="module")
def network():
    built = LabNetwork(load(Path("two-countries")))
    yield built
    built.close()


@pytest.fixture(scope="module")
def served(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    certificates = CertificateAuthority(folder / "certificates")
    description = folder / "servers.json"
    description.write_text(json.dumps(describe(network, certificates)))
    command = command_in(None, [sys.executable, "-m", "civobs_lab.servers", str(description)])
    servers = Program("servers", command, folder / "log")
    end = time.monotonic() + 30
    while READY not in servers.log.read_text():
        servers.check()
        assert time.monotonic() < end
        time.sleep(0.05)
    yield certificates
    servers.stop()


def reaches(network, household, host, version=4):
    """Whether one of two echo requests from a home's device is answered."""
    link = network.topology.host(host)[2]
    address = str(link.address if version == 4 else link.address6)
    device = network[f"device-{household}"].namespace
    return device.run(lambda: ping(address, count=2, interval=0.05, timeout=0.3).is_alive)


def reached(network, household):
    """Which of all hosts a home reaches by IPv4."""
    hosts = {str(network.topology.host(name)[2].address): name for name in ALL}
    device = network[f"device-{household}"].namespace
    answers = device.run(lambda: multiping(list(hosts), count=2, interval=0.05, timeout=0.3))
    return {hosts[answer.address] for answer in answers if answer.is_alive}


def broken(network, kind, scope):
    """A fault for the length of a block."""
    fault = Fault(kind, scope)

    class Broken:
        def __enter__(self):
            faults.begin(network, fault)

        def __exit__(self, *_):
            faults.end(network, fault)

    return Broken()


def test_every_home_reaches_servers_at_home_and_abroad(network):
    for household in network.topology.households():
        assert reaches(network, household.name, "echo-n")
        assert reaches(network, household.name, "echo-n", 6)
    assert reached(network, HOME) == ALL


def test_national_shutdown_leaves_only_the_provider(network):
    with broken(network, FaultKind.NATIONAL_SHUTDOWN, "XA"):
        assert reached(network, HOME) == {INSIDE_PROVIDER}
        assert not reaches(network, HOME, "root-m", 6)
        assert not reached(network, OTHER_NETWORK)
        assert reaches(network, CONTROL, "echo-n")
    assert reached(network, HOME) == ALL
    assert reaches(network, HOME, "root-m", 6)


def test_international_cut_leaves_the_country(network):
    with broken(network, FaultKind.INTERNATIONAL_CUT, "XA"):
        assert reached(network, HOME) == {INSIDE_PROVIDER, *DOMESTIC}
        assert reaches(network, HOME, "xa-echo", 6)
        assert not reaches(network, HOME, "root-m", 6)
        assert reaches(network, CONTROL, "echo-n")
    assert reached(network, HOME) == ALL
    assert reaches(network, HOME, "root-m", 6)


def test_network_down_leaves_the_other_provider(network):
    with broken(network, FaultKind.NETWORK_DOWN, "64500"):
        assert reached(network, HOME) == {INSIDE_PROVIDER}
        assert reached(network, OTHER_NETWORK) == ALL - {INSIDE_PROVIDER}
    assert reached(network, HOME) == ALL


def test_home_down_leaves_the_neighbours(network):
    with broken(network, FaultKind.HOME_DOWN, HOME):
        assert not reached(network, HOME)
        assert reached(network, "xa-64500-2") == ALL
    assert reached(network, HOME) == ALL


def test_a_cut_line_is_answered_and_a_shutdown_is_not(network):
    """Both patterns occur in the field, and a probe has to read both."""
    address = str(network.topology.host("echo-n")[2].address)

    def connect():
        with socket.socket() as one:
            one.settimeout(0.5)
            return one.connect_ex((address, 443))

    device = network[f"device-{HOME}"].namespace
    with broken(network, FaultKind.INTERNATIONAL_CUT, "XA"):
        assert device.run(connect) in {errno.ENETUNREACH, errno.EHOSTUNREACH}
    with broken(network, FaultKind.NATIONAL_SHUTDOWN, "XA"):
        assert device.run(connect) == errno.EAGAIN


def test_home_addresses_never_leave_the_home(network):
    """What a server abroad sees is the home router's address at the provider."""
    server = network["echo-n"].namespace.run(lambda: socket.create_server(("", 8000)))
    server.settimeout(5)
    address = str(network.topology.host("echo-n")[2].address)
    device = network[f"device-{HOME}"].namespace
    with server, device.run(lambda: socket.create_connection((address, 8000), timeout=5)) as near:
        far, seen = server.accept()
        far.close()
        assert near.getsockname()[0] == "192.168.1.2"
    household = next(each for each in network.topology.households() if each.name == HOME)
    assert seen[0] == str(household.link.address)


def test_every_address_outside_homes_is_a_lab_address(network):
    for place in network.places.values():
        for device, address, _ in place.addresses:
            at_home = device == "lan" or str(address) == "192.168.1.2"
            assert at_home or address in LAB_RANGE6 or any(address in known for known in LAB_RANGES)


def test_nothing_of_the_lab_is_in_the_machines_own_network(network):
    own = {name for _, name in socket.if_nameindex()}
    assert not {name for name in own if name == "up" or name.startswith("to-")}


def ask(network, household, name, kind="A"):
    household = next(each for each in network.topology.households() if each.name == household)
    resolver = str(network.topology.resolver_of(household.network).address)
    device = network[f"device-{household.name}"].namespace
    return device.run(lambda: dns.query.udp(dns.message.make_query(name, kind), resolver, timeout=4))


def test_resolvers_answer_for_names_at_home_and_abroad(network, served):
    answer = ask(network, HOME, "www.site.example").answer
    assert str(answer[0][0]) == str(network.topology.host("site-p")[2].address)
    assert str(ask(network, HOME, "news.arland.example", "AAAA").answer[0][0]).startswith("2001:db8:18:")
    assert ask(network, HOME, "nothing.example").rcode() == dns.rcode.NXDOMAIN


def test_names_from_abroad_stop_resolving_when_the_country_is_cut_off(network, served):
    with broken(network, FaultKind.INTERNATIONAL_CUT, "XA"):
        assert ask(network, OTHER_NETWORK, "unasked.example").rcode() == dns.rcode.SERVFAIL
        assert ask(network, OTHER_NETWORK, "news.arland.example").rcode() == dns.rcode.NOERROR


def test_authorities_answer_for_the_root(network, served):
    address = str(network.topology.host("root-m")[2].address)
    device = network[f"device-{HOME}"].namespace
    answer = device.run(lambda: dns.query.udp(dns.message.make_query(".", "NS"), address, timeout=4))
    assert len(answer.answer[0]) == 13


def test_sites_are_verified_under_the_labs_authority_and_no_other(network, served):
    address = str(network.topology.host("site-p")[2].address)
    device = network[f"device-{HOME}"].namespace

    def page(context):
        with (
            socket.create_connection((address, 443), timeout=5) as tcp,
            context.wrap_socket(tcp, server_hostname="www.site.example") as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: www.site.example\r\nConnection: close\r\n\r\n")
            return tls.recv(100)

    trusting = ssl.create_default_context(cafile=str(served.ca_file))
    assert device.run(lambda: page(trusting)).startswith(b"HTTP/1.1 200")
    with pytest.raises(ssl.SSLCertVerificationError):
        device.run(lambda: page(ssl.create_default_context()))


def test_an_unknown_scope_is_refused(network):
    for kind, scope in ((FaultKind.NATIONAL_SHUTDOWN, "XZ"), (FaultKind.HOME_DOWN, "nobody")):
        with pytest.raises(UnknownScopeError):
            faults.begin(network, Fault(kind, scope))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x'\nnetworks = 3", "networks"),
        ("name = 'x", "not TOML"),
        (
            "name = 'x'\nnetworks = [{asn=1, name='n', cc='XW', prefix='8.8.8.0/24', prefix6='2001:db8:1::/48'}]",
            "not a free lab range",
        ),
    ],
)
def test_a_faulty_topology_is_refused_with_its_fault(tmp_path, text, words):
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    with pytest.raises(TopologyError, match=words):
        load(file)
