"""One ICMP echo, with a raw socket or with the unprivileged one of Linux (icmp(7), ``ping_group_range``).

icmplib builds and reads the packets. The round trip is timed here by a monotonic clock, because icmplib uses the wall
clock, and on a Pi that is stepped by hours the moment NTP comes back.
"""

import asyncio
import socket
import time

from icmplib import AsyncSocket, ICMPReply, ICMPRequest, ICMPv4Socket, ICMPv6Socket
from icmplib.exceptions import (
    DestinationUnreachable,
    ICMPError,
    ICMPLibError,
    ICMPSocketError,
    SocketPermissionError,
    TimeExceeded,
)
from icmplib.utils import unique_identifier

from civobs_agent.faults import Fault, MeasurementError, fault_of, icmp_fault
from civobs_agent.net import HEADER_BYTES, Context, IpFamily
from civobs_agent.probes.error_queue import TIME_EXCEEDED, errors_of, listen_for_errors
from civobs_wire.failure import Failure

ECHO_BYTES = 8 + 56
"""ICMP header and the payload that ping(8) sends."""
_PACKET = 1024
"""Bytes read of an answer; an echo of ours is 84 with its IPv4 header."""


async def echo(address: str, context: Context, *, timeout_s: float, ttl: int = 64) -> float:
    """Milliseconds to the answer. With a low ``ttl`` the hop where it ran out answers as well as the host itself.

    Raises MeasurementError. The address has passed the refusal already.
    """
    family: IpFamily = 6 if ":" in address else 4
    began = time.perf_counter()
    try:
        with _socket(family) as handle:
            context.spend(HEADER_BYTES[family] + ECHO_BYTES)
            request = ICMPRequest(address, unique_identifier(), 1, ttl=ttl)
            async with asyncio.timeout(timeout_s):
                await _exchange(handle, request, family, any_hop=ttl < 64)
    except TimeoutError:
        raise MeasurementError(Failure.GENERIC_TIMEOUT_ERROR) from None
    context.spend(HEADER_BYTES[family] + ECHO_BYTES)
    return (time.perf_counter() - began) * 1000


def _socket(family: IpFamily) -> AsyncSocket:
    kind = ICMPv4Socket if family == 4 else ICMPv6Socket
    try:
        try:
            return AsyncSocket(kind(privileged=True))
        except SocketPermissionError:
            plain = kind(privileged=False)
            listen_for_errors(plain.sock, family)
            return AsyncSocket(plain)
    except SocketPermissionError:
        raise MeasurementError(Failure.NO_PERMISSION, "neither raw nor unprivileged ICMP sockets") from None
    except ICMPLibError as error:
        raise _refused(error) from None


async def _exchange(handle: AsyncSocket, request: ICMPRequest, family: IpFamily, *, any_hop: bool) -> None:
    """Send and wait for the answer. Raises MeasurementError with what came instead."""
    try:
        handle.send(request)
        reply = await _answer(handle, request)
        reply.raise_for_status()
    except TimeExceeded:
        if not any_hop:
            raise MeasurementError(Failure.HOST_UNREACHABLE, "the packet's time to live ran out") from None
    except DestinationUnreachable as error:
        raise _as_error(icmp_fault(family, error.reply.code)) from None
    except ICMPError as error:
        raise MeasurementError(Failure.HOST_UNREACHABLE, f"ICMP type {error.reply.type}") from None
    except ICMPLibError as error:
        if not (any_hop and _ran_out(handle.sock, family)):
            raise _refused(error) from None


async def _answer(handle: AsyncSocket, request: ICMPRequest) -> ICMPReply:
    """The packet that answers this request, however many others come.

    Not icmplib's own ``receive``: its time limit follows the wall clock, and it waits by ``asyncio.wait_for``, which
    before Python 3.12 swallows a cancellation that comes together with a packet (gh-86296). It would then wait for
    ever, and the ladder with it.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            packet = await loop.sock_recv(handle.sock, _PACKET)
            reply = handle._parse_reply(packet=packet, source=None, current_time=time.time())  # noqa: SLF001
            if reply and (reply.id, reply.sequence) == (request.id, request.sequence):
                found: ICMPReply = reply
                return found
            # A flood would be read without end otherwise: data that is there is handed over at once.
            await asyncio.sleep(0)
    except OSError as error:
        raise ICMPSocketError(str(error)) from error


def _ran_out(handle: socket.socket, family: IpFamily) -> bool:
    """Whether the error behind an unprivileged socket was "time exceeded"."""
    return any(told.kind == TIME_EXCEEDED[family] for told in errors_of(handle, family))


def _refused(error: ICMPLibError) -> MeasurementError:
    """The system's error that icmplib has wrapped."""
    return _as_error(fault_of(error.__context__ or error))


def _as_error(fault: Fault) -> MeasurementError:
    return MeasurementError(fault.failure, fault.note)
