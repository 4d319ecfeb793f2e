"""Questions and answers over one UDP socket, whatever they are about."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

Client = tuple[str, int]
"""Address, as a dual-stack socket gives it, and port; IPv6 adds two numbers."""
Respond = Callable[[bytes, Client], Awaitable[bytes | None]]
"""The answer to a datagram, None for none."""
MAX_AT_ONCE = 1_000
"""Answers under way; a datagram beyond is dropped, as a full socket would."""


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram in a task of its own, so that one that takes its time holds up no other."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own transport is not registered as what it is.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Client) -> None:
        if len(self._tasks) >= MAX_AT_ONCE:
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, addr), name="answer to a datagram")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, data: bytes, client: Client) -> None:
        """Send from here, unless the port has been shut meanwhile."""
        if not self._transport.is_closing():
            self._transport.sendto(data, client)

    async def _answer(self, data: bytes, client: Client) -> None:
        answer = await self._respond(data, client)
        if answer is not None:
            self.send(answer, client)
