"""Ports that open in a host's own namespace, can be shut and made deaf, and serve from this process's one loop.

A socket stays in the namespace it was made in, so forty hosts need no forty processes.
"""

import asyncio
import ctypes
import os
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aioquic.asyncio.server import QuicServer

from civobs_anchor.ports import StreamHandler, converse
from civobs_lab.namespace import enter
from civobs_lab.servers.misbehaviour import Conduct, Does

HANDSHAKE_S = 20.0
"""Longer than any probe waits for one."""
FIRST_BYTES_S = 20.0
EVERYWHERE = "::"
"""Both families, all addresses of the host."""
_BACKLOG = 64
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
"""asm-generic/socket.h; the socket module has no name for them."""
_KEEP_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0), 8)
"""struct sock_filter: BPF_RET, 0 bytes. On a listening socket it swallows SYNs too."""


class Port(ABC):
    """One port of one host."""

    def __init__(self, namespace: str, conduct: Conduct, number: int, address: str = EVERYWHERE) -> None:
        self._namespace = namespace
        self._conduct = conduct
        self._number = number
        self._address = address

    @abstractmethod
    async def open(self) -> None:
        """Listen. Raises OSError."""

    @abstractmethod
    async def shut(self) -> None:
        """Stop listening; the kernel then says that nobody is there."""

    @abstractmethod
    def mind_silence(self) -> None:
        """Become deaf or hear again, as the host's conduct now says."""

    def _make(self, kind: socket.SocketKind) -> socket.socket:
        def bound() -> socket.socket:
            made = socket.socket(socket.AF_INET6 if ":" in self._address else socket.AF_INET, kind)
            try:
                if made.family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self._address != EVERYWHERE)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
                made.bind((self._address, self._number))
            except BaseException:
                made.close()
                raise
            made.setblocking(False)
            return made

        return made_inside(self._namespace, bound)

    def _filter(self, one: socket.socket) -> None:
        if self._conduct.now(Does.SILENT):
            program = struct.pack("HxxxxxxP", 1, ctypes.addressof(_KEEP_NOTHING))
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        else:
            one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


class TcpPort(Port):
    """Accepts connections and hands each to ``handler``, behind TLS if there is a context."""

    def __init__(
        self,
        namespace: str,
        conduct: Conduct,
        number: int,
        handler: StreamHandler,
        tls: ssl.SSLContext | None = None,
        *,
        speaks_first: bool = False,
    ) -> None:
        super().__init__(namespace, conduct, number)
        self._handler = handler
        self._tls = tls
        self._speaks_first = speaks_first
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._serving: dict[asyncio.Task[None], socket.socket] = {}

    async def open(self) -> None:
        self._listening = self._make(socket.SOCK_STREAM)
        if self._conduct.now(Does.SILENT):
            self._filter(self._listening)
        self._listening.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept(self._listening), name=f"accept {self._number}")

    async def shut(self) -> None:
        if self._accepting is None or self._listening is None:
            return
        self._accepting.cancel()
        # The loop has to forget the socket before its number goes to another one.
        await asyncio.wait([self._accepting])
        self._listening.close()
        self._accepting = self._listening = None

    def mind_silence(self) -> None:
        for one in (self._listening, *self._serving.values()):
            # A connection that is just closing has no number any more.
            if one is not None and one.fileno() >= 0:
                self._filter(one)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            task = loop.create_task(self._serve(connection), name=f"serve {self._number}")
            self._serving[task] = connection
            task.add_done_callback(self._serving.pop)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            if self._conduct.now(Does.RESET) or self._conduct.now(Does.CLOSE):
                await self._turn_away(connection)
                return
            await converse(connection, self._handler, self._tls, HANDSHAKE_S)
        except (OSError, EOFError):
            pass  # A probe may leave or dawdle at any stage; that is its business. SSLError is an OSError.

    async def _turn_away(self, connection: socket.socket) -> None:
        with connection:
            if not self._speaks_first:
                async with asyncio.timeout(FIRST_BYTES_S):
                    # Read, or closing would reset: the kernel does that to unread bytes.
                    await asyncio.get_running_loop().sock_recv(connection, 65_536)
            if self._conduct.now(Does.RESET):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class UdpPort(Port):
    """Hands datagrams to a protocol, a new one each time the port opens."""

    def __init__(
        self,
        namespace: str,
        conduct: Conduct,
        number: int,
        protocol: Callable[[], asyncio.DatagramProtocol],
        address: str = EVERYWHERE,
    ) -> None:
        super().__init__(namespace, conduct, number, address)
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._at_work: asyncio.DatagramProtocol | None = None

    async def open(self) -> None:
        self._socket = self._make(socket.SOCK_DGRAM)
        if self._conduct.now(Does.SILENT):
            self._filter(self._socket)
        loop = asyncio.get_running_loop()
        self._transport, self._at_work = await loop.create_datagram_endpoint(self._protocol, sock=self._socket)

    async def shut(self) -> None:
        if self._transport is None:
            return
        if isinstance(self._at_work, QuicServer):
            # Or timers of its connections would go on and send on a socket that is gone.
            self._at_work.close()
        self._transport.abort()
        # The transport closes its socket in the loop's next round.
        await asyncio.sleep(0)
        self._transport = self._socket = self._at_work = None

    def mind_silence(self) -> None:
        if self._socket is not None:
            self._filter(self._socket)


def made_inside(namespace: str, make: Callable[[], socket.socket]) -> socket.socket:
    """Call ``make`` in a namespace, given by its path."""
    descriptor = os.open(namespace, os.O_RDONLY)

    def inside() -> socket.socket:
        enter(descriptor)
        return make()

    try:
        # A thread of its own: it keeps the namespace it has entered.
        with ThreadPoolExecutor(max_workers=1) as one:
            return one.submit(inside).result()
    finally:
        os.close(descriptor)
