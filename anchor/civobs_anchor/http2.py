"""HTTP/2 over TLS, by h2: several exchanges share one connection, which latency under load is measured by.

draft-ietf-ippm-responsiveness asks a server for it: a small answer has to make its way between the pieces of a large
one. Each stream therefore sends a piece at a time, and none is written before the socket has taken the one before.
"""

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from civobs_anchor.exchange import IDLE_S, TOO_LONG, Request, Response, Service, TooMuchError, asked, plain

PROTOCOL = "h2"
MAX_STREAMS = 32
"""At once on one connection; a browser's default is 100."""
MAX_REQUESTS = 4_000
"""On one connection: 40 s of the most probes that responsiveness sends (MPS 100/s)."""
MAX_HEAD = 16_384
FRAME = 16_384
"""RFC 9113 §4.2: what every client takes."""
MAX_UNREAD = 131_072
"""Bytes that may come without making a whole frame: of the longest, with those behind it that were read at once."""
WINDOW = 1_048_576
"""Bytes a client may send ahead on a stream: 80 Mbit/s at 100 ms."""


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Service, idle_s: float = IDLE_S
) -> None:
    """Answer requests until the client leaves. Raises OSError, EOFError."""
    one = _Connection(reader, writer, service, idle_s)
    try:
        await one.talk()
    except h2.exceptions.ProtocolError:
        one.flush()  # The library has put into it why the connection ends.
    finally:
        one.close()


class _Connection:
    """One client."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Service, idle_s: float
    ) -> None:
        settings = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self._http = h2.connection.H2Connection(config=settings)
        # Set before the greeting, or a client could open more streams meanwhile.
        self._http.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            },
        )
        self._reader = reader
        self._writer = writer
        self._service = service
        self._idle_s = idle_s
        self._client = plain(writer.get_extra_info("peername")[0])
        self._requests: dict[int, Request] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        """Set whenever a window may have opened."""
        self._sending = asyncio.Lock()
        self._count = 0

    async def talk(self) -> None:
        self._http.initiate_connection()
        self._http.increment_flow_control_window(WINDOW)
        self.flush()
        unread = 0
        while self._count < MAX_REQUESTS:
            data = await self._more()
            if not data:
                return
            events = self._http.receive_data(data)
            # The library waits for the end of a frame before it finds it too long: 16 MiB of memory for each client.
            unread = 0 if events else unread + len(data)
            if unread > MAX_UNREAD:
                return
            for event in events:
                self._heard(event)
            self.flush()
        self._http.close_connection()
        self.flush()

    def flush(self) -> None:
        """Hand what the library has to say to the socket."""
        self._writer.write(self._http.data_to_send())

    def close(self) -> None:
        for task in self._answering.values():
            task.cancel()

    async def _more(self) -> bytes:
        """What comes next. A client that takes an answer need not speak."""
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    return await self._reader.read(65_536)
            except TimeoutError:
                if not self._answering:
                    raise

    def _heard(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream)):
                self._count += 1
                self._begin(stream, event)
            case h2.events.DataReceived(stream_id=int(stream)):
                self._take(stream, event)
            case h2.events.StreamEnded(stream_id=int(stream)):
                request = self._requests.pop(stream, None)
                if request is not None:
                    self._start(stream, request, None)
            case h2.events.StreamReset(stream_id=int(stream)):
                self._requests.pop(stream, None)
                task = self._answering.get(stream)
                if task is not None:
                    task.cancel()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()
            case h2.events.ConnectionTerminated():
                self._reader.feed_eof()

    def _begin(self, stream: int, event: h2.events.RequestReceived) -> None:
        request = asked({str(name): str(value) for name, value in event.headers or ()}, self._client)
        refused = self._service.admit(request)
        if refused is None:
            self._requests[stream] = request
        else:
            self._start(stream, request, refused)

    def _take(self, stream: int, event: h2.events.DataReceived) -> None:
        self._http.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        request = self._requests.get(stream)
        if request is None:
            return
        try:
            request.receive(event.data or b"")
        except TooMuchError:
            del self._requests[stream]
            self._start(stream, request, TOO_LONG)

    def _start(self, stream: int, request: Request, ready: Response | None) -> None:
        task = asyncio.create_task(self._respond(stream, request, ready), name="http2 answer")
        self._answering[stream] = task
        task.add_done_callback(lambda _: self._answering.pop(stream, None))

    async def _respond(self, stream: int, request: Request, ready: Response | None) -> None:
        try:
            response = ready or await self._service.answer(request)
            lines = [(":status", str(response.status)), ("server", "civobs"), *response.lines()]
            self._http.send_headers(stream, lines)
            if request.method != "HEAD":
                async for piece in response.pieces():
                    for begin in range(0, len(piece), FRAME):
                        await self._send(stream, piece[begin : begin + FRAME])
            self._http.end_stream(stream)
            self.flush()
            await self._drain()
        except (h2.exceptions.ProtocolError, OSError):
            # The stream was reset, or the client does not take it: the other streams see for themselves.
            self._reader.feed_eof()

    async def _send(self, stream: int, data: bytes) -> None:
        """One frame or several, as the client's windows allow."""
        while data:
            now = min(len(data), self._http.local_flow_control_window(stream))
            if not now:
                self._room.clear()
                async with asyncio.timeout(self._idle_s):
                    await self._room.wait()
                continue
            self._http.send_data(stream, data[:now])
            self.flush()
            await self._drain()
            data = data[now:]

    async def _drain(self) -> None:
        # Before Python 3.12 only one may wait.
        async with self._sending, asyncio.timeout(self._idle_s):
            await self._writer.drain()
            # Over TLS, drain() of 3.11 neither waits nor raises once the client is gone (sslproto's is_closing).
            await asyncio.sleep(0)
