"""A QUIC handshake and an HTTP/3 request, beside the same host and address over TCP."""

from enum import StrEnum
from typing import Literal

from civobs_wire.failure import Failure
from civobs_wire.row import MeasurementBase, Named, Port
from civobs_wire.scalars import Count2, Count8, Millis, Name, Sha256


class QuicStage(StrEnum):
    """How far it came."""

    RESOLVE = "resolve"
    HANDSHAKE = "handshake"
    REQUEST = "request"
    DONE = "done"


class Quic(MeasurementBase):
    """One handshake. With the target's name a request follows; with a neutral name nothing does."""

    kind: Literal["quic"] = "quic"
    address: Name | None = None
    port: Port = 443
    sni: Name = "-"
    named: Named = "target"
    stage: QuicStage = QuicStage.RESOLVE
    version: Name | None = None
    """Of QUIC, in hexadecimal."""
    alpn: Name | None = None
    handshake_ms: Millis | None = None
    cert_sha256: Sha256 | None = None
    """Digest of the leaf certificate in DER."""
    verified: bool | None = None
    """By the roots that TLS over TCP is verified by; not looked at with a neutral name."""
    status: Count2 | None = None
    first_byte_ms: Millis | None = None
    body_bytes: Count8 | None = None
    received: Count8 | None = None
    """Bytes that came on the connection at all."""
    udp_answered: bool | None = None
    """The address answered a datagram of an unknown QUIC version on the same port, which carries no name."""
    udp_ms: Millis | None = None
    tcp_failure: Failure | None = None
    """The same name at the same address by TLS over TCP, begun at the same time; None with ``tcp_ms`` set is ok."""
    tcp_ms: Millis | None = None
    """To the end of its handshake."""
