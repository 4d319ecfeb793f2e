"""What the kernel knows of one TCP connection (``struct tcp_info``, linux/tcp.h): round trips, losses, bytes."""

import socket
import struct
from dataclasses import dataclass

_SIZE = 232
_NONE_YET = 0xFFFF_FFFF
"""The kernel's lowest round trip before the first."""


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """The connection at one moment. A field that this kernel does not have is 0."""

    rtt_ms: float
    """Smoothed, of what was sent from here and acknowledged."""
    receive_rtt_ms: float
    """An estimate of the side that mostly receives; 0 before the first."""
    min_rtt_ms: float | None
    retransmitted: int
    """Packets sent again."""
    acked: int
    """Bytes of payload sent from here that have arrived there, from 1: Linux counts the SYN."""
    received: int
    """Bytes of payload that have come."""
    retransmitted_bytes: int
    out_of_order: int
    """Packets that came after a later one: lost and sent again, or reordered (Linux 5.4)."""


def tcp_info(connection: socket.socket) -> TcpInfo:
    """Ask the kernel. Raises OSError."""
    data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE).ljust(_SIZE, b"\0")

    def at(offset: int, form: str = "I") -> int:
        return int(struct.unpack_from(f"={form}", data, offset)[0])

    lowest = at(148)
    return TcpInfo(
        rtt_ms=at(68) / 1000,
        receive_rtt_ms=at(92) / 1000,
        min_rtt_ms=None if lowest == _NONE_YET else lowest / 1000,
        retransmitted=at(100),
        acked=at(120, "Q"),
        received=at(128, "Q"),
        retransmitted_bytes=at(208, "Q"),
        out_of_order=at(224),
    )
