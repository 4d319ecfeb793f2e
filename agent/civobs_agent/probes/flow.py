"""What a trace is made of: packets of one flow with a short time to live, and who answered them.

Routers that share load choose a way for each flow, by addresses, protocol, ports and, of ICMP, identifier and checksum.
A trace that varies these sees hops of several ways as one (Augustin et al., "Avoiding traceroute anomalies with Paris
traceroute", IMC 2006). Here nothing of it varies, and no privilege is needed: errors are read from the sockets
themselves (``error_queue``).
"""

import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from civobs_agent.faults import Fault, icmp_fault
from civobs_agent.net import IpFamily
from civobs_agent.probes.error_queue import TIME_EXCEEDED, Told, listen_for_errors

Method = Literal["icmp", "udp", "tcp"]

TTL = {4: (socket.IPPROTO_IP, 2), 6: (socket.IPPROTO_IPV6, 16)}
"""IP_TTL (ip(7)), IPV6_UNICAST_HOPS (ipv6(7))."""
_AUTO_FLOW_LABEL = (socket.IPPROTO_IPV6, 70)
"""IPV6_AUTOFLOWLABEL of <linux/in6.h>: switched off, or each SYN would have another label, and routers hash it."""
_UNREACHABLE = {4: 3, 6: 1}
_PORT = {4: 3, 6: 4}
_TOO_BIG = {4: (3, 4), 6: (2, 0)}
"""Type and code (RFC 1191 §4, RFC 4443 §3.2)."""
_PROHIBITED: dict[int, frozenset[int]] = {4: frozenset({9, 10, 13}), 6: frozenset({1, 5, 6})}
"""Codes of "unreachable" that say that somebody wants it so (RFC 1812 §5.2.7.1, RFC 4443 §3.1)."""
ERROR_BYTES = 8
"""ICMP header (RFC 792)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one packet."""

    ttl: int
    ms: float
    address: str | None
    kind: str | None = None
    """As ``Hop.answer`` on the wire; None where the time to live ran out."""
    fault: Fault | None = None
    """Of an answer that says that there is no way."""
    mtu: int | None = None
    """Of "too big": what the router has room for, 0 where it does not say."""

    @property
    def final(self) -> bool:
        """The way ends here."""
        return self.kind is not None


class Flow(Protocol):
    """Packets that all go the same way."""

    id: int
    """What is held constant."""
    at_once: int
    """How many packets may be under way."""
    spent: int
    """Bytes of the line, both ways."""

    async def ask(self, ttls: Iterable[int], wait_s: float) -> list[Answer]:
        """Send one packet for each time to live and give what comes in that time. Raises OSError."""

    def close(self) -> None: ...


def hold_constant(handle: socket.socket, family: IpFamily) -> None:
    """Keep the errors of this socket, and its flow label the same."""
    listen_for_errors(handle, family)
    if family == 6:
        with contextlib.suppress(OSError):  # Linux before 4.2 has no automatic labels
            handle.setsockopt(*_AUTO_FLOW_LABEL, 0)


def read(told: Told, family: IpFamily, target: str, ttl: int, ms: float) -> Answer | None:
    """What an ICMP error means to a trace; None for one that means nothing to it."""
    if told.kind == TIME_EXCEEDED[family]:
        return Answer(ttl, ms, told.offender)
    if (told.kind, told.code) == _TOO_BIG[family]:
        return Answer(ttl, ms, told.offender, mtu=told.info)
    if told.kind != _UNREACHABLE[family]:
        return None
    if told.code == _PORT[family] and told.offender == target:
        return Answer(ttl, ms, told.offender, "reached")
    kind = "prohibited" if told.code in _PROHIBITED[family] else "unreachable"
    return Answer(ttl, ms, told.offender, kind, icmp_fault(family, told.code))
