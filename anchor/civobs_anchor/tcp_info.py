"""What the kernel knows of a TCP connection (``struct tcp_info``, linux/tcp.h), under the names that ndt7 gives it."""

import socket
import struct
from collections.abc import Mapping

_FIELDS: Mapping[str, tuple[int, str]] = {
    "RTT": (68, "I"),
    "RTTVar": (72, "I"),
    "TotalRetrans": (100, "I"),
    "BytesAcked": (120, "Q"),
    "BytesReceived": (128, "Q"),
    "MinRTT": (148, "I"),
    "BusyTime": (168, "Q"),
    "RWndLimited": (176, "Q"),
    "SndBufLimited": (184, "Q"),
    "BytesSent": (200, "Q"),
    "BytesRetrans": (208, "Q"),
}
"""Offset and format; times are in microseconds, as ndt7 has them. Linux 4.19 has all of them."""
_SIZE = 216


def look(connection: socket.socket) -> dict[str, int]:
    """All fields that this kernel has. Raises OSError."""
    data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    return {
        name: struct.unpack_from(f"={form}", data, offset)[0]
        for name, (offset, form) in _FIELDS.items()
        if offset + struct.calcsize(f"={form}") <= len(data)
    }
