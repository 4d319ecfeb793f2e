"""Somebody between the probe and the anchor's plain port, who may alter or replace requests and answers."""

import asyncio
import contextlib

import pytest

from tests.agent.fix_net import free_port


def unaltered(data):
    return data


class Between:
    """Starts as many as a test needs, each on a port of its own that is returned."""

    def __init__(self, anchor, loop):
        self._port = anchor.http
        self._loop = loop
        self._servers = []
        self._tasks = set()

    def __call__(self, request=unaltered, answer=unaltered):
        """Pass bytes on to the anchor and back through these two. None from ``request`` hangs up."""

        async def pass_on(head, writer):
            sent = request(head)
            if sent is not None:
                above, below = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    below.write(sent)
                    writer.write(answer(await above.read()))
                finally:
                    below.close()

        return self._listen(pass_on)

    def say(self, answer):
        """Answer everybody with these bytes."""

        async def say(_, writer):
            writer.write(answer)

        return self._listen(say)

    def repeat(self, opening, piece):
        """Say one thing, and then another for ever."""

        async def repeat(_, writer):
            writer.write(opening)
            while True:
                writer.write(piece)
                await writer.drain()

        return self._listen(repeat)

    def drip(self, answer):
        """Say it in single bytes, a few each second."""

        async def drip(_, writer):
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)

        return self._listen(drip)

    def close(self):
        async def end():
            for server in self._servers:
                server.close()
            tasks = [*self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._loop.run(end())

    def _listen(self, act):
        async def handle(reader, writer):
            # A task that only its own connection refers to may be collected before it has ended.
            task = asyncio.current_task()
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await act(await reader.readuntil(b"\r\n\r\n"), writer)
                    await writer.drain()
            finally:
                writer.close()

        self._servers.append(self._loop.run(asyncio.start_server(handle, ["127.0.0.1", "::1"], free_port())))
        return self._servers[-1].sockets[0].getsockname()[1]


@pytest.fixture
def between(anchor, server_loop):
    started = Between(anchor, server_loop)
    yield started
    started.close()
