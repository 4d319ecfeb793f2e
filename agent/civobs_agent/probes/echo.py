"""What is altered between the device and a server of the observatory, in either direction.

The server sends back what it received, byte for byte, with fields of its own in a fixed spelling. What is not there
cannot have been altered: a path that is dead, or an answer that is no echo, is a failure and nothing else.
"""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import h11

from civobs_agent.faults import Fault, MeasurementError, fault_of, words_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes import KINDS
from civobs_agent.probes.echo_differences import (
    PROXY_FIELDS,
    added,
    field_differences,
    request_differences,
    taken_apart,
)
from civobs_agent.probes.echo_requests import FEW, REQUESTS, Field, Request, browser, written
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import ADDRESS_PATH, ECHO_HEADERS, ECHO_PATH
from civobs_wire.failure import Failure, Outcome
from civobs_wire.limits import MAX_ALTERATIONS
from civobs_wire.measurement import Alteration, AnyMeasurement, Echo, EchoTry
from civobs_wire.plan import Server, Target

TIMEOUTS = table(
    Timeout("echo.connect", 10.0, "as http.connect"),
    Timeout("echo.answer", 8.0, "OONI hirl waits 5 s; the server itself waits one for the rest of an odd request"),
    Timeout("echo.all", 60.0, "all tries; what is left of them then waits for another run"),
)
ATTEMPTS = 2
"""A lost connection is no finding."""
MAX_ANSWER = 8_192
"""Bytes read of an echo, head and all: the longest request, and room for what a proxy adds."""
MAX_EVENTS = 64
"""Pieces of an answer; an echo comes in a few."""
SAME_NETWORK = {4: 24, 6: 48}
"""Carriers give one home several addresses (RFC 6888 REQ-2 asks them not to); another network is another machine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server, or somebody in its place, said."""

    status: int
    fields: list[Field]
    body: bytes


