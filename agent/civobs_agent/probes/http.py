"""One HTTP exchange with a target, redirects followed, each of them resolved and checked anew.

Any answer that arrives whole is ``ok``, whatever its status: whether a status or a page is a block page is for the
collector to judge, which has the control. TLS is verified, and over TLS that does not verify nothing is asked.
"""

import asyncio
import math
from dataclasses import dataclass, field
from urllib.parse import urljoin

from civobs_agent.faults import UNVERIFIED, Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes import KINDS
from civobs_agent.probes.http_answer import Answer, Exchange, led_to
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.place import Place, place_of, resolve
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_REDIRECTS, MAX_TEXT
from civobs_wire.measurement import AnyMeasurement, Http, HttpStage
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("http.connect", 10.0, "OONI web_connectivity"),
    Timeout("http.tls", 10.0, "OONI web_connectivity"),
    Timeout("http.headers", 15.0, "a slow server abroad over a slow line; OONI gives headers and body 10 s (dd-007)"),
    Timeout("http.total", 30.0, "all redirects and the body; half of a ladder's minute"),
)
MAX_BODY = 2**19
"""Bytes of the body read and hashed (OONI web_connectivity)."""
AROUND_BODY = 16_000
"""Bytes of the line beside a body: name, connects, two handshakes of 5 to 6 kB each, heads."""
PAYLOAD_SHARE = 0.9
"""Of the bytes on the line so many are payload: 1448 of 1500 in full packets, and acknowledgements."""
WANTED_BYTES = math.ceil(MAX_BODY / PAYLOAD_SHARE) + AROUND_BODY


@dataclass(slots=True)
class Course:
    """How far the exchange came, filled in as it goes. The times are those of its last hop."""

    url: str
    most: int = MAX_BODY
    """Bytes of the body that are read."""
    stage: HttpStage = HttpStage.RESOLVE
    address: str | None = None
    resolve_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    verified: bool | None = None
    answer: Answer = field(default_factory=Answer)
    redirects: list[str] = field(default_factory=list)
    astray: bool = False
    """A redirect has led to another site."""

    @property
    def first_byte_ms(self) -> float | None:
        return self.answer.first_byte_ms

    def turn_to(self, url: str, context: Context) -> None:
        """Begin the next hop. What a row may not have of it is not written down."""
        self.redirects.append(led_to(url, context))
        self.astray = self.astray or not _same_site(place_of(self.url).host, place_of(url).host)
        self.url, self.stage, self.answer = url, HttpStage.RESOLVE, Answer()
        self.address = self.resolve_ms = self.connect_ms = self.tls_ms = self.verified = None


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family, one after the other: two downloads at a time would slow each other."""
    rows: list[AnyMeasurement] = []
    for family in FAMILIES:
        run = context.begin()
        bytes_left = context.afford(WANTED_BYTES, KINDS["http"].least_bytes)
        course = Course(target.url)
        fault = context.absent(family) or (Fault(Failure.BUDGET_EXHAUSTED) if bytes_left is None else None)
        if fault is None and bytes_left is not None:
            course.most = min(MAX_BODY, round((bytes_left - AROUND_BODY) * PAYLOAD_SHARE))
            fault = await follow(course, family, context)
        fields = _fields(course, target, fault, context)
        rows.append(context.row(Http, run, target.id, fields, family=family, fault=fault))
    return rows


async def follow(course: Course, family: IpFamily, context: Context) -> Fault | None:
    """Go the whole way from the URL to the last answer; the course shows how far it came."""
    seen = {course.url}
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.total"])):
            while True:
                await _hop(course, place_of(course.url), family, context)
                if not course.answer.leads_on:
                    course.stage = HttpStage.DONE
                    return None
                following = _next(course, seen)
                seen.add(following)
                course.turn_to(following, context)
    except MeasurementError as error:
        return error.fault
    except (OSError, EOFError) as error:
        fault = fault_of(error)
        if fault.failure in UNVERIFIED:
            course.verified = False
        return fault


def _next(course: Course, seen: set[str]) -> str:
    """Where the redirect leads. Raises MeasurementError if that is nowhere, round, or too far."""
    try:
        # Cut, because taking a name of sixty thousand letters apart costs seconds; a URL so long leads nowhere known.
        following = urljoin(course.url, (course.answer.location or "")[:MAX_TEXT])
        place_of(following)
    except ValueError:
        raise MeasurementError(Failure.HTTP_INVALID_REDIRECT_LOCATION) from None
    if following in seen:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_REDIRECT_URL, "the redirect leads round")
    if len(course.redirects) >= MAX_REDIRECTS:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_REDIRECT_URL, f"more than {MAX_REDIRECTS} redirects")
    return following


def _same_site(host: str, other: str) -> bool:
    """One is the other or a part of it, a leading ``www`` apart. Without a list of suffixes no more can be known."""
    host, other = host.lower().removeprefix("www."), other.lower().removeprefix("www.")
    return host == other or host.endswith("." + other) or other.endswith("." + host)


async def _hop(course: Course, place: Place, family: IpFamily, context: Context) -> None:
    """One request and its answer. Raises what each stage raises."""
    resolving = context.begin()
    course.address = await resolve(place, family, context)
    course.resolve_ms = resolving.elapsed_ms()
    course.stage = HttpStage.CONNECT
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.connect"])):
        stream = await Stream.connect(course.address, place.port, context)
    async with stream:
        course.connect_ms = stream.connect_ms
        if place.scheme == "https":
            course.stage = HttpStage.TLS
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.tls"])):
                await stream.start_tls(context.roots.verifying(), place.host, ("http/1.1",))
            course.tls_ms, course.verified = stream.handshake_ms, True
        await _exchange(course, place, stream, context)


async def _exchange(course: Course, place: Place, stream: Stream, context: Context) -> None:
    """Send the request, read the head within its time, then the body as far as it counts; a redirect's does not."""
    course.stage = HttpStage.REQUEST
    exchange = Exchange(place, stream, course.answer)
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.headers"])):
        await exchange.ask()
        course.stage = HttpStage.HEADERS
        await exchange.read_head(context.of_home)
    course.stage = HttpStage.BODY
    if not course.answer.leads_on:
        await exchange.read_body(course.most, Instants(context.rng, context.time_scale))


def _fields(course: Course, target: Target, fault: Fault | None, context: Context) -> dict[str, object]:
    answer, home = course.answer, context.of_home
    usual = fault is None and course.verified and not course.astray and answer.status in range(200, 300)
    return {
        "url": target.url,
        "address": course.address,
        "stage": course.stage,
        "status": answer.status,
        "resolve_ms": course.resolve_ms,
        "connect_ms": course.connect_ms,
        "tls_ms": course.tls_ms,
        "first_byte_ms": answer.first_byte_ms,
        "headers_ms": answer.headers_ms,
        "body_ms": answer.body_ms,
        "body_bytes": answer.body_bytes,
        "body_sha256": answer.body_sha256,
        "body_cut": answer.cut or None,
        "redirects": tuple(course.redirects),
        "verified": course.verified,
        "headers": answer.headers,
        "title": answer.title(home),
        "length": answer.length,
        "sample": None if usual else answer.sample(home),
        "samples": answer.samples,
    }
