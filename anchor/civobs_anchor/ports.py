"""Accepting connections within limits, and handing each to what serves it, behind TLS if it is so."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BACKLOG = 256
NOT_SENT = 32_768
"""Bytes of a connection that may wait in the kernel (TCP_NOTSENT_LOWAT), and as many before it in each of asyncio's two
layers. An answer waits behind them, which would be the anchor's doing and not the line's, of which responsiveness is
measured (draft-ietf-ippm-responsiveness, on end systems)."""
LEAVE_S = 5.0
"""For a client to take what was said last."""
ACCEPT_PAUSE_S = 0.2
"""After the system could give no more connections, as for want of file descriptors."""


def bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket on one address of one family. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


async def converse(
    connection: socket.socket,
    handler: StreamHandler,
    tls: ssl.SSLContext | None = None,
    handshake_s: float = 20.0,
) -> None:
    """Serve one accepted connection to its end, and close it. Raises OSError (SSLError is one), EOFError."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=tls, ssl_handshake_timeout=handshake_s if tls else None
    )
    _keep_short(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        await handler(reader, writer)
        writer.close()
        async with asyncio.timeout(LEAVE_S):
            await writer.wait_closed()
    finally:
        transport.abort()


def _keep_short(transport: asyncio.Transport) -> None:
    """Have a writer wait early. Under TLS there is a second transport below, which nothing public leads to."""
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    for each in (transport, below):
        if each is not None:
            each.set_write_buffer_limits(high=NOT_SENT)


class TcpPort:
    """One listening socket; each connection is a task."""

    def __init__(self, listening: socket.socket, serve: Callable[[socket.socket, str], Awaitable[None]]) -> None:
        self._listening = listening
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        listening.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept(), name="accept")

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        for task in (self._accepting, *self._tasks):
            task.cancel()
        await asyncio.wait({self._accepting, *self._tasks})
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, where = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            task = loop.create_task(self._one(connection, where[0]), name="serve a connection")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, connection: socket.socket, client: str) -> None:
        # A client may leave, dawdle or talk nonsense at any stage; that is its business.
        with contextlib.suppress(OSError, EOFError):
            await self._serve(connection, client)