@dataclass(slots=True)
class Findings:
    """Of all tries of one family."""

    tries: list[EchoTry] = field(default_factory=list)
    altered: list[Alteration] = field(default_factory=list)
    proxy: bool | None = None

    def note(self, alterations: Iterable[Alteration]) -> None:
        """Each difference once, under the first try that showed it."""
        seen = {(one.where.split()[0], one.what.lower()) for one in self.altered}
        self.altered += [one for one in alterations if (one.where.split()[0], one.what.lower()) not in seen]


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family that the first server of the plan with such an address has."""
    rows: list[AnyMeasurement] = []
    for family in FAMILIES:
        named = [(server, server.address_of(family)) for server in context.servers]
        asked = next(((server, address) for server, address in named if address is not None), None)
        if asked is not None:
            rows.append(await _echo(target, family, *asked, context))
    if not rows:
        return [context.row(Echo, context.begin(), target.id, {}, fault=Fault(Failure.NOTHING_TO_ASK))]
    return rows


async def _echo(target: Target, family: IpFamily, server: Server, address: str, context: Context) -> Echo:
    run = context.begin()
    kind, findings = KINDS["echo"], Findings()
    allowance = context.afford(kind.usual_bytes, kind.least_bytes)
    refused = context.refusal.refuses(address)
    fault = context.absent(family)
    if fault is None and refused is not None:
        fault = Fault(Failure.TARGET_REFUSED, refused)
    elif fault is None and allowance is None:
        fault = Fault(Failure.BUDGET_EXHAUSTED)
    if fault is None:
        # IPv6 has few proxies: two requests show one that rewrites.
        enough = family == 4 and allowance == kind.usual_bytes
        requests = REQUESTS if enough else REQUESTS[:FEW]
        fault = await _tries(server, address, requests, findings, context)
    if fault is None and not findings.proxy:
        findings.proxy = await _seen_elsewhere(server, address, family, context)
    fields: dict[str, object] = {
        "server": server.id,
        "tries": tuple(findings.tries),
        "altered": tuple(findings.altered[:MAX_ALTERATIONS]),
        "proxy": findings.proxy,
    }
    return context.row(Echo, run, target.id, fields, family=family, fault=fault)


async def _tries(
    server: Server, address: str, requests: Iterable[Request], findings: Findings, context: Context
) -> Fault | None:
    """All requests, one after the other, as long as the plain one, which is the first, gets through."""
    fields = browser(_host(server))
    until = time.perf_counter() + context.timeout_s(TIMEOUTS["echo.all"])
    for request in requests:
        if time.perf_counter() > until:
            return None
        sent = request.write(fields, context.rng)
        began = time.perf_counter()
        answer = await _asked(sent, server, address, context)
        if isinstance(answer, Fault):
            fault = answer
            findings.tries.append(EchoTry(id=request.id, outcome=fault.outcome, failure=fault.failure))
            if len(findings.tries) == 1:
                return fault
            continue
        ms = (time.perf_counter() - began) * 1000
        there = request_differences(f"request {request.id}", sent, answer.body, context.of_home)
        back = field_differences(f"response {request.id}", _expected(answer), answer.fields, context.of_home)
        findings.note((*there, *back))
        came = added(taken_apart(sent)[1], taken_apart(answer.body)[1]) | added(_expected(answer), answer.fields)
        if came & PROXY_FIELDS:
            findings.proxy = True
        findings.tries.append(
            EchoTry(id=request.id, outcome=Outcome.OK, request_altered=bool(there), response_altered=bool(back), ms=ms)
        )
    return None


async def _asked(sent: bytes, server: Server, address: str, context: Context) -> Answer | Fault:
    """The echo of a request, or why there was none after a second attempt."""
    fault = Fault(Failure.GENERIC_TIMEOUT_ERROR)
    for _ in range(ATTEMPTS):
        try:
            answer = await _exchange(sent, server, address, context)
        except (MeasurementError, OSError, EOFError) as error:
            fault = fault_of(error)
            continue
        if answer.status == 200 and ECHO_PATH in taken_apart(answer.body)[0]:
            return answer
        # Somebody else answered, or the server is out of order: nothing has come back that could be compared.
        fault = Fault(Failure.UNEXPECTED_ANSWER if answer.status == 200 else Failure.HTTP_UNEXPECTED_STATUS_CODE)
    return fault


async def _seen_elsewhere(server: Server, address: str, family: IpFamily, context: Context) -> bool | None:
    """Whether the server sees HTTP come from another network than STUN does; None if either is not known."""
    mapped = context.known.mapped.get(family)
    if mapped is None:
        return None
    with contextlib.suppress(MeasurementError, OSError, EOFError, ValueError):
        answer = await _exchange(written(browser(_host(server)), path=ADDRESS_PATH), server, address, context)
        seen = ipaddress.ip_address(answer.body[:64].decode("ascii").strip())
        network = ipaddress.ip_network((mapped, SAME_NETWORK[family]), strict=False)
        return None if answer.status != 200 else seen not in network
    return None


async def _exchange(sent: bytes, server: Server, address: str, context: Context) -> Answer:
    """Send these bytes and read what comes. Raises MeasurementError, OSError, EOFError."""
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["echo.connect"])):
        stream = await Stream.connect(address, server.http_port, context)
    async with stream, asyncio.timeout(context.timeout_s(TIMEOUTS["echo.answer"])):
        await stream.send(sent)
        try:
            return await _read(stream)
        except h11.RemoteProtocolError as error:
            if "closed" in str(error):
                raise EOFError from None
            raise MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(error)) from None


async def _read(stream: Stream) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER)
    # So that it expects an answer: the request itself went out in a spelling it would not write.
    connection.send(h11.Request(method="GET", target=ECHO_PATH, headers=[("Host", "-")]))
    connection.send(h11.EndOfMessage())
    response: h11.Response | None = None
    body, n_bytes = b"", 0
    for _ in range(MAX_EVENTS):
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = await stream.receive()
                n_bytes += len(data)
                if not data and response is None:
                    raise EOFError
                if n_bytes > 2 * MAX_ANSWER:
                    break
                connection.receive_data(data)
            case h11.Response():
                response = event
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage() if response is not None:
                fields = [(name.decode("ascii"), _text(value)) for name, value in response.headers.raw_items()]
                return Answer(response.status_code, fields, body)
            case h11.ConnectionClosed():
                raise EOFError
    raise MeasurementError(Failure.UNEXPECTED_ANSWER, f"more than {MAX_ANSWER} bytes, or in too many pieces")


def _expected(answer: Answer) -> list[Field]:
    """The fields of an echo, as the server sends them."""
    return [
        ("Content-Type", "message/http"),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *ECHO_HEADERS,
    ]


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _host(server: Server) -> str:
    return server.name if server.http_port == 80 else f"{server.name}:{server.http_port}"
