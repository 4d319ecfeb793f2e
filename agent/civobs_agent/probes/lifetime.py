"""How long a NAT keeps a UDP mapping that nobody uses (RFC 5780 §4.6).

Each waiting time has a mapping of its own, opened by one question and then left alone; when its time is over, a second
socket asks the server to answer to the first one's mapping (RESPONSE-PORT). All wait together, so that the longest
wait is the whole of it.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from civobs_agent.faults import MeasurementError
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.binding import TRIES, Mouth
from civobs_agent.probes.stun import Endpoint
from civobs_agent.tables import Timeout, table

WAITS = table(
    Timeout("nat.idle.15", 15.0, "half of the shortest that follows"),
    Timeout("nat.idle.30", 30.0, "Linux: an answered question that was not followed up (nf_conntrack_udp_timeout)"),
    Timeout("nat.idle.60", 60.0, "twice as long"),
    Timeout("nat.idle.120", 120.0, "RFC 4787 REQ-5: a mapping must not expire in less than two minutes"),
)
Found = tuple[int | None, int | None]
"""Idle seconds after which a mapping was still open, and after which it was closed."""


async def lifetime(family: IpFamily, server: Endpoint, mapped: str, context: Context) -> Found:
    """Wait and see. (None, None) where the server cannot help, or the NAT gives each socket another address."""
    waits = tuple(WAITS.values())
    with contextlib.ExitStack() as stack:
        asking = stack.enter_context(Mouth(family, context))
        try:
            if not await _pooled(asking, server, mapped) or not await _helps(asking, family, server, context):
                return None, None
            idle = [stack.enter_context(Mouth(family, context)) for _ in waits]
            ports = [await _opened(mouth, server) for mouth in idle]
        except MeasurementError:
            return None, None
        return await _wait(waits, list(zip(idle, ports, strict=True)), asking, server, context)


async def _wait(
    waits: Sequence[Timeout], idle: Sequence[tuple[Mouth, int]], asking: Mouth, server: Endpoint, context: Context
) -> Found:
    """Ask through one mapping after the other, the longest last; the first that is closed ends it."""
    began = time.perf_counter()
    lasted: int | None = None
    for wait, (mouth, port) in zip(waits, idle, strict=True):
        await asyncio.sleep(max(0.0, context.timeout_s(wait) - (time.perf_counter() - began)))
        try:
            if not await _reaches(mouth, port, asking, server):
                return lasted, round(wait.seconds)
        except MeasurementError:
            return lasted, None
        lasted = round(wait.seconds)
    return lasted, None


async def _pooled(mouth: Mouth, server: Endpoint, mapped: str) -> bool:
    """Whether this socket has the address that the first one has: answers go to the address that asks."""
    told = (await mouth.ask(server)).answer.mapped
    return told is not None and told[0] == mapped


async def _helps(asking: Mouth, family: IpFamily, server: Endpoint, context: Context) -> bool:
    """Whether the server answers to another port: asked through a mapping that has just been opened."""
    with Mouth(family, context) as fresh:
        return await _reaches(fresh, await _opened(fresh, server), asking, server)


async def _opened(mouth: Mouth, server: Endpoint) -> int:
    """The port of a new mapping. Raises MeasurementError."""
    told = (await mouth.ask(server)).answer.mapped
    return 0 if told is None else told[1]


async def _reaches(mouth: Mouth, port: int, asking: Mouth, server: Endpoint) -> bool:
    """Whether an answer that ``asking`` asks for arrives at the mapping of ``mouth``."""
    transaction = asking.transaction()
    for _ in range(TRIES):
        await asking.send(server, transaction, response_port=port)
        with contextlib.suppress(TimeoutError):
            answer, _ = await mouth.hear(transaction)
            return answer.error is None
    return False
