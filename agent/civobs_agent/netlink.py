"""Questions to the kernel about links, routes and neighbours: rtnetlink(7), without the weight of a library.

pyroute2 knows all of it and takes more memory than the agent may use; a probe asks three questions.
"""

import socket
import struct
from collections.abc import Iterator

NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLMSG_DONE = 3
NLMSG_ERROR = 2
"""<linux/netlink.h>"""
_WAIT_S = 1.0
"""The kernel answers at once; this only bounds a fault."""
_NESTED_OR_ORDER = 0xC000
"""Flags in an attribute's type."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def ask(request: int, body: bytes, *, dump: bool = False) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message of the answer; of a dump all of them. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as handle:
        handle.settimeout(_WAIT_S)
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else 0)
        handle.send(_HEADER.pack(_HEADER.size + len(body), request, flags, 1, 0) + body)
        more = True
        while more:
            data = handle.recv(65_536)
            more = dump
            for kind, content in _messages(data):
                if kind in {NLMSG_DONE, NLMSG_ERROR}:
                    return
                yield kind, content


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes that follow a message's fixed part, or are nested in another attribute."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind & ~_NESTED_OR_ORDER] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute, as a request carries it."""
    return (_ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content).ljust(_aligned(4 + len(content)), b"\0")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
