"""One transfer of ndt7, in one direction, over one TLS connection (m-lab/ndt-server, spec/ndt7-protocol.md).

How fast the bytes go is seen where they arrive: of a download here, of an upload by what the other side's kernel has
acknowledged to ours. What the server says of its connection is asked for round trips and losses of a download only,
which nobody but the sender knows.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Literal

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from civobs_agent.faults import MeasurementError, words_of
from civobs_agent.net import Context
from civobs_agent.probes.instants import Instants
from civobs_agent.probes.locate import USER_AGENT
from civobs_agent.probes.place import Place
from civobs_agent.probes.stream import Stream
from civobs_agent.probes.tcp_info import look
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import NDT7_SUBPROTOCOL
from civobs_wire.failure import Failure
from civobs_wire.row import Received

TIMEOUTS = table(
    Timeout("ndt7.connect", 10.0, "as http.connect"),
    Timeout("ndt7.tls", 10.0, "as http.tls"),
    Timeout("ndt7.upgrade", 10.0, "one round trip on a line that is idle; as ndt7.tls"),
    Timeout("ndt7.upload", 10.0, "ndt7: the sender stops after ten seconds"),
    Timeout("ndt7.download", 15.0, "ndt7: the receiver may close after fifteen"),
)
FIRST_MESSAGE = 1 << 13
LAST_MESSAGE = 1 << 20
"""Bytes of a binary message: it doubles when sixteen of its size have gone (ndt7, on adapting the message size)."""
MAX_MESSAGE = 1 << 24
"""ndt7: no message is larger."""
MAX_TOLD = 65_536
"""Bytes of a message about the connection that is read; they have some 2 kB, and as JSON 16 MiB would take the memory
of the whole unit."""
FAREWELL_S = 1.0
"""For the closing frame, behind whatever else an upload has waiting. It is courtesy: the connection closes anyway."""
LOOK_S = 0.025
"""Between two looks at what an upload's socket has had acknowledged: the shortest gap between two samples."""
NOT_SENT = 131_072
"""Bytes of an upload that may wait in the kernel, so that what has left and what was written are nearly the same."""

Direction = Literal["download", "upload"]
Ended = Literal["done", "budget", "time"]
_NOISE = os.urandom(LAST_MESSAGE)


@dataclass(slots=True)
class Transfer:
    """How far it came, filled in as it goes."""

    direction: Direction
    stage: Literal["connect", "tls", "upgrade", "transfer"] = "connect"
    bytes: int | None = None
    seconds: float | None = None
    rtt_min_ms: float | None = None
    rtt_ms: float | None = None
    lost_bytes: int | None = None
    samples: tuple[Received, ...] = ()
    ended: Ended | None = None


async def transfer(to: Transfer, address: str, place: Place, most: int, context: Context) -> None:
    """Move up to ``most`` bytes. Raises MeasurementError, OSError, EOFError; ``to`` shows how far it came."""
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["ndt7.connect"])):
        stream = await Stream.connect(address, place.port, context)
    async with stream:
        to.stage = "tls"
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["ndt7.tls"])):
            await stream.start_tls(context.roots.verifying(), place.host, ("http/1.1",))
        to.stage = "upgrade"
        one = _Test(to, stream, most, context)
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["ndt7.upgrade"])):
            await one.upgrade(place)
        to.stage = "transfer"
        await one.run()


