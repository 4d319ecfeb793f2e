"""The small Internet connects what it says and translates what it says, as plain sockets see it."""

import errno
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from icmplib import multiping, ping, traceroute
from pyroute2 import IPRoute

from civobs_lab.network import LabNetwork
from civobs_lab.topology import CARRIER_PREFIX, LAB_RANGE6, LAB_RANGES, load

pytestmark = pytest.mark.netns

HOME = "xa-64500-1"
WITHOUT_IPV6 = "xa-64501-1"
BEHIND_CARRIER = "xa-64510-1"
NEIGHBOUR = "xa-64510-2"
BROKEN_IPV6 = "xb-65536-1"
ABROAD = "echo-n"
SERVERS = (ABROAD, "xa-echo", "xb-echo", "xc-echo", "resolver-64510")


@pytest.fixture(scope="module")
def network():
    wide = load(Path("wide"))
    broken = [one.model_copy(update={"ipv6": "broken"} if one.asn == 65536 else {}) for one in wide.networks]
    built = LabNetwork(wide.model_copy(update={"networks": broken}))
    yield built
    built.close()


def at_home(network, household, function):
    """What a function gives on the device of a home."""
    return network[f"device-{household}"].namespace.run(function)


def link_of(network, host):
    return network.topology.host(host)[2]


def seen_by(network, household, host, version):
    """The address under which a server sees a connection of a home."""
    link = link_of(network, host)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    address = str(link.address if version == 4 else link.address6)
    server = network[host].namespace.run(lambda: socket.create_server((address, 8000), family=family))
    server.settimeout(5)
    with server, at_home(network, household, lambda: socket.create_connection((address, 8000), timeout=5)):
        far, seen = server.accept()
        far.close()
    return ip_address(seen[0])


def ipv6_of(place):
    """Whether a place has a global IPv6 address on its uplink, and whether it has a default route."""

    def look():
        with IPRoute() as netlink:
            up = netlink.link_lookup(ifname="up")[0]
            addresses = netlink.get_addr(family=socket.AF_INET6, index=up, scope=0)
            routes = netlink.get_default_routes(family=socket.AF_INET6)
            return bool(list(addresses)), bool(list(routes))

    return place.namespace.run(look)


def echoed6(network, household, host=ABROAD):
    address = str(link_of(network, host).address6)
    return at_home(network, household, lambda: ping(address, count=2, interval=0.05, timeout=0.3).is_alive)


def test_every_home_reaches_servers_of_every_country(network):
    addresses = [str(link_of(network, host).address) for host in SERVERS]
    for household in network.topology.households():
        answers = at_home(network, household.name, lambda: multiping(addresses, count=1, timeout=1))
        assert [answer.address for answer in answers if answer.is_alive] == addresses


def test_every_home_with_ipv6_reaches_servers_by_it(network):
    addresses = [str(link_of(network, host).address6) for host in SERVERS]
    for household in network.topology.households():
        if household.network.ipv6 == "working":
            answers = at_home(network, household.name, lambda: multiping(addresses, count=1, timeout=1))
            assert all(answer.is_alive for answer in answers)


def test_home_addresses_never_leave_the_home(network):
    (household,) = network.topology.households_of(HOME)
    assert seen_by(network, HOME, ABROAD, 4) == household.link.address
    assert seen_by(network, HOME, ABROAD, 6) in household.home6


def test_homes_behind_carrier_nat_share_the_address_of_its_box(network):
    box = network.topology.households_of(BEHIND_CARRIER)[0].network.carrier.address
    assert seen_by(network, BEHIND_CARRIER, ABROAD, 4) == box
    assert seen_by(network, NEIGHBOUR, ABROAD, 4) == box
    assert seen_by(network, NEIGHBOUR, "resolver-64510", 4) == box
    assert box in network.topology.households_of("AS64510")[0].seen_as[0]


def test_behind_carrier_nat_the_second_hop_has_a_shared_address(network):
    def hops(household):
        address = str(link_of(network, ABROAD).address)
        found = at_home(network, household, lambda: traceroute(address, count=1, interval=0, timeout=1, max_hops=9))
        return [ip_address(hop.address) for hop in found]

    shared, own = hops(BEHIND_CARRIER), hops(HOME)
    assert shared[1] in CARRIER_PREFIX
    assert len(shared) == len(own) + 1
    assert not [hop for hop in own if hop in CARRIER_PREFIX]


