"""One host: which ports its services open, what answers there, and how it is told to misbehave."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aioquic.quic.configuration import QuicConfiguration

from civobs_anchor import http1, secure_port
from civobs_anchor.datagrams import Datagrams, Respond
from civobs_anchor.exchange import NO_LIMIT, Open, ignore, plain
from civobs_anchor.http1 import Upgrade
from civobs_anchor.http3 import configuration
from civobs_anchor.ndt7 import Ndt7
from civobs_anchor.ports import StreamHandler
from civobs_lab.servers import dns_messages, echo, http3, ntp
from civobs_lab.servers.description import NAME_SERVICES, Certificates, Description, HostServers
from civobs_lab.servers.misbehaviour import Conduct, Does
from civobs_lab.servers.name_servers import Authority, Resolver
from civobs_lab.servers.names import Names
from civobs_lab.servers.pages import Site
from civobs_lab.servers.ports import EVERYWHERE, Port, TcpPort, UdpPort, made_inside
from civobs_lab.servers.stun import LabStun
from civobs_wire.anchor import STUN_PORTS

_PAGES_TLS = frozenset({"web", "throughput", "doh"})
_PAGES_QUIC = frozenset({"h3", "throughput"})


class ServedHost:
    """The servers of one host."""

    def __init__(self, host: HostServers, lab: Description, names: Names) -> None:
        self.host = host
        self.conduct = Conduct(host.serves, lab.time_scale)
        self._names = names
        self._serves = frozenset(host.serves)
        self._addresses = lab.addresses[host.name]
        self._presenting: list[ssl.SSLContext | QuicConfiguration] = []
        """Whatever shows a certificate; a new one loaded there counts for the next handshake."""
        self._ports: list[Port] = []
        answer = self._name_server(lab) if NAME_SERVICES & self._serves else None
        self._site = Site(host.serves, (*host.names, *self._addresses), self.conduct, answer)
        self._lay_out_pages()
        if answer is not None:
            # Over HTTPS the page is late already.
            self._lay_out_names(dns_messages.in_time(answer, self.conduct))
        self._lay_out_rest()

    async def open(self) -> None:
        """Begin to serve. Raises OSError."""
        for port in self._ports:
            await port.open()

    async def switch(self, does: Does, by: int) -> None:
        """Set (1) or clear (-1) a misbehaviour."""
        before = self.conduct.now(does)
        self.conduct.switch(does, by)
        after = self.conduct.now(does)
        if before == after:
            return
        match does:
            case Does.SILENT:
                for port in self._ports:
                    port.mind_silence()
            case Does.REFUSE:
                for port in self._ports:
                    await (port.shut() if after else port.open())
            case Does.WRONG_CERTIFICATE | Does.EXPIRED_CERTIFICATE:
                self.present()
            case _:
                pass  # The servers look each time.

    def present(self) -> None:
        """Show the certificate that is now to be shown."""
        if self.host.certificates is None:
            return
        file = self._certificate(self.host.certificates)
        for each in self._presenting:
            each.load_cert_chain(file)

    def _certificate(self, files: Certificates) -> Path:
        if self.conduct.now(Does.WRONG_CERTIFICATE):
            return files.wrong
        if self.conduct.now(Does.EXPIRED_CERTIFICATE):
            return files.expired
        return files.everywhere if self._names.moved_to(self.host.name) else files.own

    def _name_server(self, lab: Description) -> dns_messages.Answer:
        ttl = max(1, round(lab.name_ttl_s / lab.time_scale))
        if "authority" in self._serves:
            own = frozenset(name for name, zone in lab.homes.items() if zone == self.host.zone)
            return dns_messages.mannered(Authority(self._names, own, ttl).answer, self.conduct)
        asking = made_inside(self.host.namespace, lambda: socket.socket(type=socket.SOCK_DGRAM))
        asking.setblocking(False)
        resolver = Resolver(lab.zones, asking, ttl)
        asyncio.get_running_loop().add_reader(asking, resolver.readable)
        return dns_messages.mannered(resolver.answer, self.conduct)

    def _lay_out_pages(self) -> None:
        over_tcp = partial(http1.serve, service=Open(self._site.over_tcp))
        if "web" in self._serves:
            self._tcp(80, over_tcp)
        if "portal" in self._serves:
            self._tcp(80, partial(http1.serve, service=Open(self._site.login)))
        if "throughput" in self._serves:
            secure = partial(secure_port.serve, service=Open(self._site.over_tcp), take_over=self._ndt7)
            self._tcp(443, secure, self._tls(*secure_port.ALPN))
        elif _PAGES_TLS & self._serves:
            self._tcp(443, over_tcp, self._tls("http/1.1"))
        elif "tcp" in self._serves:
            self._tcp(443, _close_at_once, speaks_first=True)
        if _PAGES_QUIC & self._serves:
            assert self.host.certificates is not None  # described so
            settings = configuration(self.host.certificates.own)
            self._presenting.append(settings)
            self._udp(443, partial(http3.server, settings, Open(self._site.over_quic), self.conduct))

    def _lay_out_names(self, answer: dns_messages.Answer) -> None:
        over_tcp = partial(dns_messages.converse, answer=answer)
        if {"authority", "resolver"} & self._serves:
            self._tcp(53, over_tcp)
            self._answering(53, lambda data, client: dns_messages.respond(data, plain(client[0]), answer))
        if "dot" in self._serves:
            self._tcp(853, over_tcp, self._tls("dot"))

    def _lay_out_rest(self) -> None:
        if "echo" in self._serves:
            self._tcp(echo.HTTP_PORT, partial(echo.echo_http, conduct=self.conduct))
            self._tcp(echo.BARE_PORT, partial(echo.echo_bare, conduct=self.conduct))
        if "ntp" in self._serves:
            self._answering(ntp.PORT, lambda data, _: ntp.respond(data, self.conduct))
        if "stun" in self._serves:
            for addresses in zip(self._addresses, *([self.host.second] if self.host.second else []), strict=True):
                server = LabStun(addresses, self.conduct)
                for a, address in enumerate(addresses):
                    for p, port in enumerate(STUN_PORTS):
                        self._udp(port, partial(server.end, a, p), address)

    async def _ndt7(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upgrade: Upgrade) -> None:
        await self.conduct.hesitate()
        if not self.conduct.now(Does.ERROR):
            await Ndt7(reader, writer, ignore, NO_LIMIT, self.conduct.byte_s).serve(upgrade)

    def _tls(self, *protocols: str) -> ssl.SSLContext:
        assert self.host.certificates is not None  # described so
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.host.certificates.own)
        context.set_alpn_protocols(list(protocols))
        self._presenting.append(context)
        return context

    def _tcp(
        self, number: int, handler: StreamHandler, tls: ssl.SSLContext | None = None, *, speaks_first: bool = False
    ) -> None:
        self._ports.append(TcpPort(self.host.namespace, self.conduct, number, handler, tls, speaks_first=speaks_first))

    def _answering(self, number: int, respond: Respond) -> None:
        self._udp(number, partial(Datagrams, respond))

    def _udp(self, number: int, protocol: Callable[[], asyncio.DatagramProtocol], address: str = EVERYWHERE) -> None:
        self._ports.append(UdpPort(self.host.namespace, self.conduct, number, protocol, address))


async def _close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
