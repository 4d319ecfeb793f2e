"""STUN's binding request and what answers it (RFC 5389), with the attributes of RFC 5780 that examine a NAT.

Written out here because aioice, the library that knows it, has no RESPONSE-PORT and brings ICE and mDNS into the
memory of the agent. What is needed is a header, one request and five attributes.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0x2112A442
"""RFC 5389 §6."""
TRANSACTION_BYTES = 12
CHANGE_PORT, CHANGE_BOTH = 0x2, 0x6
"""RFC 5780 §7.2: answer from the other port; from the other address and port."""
MAX_BYTES = 1500
"""No server of ours fills a packet."""

_BINDING, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_CHANGE_REQUEST, _RESPONSE_PORT, _ERROR_CODE, _XOR_MAPPED = 0x0003, 0x0027, 0x0009, 0x0020
_RESPONSE_ORIGIN, _OTHER_ADDRESS = 0x802B, 0x802C
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_LENGTHS = {1: (socket.AF_INET, 4), 2: (socket.AF_INET6, 16)}
"""RFC 5389 §15.1: family to its kind and the length of its address."""

Endpoint = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says."""

    transaction: bytes
    error: int | None = None
    """Code of an error response; 420 for an attribute that the server does not know."""
    mapped: Endpoint | None = None
    """Where the request came from, as the server saw it."""
    origin: Endpoint | None = None
    """Where the server says that it answers from."""
    other: Endpoint | None = None
    """Its other address and port."""


def request(transaction: bytes, *, change: int = 0, response_port: int | None = None) -> bytes:
    """A binding request. ``response_port``: answer to this port of the address that asks (RFC 5780 §7.5)."""
    body = b""
    if change:
        body += _ATTRIBUTE.pack(_CHANGE_REQUEST, 4) + struct.pack("!I", change)
    if response_port is not None:
        body += _ATTRIBUTE.pack(_RESPONSE_PORT, 4) + struct.pack("!HH", response_port, 0)
    return _HEADER.pack(_BINDING, len(body), MAGIC, transaction) + body


def read(data: bytes) -> Answer | None:
    """The answer, or None if it is no answer to a binding request."""
    if len(data) < _HEADER.size:
        return None
    kind, length, magic, transaction = _HEADER.unpack_from(data)
    if kind not in {_SUCCESS, _ERROR} or magic != MAGIC or length != len(data) - _HEADER.size:
        return None
    found = dict(_attributes(data[_HEADER.size :]))
    if kind == _ERROR:
        code = found.get(_ERROR_CODE, b"")
        return Answer(transaction, error=(code[2] & 7) * 100 + code[3] if len(code) >= 4 else 0)
    pad = struct.pack("!I", MAGIC) + transaction
    return Answer(
        transaction,
        mapped=_endpoint(found.get(_XOR_MAPPED, b""), pad),
        origin=_endpoint(found.get(_RESPONSE_ORIGIN, b"")),
        other=_endpoint(found.get(_OTHER_ADDRESS, b"")),
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        kind, length = _ATTRIBUTE.unpack_from(data)
        yield kind, data[4 : 4 + length]
        data = data[4 + (length + 3 & ~3) :]


def _endpoint(data: bytes, pad: bytes = bytes(16)) -> Endpoint | None:
    """An address and port; ``pad`` is what they are combined with by XOR."""
    family, size = _LENGTHS.get(data[1] if len(data) > 1 else 0, (0, 0))
    if not size or len(data) != 4 + size:
        return None
    port = int.from_bytes(data[2:4], "big") ^ int.from_bytes(pad[:2], "big")
    packed = bytes(byte ^ mask for byte, mask in zip(data[4:], pad, strict=False))
    return socket.inet_ntop(family, packed), port