class _Test:
    """One connection, from the upgrade on."""

    def __init__(self, to: Transfer, stream: Stream, most: int, context: Context) -> None:
        self._to = to
        self._stream = stream
        self._most = most
        self._limit_s = context.timeout_s(TIMEOUTS[f"ndt7.{to.direction}"])
        self._instants = Instants(context.rng, max(1.0, context.time_scale))
        self._moved = 0
        self._began = 0.0

    async def upgrade(self, place: Place) -> None:
        path, _, query = place.path.partition("?")
        uri = WebSocketURI(secure=True, host=place.host, port=place.port, path=path, query=query)
        self._ws = ClientProtocol(uri, subprotocols=[Subprotocol(NDT7_SUBPROTOCOL)], max_size=MAX_MESSAGE)
        request = self._ws.connect()
        request.headers["User-Agent"] = USER_AGENT
        self._ws.send_request(request)
        await self._flush()
        while self._ws.state is State.CONNECTING:
            data = await self._stream.receive()
            if not data:
                raise EOFError
            self._ws.receive_data(data)
            if self._ws.handshake_exc is not None:
                raise self._refused()

    def _refused(self) -> MeasurementError:
        response = next((event for event in self._ws.events_received() if isinstance(event, Response)), None)
        if response is None:
            return MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(self._ws.handshake_exc))
        if response.status_code != 101:
            return MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, f"status {response.status_code}")
        return MeasurementError(Failure.UNEXPECTED_ANSWER, words_of(self._ws.handshake_exc))

    async def run(self) -> None:
        to = self._to
        to.rtt_min_ms = look(self._stream.handle).min_rtt_ms
        self._began = time.perf_counter()
        try:
            await (self._download() if to.direction == "download" else self._upload())
        finally:
            ms = self._elapsed_ms()
            to.bytes, to.seconds, to.samples = self._moved, ms / 1000, self._instants.end(ms)
        if not self._moved:
            raise TimeoutError
        if self._ws.state is State.OPEN:
            self._ws.send_close(CloseCode.NORMAL_CLOSURE)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(FAREWELL_S):
                await self._flush()

    async def _download(self) -> None:
        to = self._to
        try:
            async with asyncio.timeout(self._limit_s):
                while self._moved < self._most:
                    if await self._take():
                        to.ended = "done"
                        return
        except TimeoutError:
            to.ended = "time"
        else:
            to.ended = "budget"

    async def _upload(self) -> None:
        to, handle = self._to, self._stream.handle
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
        before = look(handle)
        tasks = [asyncio.create_task(self._watch(before.acked)), asyncio.create_task(self._listen())]
        try:
            async with asyncio.timeout(self._limit_s):
                await self._send_all()
            to.ended = "budget"
        except TimeoutError:
            to.ended = "done"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._see(before.acked)
            now = look(handle)
            to.rtt_min_ms, to.rtt_ms = now.min_rtt_ms, now.rtt_ms
            to.lost_bytes = now.resent_bytes - before.resent_bytes

    async def _send_all(self) -> None:
        size, sent = FIRST_MESSAGE, 0
        while sent < self._most:
            if self._ws.state is not State.OPEN:
                raise MeasurementError(Failure.EOF_ERROR, "the server ended the upload")
            self._ws.send_binary(_NOISE[:size])
            await self._flush()
            await asyncio.sleep(0)  # A socket that takes everything at once would leave no turn to those who look.
            sent += size
            if size < LAST_MESSAGE and sent >= 16 * size:
                size *= 2
            size = max(1, min(size, self._most - sent))

    async def _watch(self, base: int) -> None:
        """See, as it happens, how much has arrived there."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._see(base)

    def _see(self, base: int) -> None:
        arrived = look(self._stream.handle).acked - base
        self._instants.count(self._elapsed_ms(), arrived - self._moved)
        self._moved = arrived

    async def _listen(self) -> None:
        """Take what the server says, and notice that it leaves."""
        with contextlib.suppress(OSError, EOFError, MeasurementError):
            while not await self._take(count=False):
                pass

    async def _take(self, *, count: bool = True) -> bool:
        """Read some and say whether that was the end. Raises EOFError at an end without a farewell."""
        data = await self._stream.receive()
        if not data:
            self._ws.receive_eof()
            raise EOFError
        if count:
            self._instants.count(self._elapsed_ms(), len(data))
            self._moved += len(data)
        self._ws.receive_data(data)
        if self._ws.parser_exc is not None:
            raise MeasurementError(Failure.UNEXPECTED_ANSWER, words_of(self._ws.parser_exc))
        ended = False
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                ended = ended or event.opcode is Opcode.CLOSE
                told = event.opcode is Opcode.TEXT and self._to.direction == "download"
                if told and len(event.data) <= MAX_TOLD:
                    self._read(bytes(event.data))
        return ended

    def _read(self, told: bytes) -> None:
        """What the sender's kernel knows; anybody's text until it has been checked. Times are in microseconds."""
        try:
            info = json.loads(told)["TCPInfo"]
            rtt_min_ms, rtt_ms, lost = _count(info["MinRTT"]) / 1000, _count(info["RTT"]) / 1000, info["BytesRetrans"]
            self._to.lost_bytes = _count(lost)
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self._to.rtt_min_ms, self._to.rtt_ms = rtt_min_ms, rtt_ms

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    async def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                await self._stream.send(data)


def _count(value: object) -> int:
    """A number as a kernel counts. Raises ValueError."""
    if isinstance(value, int) and 0 <= value < 2**53:
        return value
    raise ValueError(value)
