"""Servers for heavy tests that misbehave: what they say follows from the handler they are given."""

import asyncio
import contextlib
import ssl

import pytest

from civobs_wire.plan import Server
from tests.agent.fix_net import LOOPBACK, free_port


class BadServers:
    """TLS servers with the tests' good certificate, each with a handler of its own."""

    def __init__(self, loop, certificates):
        self._loop = loop
        self._certificates = certificates
        self._open = []

    def start(self, handler, *, certificate="good", alpn="http/1.1"):
        """A server as a plan has it, in both families."""
        settings = self._certificates.server(certificate)
        settings.set_alpn_protocols(alpn.split(","))
        port = free_port()

        async def handle(reader, writer):
            try:
                with contextlib.suppress(OSError, ssl.SSLError, EOFError):
                    await handler(reader, writer)
                    writer.close()
                    await writer.wait_closed()
            finally:
                writer.transport.abort()

        async def listen():
            return await asyncio.start_server(handle, list(LOOPBACK.values()), port, ssl=settings)

        self._open.append(self._loop.run(listen()))
        return Server(id="bad", name="site.test", address=LOOPBACK[4], address6=LOOPBACK[6], https_port=port)

    def close(self):
        for server in self._open:
            self._loop.loop.call_soon_threadsafe(server.close)


@pytest.fixture
def bad_servers(server_loop, certificates):
    servers = BadServers(server_loop, certificates)
    yield servers
    servers.close()
