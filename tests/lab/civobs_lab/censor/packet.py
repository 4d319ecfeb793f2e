"""A packet as the reader sees it: which customer and which server, which connection, what it carries.

Read with ``struct`` because it is done for every packet that is held; forging, which is rare, is left to scapy
(``forging.py``).
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_IPV6_OPTIONS = frozenset({0, 43, 60})
"""Hop-by-hop options, routing and destination options (RFC 8200 §4) all have the same shape."""
_AH = 51

Address = IPv4Address | IPv6Address
Flow = tuple[int, Address, int, Address, int]
"""Protocol, customer, its port, server, its port."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet on its way through the box."""

    raw: bytes
    outgoing: bool
    """From a customer to a server."""
    version: int
    protocol: int
    source: Address
    target: Address
    source_port: int
    """0 for what has no ports."""
    target_port: int
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes

    @property
    def customer(self) -> Address:
        return self.source if self.outgoing else self.target

    @property
    def server(self) -> Address:
        return self.target if self.outgoing else self.source

    @property
    def customer_port(self) -> int:
        return self.source_port if self.outgoing else self.target_port

    @property
    def server_port(self) -> int:
        return self.target_port if self.outgoing else self.source_port

    @property
    def flow(self) -> Flow:
        return (self.protocol, self.customer, self.customer_port, self.server, self.server_port)

    @property
    def ends(self) -> tuple[Address, Address]:
        return (self.customer, self.server)


def read(raw: bytes, *, outgoing: bool) -> Packet | None:
    """Take a packet apart; None when it is not what it says, or a later fragment."""
    try:
        if raw[0] >> 4 == 4:
            return _read4(raw, outgoing)
        if raw[0] >> 4 == 6:
            return _read6(raw, outgoing)
    except (IndexError, struct.error):
        pass
    return None


def _read4(raw: bytes, outgoing: bool) -> Packet | None:  # noqa: FBT001
    header = 4 * (raw[0] & 15)
    total, _, fragment, _, protocol, _, source, target = struct.unpack_from("!HHHBBH4s4s", raw, 2)
    if header < 20 or not header <= total <= len(raw) or fragment & 0x1FFF:
        return None
    return _transport(raw[:total], outgoing, 4, protocol, (source, target), header)


def _read6(raw: bytes, outgoing: bool) -> Packet | None:  # noqa: FBT001
    length, following, _, source, target = struct.unpack_from("!HBB16s16s", raw, 4)
    at, total = 40, 40 + length
    if total > len(raw):
        return None
    while following in _IPV6_OPTIONS or following == _AH:
        size = 4 * (raw[at + 1] + 2) if following == _AH else 8 * (raw[at + 1] + 1)
        following, at = raw[at], at + size
    return _transport(raw[:total], outgoing, 6, following, (source, target), at)


def _transport(
    raw: bytes,
    outgoing: bool,  # noqa: FBT001
    version: int,
    protocol: int,
    ends: tuple[bytes, bytes],
    at: int,
) -> Packet | None:
    source, target = _address(ends[0]), _address(ends[1])
    if protocol == TCP:
        source_port, target_port, sequence, acknowledged, size, flags = struct.unpack_from("!HHIIBB", raw, at)
        data = at + 4 * (size >> 4)
        if data < at + 20 or data > len(raw):
            return None
        ports = source_port, target_port
        return Packet(
            raw, outgoing, version, protocol, source, target, *ports, sequence, acknowledged, flags, raw[data:]
        )
    if protocol == UDP:
        source_port, target_port, length = struct.unpack_from("!HHH", raw, at)
        if not 8 <= length <= len(raw) - at:
            return None
        ports = source_port, target_port
        return Packet(raw, outgoing, version, protocol, source, target, *ports, 0, 0, 0, raw[at + 8 : at + length])
    return Packet(raw, outgoing, version, protocol, source, target, 0, 0, 0, 0, 0, raw[at:])


@lru_cache(maxsize=4096)
def _address(packed: bytes) -> Address:
    return ip_address(packed)
