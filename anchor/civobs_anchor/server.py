"""All ports of one anchor, opened together and closed together."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Self

from aioquic.asyncio.protocol import QuicStreamHandler
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.quic.packet import QuicErrorCode

from civobs_anchor import http3, plain_port, secure_port
from civobs_anchor.allowance import Allowance, RefusedError
from civobs_anchor.certificates import Certificates
from civobs_anchor.config import AnchorSettings
from civobs_anchor.datagrams import Client
from civobs_anchor.errors import ListenError
from civobs_anchor.exchange import Service
from civobs_anchor.http1 import Upgrade
from civobs_anchor.metrics import Metrics
from civobs_anchor.ndt7 import Ndt7
from civobs_anchor.ports import TcpPort, bound, converse
from civobs_anchor.service import Bytes
from civobs_anchor.stun import StunServer

Handler = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection of a client."""


class Anchor:
    """The whole server. ``async with`` opens it. Raises CertificateError, ListenError."""

    def __init__(self, settings: AnchorSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.allowance = Allowance(settings.limits, spent=self.metrics.bytes.inc)
        self.certificates = Certificates(settings.name, settings.certificate, settings.key)
        self._service = Bytes(self.allowance)
        with self.certificates.files() as (chain, key):
            self._quic = http3.configuration(chain, key)
        self._quic.idle_timeout = settings.limits.idle_s
        self._stack = AsyncExitStack()
        self.metrics.open.set_function(self.allowance.open.total)

    async def __aenter__(self) -> Self:
        ports = self.settings.ports
        try:
            for address in self.settings.addresses:
                self._listen(address, ports.https, self._tls, self.certificates.context)
                self._listen(address, ports.http, self._plain)
                await self._answer(address, ports.https, self._quic_server)
            for addresses in self.settings.stun_addresses():
                await self._stun(addresses)
            self._count()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def reload(self) -> None:
        """Read the certificate again. Raises CertificateError, and goes on with the one it has."""
        self.certificates.reload()
        with self.certificates.files() as (chain, key):
            self._quic.load_cert_chain(chain, key)

    def _listen(self, address: str, port: int, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        listening = _opened(address, port, socket.SOCK_STREAM)
        open_port = TcpPort(listening, partial(self._accepted, handler, tls))
        self._stack.push_async_callback(open_port.close)

    async def _answer(self, address: str, port: int, protocol: Callable[[], asyncio.DatagramProtocol]) -> None:
        udp = _opened(address, port, socket.SOCK_DGRAM)
        transport, at_work = await asyncio.get_running_loop().create_datagram_endpoint(protocol, sock=udp)
        self._stack.callback(at_work.close if isinstance(at_work, http3.Server) else transport.close)

    async def _stun(self, addresses: tuple[str, ...]) -> None:
        numbers = (self.settings.ports.stun, self.settings.ports.stun_other)
        server = LimitedStun(addresses, numbers, self)
        for a, address in enumerate(addresses):
            for p, port in enumerate(numbers):
                await self._answer(address, port, partial(server.end, a, p))

    def _count(self) -> None:
        where = self.settings.metrics
        try:
            self.metrics.serve(where)
        except OSError as error:
            raise _not_opened(where.address, where.port or 0, "TCP", error) from None

    async def _accepted(
        self, handler: Handler, tls: ssl.SSLContext | None, connection: socket.socket, client: str
    ) -> None:
        limits = self.settings.limits
        port = "https" if tls else "http"
        try:
            with self.allowance.connection(client, "tcp"):
                self.metrics.connections.labels(port).inc()
                async with asyncio.timeout(limits.connection_s):
                    await converse(connection, partial(handler, client), tls, limits.handshake_s)
        except RefusedError:
            connection.close()
            self.metrics.refused.labels(port).inc()

    async def _tls(self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        take_over = partial(self._ndt7, client)
        await secure_port.serve(reader, writer, self._service, take_over, self.settings.limits.idle_s)

    async def _ndt7(
        self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upgrade: Upgrade
    ) -> None:
        spend = partial(self.allowance.spend, client)
        await Ndt7(reader, writer, spend, self.allowance.left(client)).serve(upgrade)

    async def _plain(self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.allowance.left(client):
            n_bytes = await plain_port.serve(reader, writer, client, self.settings.limits.idle_s)
            self.allowance.spend(client, n_bytes)

    def _quic_server(self) -> http3.Server:
        made = partial(LimitedHttp3, service=self._service, anchor=self)
        return http3.Server(configuration=self._quic, create_protocol=made)


class LimitedStun(StunServer):
    """STUN that sends so much to one client and no more: its address may be forged."""

    def __init__(self, addresses: tuple[str, ...], ports: tuple[int, int], anchor: Anchor) -> None:
        super().__init__(addresses, ports)
        self._anchor = anchor

    async def admits(self, client: Client) -> bool:
        admitted = self._anchor.allowance.datagram(client[0])
        (self._anchor.metrics.connections if admitted else self._anchor.metrics.refused).labels("stun").inc()
        return admitted


class LimitedHttp3(http3.Http3):
    """A QUIC connection that has its place among the others, and ends in time."""

    def __init__(
        self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None, *, service: Service, anchor: Anchor
    ) -> None:
        super().__init__(quic, stream_handler, service=service)
        self._anchor = anchor
        self._leaving: ExitStack | None = None

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        first = self._leaving is None
        super().datagram_received(data, addr)
        if first:
            self._leaving = ExitStack()
            self._enter(addr[0], self._leaving)

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, ConnectionTerminated) and self._leaving is not None:
            self._leaving.close()

    def _enter(self, client: str, leaving: ExitStack) -> None:
        metrics, limits = self._anchor.metrics, self._anchor.settings.limits
        try:
            leaving.enter_context(self._anchor.allowance.connection(client, "quic"))
        except RefusedError:
            metrics.refused.labels("quic").inc()
            self.close(error_code=QuicErrorCode.CONNECTION_REFUSED)
            return
        metrics.connections.labels("quic").inc()
        timer = asyncio.get_running_loop().call_later(limits.connection_s, self.close)
        leaving.callback(timer.cancel)


def _opened(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    try:
        return bound(address, port, kind)
    except OSError as error:
        raise _not_opened(address, port, "TCP" if kind == socket.SOCK_STREAM else "UDP", error) from None


def _not_opened(address: str, port: int, what: str, error: OSError) -> ListenError:
    remedies = {
        errno.EACCES: "ports under 1024 need CAP_NET_BIND_SERVICE: use the unit in deploy/systemd, or other [ports]",
        errno.EADDRINUSE: "another program, or a running anchor, has the port: stop it, or choose another in [ports]",
        errno.EADDRNOTAVAIL: "this host has no such address: give in `addresses` what `ip address` shows",
    }
    remedy = remedies.get(error.errno or 0, "look at the address and the port in the settings")
    return ListenError(f"cannot listen on {address} port {port} of {what}: {error.strerror}", remedy)
