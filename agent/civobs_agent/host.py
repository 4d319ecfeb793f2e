"""What the kernel knows of the device's own links, addresses, routes, neighbours and supply.

Read from ``/proc``, by two ioctls and over netlink, all of which see the agent's own network namespace;
``/sys/class/net`` does not where only the network was unshared. None of these addresses ever enters a row.
"""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from civobs_agent.egress import egress, lines_of
from civobs_wire.measurement import LinkKind

SIOCGIFFLAGS = 0x8913
SIOCGIFADDR = 0x8915
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
"""netdevice(7); RUNNING follows the carrier (or the association)."""
RTF_GATEWAY = 0x2
RTF_REJECT = 0x200
"""<linux/route.h>"""


HOME_PREFIX_MIN = {4: 16, 6: 48}
"""Shorter prefixes on a link are no home: a VPN lays half of the Internet on its link so as to take all traffic."""

HOME_LINK_BITS = 64
"""Of IPv6: every link has so much (RFC 4291 §2.5.4)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Route:
    """A default route; ``gateway`` is empty on a point-to-point link."""

    interface: str
    gateway: str


@dataclass(frozen=True, slots=True)
class FamilyFacts:
    """One address family of the device."""

    has_address: bool
    routes: tuple[Route, ...]

    @property
    def present(self) -> bool:
        """Whether the device could reach anything beyond its own link."""
        return self.has_address and bool(self.routes)


@dataclass(frozen=True, slots=True)
class Host:
    """One look at the device."""

    carrier: bool
    v4: FamilyFacts
    v6: FamilyFacts
    resolvers: tuple[str, ...]
    """The resolvers the device was given, by address, a local stub replaced by those behind it."""
    home: tuple[Network, ...] = ()
    """Prefixes that are on the device's own links, the public ones of IPv6 above all, and its own addresses."""
    addresses: tuple[str, ...] = ()
    """Its own, but those of its links."""
    undervoltage: bool | None = None
    link: LinkKind | None = None
    """What packets to the Internet leave by; None where it cannot be seen, as in a container."""
    tunnel: bool | None = None
    """They leave through a tunnel or VPN. Of IPv4, or of IPv6 where there is no IPv4."""
    tunnel_kind: str | None = None
    """The driver's word for it: ``wireguard``, ``tun``, ``ppp``."""
    tunnel_kind6: str | None = None
    """The same of IPv6, which may have a tunnel of its own (6in4)."""

    def facts(self, family: int) -> FamilyFacts:
        return self.v4 if family == 4 else self.v6

    def absent(self, family: int) -> bool:
        """Whether the device has nothing of this family. With neither, IPv4 is still asked: that is a failure."""
        if self.facts(family).present:
            return False
        return family == 6 or self.v6.present

    def own_addresses(self) -> frozenset[str]:
        """Gateways and given resolvers: the only private addresses the agent ever speaks to."""
        gateways = (route.gateway for facts in (self.v4, self.v6) for route in facts.routes if route.gateway)
        return frozenset((*gateways, *self.resolvers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to read; a test or an odd system points elsewhere."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    sys_net: Path = Path("/sys/class/net")
    hwmon: Path = Path("/sys/class/hwmon")
    resolv_conf: Path = Path("/etc/resolv.conf")
    stub_resolv_conf: Path = Path("/run/systemd/resolve/resolv.conf")
    """Where systemd-resolved tells what is behind its stub at 127.0.0.53."""


def look(sources: Sources) -> Host:
    """Read everything once. What cannot be read counts as not there."""
    states = {name: _flags(name) for name in _interfaces(sources.proc)}
    outer = [name for name, flags in states.items() if not flags & IFF_LOOPBACK]
    own4 = [address for address in map(_ipv4, outer) if address is not None]
    own6 = [address for address, interface in _ipv6(sources.proc) if interface in outer]
    v4 = FamilyFacts(bool(own4), tuple(_routes4(sources.proc)))
    v6 = FamilyFacts(bool(own6), tuple(_routes6(sources.proc)))
    way4, way6 = (
        egress(family, sources.proc, sources.sys_net, next((route.interface for route in facts.routes), None))
        for family, facts in ((4, v4), (6, v6))
    )
    way = way4 if way4.name is not None else way6
    return Host(
        carrier=any(states[name] & IFF_RUNNING for name in outer),
        v4=v4,
        v6=v6,
        resolvers=given_resolvers(sources),
        home=(*home_prefixes(sources.proc), *map(_around, own4), *map(_around, own6)),
        addresses=tuple(map(str, (*own4, *own6))),
        undervoltage=undervoltage(sources.hwmon),
        link=way.link,
        tunnel=way.tunnel,
        tunnel_kind=way.tunnel_kind,
        tunnel_kind6=way6.tunnel_kind,
    )


def home_prefixes(proc: Path) -> Iterator[Network]:
    """Prefixes with a route straight onto a link: the neighbours, in whatever range their addresses are."""
    found: list[tuple[str, Network, int]] = []
    for line in lines_of(proc / "net" / "route")[1:]:
        interface, destination, _, flags, _, _, _, mask, *_ = line.split()
        start = ipaddress.IPv4Address(struct.pack("=I", int(destination, 16)))
        found.append((interface, ipaddress.IPv4Network((start, int(mask, 16).bit_count())), int(flags, 16)))
    for line in lines_of(proc / "net" / "ipv6_route"):
        destination, length, _, _, _, _, _, _, flags, interface = line.split()
        found.append((interface, ipaddress.IPv6Network((int(destination, 16), int(length, 16))), int(flags, 16)))
    for interface, network, bits in found:
        on_link = not bits & (RTF_GATEWAY | RTF_REJECT) and interface != "lo"
        if on_link and HOME_PREFIX_MIN[network.version] <= network.prefixlen < network.max_prefixlen:
            yield network


def given_resolvers(sources: Sources) -> tuple[str, ...]:
    """Addresses of ``resolv.conf``, at most the three that the C library asks (resolv.conf(5), MAXNS)."""
    found = tuple(_nameservers(sources.resolv_conf))
    if found and all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found):
        found = tuple(_nameservers(sources.stub_resolv_conf)) or found
    return found[:3]


def undervoltage(hwmon: Path) -> bool | None:
    """Whether a Raspberry Pi's firmware reports too low a supply; None where no such sensor is."""
    try:
        for sensor in hwmon.iterdir():
            if (sensor / "name").read_text().strip() == "rpi_volt":
                return (sensor / "in0_lcrit_alarm").read_text().strip() == "1"
    except OSError:
        return None
    return None


def _interfaces(proc: Path) -> Iterator[str]:
    for line in lines_of(proc / "net" / "dev")[2:]:
        yield line.partition(":")[0].strip()


def _ioctl(request: int, name: str) -> bytes | None:
    packed = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            return fcntl.ioctl(handle, request, packed)
        except OSError:
            return None


def _flags(name: str) -> int:
    answer = _ioctl(SIOCGIFFLAGS, name)
    return 0 if answer is None else int(struct.unpack_from("H", answer, 16)[0])


def _ipv4(name: str) -> ipaddress.IPv4Address | None:
    """The interface's first address that is not link-local."""
    answer = _ioctl(SIOCGIFADDR, name)
    address = None if answer is None else ipaddress.IPv4Address(answer[20:24])
    return None if address is None or address.is_link_local else address


def _around(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Network:
    """What is the household's about an address that has no prefix on its link, as on PPP or by DHCPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return ipaddress.IPv4Network(address)
    return ipaddress.IPv6Network((address, HOME_LINK_BITS), strict=False)


def _ipv6(proc: Path) -> Iterator[tuple[ipaddress.IPv6Address, str]]:
    """Addresses of global scope and their interfaces; in a line: address, index, prefix length, scope, flags, name."""
    for line in lines_of(proc / "net" / "if_inet6"):
        address, _, _, scope, _, interface = line.split()
        if scope == "00":
            yield ipaddress.IPv6Address(int(address, 16)), interface


def _routes4(proc: Path) -> Iterator[Route]:
    for line in lines_of(proc / "net" / "route")[1:]:
        interface, destination, gateway, flags, _, _, _, mask, *_ = line.split()
        if destination == mask == "00000000" and not int(flags, 16) & RTF_REJECT:
            behind = str(ipaddress.IPv4Address(struct.pack("=I", int(gateway, 16))))
            yield Route(interface, behind if int(flags, 16) & RTF_GATEWAY else "")


def _routes6(proc: Path) -> Iterator[Route]:
    for line in lines_of(proc / "net" / "ipv6_route"):
        destination, length, _, _, gateway, _, _, _, flags, interface = line.split()
        if int(destination, 16) or int(length, 16) or int(flags, 16) & RTF_REJECT or interface == "lo":
            continue
        behind = ipaddress.IPv6Address(int(gateway, 16))
        if not int(flags, 16) & RTF_GATEWAY:
            yield Route(interface, "")
        else:
            yield Route(interface, f"{behind}%{interface}" if behind.is_link_local else str(behind))


def _nameservers(path: Path) -> Iterator[str]:
    for line in lines_of(path):
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1])
            except ValueError:
                continue
            yield words[1]
