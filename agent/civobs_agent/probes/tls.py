"""TLS handshakes at a target's addresses: with its name, and beside it with a name nobody objects to and with none.

If the target's name alone is what fails, at one and the same address, it is the name somebody objects to; if all three
fail it is the address, or the server (measurement.md §1.3). Each row says how far one handshake came and what ended it,
and which certificates came, also where they did not verify. Nothing is sent over any of them.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass, field

from civobs_agent.faults import UNVERIFIED, Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.addresses import Given
from civobs_agent.probes.chain import Chain, known_root, sent_chain
from civobs_agent.probes.choice import chosen
from civobs_agent.probes.place import Place, place_of, unresolved
from civobs_agent.probes.stream import OPENING, Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Named, Tls, TlsStage
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("tls.connect", 10.0, "OONI web_connectivity"),
    Timeout("tls.handshake", 10.0, "OONI web_connectivity"),
)
ALPN = ("h2", "http/1.1")
"""What browsers offer, so that the ClientHello is not unusual for it (OONI web_connectivity)."""
MOST_ADDRESSES = 4
"""Of a family: what the given resolver and two independent ones say first, and one more."""
HANDSHAKE_BYTES = 8_000
"""Up and down, with headers: chains of large sites are 2.5 to 6 kB, ClientHello and headers 1.5 kB."""
UNREAD_BYTES = 600
"""What a server of TLS 1.3 sends after the client's last word (RFC 8446 §4.6.1) and nobody waits for: with OpenSSL two
tickets of 250 bytes; and the resets that answer them."""
NAMES: tuple[Named, ...] = ("target", "neutral", "none")
"""By their worth: as the budget runs short the last is left out first."""
NO_NAME = "-"
_ALERT = re.compile(r"(?:SSLV3_ALERT|TLSV13_ALERT|TLSV1(?:_ALERT)?)_([A-Z0-9_]+)")
"""How OpenSSL calls the other side's alerts (<openssl/sslerr.h>)."""
_ALERT_RECORD = b"\x15"
_RECORD_TYPES = {_ALERT_RECORD: "alert", b"\x16": "hello"}
"""RFC 8446 §5.1."""
_SERVER_HELLO = b"\x02"
"""RFC 8446 §4."""


@dataclass(frozen=True, slots=True)
class _Try:
    """One handshake to make."""

    address: str
    resolvers: tuple[str, ...]
    named: Named
    sni: str | None
    """What the ClientHello names; None for nothing."""


@dataclass(slots=True)
class _Course:
    """How far it came, filled in as it goes."""

    stage: TlsStage = TlsStage.CONNECT
    connect_ms: float | None = None
    handshake_ms: float | None = None
    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    received: int | None = None
    answer: str | None = None
    alert: str | None = None
    chain: Chain = field(default_factory=Chain)
    root: tuple[str, str] | None = None
    note: str | None = None


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each handshake, or for a family that has no address."""
    place = place_of(target.url)
    most = len(NAMES) + MOST_ADDRESSES - 1
    n_bytes = context.afford(len(FAMILIES) * most * HANDSHAKE_BYTES, len(FAMILIES) * HANDSHAKE_BYTES)
    n_each = 0 if n_bytes is None else n_bytes // (len(FAMILIES) * HANDSHAKE_BYTES)
    families = await asyncio.gather(*(_family(target, place, family, n_each, context) for family in FAMILIES))
    return [row for rows in families for row in rows]


async def _family(target: Target, place: Place, family: IpFamily, n_handshakes: int, context: Context) -> list[Tls]:
    """One after the other: a censor may keep for some minutes a pair of addresses in mind that it has just cut."""
    run = context.begin()
    fault = context.absent(family) or (None if n_handshakes else Fault(Failure.BUDGET_EXHAUSTED))
    if fault is None:
        try:
            given = await chosen(place, family, MOST_ADDRESSES, context)
            return [await _row(target, place, one, context) for one in _tries(place, given, n_handshakes, context)]
        except MeasurementError as error:
            fault = unresolved(error.fault)
    fields: dict[str, object] = {"port": place.port, "sni": place.host, "stage": TlsStage.CONNECT}
    return [context.row(Tls, run, target.id, fields, family=family, fault=fault)]


def _tries(place: Place, given: tuple[Given, ...], n_handshakes: int, context: Context) -> list[_Try]:
    """All names at the first address, in an order drawn anew each time, then the target's name at the others."""
    own = place.host if place.literal is None else None
    names: dict[Named, str | None] = {"target": own, "neutral": context.neutral_name, "none": None}
    # An address is never sent as a name (RFC 6066 §3), so a target that is one has no handshake of its own without.
    useful = [named for named in NAMES if named == "target" or names[named] != own][:n_handshakes]
    context.rng.shuffle(useful)
    at_first = [_Try(*given[0], named, names[named]) for named in useful]
    return [*at_first, *(_Try(*one, "target", own) for one in given[1 : 1 + n_handshakes - len(useful)])]


