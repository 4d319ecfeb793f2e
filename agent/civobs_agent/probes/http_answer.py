"""One request and its answer over a stream, read no further than bounds allow, whatever the other side sends.

A server may flood, drip, lie about lengths or pack a terabyte into a kilobyte. Here it costs a bounded number of bytes,
of pieces and of seconds: the head is bounded as a whole, interim answers with it; the body by its bytes and by its
pieces, because a chunk of one byte costs as much work as one of many; and nothing is unpacked but the little that title
and sample are read from.
"""

import codecs
import hashlib
import re
import time
import zlib
from dataclasses import dataclass, field

import h11

from civobs_agent.faults import MeasurementError, words_of
from civobs_agent.net import Context
from civobs_agent.probes.http_headers import kept
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.place import Place, place_of
from civobs_agent.probes.scrub import scrub, scrub_url
from civobs_agent.probes.stream import Stream
from civobs_wire.failure import Failure
from civobs_wire.measurement import Header, Received
from civobs_wire.scalars import INT8_MAX

MAX_HEAD = 65_536
"""Bytes of a response's head; h11's own default is 16 KiB, and some large sites send more."""
MAX_INTERIM = 16
"""Interim responses (1xx) before the one that counts. Servers send one or two."""
MAX_PIECES = 16_384
"""Pieces of a body: MAX_BODY in chunks of 32 bytes. Servers send a thousand bytes and more in one."""
OPENING = 4_096
"""Bytes from the beginning that are kept for title and sample, packed or not."""
MAX_TITLE = 200
"""Characters kept of a title."""
MAX_SAMPLE = 1_024
"""Characters kept of a page that is not the usual one."""
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
"""A browser's, as OONI does: a probe asks for what a person would be shown, and does not stand out on the line."""
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT_LANGUAGE = "en-US,en;q=0.5"
"""The same browser's."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 §15.4."""

_TITLE = re.compile(r"<title[^>]*>([^<]*)<", re.IGNORECASE)


@dataclass(slots=True)
class Answer:
    """What came, filled in as it comes, so that one that breaks off is told up to there. Times since the request."""

    status: int | None = None
    location: str | None = None
    headers: tuple[Header, ...] = ()
    length: int | None = None
    packed: bool = False
    first_byte_ms: float | None = None
    headers_ms: float | None = None
    body_ms: float | None = None
    body_bytes: int | None = None
    body_sha256: str | None = None
    cut: bool = False
    samples: tuple[Received, ...] = ()
    opening: bytearray = field(default_factory=bytearray)
    """The body's beginning; of an answer that is not HTTP, the answer's."""

    @property
    def leads_on(self) -> bool:
        """It is a redirect that says where to."""
        return self.status in REDIRECTS and self.location is not None

    def text(self) -> str:
        """The beginning as text, not scrubbed yet. Of one that was cut the last word goes, half an address maybe."""
        opening = _unpacked(self.opening) if self.packed else bytes(self.opening)
        whole = max(len(opening), len(self.opening)) < OPENING
        try:
            text, _ = codecs.utf_8_decode(opening, "strict", whole)
        except UnicodeDecodeError:
            text = opening.decode("latin-1")
        return text if whole else text[: max(text.rfind(" "), text.rfind("\n"), text.rfind(">")) + 1]

    def title(self, home: tuple[str, ...]) -> str | None:
        """What stands between the title's tags, scrubbed; None if there is none."""
        found = _TITLE.search(self.text())
        return None if found is None else " ".join(scrub(found[1], home).split())[:MAX_TITLE] or None

    def sample(self, home: tuple[str, ...]) -> str | None:
        """The beginning, scrubbed; None if nothing came."""
        return scrub(self.text(), home)[:MAX_SAMPLE] or None


