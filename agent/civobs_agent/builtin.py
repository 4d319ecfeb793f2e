"""International anchors that ship with the signed software, for a probe that no plan has reached yet.

They are hosts that exist to be asked (measurement.md §0): root name servers and large public resolvers. All of them
are anycast, so an instance may stand inside the country; of the root servers those with the fewest sites were taken.
An answer from them therefore says less than one from a plan's anchors, which are single hosts in known places.
"""

from typing import Literal

from civobs_wire.plan import Anchor

_HINTS = "https://www.internic.net/domain/named.root"
"""The root's own list; compared with ``root.hints`` of Debian's dns-root-data 2024071801."""
_QUAD9 = "https://quad9.net/service/service-addresses-and-features"
_GOOGLE = "https://developers.google.com/speed/public-dns/docs/using"
_CLOUDFLARE = "https://developers.cloudflare.com/1.1.1.1/ip-addresses"

_ROWS: tuple[tuple[str, str, str, str, int, str], ...] = (
    # id, IPv4, IPv6, country of the operator, network (0: several), source of the addresses
    ("a.root-servers.net", "198.41.0.4", "2001:503:ba3e::2:30", "US", 0, _HINTS),
    ("b.root-servers.net", "170.247.170.2", "2801:1b8:10::b", "US", 0, _HINTS),
    ("c.root-servers.net", "192.33.4.12", "2001:500:2::c", "US", 2149, _HINTS),
    ("g.root-servers.net", "192.112.36.4", "2001:500:12::d0d", "US", 0, _HINTS),
    ("h.root-servers.net", "198.97.190.53", "2001:500:1::53", "US", 0, _HINTS),
    ("m.root-servers.net", "202.12.27.33", "2001:dc3::35", "JP", 7500, _HINTS),
    ("dns.quad9.net", "9.9.9.9", "2620:fe::fe", "CH", 19281, _QUAD9),
    ("dns.google", "8.8.8.8", "2001:4860:4860::8888", "US", 15169, _GOOGLE),
    ("one.one.one.one", "1.1.1.1", "2606:4700:4700::1111", "US", 13335, _CLOUDFLARE),
)


def _anchor(row: tuple[str, str, str, str, int, str], family: Literal[4, 6]) -> Anchor:
    name, v4, v6, cc, asn, _source = row
    address = v4 if family == 4 else v6
    return Anchor(id=name, rung=4, address=address, family=family, method="dns", port=53, cc=cc, asn=asn)


ANCHORS: tuple[Anchor, ...] = (
    *(_anchor(row, 4) for row in _ROWS),
    *(_anchor(row, 6) for row in _ROWS),
)
"""Asked for the root's name servers over UDP."""
