"""An NTP server (RFC 5905) that tells this machine's time, or three hours more."""

import struct
import time

from civobs_lab.servers.misbehaviour import LIE_CLOCK_S, Conduct, Does

PORT = 123
_HEADER = struct.Struct("!BBbbII4sQQQQ")
"""RFC 5905 §7.3: leap, version and mode; stratum; poll; precision; root delay and dispersion; reference id; the times
of reference, origin, receive and transmit."""
_EPOCH_S = 2_208_988_800
"""From 1900 to 1970."""
_CLIENT, _SERVER = 3, 4
_UNSYNCHRONISED = 0xC0
_PRECISION = -20
"""A microsecond, as a power of two."""
_UPDATED_S = 16.0
"""How long ago the server says that it set its own clock."""


async def respond(data: bytes, conduct: Conduct) -> bytes | None:
    """The answer to a client of versions 1 to 4."""
    received = _now(conduct)
    if len(data) < _HEADER.size or data[0] & 7 != _CLIENT or not 1 <= data[0] >> 3 & 7 <= 4:
        return None
    await conduct.hesitate()
    refused = conduct.now(Does.ERROR)
    version, poll, origin = data[0] & 0x38, data[2], data[40:48]
    return _HEADER.pack(
        (_UNSYNCHRONISED if refused else 0) | version | _SERVER,
        0 if refused else 1,
        poll if poll < 128 else poll - 256,
        _PRECISION,
        0,
        0,
        b"DENY" if refused else b"LAB\0",
        _timestamp(received - _UPDATED_S),
        int.from_bytes(origin, "big"),
        _timestamp(received),
        _timestamp(_now(conduct)),
    )


def _now(conduct: Conduct) -> float:
    return time.time() + (LIE_CLOCK_S if conduct.now(Does.LIE) else 0.0)


def _timestamp(seconds: float) -> int:
    """Of seconds since 1970: 32 bits of seconds since 1900, modulo their era, and 32 of the fraction."""
    return int((seconds + _EPOCH_S) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF
