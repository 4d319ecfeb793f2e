"""Addresses a probe never speaks to, whatever a plan or a DNS answer says.

A plan that is stolen, a name that is made to resolve to the home router (DNS rebinding), a redirect to a machine in
the living room: none may turn a volunteer's device against the network it stands in. The check is made on the address
that is then connected to, never on a name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from civobs_agent.errors import ConfigError

Address = IPv4Address | IPv6Address

LAB_BUILD = find_spec("civobs_agent._lab") is not None
"""Whether this is a source checkout. The wheel that probes run has no such file (pyproject.toml), so no setting, and
nobody who can write settings, can lift a refusal on a volunteer's device."""


@dataclass(frozen=True, slots=True)
class Range:
    """One refused range."""

    id: str
    network: IPv4Network | IPv6Network
    source: str
    lab: bool = False
    """May be lifted in a laboratory: nobody's home has such an address."""


def _range(name: str, network: str, source: str, *, lab: bool = False) -> Range:
    return Range(name, ip_network(network), source, lab)


RANGES: tuple[Range, ...] = (
    _range("unspecified", "0.0.0.0/8", "RFC 1122 §3.2.1.3"),
    _range("private", "10.0.0.0/8", "RFC 1918"),
    _range("carrier_nat", "100.64.0.0/10", "RFC 6598"),
    _range("loopback", "127.0.0.0/8", "RFC 1122 §3.2.1.3"),
    _range("link_local", "169.254.0.0/16", "RFC 3927"),
    _range("private", "172.16.0.0/12", "RFC 1918"),
    _range("protocol", "192.0.0.0/24", "RFC 6890 §2.1"),
    _range("documentation", "192.0.2.0/24", "RFC 5737", lab=True),
    _range("anycast_6to4", "192.88.99.0/24", "RFC 7526"),
    _range("private", "192.168.0.0/16", "RFC 1918"),
    _range("benchmarking", "198.18.0.0/15", "RFC 2544", lab=True),
    _range("documentation", "198.51.100.0/24", "RFC 5737", lab=True),
    _range("documentation", "203.0.113.0/24", "RFC 5737", lab=True),
    _range("multicast", "224.0.0.0/4", "RFC 5771"),
    _range("reserved", "240.0.0.0/4", "RFC 1112 §4, and 255.255.255.255"),
    _range("documentation", "2001:db8::/32", "RFC 3849", lab=True),
    _range("protocol", "2001::/23", "RFC 2928, with Teredo (RFC 4380), ORCHID (RFC 7343), benchmarking (RFC 5180)"),
    _range("documentation", "3fff::/20", "RFC 9637"),
)

_GLOBAL_V6 = ip_network("2000::/3")
"""The only range IANA has given out as global unicast. All else is refused by this one line: ``::``, ``::1``,
``fc00::/7`` (RFC 4193), ``fe80::/10``, ``ff00::/8``, ``100::/64``, the local NAT64 prefix (RFC 8215)."""

_WRAPPED: tuple[tuple[str, IPv6Network, int], ...] = (
    ("ipv4_mapped", IPv6Network("::ffff:0:0/96"), 0),
    ("nat64", IPv6Network("64:ff9b::/96"), 0),
    ("6to4", IPv6Network("2002::/16"), 80),
)
"""IPv6 addresses that stand for an IPv4 address (RFC 4291 §2.5.5.2, 6052, 3056), and by how many bits it is shifted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What this device refuses.

    ``own`` are its default gateways and the resolvers it was given: the only private addresses it ever speaks to, and
    only as such (``refuses_own``). ``lab_ranges`` lifts the ranges marked so in the table.
    """

    lab_ranges: bool = False
    own: frozenset[str] = frozenset()
    home: tuple[IPv4Network | IPv6Network, ...] = ()
    """Prefixes on its own links: a home's machines have public IPv6 addresses, and a server sees the probe's."""
    allowed: frozenset[str] = frozenset()
    """Addresses lifted by hand, for tests against loopback. No setting leads here."""

    def __post_init__(self) -> None:
        if self.lab_ranges and not LAB_BUILD:
            raise ConfigError(
                "lab_ranges is set, but this is not a source checkout",
                "remove lab_ranges from the settings: an installed probe never measures against lab addresses",
            )

    def refuses(self, address: str) -> str | None:
        """The id of the range that forbids this address as a target; None if it may be spoken to."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return "not_an_address"
        if address in self.allowed:
            return None
        return self._refuses(parsed) or ("home_network" if self._is_home(parsed) else None)

    def refuses_own(self, address: str) -> str | None:
        """The same for a gateway or a resolver that the device was given itself."""
        return None if address in self.own else self.refuses(address)

    def shown(self, address: str) -> str:
        """How rows name an address: one that is refused may be of this home, so its range's id stands for it."""
        refused = self.refuses(address)
        return address if refused is None else f"refused:{refused}"

    def with_own(self, own: Iterable[str], home: Iterable[IPv4Network | IPv6Network] = ()) -> "Refusal":
        """The same policy on the network the device is in now."""
        return Refusal(lab_ranges=self.lab_ranges, own=frozenset(own), home=tuple(home), allowed=self.allowed)

    def _is_home(self, address: Address) -> bool:
        """Also if it only stands for an address of the home."""
        _, inner = _unwrapped(address)
        return any(address in network or inner in network for network in self.home)

    def _refuses(self, address: Address) -> str | None:
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return "link_local"
            wrapping, inner = _unwrapped(address)
            if wrapping is not None:
                # A mapped address is another spelling of IPv4 and no route of its own.
                return self._refuses(inner) or (wrapping if wrapping == "ipv4_mapped" else None)
        for row in RANGES:
            if address.version == row.network.version and address in row.network:
                return None if row.lab and self.lab_ranges else row.id
        if address.version == 6 and address not in _GLOBAL_V6:
            return "not_global"
        return None


def _unwrapped(address: Address) -> tuple[str | None, Address]:
    """How an address stands for one of IPv4, and for which; None and itself if it stands for none."""
    for name, network, shift in _WRAPPED:
        if address in network:
            return name, IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None, address
