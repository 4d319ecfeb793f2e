"""What each of the lab's servers can do wrong, and what exactly happens then: the table that ``docs/lab.md`` quotes.

A switch is set for a host, and every one of its servers that has a row for the word acts by it; the others go on as
ever. Servers look at their host's ``Conduct`` each time, so a switch acts from the next packet or connection on.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SLOW_S = 2.0
"""Lab seconds by which a slow server is late: within every time that a probe waits (3 s for DNS is the shortest)."""
SLOW_FLOOR_S = 0.1
"""However fast the lab's time runs; below the quarter of a second that a probe's shortest wait cannot go under."""
SLOW_BYTE_S = 16_384
"""Bytes a lab second in which a slow server sends a body: a page in time, a throughput of 130 kbit/s."""
LIE_ADDRESSES = ("192.0.2.66", "2001:db8:ffff::66")
"""What a lying name server says, of every name: in the lab's ranges, and nobody has them."""
LIE_CLOCK_S = 3 * 3600.0
"""Clock seconds by which a lying time server is ahead."""


class Does(StrEnum):
    """The words of ``fault_kinds.Server``."""

    SILENT = "silent"
    REFUSE = "refuse"
    RESET = "reset"
    SLOW = "slow"
    ERROR = "error"
    CLOSE = "close"
    WRONG_CERTIFICATE = "wrong_certificate"
    EXPIRED_CERTIFICATE = "expired_certificate"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    LIE = "lie"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of misbehaviour of some services."""

    does: Does
    services: tuple[str, ...]
    what: str


_NAMES = ("authority", "resolver", "dot", "doh")
_OVER_TCP = ("web", "portal", "echo", "throughput", *_NAMES)
_HTTP = ("web", "h3", "throughput", "doh", "portal", "echo")
_TLS = ("web", "h3", "throughput", "doh", "dot")
ALL = ("tcp", "web", "h3", "portal", "echo", "throughput", "stun", "ntp", *_NAMES)

TABLE = (
    Row(
        Does.SILENT,
        ALL,
        "no packet is answered, be it a SYN, a datagram or one of an open connection; echo requests still are",
    ),
    Row(
        Does.REFUSE,
        ALL,
        "ports are closed: a SYN is answered with a reset, a datagram with ICMP port unreachable; "
        "open TCP connections go on, QUIC ones are closed",
    ),
    Row(Does.RESET, ("tcp",), "a connection is reset as soon as it is open"),
    Row(
        Does.RESET,
        _OVER_TCP,
        "a new TCP connection is reset when the first bytes come (a ClientHello, a request); UDP goes on",
    ),
    Row(
        Does.CLOSE,
        _OVER_TCP,
        "a new TCP connection is closed in order when the first bytes come, without an answer; UDP goes on",
    ),
    Row(Does.CLOSE, ("h3", "throughput"), "a QUIC connection is closed with H3_INTERNAL_ERROR after its handshake"),
    Row(
        Does.SLOW,
        ("web", "h3", "throughput", "doh"),
        "the answer begins 2 lab seconds late (0.1 s of the clock at least), its body comes at 16 KiB a lab second",
    ),
    Row(
        Does.SLOW,
        ("authority", "resolver", "dot", "portal", "echo", "stun", "ntp"),
        "the answer is 2 lab seconds late (0.1 s of the clock at least)",
    ),
    Row(Does.ERROR, _HTTP, "status 503 with a short page"),
    Row(Does.ERROR, ("stun",), "error response 500"),
    Row(Does.ERROR, ("ntp",), "kiss of death: stratum 0, code DENY"),
    Row(Does.WRONG_CERTIFICATE, _TLS, "a valid certificate of the lab's authority, for wrong.invalid"),
    Row(Does.EXPIRED_CERTIFICATE, _TLS, "a certificate for the right names that ended a week ago"),
    Row(Does.NXDOMAIN, _NAMES, "every question is answered with NXDOMAIN"),
    Row(Does.SERVFAIL, _NAMES, "every question is answered with SERVFAIL"),
    Row(Does.LIE, _NAMES, "every name has the addresses 192.0.2.66 and 2001:db8:ffff::66, which nobody has"),
    Row(Does.LIE, ("web", "h3"), "status 200 with the page of somebody else, whatever was asked for"),
    Row(Does.LIE, ("echo",), "what comes back has its letters' case turned round"),
    Row(Does.LIE, ("stun",), "the mapped address is 192.0.2.66 or 2001:db8:ffff::66, the port right"),
    Row(Does.LIE, ("ntp",), "the time is three hours ahead, by a server that calls itself sure"),
)


def able(services: Iterable[str]) -> tuple[Does, ...]:
    """What a host with these services can be told to do."""
    here = set(services)
    return tuple(does for does in Does if any(row.does is does and here & set(row.services) for row in TABLE))


class Conduct:
    """How the servers of one host behave now."""

    def __init__(self, services: Iterable[str], time_scale: float) -> None:
        self._services = frozenset(services)
        self._switched: Counter[Does] = Counter()
        self._scale = time_scale

    def switch(self, does: Does, by: int) -> None:
        """Set it once more (1) or once less (-1): two faults may overlap, and the first to end leaves the other."""
        self._switched[does] = max(0, self._switched[does] + by)

    def now(self, does: Does) -> bool:
        """Whether this is switched on."""
        return self._switched[does] > 0

    @property
    def byte_s(self) -> float | None:
        """The rate of a body, bytes per second of the clock; None for as fast as it goes."""
        return SLOW_BYTE_S * self._scale if self.now(Does.SLOW) else None

    async def hesitate(self) -> None:
        """Wait before an answer, if slow."""
        if self.now(Does.SLOW):
            await asyncio.sleep(max(SLOW_FLOOR_S, SLOW_S / self._scale))
