"""Addresses a probe never speaks to."""

import ipaddress
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_agent.builtin import ANCHORS
from civobs_agent.host import home_prefixes
from civobs_agent.net import Net
from civobs_agent.refusal import LAB_BUILD, Refusal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "carrier_nat"),
        ("127.0.0.1", "loopback"),
        ("169.254.169.254", "link_local"),
        ("192.0.2.1", "documentation"),
        ("198.18.0.1", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "not_global"),
        ("::1", "not_global"),
        ("fd00::1", "not_global"),
        ("fe80::1", "not_global"),
        ("fe80::1%eth0", "link_local"),
        ("ff02::1", "not_global"),
        ("2001:db8::1", "documentation"),
        ("2001::1", "protocol"),
        ("::ffff:192.168.1.1", "private"),
        ("::ffff:8.8.8.8", "ipv4_mapped"),
        ("2002:c0a8:0101::1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::1", "not_global"),
        ("example.org", "not_an_address"),
        ("0x7f.1", "not_an_address"),
        ("", "not_an_address"),
    ],
)
def test_what_is_not_on_the_public_internet_is_refused(address, why):
    assert Refusal().refuses(address) == why


@pytest.mark.parametrize("address", ["9.9.9.9", "192.0.1.1", "2620:fe::fe", "64:ff9b::9.9.9.9", "2002:909:909::1"])
def test_public_addresses_are_spoken_to(address):
    assert Refusal().refuses(address) is None


ROUTES4 = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0
eth0 00080809 00000000 0001 0 0 100 00F8FFFF 0 0 0
wg0 00000080 00000000 0001 0 0 0 00000080 0 0 0
"""
ROUTES6 = """\
2a02081000050000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 1 0 00000001 eth0
2a02081000060000 40 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000100 1 0 00000003 eth0
"""


def test_a_neighbour_with_a_public_address_is_refused(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net/route").write_text(ROUTES4)
    (tmp_path / "net/ipv6_route").write_text(
        "\n".join(f"{line[:16]}{'0' * 16}{line[16:]}" for line in ROUTES6.splitlines())
    )
    home = tuple(home_prefixes(tmp_path))
    assert [str(one) for one in home] == ["9.8.8.0/21", "2a02:810:5::/64"]
    refusal = Refusal().with_own(["9.8.8.1"], home)
    assert refusal.refuses("2a02:810:5::7") == refusal.refuses("9.8.15.7") == "home_network"
    assert refusal.refuses_own("9.8.8.1") is None
    assert refusal.refuses("2a02:810:6::7") is None
    assert refusal.refuses("9.8.16.7") is refusal.refuses("129.1.1.1") is None


def test_the_anchors_that_ship_with_the_software_are_public():
    assert [anchor.id for anchor in ANCHORS if Refusal().refuses(anchor.address)] == []


@given(st.ip_addresses())
def test_whatever_the_standard_library_calls_private_is_refused(address):
    if not address.is_global or address.is_multicast:
        wrapped = isinstance(address, ipaddress.IPv6Address) and address in ipaddress.ip_network("64:ff9b::/96")
        assert wrapped or Refusal().refuses(str(address)) is not None


def test_the_own_gateway_is_spoken_to_as_such_and_never_as_a_target():
    policy = Refusal(own=frozenset({"192.168.1.1"}))
    assert policy.refuses_own("192.168.1.1") is None
    assert policy.refuses("192.168.1.1") == "private"
    assert policy.refuses_own("192.168.1.2") == "private"


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.19.0.1", "2001:db8::1"])
def test_a_laboratory_lifts_documentation_and_benchmarking(address):
    assert Refusal(lab_ranges=True).refuses(address) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "::1"])
def test_a_laboratory_lifts_nothing_else(address):
    assert Refusal(lab_ranges=True).refuses(address) is not None


def test_this_checkout_is_a_laboratory():
    assert LAB_BUILD


@pytest.mark.slow
def test_an_installed_probe_can_lift_nothing(tmp_path):
    built = tmp_path / "dist"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    attempt = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from civobs_agent import refusal\n"
        f"assert refusal.__file__.startswith({str(installed)!r}), refusal.__file__\n"
        "print(refusal.LAB_BUILD)\n"
        "try:\n    refusal.Refusal(lab_ranges=True)\n"
        "except refusal.ConfigError as error:\n    print(error.remedy)\n"
    )
    said = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == "False"
    assert "remove lab_ranges" in said


def test_the_addresses_that_the_world_sees_of_this_home_are_refused_and_not_written_down(live_clock):
    net = Net(live_clock)
    net.known.mapped |= {4: "93.184.216.34", 6: "2606:2800:220:1::1"}
    refusal = net.context(live_clock.moment().at, None).refusal
    for address in ("93.184.216.34", "2606:2800:220:1::1"):
        assert refusal.refuses(address) == "home_network"
        assert refusal.shown(address) == "refused:home_network"
    for standing_for_it in ("64:ff9b::93.184.216.34", "2002:5db8:d822::1"):
        assert refusal.refuses(standing_for_it) == "home_network"
    assert refusal.refuses("93.184.216.35") is refusal.refuses("64:ff9b::93.184.216.35") is None
