"""Whether somebody else answers for the Internet: a page whose content is known, asked for over plain HTTP.

The observatory's servers are asked by address, so that a portal that lies in DNS is told apart from one that catches
connections. Whoever answers anything but the page is not the server; who answers nothing at all is no portal.
"""

import asyncio
import hashlib
from urllib.parse import urljoin

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes import KINDS
from civobs_agent.probes.http_answer import Answer, Exchange
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.place import Place, place_of
from civobs_agent.probes.scrub import scrub
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import KNOWN_BODY, KNOWN_PATH
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_NAME, MAX_TEXT
from civobs_wire.measurement import AnyMeasurement, Portal
from civobs_wire.plan import Server, Target

TIMEOUTS = table(
    Timeout("portal.connect", 10.0, "as http.connect"),
    Timeout("portal.answer", 10.0, "a page of 1 kB; NetworkManager, which asks the same, allows 20 s for all of it"),
)
SERVERS = 2
"""Asked in turn until one answers: a server of ours that is down is no portal."""
MAX_BODY = 8_192
"""Bytes read: the known page is smaller, and a portal's is known by its title and by its beginning."""
KNOWN_SHA256 = hashlib.sha256(KNOWN_BODY).hexdigest()


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family that a server of the plan has an address of."""
    rows: list[Portal] = []
    for family in FAMILIES:
        asked = [(server, address) for server in context.servers if (address := server.address_of(family)) is not None]
        if asked:
            rows.append(await _portal(target, family, asked[:SERVERS], context))
    if not rows:
        rows = [context.row(Portal, context.begin(), target.id, {}, fault=Fault(Failure.NOTHING_TO_ASK))]
    _tell(rows, context)
    return [*rows]


async def _portal(target: Target, family: IpFamily, asked: list[tuple[Server, str]], context: Context) -> Portal:
    run = context.begin()
    fault = context.absent(family)
    if fault is None and context.afford(KINDS["portal"].usual_bytes, KINDS["portal"].least_bytes) is None:
        fault = Fault(Failure.BUDGET_EXHAUSTED)
    fields = _way_out(family, context)
    if fault is None:
        for server, address in asked:
            place, answer = _place(server), Answer()
            fault = await _ask(place, address, answer, context)
            fields |= {"url": _url(place), "address": context.refusal.shown(address)}
            fields |= _fields(place, answer, fault, context)
            if answer.status is not None:
                break
    return context.row(Portal, run, target.id, fields, family=family, fault=fault)


async def _ask(place: Place, address: str, answer: Answer, context: Context) -> Fault | None:
    """Ask one server; what comes is in ``answer``."""
    refused = context.refusal.refuses(address)
    if refused is not None:
        return Fault(Failure.TARGET_REFUSED, refused)
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["portal.connect"])):
            stream = await Stream.connect(address, place.port, context)
        async with stream, asyncio.timeout(context.timeout_s(TIMEOUTS["portal.answer"])):
            exchange = Exchange(place, stream, answer)
            await exchange.ask()
            await exchange.read_head(context.of_home)
            await exchange.read_body(MAX_BODY, Instants(context.rng, context.time_scale))
    except (MeasurementError, OSError, EOFError) as error:
        return fault_of(error)
    return None


def _fields(place: Place, answer: Answer, fault: Fault | None, context: Context) -> dict[str, object]:
    as_expected = answer.status == 200 and answer.body_sha256 == KNOWN_SHA256
    told: bool | None = as_expected
    if fault is not None:
        # Broken off in the middle the page says nothing; an answer that is no HTTP is none of our server's.
        told = False if fault.failure is Failure.HTTP_REQUEST_FAILED and answer.opening else None
    return {
        "status": answer.status,
        "as_expected": told,
        "redirected_to": _redirected_to(place, answer, context),
        "title": None if as_expected else answer.title(context.of_home),
        "body_sha256": None if as_expected or not answer.body_bytes else answer.body_sha256,
    }


def _redirected_to(place: Place, answer: Answer, context: Context) -> str | None:
    if not answer.leads_on:
        return None
    try:
        there = place_of(urljoin(_url(place), (answer.location or "")[:MAX_TEXT]))
    except ValueError:
        return "invalid"
    shown = scrub(there.host, context.of_home) if there.literal is None else context.refusal.shown(there.host)
    return shown[:MAX_NAME]


def _tell(rows: list[Portal], context: Context) -> None:
    """Keep what was found, for the validity of later rows. A server's own failure (5xx) is no portal."""
    seen = [row.as_expected for row in rows if row.status is not None and (row.as_expected or row.status < 500)]
    if False in seen or True in seen:
        context.known.tell("portal", False in seen, context.clock.moment().mono_ms)


def _way_out(family: IpFamily, context: Context) -> dict[str, object]:
    """Whether packets of this family leave through a tunnel."""
    host = context.host
    kind = host.tunnel_kind if family == 4 else host.tunnel_kind6
    return {"tunnel": None if host.tunnel is None else kind is not None, "tunnel_kind": kind}


def _place(server: Server) -> Place:
    return Place("http", server.name, server.http_port, KNOWN_PATH)


def _url(place: Place) -> str:
    return f"{place.scheme}://{place.authority}{place.path}"
