"""What ICMP says of a socket's packets, read without a privilege from the socket itself (ip(7), ``IP_RECVERR``).

UDP, TCP and echo sockets alike keep the errors that came for their packets in a queue, each with the address of the
router that sent it and the beginning of the packet it was about. TCP does so since Linux 5.11; before it, a hop that
answers a SYN is known to have answered, but not who it was.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from civobs_agent.net import IpFamily

RECVERR: dict[IpFamily, tuple[int, int]] = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR (ip(7)) and IPV6_RECVERR (ipv6(7))."""
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
"""``struct sock_extended_err`` of <linux/errqueue.h>: errno, origin, type, code, padding, info, data."""
_OFFENDER: dict[int, tuple[int, int, int]] = {
    socket.AF_INET: (socket.AF_INET, 4, 8),
    socket.AF_INET6: (socket.AF_INET6, 8, 24),
}
"""Where the address lies in the ``sockaddr`` that follows it."""
TIME_EXCEEDED: dict[IpFamily, int] = {4: 11, 6: 3}
"""ICMP's and ICMPv6's type (RFC 792, RFC 4443 §3.3)."""
_FROM_ICMP = frozenset({2, 3})
"""SO_EE_ORIGIN_ICMP and _ICMP6; the other origins are the device's own."""
_QUOTED = 512
"""Bytes read of the packet an error is about: RFC 1812 §4.3.2.3 lets a router send 576 in all."""
_ANCILLARY = 256


@dataclass(frozen=True, slots=True)
class Told:
    """One ICMP error."""

    kind: int
    """ICMP's or ICMPv6's type."""
    code: int
    info: int
    """The MTU, of "too big"."""
    offender: str | None
    quoted: bytes
    """What was sent, as far as the error repeats it, from behind the header of UDP, or from the one of ICMP on."""


def listen_for_errors(handle: socket.socket, family: IpFamily) -> None:
    """Have the kernel keep the errors of this socket."""
    handle.setsockopt(*RECVERR[family], 1)


def errors_of(handle: socket.socket, family: IpFamily) -> Iterator[Told]:
    """Those that are waiting, oldest first. Never blocks."""
    while True:
        try:
            quoted, ancillary, _, _ = handle.recvmsg(_QUOTED, _ANCILLARY, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return
        for level, kind, data in ancillary:
            if (level, kind) == RECVERR[family] and len(data) >= _EXTENDED_ERROR.size:
                _, origin, icmp_type, code, _, info, _ = _EXTENDED_ERROR.unpack_from(data)
                if origin in _FROM_ICMP:
                    yield Told(icmp_type, code, info, _offender(data[_EXTENDED_ERROR.size :]), quoted)


def _offender(data: bytes) -> str | None:
    with contextlib.suppress(struct.error, KeyError, ValueError, OSError):
        family, start, end = _OFFENDER[struct.unpack_from("=H", data)[0]]
        return socket.inet_ntop(family, data[start:end])
    return None
