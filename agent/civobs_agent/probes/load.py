"""A connection that fills the line, and answers small questions meanwhile: HTTP/2 over TLS, by h2.

HTTP/1.1 has no second exchange on a busy connection, and QUIC in Python is too slow to fill a line on a Pi, so HTTP/2
it is, which the draft wants of every client.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Literal

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from civobs_agent.faults import MeasurementError, words_of
from civobs_agent.probes.stream import Stream
from civobs_agent.probes.tcp_info import look
from civobs_wire.anchor import BYTES_PATH, MAX_BYTES
from civobs_wire.failure import Failure

ALPN = "h2"
WINDOW = 4 * 1024 * 1024
"""Bytes that may come before they are acknowledged: the draft's, 1 Gbit/s at 32 ms. So much may also be under way when
the test ends."""
FRAME = 16_384
"""RFC 9113 §4.2: what every server takes."""
MAX_UNREAD = 65_536
"""Bytes that may come without making a whole frame; the longest allowed has 16 KiB (RFC 9113 §4.2)."""
NOT_SENT = 16_384
"""Bytes of an upload that may wait in the kernel: a probe waits behind them, which would be our doing and not the
line's (the draft, on TCP_NOTSENT_LOWAT)."""
_NOISE = os.urandom(FRAME)

Direction = Literal["download", "upload"]


class Load:
    """One load-generating connection."""

    def __init__(self, stream: Stream, name: str, direction: Direction, is_over: Callable[[], bool]) -> None:
        settings = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self._http = h2.connection.H2Connection(config=settings)
        self._http.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            },
        )
        self._stream = stream
        self._name = name
        self._direction = direction
        self._is_over = is_over
        self._wake = asyncio.Event()
        self._transfer: int | None = None
        """The stream of the large exchange."""
        self._rest = 0
        """Bytes that an upload has still to send."""
        self._probes: dict[int, tuple[float, asyncio.Future[float]]] = {}
        self._arrived = 0

    async def run(self) -> None:
        """Fill the line until ``is_over`` says so. Raises MeasurementError, OSError, EOFError."""
        self._stream.handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(WINDOW)
        self._begin_transfer()
        reading = asyncio.create_task(self._read(), name="load: read")
        writing = asyncio.create_task(self._write(), name="load: write")
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            # What was read comes first: it is why nothing can be written any more.
            (reading if reading.done() else writing).result()
        except h2.exceptions.ProtocolError as error:
            raise MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(error)) from None
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    @property
    def moved(self) -> int:
        """Bytes that have arrived: here, or there as the kernel knows from acknowledgements."""
        if self._direction == "upload" and self._stream.handle.fileno() >= 0:
            self._arrived = look(self._stream.handle).acked
        return self._arrived

    async def probe_ms(self) -> float:
        """Ask for one byte beside the load, and say how long it took. Raises MeasurementError."""
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        try:
            stream = self._ask("GET", f"{BYTES_PATH}?n=1", ends=True)
        except h2.exceptions.ProtocolError as error:
            raise MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(error)) from None
        self._probes[stream] = (time.perf_counter(), done)
        return await done

    def _ask(self, method: str, path: str, *, ends: bool) -> int:
        stream = self._http.get_next_available_stream_id()
        lines = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self._name),
            (":path", path),
            ("accept-encoding", "identity"),
        ]
        self._http.send_headers(stream, lines, end_stream=ends)
        self._wake.set()
        return stream

    def _begin_transfer(self) -> None:
        if self._direction == "download":
            self._transfer = self._ask("GET", f"{BYTES_PATH}?n={MAX_BYTES}", ends=True)
        else:
            self._transfer, self._rest = self._ask("POST", BYTES_PATH, ends=False), MAX_BYTES

    async def _write(self) -> None:
        """Send what there is to say; where that is all, a piece of the upload."""
        while not self._is_over():
            data = self._http.data_to_send()
            if data:
                await self._stream.send(data)
                await asyncio.sleep(0)
            elif not self._send_piece():
                self._wake.clear()
                await self._wake.wait()

    def _send_piece(self) -> bool:
        stream = self._transfer
        if stream is None or not self._rest:
            return False
        now = min(self._rest, FRAME, self._http.local_flow_control_window(stream))
        if now <= 0:
            return False
        self._rest -= now
        self._http.send_data(stream, _NOISE[:now], end_stream=not self._rest)
        return True

    async def _read(self) -> None:
        unread = 0
        while not self._is_over():
            data = await self._stream.receive()
            if not data:
                raise EOFError
            events = self._http.receive_data(data)
            # The library waits for the end of a frame before it finds it too long.
            unread = 0 if events else unread + len(data)
            if unread > MAX_UNREAD:
                raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "a frame without an end")
            for event in events:
                self._heard(event)
            self._wake.set()

    def _heard(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=headers):
                status = {str(name): str(value) for name, value in headers or ()}.get(":status", "none")
                if status != "200":
                    raise MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, f"status {status:.20}")
            case h2.events.DataReceived(stream_id=int(stream), flow_controlled_length=int(length)):
                self._http.acknowledge_received_data(length, stream)
                if stream == self._transfer and self._direction == "download":
                    self._arrived += length
            case h2.events.StreamEnded(stream_id=int(stream)):
                self._ended(stream)
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise MeasurementError(Failure.CONNECTION_RESET, "the server ended the load")

    def _ended(self, stream: int) -> None:
        if stream == self._transfer:
            self._begin_transfer()
        elif stream in self._probes:
            asked, done = self._probes.pop(stream)
            if not done.done():
                done.set_result((time.perf_counter() - asked) * 1000)
