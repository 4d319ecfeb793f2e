"""How a QUIC connection ended, in the closed vocabulary: one table for each layer that can end it.

Notes name codes and never the other side's words, which may repeat the probe's own address.
"""

from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

from civobs_agent.faults import Fault
from civobs_wire.failure import Failure

TRANSPORT: dict[int, Failure] = {
    QuicErrorCode.NO_ERROR: Failure.EOF_ERROR,
    QuicErrorCode.INTERNAL_ERROR: Failure.CONNECTION_ABORTED,
    QuicErrorCode.CONNECTION_REFUSED: Failure.CONNECTION_REFUSED,
    QuicErrorCode.APPLICATION_ERROR: Failure.CONNECTION_ABORTED,
    QuicErrorCode.NO_VIABLE_PATH: Failure.CONNECTION_ABORTED,
    QuicErrorCode.VERSION_NEGOTIATION_ERROR: Failure.QUIC_INCOMPATIBLE_VERSION,
}
"""RFC 9000 §20.1, RFC 9368 §10. Every other code says that one side saw the protocol broken."""

APPLICATION: dict[int, Failure] = {
    0: Failure.EOF_ERROR,
    ErrorCode.H3_NO_ERROR: Failure.EOF_ERROR,
    ErrorCode.H3_INTERNAL_ERROR: Failure.CONNECTION_ABORTED,
}
"""RFC 9114 §8.1. Every other code says that one side saw something that is not HTTP/3."""

CRYPTO = range(QuicErrorCode.CRYPTO_ERROR, QuicErrorCode.CRYPTO_ERROR + 0x100)
"""A TLS alert is carried as this and its number (RFC 9001 §4.8)."""
_IDLE = "Idle timeout"
"""aioquic's word for a silence that lasted too long; it has no code for it."""


def fault_of_end(event: ConnectionTerminated, *, negotiated: bool) -> Fault:
    """The fault behind the end of a connection. ``negotiated``: a Version Negotiation packet had come."""
    code = event.error_code
    if event.frame_type is None:
        return Fault(APPLICATION.get(code, Failure.HTTP_REQUEST_FAILED), f"closed by HTTP/3 code 0x{code:x}")
    if code in CRYPTO:
        return Fault(Failure.SSL_FAILED_HANDSHAKE, f"alert {_alert(code - CRYPTO.start)}")
    if code == QuicErrorCode.INTERNAL_ERROR and event.reason_phrase == _IDLE:
        return Fault(Failure.GENERIC_TIMEOUT_ERROR)
    if code == QuicErrorCode.INTERNAL_ERROR and negotiated:
        return Fault(Failure.QUIC_INCOMPATIBLE_VERSION)
    return Fault(TRANSPORT.get(code, Failure.UNEXPECTED_ANSWER), f"closed by QUIC code 0x{code:x}")


def _alert(number: int) -> str:
    try:
        return AlertDescription(number).name
    except ValueError:
        return str(number)
