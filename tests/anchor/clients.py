"""Plain clients for the anchor's ports, with nothing of the agent's."""

import asyncio
import http.client
import socket
import ssl
import time
from contextlib import suppress
from functools import partial

import h2.config
import h2.connection
import h2.events
from aioquic.asyncio import connect
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration

from tests.anchor.fix_anchor import NAME
from tests.lab.lab_clients import _Client as H3Client

TIMEOUT_S = 5.0


def careless():
    """A client's context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shake_hands(address, port, name, version=ssl.TLSVersion.TLSv1_3):
    """The certificate that a name is shown."""
    context = careless()
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((address, port), TIMEOUT_S) as tcp,
        context.wrap_socket(tcp, server_hostname=name) as tls,
    ):
        return tls.getpeercert(binary_form=True)


def fetch_h1(anchor, address, method, path, body=None):
    """Status and body."""
    connection = http.client.HTTPSConnection(address, anchor.https, timeout=TIMEOUT_S, context=careless())
    try:
        connection.request(method, path, body, {"Host": NAME})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def fetch_h2(anchor, address, method, path, body=b""):
    """Status and body."""

    async def run():
        one = await H2.open(anchor, address)
        try:
            return await one.fetch(method, path, body)
        finally:
            one.close()

    return asyncio.run(run())


def fetch_h3(anchor, address, method, path, body=b"", name=NAME):
    """Status and body."""

    async def run():
        settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=name, verify_mode=ssl.CERT_NONE)
        made = partial(H3Client, ended=[])
        async with (
            asyncio.timeout(TIMEOUT_S),
            connect(address, anchor.https, configuration=settings, create_protocol=made) as client,
        ):
            page = await client.fetch(method, name, path, body)
            return page.status, bytes(page.body)

    return asyncio.run(run())


async def beside(anchor, address, size):
    """Seconds until a large answer is in, and until a small one is that the same connection was asked for after it."""
    one = await H2.open(anchor, address)
    began = time.perf_counter()

    async def timed(n):
        await one.fetch("GET", f"/bytes?n={n}")
        return time.perf_counter() - began

    large = asyncio.create_task(timed(size))
    await asyncio.sleep(0)
    small = await timed(1)
    await large
    one.close()
    return large.result(), small


class H2:
    """A connection that several exchanges share."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self._pages = {}
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, anchor, address):
        context = careless()
        context.set_alpn_protocols(["h2"])
        return cls(*await asyncio.open_connection(address, anchor.https, ssl=context, server_hostname=NAME))

    async def fetch(self, method, path, body=b""):
        stream = self.http.get_next_available_stream_id()
        lines = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]
        page = self._pages[stream] = [0, bytearray(), asyncio.get_running_loop().create_future()]
        self.http.send_headers(stream, lines, end_stream=not body)
        while body:
            now = min(len(body), 16_384, self.http.local_flow_control_window(stream))
            if now:
                body, piece = body[now:], body[:now]
                self.http.send_data(stream, piece, end_stream=not body)
            self._writer.write(self.http.data_to_send())
            await self._writer.drain()
            if not now:
                self._room.clear()
                await self._room.wait()
        self._writer.write(self.http.data_to_send())
        async with asyncio.timeout(TIMEOUT_S):
            await page[2]
        return page[0], bytes(page[1])

    def close(self):
        self._reading.cancel()
        self._writer.transport.abort()

    async def _read(self):
        while data := await self._reader.read(65_536):
            for event in self.http.receive_data(data):
                self._heard(event)
            self._room.set()
            self._writer.write(self.http.data_to_send())

    def _heard(self, event):
        match event:
            case h2.events.ResponseReceived():
                self._pages[event.stream_id][0] = int(dict(event.headers)[":status"])
            case h2.events.DataReceived():
                self._pages[event.stream_id][1] += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self._pages[event.stream_id][2].set_result(None)


def tell(address, port, data, timeout_s=TIMEOUT_S):
    """What comes back over TCP until the other side closes. Raises OSError."""
    said = b""
    with socket.create_connection((address, port), timeout=timeout_s) as one, suppress(ConnectionError):
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        while more := one.recv(65_536):
            said += more
    return said
