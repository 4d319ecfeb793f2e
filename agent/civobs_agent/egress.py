"""Which interface leads to the Internet, and what it is: wired, Wi-Fi, cellular, or the mouth of a tunnel.

The kernel is asked where it would send a packet, because the table of routes does not tell: WireGuard leaves the
default route alone and goes by rules, OpenVPN lays two halves of the Internet over it. No packet is sent.
"""

import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from civobs_agent import netlink
from civobs_wire.measurement import LinkKind

RTM_GETROUTE, RTM_NEWROUTE = 26, 24
RTM_GETLINK, RTM_NEWLINK = 18, 16
RTA_DST, RTA_OIF = 1, 4
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_LINKINFO, IFLA_INFO_KIND = 1, 3, 5, 18, 1
"""<linux/rtnetlink.h>, <linux/if_link.h>"""
ARPHRD_ETHER, ARPHRD_PPP, ARPHRD_RAWIP = 1, 512, 519
"""<linux/if_arp.h>"""

FAR = {4: "198.41.0.4", 6: "2001:503:ba3e::2:30"}
"""Somewhere beyond: a.root-servers.net. Only looked up in the routes."""

TUNNEL_TYPES = {768: "ipip", 769: "ip6tnl", 776: "sit", 778: "gre", 823: "gre", 65534: "tun"}
"""ARPHRD_* of what wraps packets. 65534 says "no header", which is TUN, WireGuard and XFRM; the driver says which."""
TUNNEL_DRIVERS = frozenset(
    {
        *("tun", "wireguard", "ovpn", "l2tp", "xfrm", "vti", "vti6", "ipip", "ip6tnl", "sit"),
        *("gre", "gretap", "ip6gre", "ip6gretap", "erspan", "vxlan", "geneve"),
    }
)
"""IFLA_INFO_KIND of the kernel's drivers for tunnels."""
CELLULAR_DRIVERS = frozenset({"wwan", "rmnet"})
PLAIN_DRIVERS = frozenset({"veth", "bridge", "bond", "team", "vlan", "macvlan", "ipvlan", "dummy"})
"""No tunnels; of what is behind them only ``vlan`` and ``macvlan`` say a word."""
_FOLLOWED = frozenset({"vlan", "macvlan", "ipvlan"})
"""They name the interface below them."""

_ROUTE = struct.Struct("=BBBBBBBBI")
_LINK = struct.Struct("=BxHiII")


@dataclass(frozen=True, slots=True)
class Interface:
    """What the kernel says of one interface."""

    name: str
    type: int
    driver: str
    """Empty for hardware."""
    address: bytes
    below: int
    """Index of the interface under it; 0 for none."""


@dataclass(frozen=True, slots=True)
class Egress:
    """The interface by which packets leave for the Internet."""

    name: str | None = None
    link: LinkKind | None = None
    """None where it cannot be seen: in a container, or below a bridge."""
    tunnel: bool | None = None
    tunnel_kind: str | None = None


def egress(family: int, proc: Path, sys_net: Path, default: str | None) -> Egress:
    """Look. ``default`` is the interface of the main table's default route: under a tunnel, that is the wire."""
    try:
        found = _interface(_route(family))
        if found is None:
            return Egress()
        tunnel, kind = _tunnel(found, proc)
        wire = found if not tunnel else _interface(_index(default))
        return Egress(found.name, None if wire is None else _link(wire, proc, sys_net), tunnel, kind)
    except OSError:
        return Egress()


def _route(family: int) -> int:
    """Index of the interface a packet would leave by; 0 if there is no way."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    address = ipaddress.ip_address(FAR[family])
    body = _ROUTE.pack(kind, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + netlink.attribute(RTA_DST, address.packed)
    for message, data in netlink.ask(RTM_GETROUTE, body):
        if message == RTM_NEWROUTE:
            return int.from_bytes(netlink.attributes(data[_ROUTE.size :]).get(RTA_OIF, b""), sys.byteorder)
    return 0


def _index(name: str | None) -> int:
    try:
        return 0 if name is None else socket.if_nametoindex(name)
    except OSError:
        return 0


def _interface(index: int) -> Interface | None:
    if index == 0:
        return None
    for message, data in netlink.ask(RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)):
        if message == RTM_NEWLINK:
            told = netlink.attributes(data[_LINK.size :])
            driver = netlink.attributes(told.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
            return Interface(
                _text(told.get(IFLA_IFNAME, b"")),
                _LINK.unpack_from(data)[1],
                _text(driver),
                told.get(IFLA_ADDRESS, b""),
                int.from_bytes(told.get(IFLA_LINK, b""), sys.byteorder),
            )
    return None


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("ascii", "replace")


def _tunnel(interface: Interface, proc: Path) -> tuple[bool | None, str | None]:
    """Whether it is a tunnel's mouth, and of which kind; None where PPP may be a line or a VPN."""
    if _is_cellular(interface):
        return False, None
    if interface.driver in TUNNEL_DRIVERS:
        return True, interface.driver
    if interface.type in TUNNEL_TYPES:
        return True, TUNNEL_TYPES[interface.type]
    if interface.type == ARPHRD_PPP:
        return (False, None) if _has_pppoe(proc) else (None, "ppp")
    plain = not interface.driver or interface.driver in PLAIN_DRIVERS
    return (False, None) if plain else (None, None)


def _link(interface: Interface, proc: Path, sys_net: Path) -> LinkKind | None:
    """What it is made of."""
    for _ in range(2):
        below = _interface(interface.below) if interface.driver in _FOLLOWED else None
        interface = below or interface
    kind = _device_type(interface, sys_net)
    if _is_cellular(interface) or kind == "wwan":
        return LinkKind.CELLULAR
    if interface.type == ARPHRD_PPP:
        return LinkKind.WIRED if _has_pppoe(proc) else None
    if interface.driver or interface.type != ARPHRD_ETHER:
        return None
    return LinkKind.WIFI if kind == "wlan" or interface.name in _wireless(proc) else LinkKind.WIRED


def _is_cellular(interface: Interface) -> bool:
    # systemd.net-naming-scheme(7): ww is what the kernel calls a modem. Some of them have no header, as a tunnel has.
    named = interface.name.startswith(("ww", "rmnet"))
    return interface.driver in CELLULAR_DRIVERS or interface.type == ARPHRD_RAWIP or (named and not interface.driver)


def _device_type(interface: Interface, sys_net: Path) -> str | None:
    """``DEVTYPE`` of the device; only where ``/sys`` shows this very interface and not one of another namespace."""
    try:
        address = (sys_net / interface.name / "address").read_text().strip()
        if address != interface.address.hex(":"):
            return None
        lines = (sys_net / interface.name / "uevent").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith("DEVTYPE=")), None)


def _wireless(proc: Path) -> frozenset[str]:
    return frozenset(line.partition(":")[0].strip() for line in lines_of(proc / "net" / "wireless")[2:])


def _has_pppoe(proc: Path) -> bool:
    """Whether a PPP-over-Ethernet session is up, which is a line and no tunnel: one follows the heading."""
    return len(lines_of(proc / "net" / "pppoe")) > 1


def lines_of(path: Path) -> list[str]:
    """The lines of one of the kernel's files; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
