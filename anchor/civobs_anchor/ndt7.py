"""ndt7's two tests, so that any of its clients works here (m-lab/ndt-server, spec/ndt7-protocol.md).

Unlike M-Lab's servers this one writes down nothing: not the address, not the result.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from civobs_anchor.http1 import Upgrade
from civobs_anchor.tcp_info import look
from civobs_wire.anchor import NDT7_DOWNLOAD_PATH, NDT7_SUBPROTOCOL, NDT7_UPLOAD_PATH

TEST_S = 10.0
"""The sender stops after ten seconds (ndt7)."""
GRACE_S = 5.0
"""ndt7: a receiver may close after fifteen."""
MEASURE_S = 0.25
"""ndt7: not more often than every 250 ms."""
FIRST_MESSAGE = 1 << 13
LAST_MESSAGE = 1 << 20
"""Bytes of a binary message: it doubles when sixteen of its size have gone (ndt7, appendix on adaptive sizes)."""
MAX_MESSAGE = 1 << 24
"""ndt7: no message is larger."""
MAX_QUERY = 4_096
"""Bytes: ndt7 allows no longer query string."""
PATHS = {NDT7_DOWNLOAD_PATH: "download", NDT7_UPLOAD_PATH: "upload"}
_NOISE = os.urandom(LAST_MESSAGE)


@dataclass(slots=True)
class Ndt7:
    """One test of one client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    spend: Callable[[int], None]
    """Told of each piece that moves. Raises OSError where it was one too many."""
    room: int
    """Payload that may move."""
    byte_s: float | None = None
    """As fast as it goes, or about so fast."""
    moved: int = 0
    _ws: ServerProtocol = field(init=False)
    _began: float = 0.0
    _told: float = 0.0
    _ahead: bytes = b""
    """What came with the request for it."""

    async def serve(self, upgrade: Upgrade) -> None:
        """Agree on ndt7, run the test, close. Raises OSError, EOFError."""
        path, _, query = upgrade.request.target.partition("?")
        self._ws = ServerProtocol(subprotocols=[Subprotocol(NDT7_SUBPROTOCOL)], max_size=MAX_MESSAGE)
        asked = Handshake(upgrade.request.target, Headers(upgrade.headers))
        self._ws.receive_data(asked.serialize())
        self._ahead = upgrade.ahead
        self._ws.events_received()
        answer = self._ws.accept(asked)
        if path not in PATHS or len(query) > MAX_QUERY or self._ws.subprotocol is None:
            answer = self._ws.reject(400, "This is no ndt7.\n")
        self._ws.send_response(answer)
        await self._flush()
        if answer.status_code != 101:
            return
        self._began = self._told = time.monotonic()
        try:
            async with asyncio.timeout(TEST_S + GRACE_S):
                await (self._download() if PATHS[path] == "download" else self._upload())
        except InvalidState:
            pass  # The client has closed while we were about to say something.

    async def _download(self) -> None:
        size = FIRST_MESSAGE
        listening = asyncio.create_task(self._listen(Opcode.BINARY), name="ndt7 client")
        try:
            while self._elapsed() < TEST_S and self.moved + size <= self.room and not listening.done():
                self._ws.send_binary(_NOISE[:size])
                await self._flush()
                await self._count(size)
                if size < LAST_MESSAGE and self.moved >= 16 * size:
                    size *= 2
                await self._report("download")
            self._ws.send_close(CloseCode.NORMAL_CLOSURE)
            await self._flush()
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _upload(self) -> None:
        while self._elapsed() < TEST_S and self.moved <= self.room:
            for opcode, size in await self._receive():
                if opcode is Opcode.BINARY or opcode is Opcode.CONT:
                    await self._count(size)
            if self._ws.state is not State.OPEN:
                return
            await self._report("upload")
        self._ws.send_close(CloseCode.NORMAL_CLOSURE)
        await self._flush()
        await self._listen()

    async def _listen(self, forbidden: Opcode | None = None) -> None:
        """Take what the client says until it leaves, or breaks the rules: nothing of it is needed. Raises EOFError."""
        while True:
            received = await self._receive()
            if any(opcode is forbidden for opcode, _ in received):
                raise EOFError
            if not received or any(opcode is Opcode.CLOSE for opcode, _ in received):
                return

    async def _receive(self) -> list[tuple[Opcode, int]]:
        """Kinds and sizes of the frames that came; none when the other side has ended."""
        data, self._ahead = self._ahead or await self.reader.read(262_144), b""
        if not data:
            self._ws.receive_eof()
            return []
        self._ws.receive_data(data)
        if self._ws.parser_exc is not None:
            await self._flush()
            raise EOFError  # What comes after it means nothing.
        frames = [(event.opcode, len(event.data)) for event in self._ws.events_received() if isinstance(event, Frame)]
        await self._flush()
        return frames or [(Opcode.PONG, 0)]

    async def _report(self, test: str) -> None:
        """Tell the client what is seen from here, now and then."""
        if time.monotonic() - self._told < MEASURE_S:
            return
        self._told = time.monotonic()
        elapsed_us = int(self._elapsed() * 1e6)
        told: dict[str, object] = {
            "AppInfo": {"ElapsedTime": elapsed_us, "NumBytes": self.moved},
            "Origin": "server",
            "Test": test,
        }
        connection = self.writer.get_extra_info("socket")
        if connection is not None:
            told["TCPInfo"] = {"ElapsedTime": elapsed_us, **look(connection)}
        self._ws.send_text(json.dumps(told).encode())
        await self._flush()

    async def _count(self, n_bytes: int) -> None:
        self.moved += n_bytes
        self.spend(n_bytes)
        if self.byte_s is not None:
            await asyncio.sleep(n_bytes / self.byte_s)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self.writer.write(data)
            elif self.writer.can_write_eof():
                self.writer.write_eof()
        await self.writer.drain()
        # Over TLS, drain() of 3.11 neither waits nor raises once the client is gone (sslproto's is_closing).
        await asyncio.sleep(0)
