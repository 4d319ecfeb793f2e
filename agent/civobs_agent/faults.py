"""Turns what the system, TLS, DNS and ICMP say into the closed vocabulary: one table for each, and one function.

The names are OONI's df-007 (``civobs_wire.failure``). Whatever is in no table is ``unknown_failure`` with the system's
words as a note: never dropped, never guessed.
"""

import errno
import os
import re
import ssl
from dataclasses import dataclass

from civobs_wire.failure import NOT_RUN_REASONS, Failure, Outcome


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something did not end well."""

    failure: Failure
    note: str | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome.NOT_RUN if self.failure in NOT_RUN_REASONS else Outcome.FAILED


class MeasurementError(Exception):
    """Carries a fault out of nested stages to the one place of a probe that makes the row."""

    def __init__(self, failure: Failure, note: str | None = None) -> None:
        super().__init__(failure)
        self.fault = Fault(failure, note)


ERRNO: dict[int, Failure] = {
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,
    errno.ECONNABORTED: Failure.CONNECTION_ABORTED,
    errno.ETIMEDOUT: Failure.GENERIC_TIMEOUT_ERROR,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: Failure.NETWORK_UNREACHABLE,  # no source address of this family: no way out
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.ENETRESET: Failure.NETWORK_RESET,
    errno.EINTR: Failure.INTERRUPTED,
    errno.ENOTCONN: Failure.CONNECTION_ALREADY_CLOSED,
    errno.EBADF: Failure.CONNECTION_ALREADY_CLOSED,
    # ICMPv6's "administratively prohibited" (icmpv6_err_convert); for the same word of IPv4 Linux has EHOSTUNREACH. A
    # socket that may not be opened gives it too: whoever opens one that takes a permission asks there.
    errno.EACCES: Failure.HOST_UNREACHABLE,
    # A local firewall's answer to a send; also a missing capability.
    errno.EPERM: Failure.NO_PERMISSION,
    errno.EPROTO: Failure.CONNECTION_RESET,
    errno.EMSGSIZE: Failure.HOST_UNREACHABLE,  # ICMP "too big" on a path that cannot carry our small question
}

VERIFY: dict[int, Failure] = {
    2: Failure.SSL_UNKNOWN_AUTHORITY,  # unable to get issuer certificate
    18: Failure.SSL_UNKNOWN_AUTHORITY,  # self-signed leaf
    19: Failure.SSL_UNKNOWN_AUTHORITY,  # self-signed in chain
    20: Failure.SSL_UNKNOWN_AUTHORITY,  # unable to get local issuer certificate
    21: Failure.SSL_UNKNOWN_AUTHORITY,  # unable to verify leaf signature
    62: Failure.SSL_INVALID_HOSTNAME,
    64: Failure.SSL_INVALID_HOSTNAME,  # the same for an IP address
}
"""OpenSSL's X509_V_ERR_* (openssl-verification-options(1)); every other one is an invalid certificate."""
UNVERIFIED = frozenset({*VERIFY.values(), Failure.SSL_INVALID_CERTIFICATE})
"""TLS that came about with somebody who could not show who it is."""

RCODE: dict[int, Failure] = {
    2: Failure.DNS_SERVFAIL_ERROR,
    3: Failure.DNS_NXDOMAIN_ERROR,
    5: Failure.DNS_REFUSED_ERROR,
}
"""RFC 1035 §4.1.1; every other code but 0 is a misbehaving server."""

ICMP4_CODE: dict[int, Failure] = {
    0: Failure.NETWORK_UNREACHABLE,
    6: Failure.NETWORK_UNREACHABLE,
    9: Failure.NETWORK_UNREACHABLE,
    11: Failure.NETWORK_UNREACHABLE,
}
"""Codes of ICMP type 3 (RFC 792, RFC 1812 §5.2.7.1); the others speak of a host."""

ICMP6_CODE: dict[int, Failure] = {0: Failure.NETWORK_UNREACHABLE}
"""Codes of ICMPv6 type 1 (RFC 4443 §3.1); the others speak of a host."""


def fault_of(error: BaseException) -> Fault:
    """The fault behind an exception of the system, of TLS or of our own stages."""
    match error:
        case MeasurementError():
            fault = error.fault
        case TimeoutError() if error.errno is None:
            fault = Fault(Failure.GENERIC_TIMEOUT_ERROR)
        case ssl.SSLCertVerificationError():
            fault = Fault(VERIFY.get(error.verify_code, Failure.SSL_INVALID_CERTIFICATE), error.verify_message)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | EOFError():
            fault = Fault(Failure.EOF_ERROR)
        case ssl.SSLError():
            fault = Fault(Failure.SSL_FAILED_HANDSHAKE, error.reason)
        case OSError() if error.errno in ERRNO:
            fault = Fault(ERRNO[error.errno])
        case OSError() if error.errno is not None and error.errno in errno.errorcode:
            # The system's words alone: asyncio's name the address, and that may be the resolver at home.
            fault = Fault(Failure.UNKNOWN_FAILURE, f"{type(error).__name__}: {os.strerror(error.errno)}")
        case _:
            fault = Fault(Failure.UNKNOWN_FAILURE, f"{type(error).__name__}: {error}")
    return fault


def words_of(error: Exception | None) -> str:
    """What a library says of bytes it could not read, without those that it quotes: they may say anything."""
    return re.split(r"['\":(]", str(error))[0].strip()


def rcode_fault(rcode: int) -> Fault | None:
    """The fault of a DNS response code; None for NOERROR."""
    return None if rcode == 0 else Fault(RCODE.get(rcode, Failure.DNS_SERVER_MISBEHAVING))


def icmp_fault(family: int, code: int) -> Fault:
    """The fault of a "destination unreachable" with this code."""
    table = ICMP4_CODE if family == 4 else ICMP6_CODE
    return Fault(table.get(code, Failure.HOST_UNREACHABLE))
