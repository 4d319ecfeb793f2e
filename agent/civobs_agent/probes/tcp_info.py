"""What the kernel knows of a TCP connection: ``struct tcp_info`` of linux/tcp.h, read by offset.

The structure only ever grows; what an older kernel does not have stays None.
"""

import socket
import struct
from dataclasses import dataclass

_SIZE = 232
"""Up to and with ``tcpi_rcv_ooopack``, which Linux has since 5.4."""
_U32, _U64 = "=I", "=Q"


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Of the socket asked. Times are milliseconds."""

    rtt_ms: float | None
    """Smoothed, of what this side sent: on the side that receives, of the handshake and the request."""
    min_rtt_ms: float | None
    receiver_rtt_ms: float | None
    """This side's estimate from the timestamps of what it receives, so with the queues that the data waits in."""
    retransmitted: int | None
    """Segments that this side sent again."""
    out_of_order: int | None
    """Segments that came before one they belong behind: that one was lost, or overtaken."""
    acked: int = 0
    """Bytes that this side sent and the other acknowledged; Linux counts the SYN as one."""
    resent_bytes: int = 0


def look(handle: socket.socket) -> TcpInfo:
    """Ask the kernel. Raises OSError."""
    data = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    return TcpInfo(
        rtt_ms=_ms(_field(data, 68, _U32)),
        min_rtt_ms=_ms(_field(data, 148, _U32)),
        receiver_rtt_ms=_ms(_field(data, 92, _U32)),
        retransmitted=_field(data, 100, _U32),
        out_of_order=_field(data, 224, _U32),
        acked=_field(data, 120, _U64) or 0,
        resent_bytes=_field(data, 208, _U64) or 0,
    )


def _field(data: bytes, offset: int, form: str) -> int | None:
    if offset + struct.calcsize(form) > len(data):
        return None
    value: int = struct.unpack_from(form, data, offset)[0]
    return value


def _ms(microseconds: int | None) -> float | None:
    """Zero and all ones stand for "not measured"."""
    return None if microseconds in {None, 0, 0xFFFFFFFF} else (microseconds or 0) / 1000
