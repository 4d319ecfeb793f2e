"""Whether a service can be used, and whom it takes to serve it: one small row a target.

Its name from the given resolver, with the name servers of its zone and the aliases it is hosted under; a connect, TLS
that has to verify, and the head and first words of an answer. That says which resolver, which hosting network and which
authority a country's services lean on, and whether one that does not serve its visitor said so itself.
"""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urljoin

import dns.name
import dns.rdatatype

from civobs_agent.faults import UNVERIFIED, Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes import KINDS
from civobs_agent.probes.chain import known_root, sent_chain
from civobs_agent.probes.dns_servers import name_shown
from civobs_agent.probes.http_answer import Answer, Exchange, led_to
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.place import RECORD_TYPES, Place, place_of, told
from civobs_agent.probes.question import Reply
from civobs_agent.probes.scrub import scrub
from civobs_agent.probes.stream import Stream
from civobs_agent.probes.vendor_refusals import Refusable, plain, refusal_of
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_ALIASES, MAX_ANSWERS, MAX_NAME, MAX_TEXT
from civobs_wire.measurement import AnyMeasurement, FamilyState, HttpStage, Reach
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("reach.zone", 6.0, "two questions of 3 s (dns.try): without its name servers a row is still a row"),
    Timeout("reach.connect", 10.0, "OONI web_connectivity"),
    Timeout("reach.tls", 10.0, "OONI web_connectivity"),
    Timeout("reach.answer", 15.0, "as http.headers: a slow server abroad over a slow line"),
)
MAX_BODY = 4_096
"""Bytes: the words of a refusal stand in the beginning, or it is a page for people."""
MOST_ZONES = 4
"""Names asked for their name servers, from the target's own upwards."""


