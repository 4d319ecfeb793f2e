"""Asks the kernel which neighbours on the own link have answered ARP or neighbour discovery lately (rtnetlink(7)).

A home router may drop pings and still be there: then this is the only sign of it. ``/proc/net/arp`` shows IPv4 alone,
and keeps showing a router that died a minute ago.
"""

import socket
import struct

from civobs_agent import netlink

RTM_NEWNEIGH = 28
RTM_GETNEIGH = 30
NDA_DST = 1
NUD_REACHABLE = 0x02
"""<linux/rtnetlink.h>, <linux/neighbour.h>. REACHABLE: confirmed within the last half minute (RFC 4861 §6.3.2)."""

_NEIGHBOUR = struct.Struct("=BxxxiHBB")


def reachable(family: int) -> frozenset[str]:
    """Addresses of this family whose answer the kernel has seen within half a minute; empty if it will not tell."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    found: set[str] = set()
    try:
        for message, data in netlink.ask(RTM_GETNEIGH, _NEIGHBOUR.pack(kind, 0, 0, 0, 0), dump=True):
            if message == RTM_NEWNEIGH and _NEIGHBOUR.unpack_from(data)[2] & NUD_REACHABLE:
                address = netlink.attributes(data[_NEIGHBOUR.size :]).get(NDA_DST)
                if address is not None:
                    found.add(socket.inet_ntop(kind, address))
    except OSError:
        return frozenset()
    return frozenset(found)
