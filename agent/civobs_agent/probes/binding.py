"""Questions to STUN servers from one socket, the hop at which a packet dies, and what the gateway says of itself.

Every address is held against the refusal just before a packet goes to it: those that a server names as well.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from civobs_agent.faults import MeasurementError, fault_of, icmp_fault
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes import stun
from civobs_agent.probes.error_queue import TIME_EXCEEDED, Told, errors_of, listen_for_errors
from civobs_agent.probes.stream import numeric_socket
from civobs_agent.probes.stun import Answer, Endpoint
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure

TIMEOUTS = table(
    Timeout("nat.try", 1.0, "a satellite's round trip is 0.6 s; RFC 5389 §7.2.1 begins with 0.5 s"),
    Timeout("nat.hop", 2.0, "as ladder.hop"),
    Timeout("nat.gateway", 0.5, "a router in the same room; RFC 6886 §3.1 begins with 0.25 s"),
)
TRIES = 3
"""Silence is a finding here: at one packet lost in twenty, all three are lost once in eight thousand times."""
MAX_HEARD = 64
"""Datagrams looked at for one question: a flood is not read to its end."""
NAT_PMP_PORT = 5351
_NAT_PMP_ASK = b"\x00\x00"
_NAT_PMP_BYTES = 12
"""RFC 6886 §3.2: version 0, opcode 0; the answer has opcode 128, a result of two bytes, and the address at its end."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, where it came from, and after how long."""

    answer: Answer
    source: Endpoint
    ms: float


class Mouth:
    """One UDP socket, and so one mapping in a NAT."""

    def __init__(self, family: IpFamily, context: Context, *, ttl: int | None = None) -> None:
        self.family = family
        self._context = context
        self._overhead = HEADER_BYTES[family] + UDP_BYTES
        self._socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("", 0))
        listen_for_errors(self._socket, family)
        if ttl is not None and family == 4:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        elif ttl is not None:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)

    @property
    def port(self) -> int:
        """Its own port."""
        return int(self._socket.getsockname()[1])

    async def ask(self, server: Endpoint, *, change: int = 0, tries: int = TRIES) -> Heard:
        """Ask for a binding until something answers. Raises MeasurementError."""
        began = time.perf_counter()
        transaction = self.transaction()
        for _ in range(tries):
            await self.send(server, transaction, change=change)
            with contextlib.suppress(TimeoutError):
                answer, source = await self.hear(transaction)
                return Heard(answer, source, (time.perf_counter() - began) * 1000)
        raise MeasurementError(Failure.GENERIC_TIMEOUT_ERROR)

    def transaction(self) -> bytes:
        """A new transaction's id."""
        return self._context.rng.randbytes(stun.TRANSACTION_BYTES)

    async def send(
        self, server: Endpoint, transaction: bytes, *, change: int = 0, response_port: int | None = None
    ) -> None:
        """One request. Raises MeasurementError."""
        refusal = self._context.refusal.refuses(server[0])
        if refusal is not None:
            raise MeasurementError(Failure.TARGET_REFUSED, refusal)
        message = stun.request(transaction, change=change, response_port=response_port)
        try:
            await asyncio.get_running_loop().sock_sendto(self._socket, message, server)
        except OSError as error:
            fault = fault_of(error)
            raise MeasurementError(fault.failure, fault.note) from None
        self._context.spend(len(message) + self._overhead)

    async def hear(self, transaction: bytes) -> tuple[Answer, Endpoint]:
        """The answer with this id. Raises TimeoutError, and MeasurementError for what ICMP says."""
        async with asyncio.timeout(self._context.timeout_s(TIMEOUTS["nat.try"])):
            for _ in range(MAX_HEARD):
                got = await self._receive()
                if isinstance(got, tuple):
                    answer = stun.read(got[0])
                    if answer is not None and answer.transaction == transaction:
                        return answer, got[1]
                    continue
                # A router may repeat nothing of what was sent (RFC 792): then it is taken for this question's.
                ours = [told for told in got if len(told.quoted) < 20 or transaction in told.quoted]
                if ours:
                    fault = icmp_fault(self.family, ours[0].code)
                    raise MeasurementError(fault.failure, fault.note)
        raise MeasurementError(Failure.UNEXPECTED_ANSWER, "many datagrams, none of them an answer")

    async def hop(self, server: Endpoint) -> str:
        """Address of whoever says that the packet's time ran out; the server's if it got there.

        The packet is addressed to the server. Raises MeasurementError.
        """
        await self.send(server, self.transaction())
        try:
            async with asyncio.timeout(self._context.timeout_s(TIMEOUTS["nat.hop"])):
                for _ in range(MAX_HEARD):
                    got = await self._receive()
                    if isinstance(got, tuple):
                        return got[1][0]
                    for told in got:
                        if told.kind == TIME_EXCEEDED[self.family] and told.offender is not None:
                            return told.offender
        except TimeoutError:
            pass
        raise MeasurementError(Failure.GENERIC_TIMEOUT_ERROR)

    async def _receive(self) -> tuple[bytes, Endpoint] | list[Told]:
        """A datagram, or the errors that ICMP brought; the queue of those has to be emptied or it wakes us for ever."""
        try:
            data, source = await asyncio.get_running_loop().sock_recvfrom(self._socket, stun.MAX_BYTES)
        except OSError:
            return list(errors_of(self._socket, self.family))
        self._context.spend(len(data) + self._overhead)
        return data, (source[0], source[1])

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_address(server: Endpoint) -> str:
    """The address packets to a server leave with. The kernel is asked; nothing is sent. Raises OSError."""
    handle, where = numeric_socket(*server, socket.SOCK_DGRAM)
    with handle:
        handle.connect(where)
        return str(handle.getsockname()[0])


async def gateways_address(gateway: str, context: Context) -> str:
    """The home gateway's own address towards its provider, as it says itself (NAT-PMP). Raises MeasurementError."""
    refusal = context.refusal.refuses_own(gateway)
    if refusal is not None:
        raise MeasurementError(Failure.TARGET_REFUSED, refusal)
    # Its link is the household's own, but whoever reads what others moved over it wants these taken off too.
    overhead = HEADER_BYTES[4] + UDP_BYTES
    loop = asyncio.get_running_loop()
    handle, where = numeric_socket(gateway, NAT_PMP_PORT, socket.SOCK_DGRAM)
    try:
        with handle:
            handle.connect(where)
            for wait in _doubling(context.timeout_s(TIMEOUTS["nat.gateway"])):
                await loop.sock_sendall(handle, _NAT_PMP_ASK)
                context.spend(len(_NAT_PMP_ASK) + overhead)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        data = await loop.sock_recv(handle, stun.MAX_BYTES)
                        context.spend(len(data) + overhead)
                        return _external_address(data)
    except OSError as error:
        fault = fault_of(error)
        raise MeasurementError(fault.failure, fault.note) from None
    raise MeasurementError(Failure.GENERIC_TIMEOUT_ERROR)


def _doubling(first_s: float) -> Iterator[float]:
    yield first_s
    yield first_s * 2


def _external_address(data: bytes) -> str:
    if len(data) < _NAT_PMP_BYTES or data[:4] != b"\x00\x80\x00\x00":
        raise MeasurementError(Failure.UNEXPECTED_ANSWER, "the gateway speaks NAT-PMP and names no address")
    address = ipaddress.IPv4Address(data[8:12])
    if address.is_unspecified:
        raise MeasurementError(Failure.NO_ADDRESS, "the gateway has no address outside")
    return str(address)
