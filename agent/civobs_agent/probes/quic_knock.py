"""Asks whether anything speaks QUIC at an address, by a datagram of a version that nobody speaks.

It carries no name and no handshake, so whatever a censor does to names, it does not do here. RFC 9000 §6.1: a server
answers such a datagram of 1200 bytes with the versions it has.
"""

import asyncio
import contextlib
import secrets
import socket
import time

from civobs_agent.faults import MeasurementError
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context
from civobs_agent.probes.stream import numeric_socket
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure

TIMEOUTS = table(
    Timeout("quic.knock_pause", 1.0, "OONI quicping sends one a second"),
    Timeout("quic.knock", 4.0, "the last of three and three more seconds; OONI quicping waits 2 s for each it sends"),
)
KNOCKS = 3
"""OONI quicping sends ten; one of three comes through even where half of all packets are lost, 7 times in 8."""
UNKNOWN_VERSION = bytes.fromhex("1a2a3a4a")
"""One of the versions kept to provoke this answer (RFC 9000 §15: 0x?a?a?a?a)."""
MAX_ANSWERS = 32
"""Datagrams looked at. In a flood one is always there already: nothing waits, and no time limit is looked at."""
SIZE = 1_200
"""A server answers nothing shorter (RFC 9000 §6.1, §14.1)."""


async def knock(address: str, port: int, context: Context) -> tuple[bool, float | None]:
    """Whether Version Negotiation came back, and after how many milliseconds from the first datagram on.

    Raises MeasurementError ``target_refused``.
    """
    refused = context.refusal.refuses(address)
    if refused is not None:
        raise MeasurementError(Failure.TARGET_REFUSED, refused)
    ours = secrets.token_bytes(8)
    began = time.perf_counter()
    with contextlib.suppress(OSError):  # a refusal of the network's or of this system's is no answer either
        handle, where = numeric_socket(address, port, socket.SOCK_DGRAM)
        with handle:
            handle.connect(where)
            if await _answered(handle, ours, context):
                return True, (time.perf_counter() - began) * 1000
    return False, None


async def _answered(handle: socket.socket, ours: bytes, context: Context) -> bool:
    """Send up to three and wait for one that is right. Raises OSError."""
    loop = asyncio.get_running_loop()
    overhead = HEADER_BYTES[6 if handle.family == socket.AF_INET6 else 4] + UDP_BYTES
    seen = 0
    ends = loop.time() + context.timeout_s(TIMEOUTS["quic.knock"])
    for number in range(1, KNOCKS + 1):
        handle.send(datagram(ours))
        context.spend(SIZE + overhead)
        pause = loop.time() + context.timeout_s(TIMEOUTS["quic.knock_pause"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends if number == KNOCKS else min(ends, pause)):
                while seen < MAX_ANSWERS:
                    data = await loop.sock_recv(handle, 2 * SIZE)
                    seen += 1
                    context.spend(len(data) + overhead)
                    if is_answer(data, ours):
                        return True
    return False


def datagram(ours: bytes) -> bytes:
    """A long header of the unknown version with two connection ids (RFC 8999 §5.1), and padding that means nothing."""
    theirs = secrets.token_bytes(8)
    head = b"\xc0" + UNKNOWN_VERSION + bytes([len(theirs)]) + theirs + bytes([len(ours)]) + ours
    return head + bytes(SIZE - len(head))


def is_answer(data: bytes, ours: bytes) -> bool:
    """Version Negotiation to this question: version 0, and our id where the receiver's stands (RFC 8999 §6)."""
    return data[:1] >= b"\x80" and data[1:5] == bytes(4) and data[5:6] == bytes([len(ours)]) and data[6:14] == ours
