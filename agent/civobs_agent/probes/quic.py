"""A QUIC handshake with a target's name and a request over HTTP/3, beside the same name by TLS over TCP.

A host without HTTP/3 is a fact: a handshake that fails in time, no answer on the port, and TCP that works. What tells
the name from the host is the same handshake with a name that nobody objects to. That one comes first: where a name has
been seen, a censor may drop all that follows between the same two ends (net4people/bbs#468), and then the neutral name
would fail as well.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from cryptography.hazmat.primitives.serialization import Encoding

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.http_answer import ACCEPT, ACCEPT_LANGUAGE, USER_AGENT
from civobs_agent.probes.place import DEFAULT_PORTS, Place, place_of, resolve, unresolved
from civobs_agent.probes.quic_certificate import unverified
from civobs_agent.probes.quic_knock import knock
from civobs_agent.probes.quic_line import QuicLine
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Named, Quic, QuicStage
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("quic.handshake", 10.0, "OONI web_connectivity's for TLS; six tries of the Initial (RFC 9002 §6.2)"),
    Timeout("quic.request", 10.0, "64 KiB at 64 kbit/s take 8 s"),
    Timeout("quic.tcp", 10.0, "connect and TLS together, so that both transports have the same time"),
    Timeout("quic.idle", 30.0, "RFC 9000 §10.1; longer than each of the others, so that theirs tell the failure"),
)
MAX_BODY = 65_536
"""Bytes of the body that are waited for: whether a page comes at all, and not how fast."""
MAX_RECEIVED = 131_072
"""Bytes taken from one connection: the body, and as much again for a chain of certificates and what is said twice."""
TCP_ALPN = ("h2", "http/1.1")
"""What browsers offer over TCP (OONI web_connectivity)."""


@dataclass(slots=True)
class _Course:
    """How far a handshake came, filled in as it goes; names are those of the row."""

    stage: QuicStage = QuicStage.HANDSHAKE
    version: str | None = None
    alpn: str | None = None
    handshake_ms: float | None = None
    cert_sha256: str | None = None
    verified: bool | None = None
    status: int | None = None
    first_byte_ms: float | None = None
    body_bytes: int | None = None
    received: int | None = None

    def fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """For each family one row with the target's name and one with the neutral one."""
    rows = await asyncio.gather(*(_of_family(target, family, context) for family in FAMILIES))
    return [row for both in rows for row in both]


async def _of_family(target: Target, family: IpFamily, context: Context) -> Sequence[Quic]:
    run = context.begin()
    place = place_of(target.url)
    place = place if place.scheme == "https" else Place("https", place.host, DEFAULT_PORTS["https"], place.path)
    address = None
    fault = context.absent(family)
    if fault is None:
        try:
            address = await resolve(place, family, context)
        except MeasurementError as error:
            fault = unresolved(error.fault)
    if address is None:
        fields: dict[str, object] = {"port": place.port, "sni": place.host, "stage": QuicStage.RESOLVE}
        return [context.row(Quic, run, target.id, fields, family=family, fault=fault)]
    aim = _Aim(target.id, place, address, family)
    answered, udp_ms = await knock(address, place.port, context)
    udp: dict[str, object] = {"udp_answered": answered, "udp_ms": udp_ms}
    neutral = [] if place.host == context.neutral_name else [await _with_neutral_name(aim, udp, context)]
    return [await _with_its_name(aim, udp, context), *neutral]


@dataclass(frozen=True, slots=True)
class _Aim:
    """One address of a target."""

    target: str
    place: Place
    address: str
    family: IpFamily

    def fields(self, name: str, named: Named) -> dict[str, object]:
        sni = "-" if self.place.literal is not None and named == "target" else name
        return {"address": self.address, "port": self.place.port, "sni": sni, "named": named}


async def _with_its_name(aim: _Aim, udp: dict[str, object], context: Context) -> Quic:
    """Handshake, verification and request, and at the same time TLS over TCP."""
    run = context.begin()
    course = _Course()
    fault, beside = await asyncio.gather(
        _go(course, aim, aim.place.host, context, ask=True), _by_tcp(aim.address, aim.place, context)
    )
    fields = aim.fields(aim.place.host, "target") | course.fields() | udp | beside
    return context.row(Quic, run, aim.target, fields, family=aim.family, fault=fault)


async def _with_neutral_name(aim: _Aim, udp: dict[str, object], context: Context) -> Quic:
    """A handshake alone: whose certificate comes is not asked, and nothing is sent over it."""
    run = context.begin()
    course = _Course()
    fault = await _go(course, aim, context.neutral_name, context, ask=False)
    fields = aim.fields(context.neutral_name, "neutral") | course.fields() | udp
    return context.row(Quic, run, aim.target, fields, family=aim.family, fault=fault)


async def _go(course: _Course, aim: _Aim, name: str, context: Context, *, ask: bool) -> Fault | None:
    """From the first datagram to the end; the course shows how far it came."""
    settings = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        server_name=name,
        verify_mode=ssl.CERT_NONE,
        idle_timeout=context.timeout_s(TIMEOUTS["quic.idle"]),
        max_data=2 * MAX_BODY,
        max_stream_data=2 * MAX_BODY,
    )
    try:
        began = context.begin()
        async with await QuicLine.open(aim.address, aim.place.port, settings, context, most=MAX_RECEIVED) as line:
            try:
                await _shake_hands(course, line, context)
                course.handshake_ms = began.elapsed_ms()
                if ask:
                    await _ask(course, line, aim.place, context)
            finally:
                course.received = line.received
    except MeasurementError as error:
        return error.fault
    except OSError as error:
        return fault_of(error)
    course.stage = QuicStage.DONE
    return None


async def _shake_hands(course: _Course, line: QuicLine, context: Context) -> None:
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["quic.handshake"])):
        agreed = await line.shake_hands()
    course.version, course.alpn = line.version, agreed.alpn_protocol
    chain = line.chain()
    course.cert_sha256 = hashlib.sha256(chain[0].public_bytes(Encoding.DER)).hexdigest() if chain else None


async def _ask(course: _Course, line: QuicLine, place: Place, context: Context) -> None:
    """Verify, then send the request and wait for its answer. Raises MeasurementError, OSError."""
    fault = unverified(line.chain(), place.host, context.roots)
    course.verified = fault is None
    if fault is not None:
        raise MeasurementError(fault.failure, fault.note)
    course.stage = QuicStage.REQUEST
    asked = context.begin()
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["quic.request"])):
            await line.request(_request(place), body_bytes=MAX_BODY)
    finally:
        answer = line.answer
        course.status = answer.status
        if answer.first_byte_at is not None:
            course.first_byte_ms = (answer.first_byte_at - asked.began) * 1000
            course.body_bytes = min(answer.body_bytes, MAX_BODY)
    if answer.status is None:
        raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "no status")


async def _by_tcp(address: str, place: Place, context: Context) -> dict[str, object]:
    """The same name at the same address by TLS over TCP, verified: how that ended."""
    began = context.begin()
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["quic.tcp"])):
            async with await Stream.connect(address, place.port, context) as stream:
                await stream.start_tls(context.roots.verifying(), place.host, TCP_ALPN)
    except (OSError, EOFError) as error:
        return {"tcp_failure": fault_of(error).failure}
    return {"tcp_ms": began.elapsed_ms()}


def _request(place: Place) -> list[tuple[str, str]]:
    return [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", place.authority),
        (":path", place.path),
        ("user-agent", USER_AGENT),
        ("accept", ACCEPT),
        ("accept-language", ACCEPT_LANGUAGE),
    ]