def test_ipv6_passes_carrier_nat_as_it_is(network):
    for household in network.topology.households_of("AS64510"):
        assert seen_by(network, household.name, ABROAD, 6) == household.home6[2]


def test_a_home_without_ipv6_has_neither_address_nor_route(network):
    for place in (network[f"device-{WITHOUT_IPV6}"], network[f"home-{WITHOUT_IPV6}"]):
        assert ipv6_of(place) == (False, False)

    def connect():
        with socket.socket(socket.AF_INET6) as one:
            return one.connect_ex((str(link_of(network, ABROAD).address6), 443))

    assert at_home(network, WITHOUT_IPV6, connect) == errno.ENETUNREACH
    assert ipv6_of(network[f"device-{HOME}"]) == (True, True)


def test_broken_ipv6_looks_well_and_carries_nothing(network):
    assert ipv6_of(network[f"device-{BROKEN_IPV6}"]) == (True, True)
    assert not echoed6(network, BROKEN_IPV6)
    assert not echoed6(network, BROKEN_IPV6, "resolver-65536")
    # Nor anything that comes from outside.
    target = str(network.topology.households_of(BROKEN_IPV6)[0].home6[2])
    outside = network[ABROAD].namespace
    assert not outside.run(lambda: ping(target, count=1, timeout=0.3).is_alive)


def test_a_host_with_two_addresses_answers_at_both_and_speaks_from_the_first(network):
    link = link_of(network, "measure")
    both = [str(address) for address in (link.address, link.second, link.address6, link.second6)]
    answers = at_home(network, HOME, lambda: multiping(both, count=1, timeout=1))
    assert all(answer.is_alive for answer in answers)

    def own(family, towards):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((towards, 9))
            return one.getsockname()[0]

    measure, towards = network["measure"].namespace, link_of(network, ABROAD)
    assert measure.run(lambda: own(socket.AF_INET, str(towards.address))) == str(link.address)
    assert measure.run(lambda: own(socket.AF_INET6, str(towards.address6))) == str(link.address6)


def test_providers_are_found_by_country_and_access(network):
    def names(*words):
        return [place.namespace.name for place in network.providers(*words)]

    assert names("XA") == ["as64500", "as64501", "as64510"]
    assert names("XA", "mobile") == ["as64510"]
    assert names("XB", "fixed") == ["as64504"]


def test_what_nft_refuses_is_said(network):
    with pytest.raises(ValueError, match=r"nft at as64500: .*syntax error"):
        network["as64500"].nft("make it so")


def test_every_address_outside_homes_is_a_lab_address(network):
    for place in network.places.values():
        for device, address, _ in place.addresses:
            inside = device == "lan" or str(address) == "192.168.1.2"
            assert inside or address in LAB_RANGE6 or any(address in known for known in LAB_RANGES)


def test_nothing_of_the_lab_is_in_the_machines_own_network(network):
    own = {name for _, name in socket.if_nameindex()}
    assert not {name for name in own if name == "up" or name.startswith("to-")}


def in_a_shell(script):
    """What Python says of making a place, under a shell's conditions."""
    python = (
        "from icmplib import ping\n"
        "from civobs_lab.namespace import Namespace\n"
        "from civobs_lab.network import Place\n"
        "try:\n    place = Place(Namespace('alone'))\n"
        "except OSError as error:\n    print(error.strerror)\n"
        "else:\n    place.configure()\n"
        "    print(place.namespace.run(lambda: ping('127.0.0.1', count=1, timeout=1, privileged=False)).is_alive)\n"
    )
    words = ["sh", "-c", f'{script} "$@"', "sh", sys.executable, "-c", python]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_a_place_comes_up_where_only_one_group_is_mapped():
    assert in_a_shell("unshare --user --map-root-user") == "True"


def test_a_setting_that_the_machine_refuses_is_named():
    read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
    said = in_a_shell(f"unshare --user --map-root-user --mount sh -c '{read_only} && \"$@\"' sh")
    assert said == "cannot set net/ipv4/ip_forward in a network namespace: Read-only file system"