async def _row(target: Target, place: Place, one: _Try, context: Context) -> Tls:
    run = context.begin()
    course = _Course()
    refusal = context.refusal.refuses(one.address)
    fault = Fault(Failure.TARGET_REFUSED, refusal) if refusal else await _judge(course, one, place, context)
    certificates = course.chain.certificates
    fields: dict[str, object] = {
        "address": context.refusal.shown(one.address),
        "port": place.port,
        "sni": one.sni or NO_NAME,
        "named": one.named,
        "resolvers": one.resolvers,
        "stage": course.stage,
        "connect_ms": course.connect_ms,
        "handshake_ms": course.handshake_ms,
        "version": course.version,
        "cipher": course.cipher,
        "alpn": course.alpn,
        "cert_sha256": certificates[0].sha256 if certificates else None,
        "received": course.received,
        "answer": course.answer,
        "alert": course.alert,
        "chain": certificates,
        "n_names": course.chain.n_names,
        "covers": course.chain.covers,
        "root": course.root[0] if course.root else None,
        "root_sha256": course.root[1] if course.root else None,
    }
    if course.note is not None:
        fields["note"] = course.note
    return context.row(Tls, run, target.id, fields, family=6 if ":" in one.address else 4, fault=fault)


async def _judge(course: _Course, one: _Try, place: Place, context: Context) -> Fault | None:
    """The fault of one handshake. Only the target's name has to verify: to the others any certificate is an answer."""
    try:
        await _shake(course, one, place, context)
    except (OSError, EOFError) as error:
        fault = fault_of(error)
        if fault.failure not in UNVERIFIED:
            return fault
    else:
        fault = Fault(Failure.SSL_INVALID_HOSTNAME, "no name in the certificate is the target's")
        if course.chain.covers or one.named != "target":
            course.stage = TlsStage.DONE
            return None
    course.stage = TlsStage.VERIFY
    if one.named == "target":
        return fault
    course.note = fault.note
    return None


async def _shake(course: _Course, one: _Try, place: Place, context: Context) -> None:
    """Connect and shake hands. Raises OSError, EOFError.

    OpenSSL verifies the chain; whom it is for is compared afterwards, so that a good certificate for another name is
    told with the root it ends at, and not like one that anybody could have made.
    """
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["tls.connect"])):
        stream = await Stream.connect(one.address, place.port, context, hear_icmp=True)
    async with stream:
        course.connect_ms, course.stage = stream.connect_ms, TlsStage.HANDSHAKE
        server_name = one.sni or (place.host if one.named == "target" else None)
        try:
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["tls.handshake"])):
                tls = await stream.start_tls(context.roots.verifying(), server_name, ALPN, check_name=False)
            context.spend(UNREAD_BYTES if tls.version() == "TLSv1.3" else 0)
            course.root = known_root(tls, context)
        except ssl.SSLError as error:
            course.alert = alert_of(error, stream.opening)
            raise
        finally:
            _note(course, stream, place, context)


def _note(course: _Course, stream: Stream, place: Place, context: Context) -> None:
    """What is known of a handshake, wherever it ended."""
    course.handshake_ms = stream.handshake_ms
    if stream.sent:
        course.received, course.answer = stream.received, answer_of(stream.opening)
    course.chain = sent_chain(stream.tls, place.host, context)
    if stream.tls is not None:
        cipher = stream.tls.cipher()
        course.cipher = None if cipher is None else cipher[0]
        course.version, course.alpn = stream.tls.version(), stream.tls.selected_alpn_protocol()


def answer_of(opening: bytes) -> str | None:
    """What the first bytes that came begin; None if none came."""
    if not opening:
        return None
    kind = _RECORD_TYPES.get(opening[:1], "other")
    return "other" if kind == "hello" and opening[5:6] not in {b"", _SERVER_HELLO} else kind


def alert_of(error: ssl.SSLError, opening: bytes) -> str | None:
    """The other side's alert behind an error, by the name RFC 8446 §6 has for it; None where it was none.

    One that OpenSSL has no word for can still be read where it came first, in the clear.
    """
    found = _ALERT.fullmatch(error.reason or "")
    if found is not None:
        return found[1].lower()
    if opening[:1] != _ALERT_RECORD or len(opening) < OPENING:
        return None
    try:
        return ssl.AlertDescription(opening[-1]).name.removeprefix("ALERT_DESCRIPTION_").lower()
    except ValueError:
        return f"alert_{opening[-1]}"
