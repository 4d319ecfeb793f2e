"""HTTP/1.1 over a stream, plain or behind TLS, by h11."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import h11

from civobs_anchor.exchange import IDLE_S, TOO_LONG, Request, Response, Service, TooMuchError, named_host, plain, told

MAX_HEAD = 16_384
"""Bytes of a request's head; a probe's has a few hundred."""
_SERVER = [("server", "civobs")]
_NO_HTTP = "This is not HTTP as we know it."


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to speak something else from here on, and what has come after it already."""

    request: Request
    headers: tuple[tuple[str, str], ...]
    """As they came."""
    ahead: bytes


TakeOver = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Upgrade], Awaitable[None]]


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    service: Service,
    take_over: TakeOver | None = None,
    idle_s: float = IDLE_S,
) -> None:
    """Answer one request after the other until the client leaves. Raises OSError, EOFError.

    A request for a WebSocket goes to ``take_over``, which has the connection from then on.
    """
    one = _Connection(reader, writer, service, idle_s)
    try:
        while (request := await one.request()) is not None:
            if take_over is not None and request.method == "GET" and one.wants_websocket:
                await take_over(reader, writer, Upgrade(request, one.headers, one.http.trailing_data[0]))
                return
            await one.respond(one.refusal or await service.answer(request), with_body=request.method != "HEAD")
            if one.http.our_state is h11.MUST_CLOSE:
                return
            one.http.start_next_cycle()
    except h11.RemoteProtocolError as error:
        await one.give_up(told(error.error_status_hint, _NO_HTTP))
    except TooMuchError:
        await one.give_up(TOO_LONG)


class _Connection:
    """One client."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Service, idle_s: float
    ) -> None:
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.headers: tuple[tuple[str, str], ...] = ()
        self.refusal: Response | None = None
        self._reader = reader
        self._writer = writer
        self._service = service
        self._idle_s = idle_s
        self._client = plain(writer.get_extra_info("peername")[0])

    @property
    def wants_websocket(self) -> bool:
        """Whether the last request asks for one (RFC 6455 §4.1)."""
        return ("upgrade", "websocket") in ((name, value.lower()) for name, value in self.headers)

    async def request(self) -> Request | None:
        """The next request with its body, None when the client is done."""
        request = Request("", "", "", self._client)  # h11 gives a head before anything else
        while True:
            match self.http.next_event():
                case h11.NEED_DATA:
                    await self._more()
                case h11.PAUSED:
                    return request
                case h11.Request() as head:
                    request = self._begun(head)
                    if self.refusal is not None and self.http.they_are_waiting_for_100_continue:
                        return request
                case h11.Data() as piece:
                    request.receive(bytes(piece.data))
                case h11.EndOfMessage():
                    return request
                case h11.ConnectionClosed():
                    return None

    def _begun(self, head: h11.Request) -> Request:
        self.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        fields = dict(self.headers)
        request = Request(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii"),
            host=named_host(fields.get("host", "")),
            client=self._client,
            content_type=fields.get("content-type", ""),
        )
        self.refusal = self._service.admit(request)
        return request

    async def _more(self) -> None:
        if self.http.they_are_waiting_for_100_continue:
            self._writer.write(self.http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        async with asyncio.timeout(self._idle_s):
            self.http.receive_data(await self._reader.read(65_536))

    async def respond(self, response: Response, *, with_body: bool) -> None:
        head = h11.Response(status_code=response.status, headers=_SERVER + response.lines())
        self._writer.write(self.http.send(head) or b"")
        if with_body:
            async for piece in response.pieces():
                self._writer.write(self.http.send(h11.Data(data=piece)) or b"")
                await self._drain()
        self._writer.write(self.http.send(h11.EndOfMessage()) or b"")
        await self._drain()

    async def give_up(self, response: Response) -> None:
        """Say why, where that can still be said; the connection ends."""
        if self.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self.respond(response, with_body=True)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._idle_s):
            await self._writer.drain()
            # Over TLS, drain() of 3.11 neither waits nor raises once the client is gone (sslproto's is_closing).
            await asyncio.sleep(0)
