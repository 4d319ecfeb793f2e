"""Addresses of IPv6 that stand for one of IPv4 (RFC 6052), and how a resolver gives its prefix away (RFC 7050)."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from civobs_agent.egress import FAR
from civobs_agent.net import Context

NAME = "ipv4only.arpa"
_ADDRESSES = frozenset({IPv4Address("192.0.0.170").packed, IPv4Address("192.0.0.171").packed})
"""RFC 7050 §8: the only addresses of that name. It has no AAAA record of its own."""
_PLACES: dict[int, tuple[int, int, int, int]] = {
    96: (12, 13, 14, 15),
    64: (9, 10, 11, 12),
    56: (7, 9, 10, 11),
    48: (6, 7, 9, 10),
    40: (5, 6, 7, 9),
    32: (4, 5, 6, 7),
}
"""RFC 6052 §2.2: length of the prefix, and which bytes hold the IPv4 address. Byte 8 is zero."""
_HOME_BITS = 48
"""The most that a provider gives to one home (RFC 6177 §2): what shares so much with a home's prefix may be its own."""


def prefix_of(answers: Iterable[str]) -> IPv6Network | None:
    """The prefix in which one of these AAAA records holds an address of ``ipv4only.arpa``."""
    for answer in answers:
        packed = IPv6Address(answer).packed
        for length, places in _PLACES.items():
            if bytes(packed[place] for place in places) in _ADDRESSES:
                return IPv6Network((packed, length), strict=False)
    return None


def embedded(address: str, prefix: IPv6Network) -> str:
    """The IPv6 address under the prefix that stands for this IPv4 address."""
    packed = bytearray(prefix.network_address.packed)
    for place, byte in zip(_PLACES[prefix.prefixlen], IPv4Address(address).packed, strict=True):
        packed[place] = byte
    return str(IPv6Address(bytes(packed)))


def refused(prefix: IPv6Network, context: Context) -> str | None:
    """The id of the range that forbids packets under this prefix: some routers translate at home, under their own."""
    near = prefix.supernet(new_prefix=min(_HOME_BITS, prefix.prefixlen))
    if any(near.overlaps(network) for network in context.refusal.home if isinstance(network, IPv6Network)):
        return "home_network"
    return context.refusal.refuses(embedded(FAR[4], prefix))