@dataclass(slots=True)
class _Course:
    """How far it came, filled in as it goes."""

    stage: HttpStage = HttpStage.RESOLVE
    found: dict[IpFamily, tuple[str, ...]] = field(default_factory=dict)
    """Addresses by family, as they were given."""
    aliases: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()
    family: IpFamily | None = None
    address: str | None = None
    verified: bool | None = None
    issuer: str | None = None
    root: str | None = None
    answer: Answer = field(default_factory=Answer)


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row, of the family that a connection came about with first."""
    run = context.begin()
    place, course = place_of(target.url), _Course()
    kind = KINDS["reach"]
    if context.afford(kind.usual_bytes, kind.least_bytes) is None:
        fault: Fault | None = Fault(Failure.BUDGET_EXHAUSTED)
    else:
        fault = await _go(course, place, context)
    fields = _fields(course, target, context)
    return [context.row(Reach, run, target.id, fields, family=course.family or 0, fault=fault)]


async def _go(course: _Course, place: Place, context: Context) -> Fault | None:
    """The whole way; the course shows how far it came."""
    try:
        await _resolve(course, place, context)
        stream = await _connect(course, place, context)
        async with stream:
            if place.scheme == "https":
                await _secure(course, place, stream, context)
            await _ask(course, place, stream, context)
    except MeasurementError as error:
        return error.fault
    except (OSError, EOFError) as error:
        fault = fault_of(error)
        if fault.failure in UNVERIFIED:
            course.verified = False
        return fault
    course.stage = HttpStage.DONE
    return None


async def _resolve(course: _Course, place: Place, context: Context) -> None:
    """Addresses and aliases from the given resolver, then the name servers. Raises MeasurementError."""
    if place.literal is not None:
        if context.host.absent(place.literal):
            raise MeasurementError(Failure.FAMILY_ABSENT)
        course.found[place.literal] = (place.host,)
        return
    families = [family for family in FAMILIES if not context.host.absent(family)]
    said = await asyncio.gather(*(_said(place.host, family, context) for family in families))
    for family, reply in zip(families, said, strict=True):
        if isinstance(reply, Reply):
            course.found[family] = reply.answers
            course.aliases = course.aliases or reply.said.aliases[:MAX_ALIASES]
    if not any(course.found.values()):
        fault = next((reply for reply in said if isinstance(reply, Fault)), Fault(Failure.DNS_NO_ANSWER))
        raise MeasurementError(fault.failure, fault.note)
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["reach.zone"])):
            course.name_servers = await _name_servers(place.host, context)
    except (TimeoutError, MeasurementError):
        course.name_servers = ()


async def _said(host: str, family: IpFamily, context: Context) -> Reply | Fault:
    try:
        return await told(host, RECORD_TYPES[family], context)
    except MeasurementError as error:
        return error.fault


async def _name_servers(host: str, context: Context) -> tuple[str, ...]:
    """Those of the zone the name is in: the first name upwards that has any. Raises MeasurementError."""
    zone = dns.name.from_text(host)
    for _ in range(MOST_ZONES):
        if len(zone) <= 2:
            return ()  # a top-level domain: nobody's zone but the registry's
        reply = await told(zone.to_text(omit_final_dot=True), "NS", context)
        found = [one for one in reply.message.answer if one.rdtype == dns.rdatatype.NS and one.name == zone]
        if found:
            names = sorted(record.target.to_text(omit_final_dot=True).lower() for record in found[0])
            return tuple(name[:MAX_NAME] for name in names[:MAX_ANSWERS])
        zone = zone.parent()
    return ()


async def _connect(course: _Course, place: Place, context: Context) -> Stream:
    """To the first address of each family, IPv6 first where it works, as browsers have it (RFC 8305).

    Raises OSError, or MeasurementError where none may be spoken to.
    """
    course.stage = HttpStage.CONNECT
    order = FAMILIES[::-1] if context.validity.ipv6 is FamilyState.WORKING else FAMILIES
    refused: str | None = None
    failed: OSError | None = None
    for family in order:
        for address in course.found.get(family, ()):
            refusal = context.refusal.refuses(address)
            if refusal is not None:
                refused = refused or refusal
                continue
            course.family, course.address = family, address
            try:
                async with asyncio.timeout(context.timeout_s(TIMEOUTS["reach.connect"])):
                    return await Stream.connect(address, place.port, context)
            except OSError as error:
                failed = error
            break
    raise failed or MeasurementError(Failure.TARGET_REFUSED, refused)


async def _secure(course: _Course, place: Place, stream: Stream, context: Context) -> None:
    """TLS that verifies chain and name; who signed is told also of a certificate that does not. Raises OSError."""
    course.stage = HttpStage.TLS
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["reach.tls"])):
            tls = await stream.start_tls(context.roots.verifying(), place.host, ("http/1.1",))
    finally:
        course.issuer = sent_chain(stream.tls, place.host, context).signed_by
    course.verified = True
    root = known_root(tls, context)
    course.root = None if root is None else root[0]


async def _ask(course: _Course, place: Place, stream: Stream, context: Context) -> None:
    """The head of the answer, and of its body what a refusal needs. Raises OSError, EOFError, MeasurementError."""
    course.stage = HttpStage.REQUEST
    exchange = Exchange(place, stream, course.answer)
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["reach.answer"])):
        await exchange.ask()
        course.stage = HttpStage.HEADERS
        await exchange.read_head(context.of_home)
        course.stage = HttpStage.BODY
        if not course.answer.leads_on:
            await exchange.read_body(MAX_BODY, Instants(context.rng, context.time_scale))


def _refusal(course: _Course) -> str | None:
    answer = course.answer
    if not course.verified or answer.status is None:
        return None
    return refusal_of(
        Refusable(
            status=answer.status,
            location=answer.location or "",
            headers={header.name: header.value for header in answer.headers},
            text=plain(answer.text()),
        )
    )


def _location(course: _Course, url: str, context: Context) -> str | None:
    """Where a redirection leads, without what it may say of its visitor."""
    if course.answer.location is None:
        return None
    try:
        return led_to(urljoin(url, course.answer.location[:MAX_TEXT]), context)
    except ValueError:
        return scrub(course.answer.location[:MAX_TEXT], context.of_home)[:MAX_TEXT]


def _fields(course: _Course, target: Target, context: Context) -> dict[str, object]:
    answer = course.answer
    addresses = [address for family in FAMILIES for address in course.found.get(family, ())]
    servers = [header.value for header in answer.headers if header.name == "server"]
    return {
        "url": target.url,
        "category": target.category,
        "stage": course.stage,
        "addresses": tuple(map(context.refusal.shown, addresses[:MAX_ANSWERS])),
        "aliases": tuple(name_shown(alias, context) for alias in course.aliases),
        "name_servers": tuple(name_shown(server, context) for server in course.name_servers),
        "address": course.address,
        "status": answer.status,
        "verified": course.verified,
        "issuer": course.issuer,
        "root": course.root,
        "server": servers[0][:MAX_NAME] or None if servers else None,
        "location": _location(course, target.url, context),
        "refusal": _refusal(course),
        "first_byte_ms": answer.first_byte_ms,
    }
