"""What the interface is that leads to the Internet: of a real kernel, and of what a Pi's would say."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from civobs_agent.egress import Interface, _link, _tunnel
from civobs_agent.host import Sources, look
from civobs_agent.refusal import Refusal
from civobs_lab.namespace import Namespace
from civobs_wire.measurement import LinkKind

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
"""<linux/if_tun.h>"""
HERE = Sources(proc=Path("/proc/thread-self"))


@pytest.fixture
def home():
    """A device with a wire to its router."""
    namespace = Namespace("egress")

    def build():
        with IPRoute() as route:
            route.link("add", ifname="eth0", kind="veth", peer={"ifname": "far"})
            for name in ("lo", "eth0", "far"):
                route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
            route.addr("add", index=route.link_lookup(ifname="eth0")[0], address="192.168.7.2", prefixlen=24)
            route.route("add", dst="default", gateway="192.168.7.1")

    namespace.run(build)
    yield namespace
    namespace.close()


def test_the_addresses_of_a_line_without_a_prefix_are_the_households(home):
    """A modem in the device itself, by PPP or DHCPv6: nothing is on the link but the two ends of it."""

    def build():
        with IPRoute() as route:
            index = route.link_lookup(ifname="eth0")[0]
            route.addr("add", index=index, address="9.8.7.6", prefixlen=32)
            route.addr("add", index=index, address="2a02:810:5::2", prefixlen=128)
            route.addr("del", index=index, address="192.168.7.2", prefixlen=24)
            host = look(HERE)
        return Refusal().with_own(host.own_addresses(), host.home)

    refusal = home.run(build)
    for own in ("9.8.7.6", "2a02:810:5::2", "2a02:810:5::9", "2002:908:706::1"):
        assert refusal.refuses(own) == "home_network"
    assert refusal.refuses("9.8.7.5") is refusal.refuses("2a02:810:6::9") is None


def open_tunnel():
    """A TUN interface, as OpenVPN and user-space WireGuard make it; it lives as long as the descriptor."""
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", b"vpn0", IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "addr", "add", "10.8.0.2/24", "dev", "vpn0"], check=True)
    subprocess.run(["ip", "link", "set", "vpn0", "up"], check=True)
    return handle


@pytest.mark.netns
def test_a_wire_is_no_tunnel(home):
    host = home.run(lambda: look(HERE))
    # What is beyond the container's end of a virtual wire cannot be seen.
    assert (host.link, host.tunnel, host.tunnel_kind) == (None, False, None)


@pytest.mark.netns
@pytest.mark.parametrize(
    "ways",
    [
        (["route", "replace", "default", "dev", "vpn0"],),
        (["route", "add", "0.0.0.0/1", "dev", "vpn0"], ["route", "add", "128.0.0.0/1", "dev", "vpn0"]),
        (
            ["route", "add", "default", "dev", "vpn0", "table", "51820"],
            ["rule", "add", "not", "fwmark", "51820", "lookup", "51820"],
            ["rule", "add", "lookup", "main", "suppress_prefixlength", "0"],
        ),
    ],
    ids=["default route", "two halves, as OpenVPN", "rules, as wg-quick"],
)
def test_a_tunnel_is_seen_however_traffic_is_led_into_it(home, ways):
    def build_and_look():
        handle = open_tunnel()
        try:
            for words in ways:
                subprocess.run(["ip", *words], check=True)
            return look(HERE)
        finally:
            os.close(handle)

    host = home.run(build_and_look)
    assert (host.tunnel, host.tunnel_kind) == (True, "tun")


@pytest.mark.netns
def test_without_a_way_out_nothing_is_said():
    namespace = Namespace("nowhere")
    host = namespace.run(lambda: look(HERE))
    namespace.close()
    assert (host.link, host.tunnel, host.tunnel_kind) == (None, None, None)


def hardware(name, kind=1, driver=""):
    return Interface(name, kind, driver, bytes.fromhex("02fc00000001"), 0)


@pytest.fixture
def system(tmp_path):
    """What ``/proc`` and ``/sys/class/net`` show."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "wireless").write_text("Inter-|\n face |\n wlan1: 0000   54.  -56.  -256        0\n")

    def device(name, device_type, address="02:fc:00:00:00:01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(address + "\n")
        (tmp_path / name / "uevent").write_text(f"DEVTYPE={device_type}\nINTERFACE={name}\nIFINDEX=3\n")

    device("wlan0", "wlan")
    device("usb0", "wwan")
    device("eth1", "wlan", "02:fc:00:00:00:02")
    return tmp_path


@pytest.mark.parametrize(
    ("interface", "link"),
    [
        (hardware("eth0"), LinkKind.WIRED),
        (hardware("wlan0"), LinkKind.WIFI),
        (hardware("wlan1"), LinkKind.WIFI),
        (hardware("usb0"), LinkKind.CELLULAR),
        (hardware("wwan0", 65534), LinkKind.CELLULAR),
        (hardware("eth1"), LinkKind.WIRED),
        (hardware("br0", 1, "bridge"), None),
        (hardware("ppp0", 512), None),
    ],
)
def test_an_interface_is_what_its_device_says(interface, link, system):
    assert _link(interface, system, system) is link


@pytest.mark.parametrize(
    ("interface", "told"),
    [
        (hardware("wg0", 65534, "wireguard"), (True, "wireguard")),
        (hardware("sit0", 776, "sit"), (True, "sit")),
        (hardware("he", 776), (True, "sit")),
        (hardware("tap0", 1, "tun"), (True, "tun")),
        (hardware("ppp0", 512), (None, "ppp")),
        (hardware("wwan0", 65534), (False, None)),
        (hardware("br0", 1, "bridge"), (False, None)),
        (hardware("odd0", 1, "madeup"), (None, None)),
    ],
)
def test_a_tunnel_is_what_wraps_packets(interface, told, system):
    assert _tunnel(interface, system) == told


def test_a_line_over_pppoe_is_a_wire_and_no_tunnel(system):
    (system / "net" / "pppoe").write_text("Id       Address              Device\n0000000A 02:00:5e:00:00:01 eth0\n")
    assert _tunnel(hardware("ppp0", 512), system) == (False, None)
    assert _link(hardware("ppp0", 512), system, system) is LinkKind.WIRED