class Exchange:
    """Asks over one stream. Methods raise EOFError, OSError, MeasurementError; the caller sets the time limits."""

    def __init__(self, place: Place, stream: Stream, answer: Answer) -> None:
        self._place = place
        self._stream = stream
        self._answer = answer
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._began = time.perf_counter()
        self._raw, self._most_raw, self._plain = 0, 2 * MAX_HEAD, 0
        self._instants: Instants | None = None
        self._body_ms = 0.0
        stream.on_arrival = self._arrived

    async def ask(self) -> None:
        """Send the request."""
        head = self._connection.send(h11.Request(method="GET", target=self._place.path, headers=self._headers()))
        end = self._connection.send(h11.EndOfMessage())
        self._began = time.perf_counter()
        await self._stream.send((head or b"") + (end or b""))

    async def read_head(self, home: tuple[str, ...]) -> None:
        """Up to the end of the head of the answer that counts."""
        answer = self._answer
        response = await self._event()
        n_interim = 0
        while isinstance(response, h11.InformationalResponse):
            n_interim += 1
            if n_interim > MAX_INTERIM:
                raise MeasurementError(Failure.HTTP_REQUEST_FAILED, f"more than {MAX_INTERIM} interim responses")
            response = await self._event()
        if not isinstance(response, h11.Response):
            raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "no response")
        answer.headers_ms = self._ms()
        answer.opening.clear()
        answer.status, answer.headers = response.status_code, kept(response.headers, home)
        said = {name: value.decode("latin-1") for name, value in reversed(list(response.headers))}
        answer.location, answer.packed = said.get(b"location"), said.get(b"content-encoding", "") in {"gzip", "deflate"}
        length = int(said.get(b"content-length", "-1"))
        answer.length = length if 0 <= length <= INT8_MAX else None

    async def read_body(self, most: int, instants: Instants) -> None:
        """Hash up to ``most`` bytes of it; what comes after is left."""
        answer, digest, n_bytes, n_pieces = self._answer, hashlib.sha256(), 0, 0
        # Framing may double a body, no more: a chunk's header can be as long as a head.
        cut_at = self._raw + 2 * (most + MAX_HEAD)
        self._body_ms, self._instants, self._most_raw = self._ms(), instants, 2 * cut_at
        # What has come already and is none of the head: it may still wait in a record that is not whole.
        instants.count(0.0, self._raw - self._plain + len(self._connection.trailing_data[0]))
        try:
            while isinstance(event := await self._event(), h11.Data):
                data = bytes(event.data)[: most - n_bytes]
                digest.update(data)
                answer.opening += data[: OPENING - len(answer.opening)]
                n_bytes, n_pieces = n_bytes + len(data), n_pieces + 1
                if n_bytes >= most or n_pieces >= MAX_PIECES or self._raw > cut_at:
                    answer.cut = True
                    return
        finally:
            answer.body_bytes, answer.body_sha256 = n_bytes, digest.hexdigest()
            answer.body_ms = self._ms()
            answer.samples = instants.end(answer.body_ms - self._body_ms)

    def _arrived(self, n_bytes: int) -> None:
        """Bytes on the line, records of TLS and all: on a slow one a record is whole only seconds later."""
        self._raw += n_bytes
        if self._raw > self._most_raw:
            raise MeasurementError(Failure.HTTP_REQUEST_FAILED, f"more than {self._most_raw} bytes for nothing")
        if self._instants is not None:
            self._instants.count(self._ms() - self._body_ms, n_bytes)

    async def _event(self) -> object:
        """The next event of the answer."""
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                raise self._not_http(error) from None
            if event is not h11.NEED_DATA:
                return event
            data = await self._stream.receive()
            self._plain += len(data)
            self._seen(data)
            self._connection.receive_data(data)

    def _seen(self, data: bytes) -> None:
        """Note the first byte and keep the beginning. Raises EOFError, MeasurementError at an end before the head's."""
        answer = self._answer
        if answer.status is not None:
            return
        if not data:
            if answer.opening and not answer.opening.startswith(b"HTTP/"):
                raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "no status line")
            raise EOFError
        if answer.first_byte_ms is None:
            answer.first_byte_ms = self._ms()
        answer.opening += data[: OPENING - len(answer.opening)]

    def _not_http(self, error: h11.RemoteProtocolError) -> Exception:
        """A body shorter than announced is an early end; anything else is not HTTP."""
        if self._answer.status is not None and "closed" in str(error):
            return EOFError()
        # What it was that could not be read is the sample's part.
        return MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(error))

    def _ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def _headers(self) -> list[tuple[str, str]]:
        return [
            ("Host", self._place.authority),
            ("User-Agent", USER_AGENT),
            ("Accept", ACCEPT),
            ("Accept-Language", ACCEPT_LANGUAGE),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]


def led_to(url: str, context: Context) -> str:
    """Where a redirect leads, as rows may have it: an address that is refused by its range's id alone.

    Raises ValueError for what is no URL.
    """
    place = place_of(url)
    shown = place.host if place.literal is None else context.refusal.shown(place.host)
    return scrub_url(url, shown, context.of_home) if shown == place.host else shown


def _unpacked(packed: bytes | bytearray) -> bytes:
    """As much of what the beginning unpacks to as is kept; what it would grow to beyond is never made."""
    try:
        return zlib.decompressobj(wbits=47).decompress(packed, OPENING)
    except zlib.error:
        return b""
