"""A TCP connection, with TLS on it if wanted, that times its stages, counts its bytes and keeps the system's errors.

``asyncio.open_connection`` would hide which stage failed behind one exception, and look names up again.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from civobs_agent.net import HEADER_BYTES, TCP_BYTES, TCP_OPEN_CLOSE_PACKETS, Context, IpFamily
from civobs_agent.probes.error_queue import listen_for_errors

CHUNK = 16_384
"""One TLS record (RFC 8446 §5.1)."""
SEGMENT = 1_448
"""Payload of a full packet on Ethernet; for counting headers."""
MAX_HANDSHAKE = 65_536
"""Bytes taken in before a handshake has ended. A chain of three certificates is some 5 kB; one with two thousand names
still fits, and OpenSSL's own limit for a chain is 100 kB (SSL_CTX_set_max_cert_list(3))."""
OPENING = 7
"""Bytes kept of the first record: its type, version and length (RFC 8446 §5.1), and what an alert is made of (§6)."""

Result = TypeVar("Result")


SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def numeric_socket(address: str, port: int, kind: socket.SocketKind) -> tuple[socket.socket, SocketAddress]:
    """A non-blocking socket for a numeric address, and that address as the system wants it. Never looks up a name."""
    family, _, _, _, where = socket.getaddrinfo(address, port, type=kind, flags=socket.AI_NUMERICHOST)[0]
    handle = socket.socket(family, kind)
    handle.setblocking(False)
    return handle, where


class Stream:
    """One connection. Methods raise OSError, ssl.SSLError, EOFError; the caller sets the time limits."""

    def __init__(self, handle: socket.socket, family: IpFamily, context: Context) -> None:
        self._socket = handle
        self.family = family
        self._per_packet = HEADER_BYTES[family] + TCP_BYTES
        self._context = context
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ahead = b""
        """Read by ``receive_exactly`` beyond what was asked for."""
        self.connect_ms = 0.0
        self.handshake_ms = 0.0
        """Also of a handshake that failed: the time until then."""
        self.sent = 0
        """Bytes given to the system, records of TLS and all."""
        self.received = 0
        """Bytes that came, records of TLS and all."""
        self.opening = b""
        """The first of them."""
        self.on_arrival: Callable[[int], None] = lambda _: None
        """Told of each piece that comes, before it is taken apart: on a slow line a record of TLS is whole only seconds
        later."""
        self._most: int | None = None

    @classmethod
    async def connect(cls, address: str, port: int, context: Context, *, hear_icmp: bool = False) -> Self:
        """Connect to a numeric address that has passed the refusal already.

        TCP passes over ICMP errors once it is connected (RFC 5461 §2) and waits. With ``hear_icmp`` they end it then
        as well, so that what was forbidden is told from what was swallowed.
        """
        began = time.perf_counter()
        handle, where = numeric_socket(address, port, socket.SOCK_STREAM)
        stream = cls(handle, 6 if handle.family == socket.AF_INET6 else 4, context)
        try:
            if hear_icmp:
                listen_for_errors(handle, stream.family)
            context.spend(TCP_OPEN_CLOSE_PACKETS * stream._per_packet)
            await asyncio.get_running_loop().sock_connect(handle, where)
        except BaseException:
            handle.close()
            raise
        stream.connect_ms = (time.perf_counter() - began) * 1000
        return stream

    async def start_tls(
        self, settings: ssl.SSLContext, server_name: str | None, alpn: Sequence[str], *, check_name: bool = True
    ) -> ssl.SSLObject:
        """Shake hands and verify as ``settings`` say; without ``check_name``, the chain but not whom it is for."""
        began = time.perf_counter()
        self._tls = self._begin_tls(settings, server_name, alpn, check_name=check_name)
        self._most = self.received + MAX_HANDSHAKE
        try:
            await self._pump(self._tls.do_handshake)
        finally:
            self._most = None
            self.handshake_ms = (time.perf_counter() - began) * 1000
        return self._tls

    @property
    def handle(self) -> socket.socket:
        """The socket, for what the kernel knows of it."""
        return self._socket

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The handshake, also one that failed: OpenSSL keeps the chain it could not verify."""
        return self._tls

    def _begin_tls(
        self, settings: ssl.SSLContext, server_name: str | None, alpn: Sequence[str], *, check_name: bool
    ) -> ssl.SSLObject:
        # Both are read while the object is made and by nothing after that, so that all connections share one context:
        # each further one would keep its own copy of every authority it has met.
        settings.set_alpn_protocols(list(alpn))
        kept = settings.check_hostname
        settings.check_hostname = kept and check_name
        try:
            return settings.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        finally:
            settings.check_hostname = kept

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        if self._tls is None:
            await self._put(data)
            return
        tls = self._tls
        await self._pump(lambda: tls.write(data))

    async def receive(self) -> bytes:
        """Some bytes; none at the end. A TLS peer that just closes counts as the end, as it does for browsers."""
        if self._tls is None:
            return await self._get()
        tls = self._tls
        try:
            return await self._pump(lambda: tls.read(CHUNK))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    async def receive_exactly(self, n_bytes: int) -> bytes:
        """So many bytes. Raises EOFError if there are fewer."""
        while len(self._ahead) < n_bytes:
            more = await self.receive()
            if not more:
                raise EOFError
            self._ahead += more
        data, self._ahead = self._ahead[:n_bytes], self._ahead[n_bytes:]
        return data

    def close(self) -> None:
        self._socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _pump(self, step: Callable[[], Result]) -> Result:
        """Run one TLS step to its end, carrying bytes between it and the socket."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._get()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                # The alert that tells the other side why; if it is gone already, the first error still counts.
                with contextlib.suppress(OSError):
                    await self._flush()
                raise
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._put(self._outgoing.read())

    async def _put(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)
        self.sent += len(data)
        self._count(len(data))

    async def _get(self) -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)
        # What is there already is given without a pause, and who sends without end would let no time limit pass.
        await asyncio.sleep(0)
        self.opening += data[: OPENING - len(self.opening)]
        self.received += len(data)
        self.on_arrival(len(data))
        self._count(len(data))
        if self._most is not None and self.received > self._most:
            too_long = ssl.SSLError(ssl.SSL_ERROR_SSL, "too long a handshake")
            too_long.reason = "HANDSHAKE_TOO_LONG"
            raise too_long
        return data

    def _count(self, n_bytes: int) -> None:
        """Payload, its headers, and an acknowledgement for every second packet (RFC 9293 §3.8.6.3)."""
        packets = -(-n_bytes // SEGMENT)
        self._context.spend(n_bytes + (packets + packets // 2) * self._per_packet)
