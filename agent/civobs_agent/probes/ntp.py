"""What time servers say, one row a server: a clock that is blocked, or lied to, shows where they differ.

Written out in struct: ntplib blocks, trusts the first packet, and keeps none of the rest. The transmit timestamp of a
question is random (draft-ietf-ntp-data-minimization): it tells nobody what this device's clock says, and an answer
that does not repeat it was made by somebody who did not see the question (RFC 5905 §8).
"""

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from civobs_agent.faults import Fault, fault_of
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily, Run
from civobs_agent.probes.stream import numeric_socket
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_REPLIES
from civobs_wire.measurement import AnyMeasurement, Ntp
from civobs_wire.plan import Target, TimeServer

TIMEOUTS = table(
    Timeout("ntp.try", 3.0, "as dns.try: two tries within six seconds"),
    Timeout("ntp.more", 2.0, "a true answer comes after a forged one by a round trip, seldom more than a second"),
)
TRIES = 2
"""One lost packet is no finding."""
MAX_HEARD = 64
"""Datagrams looked at in one run: a flood is not read to its end."""
MAX_BYTES = 1024
"""Of one datagram; the header is 48 of them, and what may follow is not looked at."""

_HEADER = struct.Struct("!BBbbII4sQQQQ")
"""RFC 5905 §7.3."""
_QUESTION = struct.Struct("!BBBb36xQ")
_CLIENT, _SERVER = 3, 4
"""Modes."""
_FIRST_BYTE = 4 << 3 | _CLIENT
_PRECISION = 32
"""The value that draft-ietf-ntp-data-minimization sends instead of the clock's own."""
_EPOCH_S = 2_208_988_800
"""From 1900 to 1970."""
_ERA_S = 2**32


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer, with the four timestamps worked out."""

    leap: int
    stratum: int
    ref_id: bytes
    root_delay_ms: float
    root_dispersion_ms: float
    offset_ms: float
    delay_ms: float


@dataclass(slots=True)
class Heard:
    """All that came to one question."""

    samples: list[Sample]
    strays: int = 0
    """Datagrams that answer no question of ours."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each time server of the plan."""
    servers = () if context.plan is None else context.plan.time_servers
    if not servers:
        fault = Fault(Failure.NOTHING_TO_ASK, "the plan names no time server")
        return [context.row(Ntp, context.begin(), target.id, {}, fault=fault)]
    return list(await asyncio.gather(*(_server(target, server, context) for server in servers)))


async def _server(target: Target, server: TimeServer, context: Context) -> Ntp:
    run = context.begin()
    family: IpFamily = 6 if ":" in server.address else 4
    refusal = context.refusal.refuses(server.address)
    fault = Fault(Failure.TARGET_REFUSED, refusal) if refusal else context.absent(family)
    heard = Heard([])
    if fault is None:
        fault = await _ask(server, family, heard, run, context)
    fields: dict[str, object] = {
        "server": server.id,
        "address": context.refusal.shown(server.address),
        "strays": heard.strays or None,
    }
    if heard.samples:
        fields |= _fields(heard.samples, context)
    return context.row(Ntp, run, target.id, fields, family=family, fault=fault)


async def _ask(server: TimeServer, family: IpFamily, heard: Heard, run: Run, context: Context) -> Fault | None:
    """Ask, again if nobody answers, and listen on after an answer. The fault if none came."""
    try:
        await _exchange(server, family, heard, run, context)
    except OSError as error:
        # Also "nobody listens here" after an answer: then the answer counts.
        return None if heard.samples else fault_of(error)
    if heard.samples:
        return None
    return Fault(Failure.UNEXPECTED_ANSWER if heard.strays else Failure.GENERIC_TIMEOUT_ERROR)


async def _exchange(server: TimeServer, family: IpFamily, heard: Heard, run: Run, context: Context) -> None:
    asked: dict[int, float] = {}
    overhead = HEADER_BYTES[family] + UDP_BYTES
    loop = asyncio.get_running_loop()
    handle, where = numeric_socket(server.address, server.port, socket.SOCK_DGRAM)
    with handle:
        handle.connect(where)
        for _ in range(TRIES):
            transmit = context.rng.getrandbits(64)
            asked[transmit] = _now(run)
            await loop.sock_sendall(handle, _QUESTION.pack(_FIRST_BYTE, 0, 0, _PRECISION, transmit))
            context.spend(_HEADER.size + overhead)
            try:
                async with asyncio.timeout(context.timeout_s(TIMEOUTS["ntp.try"])) as limit:
                    for _ in range(MAX_HEARD):
                        data = await loop.sock_recv(handle, MAX_BYTES)
                        context.spend(len(data) + overhead)
                        if _take(data, asked, _now(run), heard) and len(heard.samples) == 1:
                            limit.reschedule(loop.time() + context.timeout_s(TIMEOUTS["ntp.more"]))
            except TimeoutError:
                pass
            if heard.samples:
                return


def _now(run: Run) -> float:
    """Seconds since 1970 by this device's clock, as it was at the start of the run and has run on since."""
    return run.moment.at.timestamp() + (time.perf_counter() - run.began)


def _take(data: bytes, asked: dict[int, float], came: float, heard: Heard) -> bool:
    """Add a datagram to what was heard; True if it answers a question."""
    if len(data) < _HEADER.size:
        heard.strays += 1
        return False
    first, stratum, _, _, delay, dispersion, ref_id, _, origin, received, sent = _HEADER.unpack_from(data)
    left = asked.get(origin)
    if first & 7 != _SERVER or left is None:
        heard.strays += 1
        return False
    there, back = _near(received, left), _near(sent, left)
    sample = Sample(
        leap=first >> 6,
        stratum=stratum,
        ref_id=ref_id,
        root_delay_ms=delay * 1000 / 2**16,
        root_dispersion_ms=dispersion * 1000 / 2**16,
        offset_ms=((there - left) + (back - came)) / 2 * 1000,
        delay_ms=((came - left) - (back - there)) * 1000,
    )
    if len(heard.samples) <= MAX_REPLIES:
        heard.samples.append(sample)
    return True


def _near(timestamp: int, about: float) -> float:
    """Seconds since 1970 of an NTP timestamp, in the era in which it is nearest to ``about`` (RFC 5905 §6)."""
    seconds = timestamp / 2**32 - _EPOCH_S
    return seconds + round((about - seconds) / _ERA_S) * _ERA_S


def _fields(samples: list[Sample], context: Context) -> dict[str, object]:
    first, *more = samples
    kiss = first.stratum == 0
    fields: dict[str, object] = {
        "stratum": first.stratum,
        "leap": first.leap,
        "root_delay_ms": first.root_delay_ms,
        "root_dispersion_ms": first.root_dispersion_ms,
        "other_offsets_ms": tuple(sample.offset_ms for sample in more if sample.stratum != 0),
    }
    if kiss:
        # RFC 5905 §7.4: what else is in such a packet means nothing.
        fields["kiss"] = _letters(first.ref_id) or "-"
    else:
        fields |= {"offset_ms": first.offset_ms, "delay_ms": first.delay_ms, "ref_id": _source(first, context)}
    return fields


def _source(sample: Sample, context: Context) -> str | None:
    """What the server itself follows: a name of four letters, or an address, which may be one of this home."""
    if sample.stratum == 1:
        return _letters(sample.ref_id)
    return context.refusal.shown(socket.inet_ntoa(sample.ref_id))


def _letters(data: bytes) -> str | None:
    text = "".join(_printable(data))
    return text or None


def _printable(data: bytes) -> Iterator[str]:
    for byte in data:
        if 0x20 < byte < 0x7F:
            yield chr(byte)
