"""One HTTP exchange with a target, redirects followed, each of them resolved and checked anew.

Any answer that arrives whole is ``ok``, whatever its status: whether a status or a page is a block page is for the
collector to judge, which has the control. TLS is verified.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from urllib.parse import urljoin

import h11

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily, clean
from civobs_agent.probes.place import DEFAULT_PORTS, Place, place_of, resolve
from civobs_agent.probes.stream import Stream
from civobs_agent.refusal import Refusal
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_REDIRECTS
from civobs_wire.measurement import AnyMeasurement, Http, HttpStage
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("http.connect", 10.0, "OONI web_connectivity"),
    Timeout("http.tls", 10.0, "OONI web_connectivity"),
    Timeout("http.headers", 15.0, "a slow server abroad over a slow line; OONI allows 25 s for headers and body"),
    Timeout("http.total", 30.0, "all redirects and the body; half of a ladder's minute"),
)
MAX_BODY = 2**19
"""Bytes of the body read and hashed (OONI web_connectivity)."""
MAX_HEADERS = 65_536
"""Bytes of a response's head; h11's own default is 16 KiB, and some large sites send more."""
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
"""A browser's, as OONI does: a probe asks for what a person would be shown, and does not stand out on the line."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 §15.4."""


@dataclass(slots=True)
class Course:
    """How far the exchange came, filled in as it goes. The times are those of its last hop."""

    url: str
    stage: HttpStage = HttpStage.RESOLVE
    address: str | None = None
    status: int | None = None
    location: str | None = None
    resolve_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    body_bytes: int | None = None
    body_sha256: str | None = None
    cut: bool = False
    redirects: list[str] = field(default_factory=list)

    def turn_to(self, url: str, refusal: Refusal) -> None:
        """Begin the next hop. An address that is refused is not written down, nor what it is asked for."""
        place = place_of(url)
        shown = place.host if place.literal is None else refusal.shown(place.host)
        self.redirects.append(clean(url) if shown == place.host else shown)
        self.url, self.stage = url, HttpStage.RESOLVE
        self.address = self.status = self.location = None
        self.resolve_ms = self.connect_ms = self.tls_ms = self.first_byte_ms = None
        self.body_bytes = self.body_sha256 = None


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family, one after the other: two downloads at a time would slow each other."""
    rows: list[AnyMeasurement] = []
    for family in FAMILIES:
        run = context.begin()
        course = Course(target.url)
        fault = context.absent(family) or await follow(course, family, context)
        rows.append(context.row(Http, run, target.id, _fields(course, target), family=family, fault=fault))
    return rows


async def follow(course: Course, family: IpFamily, context: Context) -> Fault | None:
    """Go the whole way from the URL to the last answer; the course shows how far it came."""
    seen = {course.url}
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.total"])):
            while True:
                await _hop(course, place_of(course.url), family, context)
                if course.status not in REDIRECTS or course.location is None:
                    course.stage = HttpStage.DONE
                    return None
                following = _next(course, seen)
                seen.add(following)
                course.turn_to(following, context.refusal)
    except MeasurementError as error:
        return error.fault
    except h11.RemoteProtocolError as error:
        return _not_http(error, course)
    except (OSError, EOFError) as error:
        return fault_of(error)


def _next(course: Course, seen: set[str]) -> str:
    """Where the redirect leads. Raises MeasurementError if that is nowhere, round, or too far."""
    try:
        following = urljoin(course.url, course.location or "")
        place_of(following)
    except ValueError:
        raise MeasurementError(Failure.HTTP_INVALID_REDIRECT_LOCATION) from None
    if following in seen:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_REDIRECT_URL, "the redirect leads round")
    if len(course.redirects) >= MAX_REDIRECTS:
        raise MeasurementError(Failure.HTTP_UNEXPECTED_REDIRECT_URL, f"more than {MAX_REDIRECTS} redirects")
    return following


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
            course.tls_ms = stream.handshake_ms
        await _exchange(course, place, stream, context)


async def _exchange(course: Course, place: Place, stream: Stream, context: Context) -> None:
    """Send the request, read the head within its time, then the body as far as it counts."""
    course.stage = HttpStage.REQUEST
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADERS)
    asking = context.begin()
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["http.headers"])):
        await stream.send(_request(connection, place))
        course.stage = HttpStage.HEADERS
        response = await _event(connection, stream)
        course.first_byte_ms = asking.elapsed_ms()
        while isinstance(response, h11.InformationalResponse):
            response = await _event(connection, stream)
    if not isinstance(response, h11.Response):
        raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "no response")
    course.status, course.stage = response.status_code, HttpStage.BODY
    locations = [value for name, value in response.headers if name == b"location"]
    course.location = locations[0].decode("latin-1") if locations else None
    await _body(course, connection, stream)


async def _body(course: Course, connection: h11.Connection, stream: Stream) -> None:
    """Hash the first half mebibyte; what comes after it is left."""
    digest = hashlib.sha256()
    course.body_bytes = 0
    while isinstance(event := await _event(connection, stream), h11.Data):
        data = bytes(event.data)[: MAX_BODY - course.body_bytes]
        digest.update(data)
        course.body_bytes += len(data)
        course.body_sha256 = digest.hexdigest()
        if course.body_bytes >= MAX_BODY:
            course.cut = True
            return
    course.body_sha256 = digest.hexdigest()


async def _event(connection: h11.Connection, stream: Stream) -> object:
    """The next event of the answer. Raises EOFError at an end before its head, h11.RemoteProtocolError, OSError."""
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        data = await stream.receive()
        if not data and connection.their_state is h11.SEND_RESPONSE:
            raise EOFError
        connection.receive_data(data)


def _request(connection: h11.Connection, place: Place) -> bytes:
    host = f"[{place.host}]" if ":" in place.host else place.host
    if place.port != DEFAULT_PORTS[place.scheme]:
        host = f"{host}:{place.port}"
    headers = [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Connection", "close"),
    ]
    head = connection.send(h11.Request(method="GET", target=place.path, headers=headers))
    end = connection.send(h11.EndOfMessage())
    return (head or b"") + (end or b"")


def _not_http(error: h11.RemoteProtocolError, course: Course) -> Fault:
    """A body shorter than announced is an early end; anything else is not HTTP."""
    if course.stage is HttpStage.BODY and "closed" in str(error):
        return Fault(Failure.EOF_ERROR)
    return Fault(Failure.HTTP_REQUEST_FAILED, str(error))


def _fields(course: Course, target: Target) -> dict[str, object]:
    fields: dict[str, object] = {
        "url": target.url,
        "address": course.address,
        "stage": course.stage,
        "status": course.status,
        "resolve_ms": course.resolve_ms,
        "connect_ms": course.connect_ms,
        "tls_ms": course.tls_ms,
        "first_byte_ms": course.first_byte_ms,
        "body_bytes": course.body_bytes,
        "body_sha256": course.body_sha256,
        "redirects": tuple(course.redirects),
    }
    if course.cut:
        fields["note"] = f"body read up to {MAX_BODY} bytes"
    return fields
