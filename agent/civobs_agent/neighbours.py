"""Asks the kernel which neighbours on the own link have answered ARP or neighbour discovery lately (rtnetlink(7)).

A home router may drop pings and still be there: then this is the only sign of it. ``/proc/net/arp`` shows IPv4 alone,
and keeps showing a router that died a minute ago.
"""

import socket
import struct

RTM_NEWNEIGH = 28
RTM_GETNEIGH = 30
NLM_F_REQUEST_DUMP = 0x301
NLMSG_DONE = 3
NLMSG_ERROR = 2
NDA_DST = 1
NUD_REACHABLE = 0x02
"""<linux/rtnetlink.h>, <linux/neighbour.h>. REACHABLE: confirmed within the last half minute (RFC 4861 §6.3.2)."""

_HEADER = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")


def reachable(family: int) -> frozenset[str]:
    """Addresses of this family whose answer the kernel has seen within half a minute; empty if it will not tell."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    found: set[str] = set()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as handle:
            handle.settimeout(1.0)
            body = _NEIGHBOUR.pack(kind, 0, 0, 0, 0)
            handle.send(_HEADER.pack(_HEADER.size + len(body), RTM_GETNEIGH, NLM_F_REQUEST_DUMP, 1, 0) + body)
            while _take(handle.recv(65536), kind, found):
                pass
    except OSError:
        return frozenset()
    return frozenset(found)


def _take(data: bytes, kind: int, found: set[str]) -> bool:
    """Collect the reachable ones of one datagram; False at the end of the dump."""
    while len(data) >= _HEADER.size:
        length, message, *_ = _HEADER.unpack_from(data)
        if message in {NLMSG_DONE, NLMSG_ERROR} or length < _HEADER.size:
            return False
        if message == RTM_NEWNEIGH:
            _, _, state, _, _ = _NEIGHBOUR.unpack_from(data, _HEADER.size)
            address = _destination(data[_HEADER.size + _NEIGHBOUR.size : length], kind)
            if state & NUD_REACHABLE and address is not None:
                found.add(address)
        data = data[(length + 3) & ~3 :]
    return True


def _destination(attributes: bytes, kind: int) -> str | None:
    while len(attributes) >= _ATTRIBUTE.size:
        length, name = _ATTRIBUTE.unpack_from(attributes)
        if length < _ATTRIBUTE.size:
            return None
        if name == NDA_DST:
            return socket.inet_ntop(kind, attributes[_ATTRIBUTE.size : length])
        attributes = attributes[(length + 3) & ~3 :]
    return None
