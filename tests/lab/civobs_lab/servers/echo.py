"""What was sent comes back, byte for byte, so that the sender sees what was altered on the way.

On port 80 it is the body of an HTTP answer (``message/http``, as RFC 9110 §9.3.8 has it for TRACE), once the request
is complete or nothing more has come for a second: a request that is no HTTP is of interest too. On port 7 it is sent
back bare as it comes (RFC 862).
"""

import asyncio
import re

from civobs_lab.servers.misbehaviour import Conduct, Does

HTTP_PORT, BARE_PORT = 80, 7
QUIET_S = 1.0
IDLE_S = 20.0
MAX_REQUEST = 65_536
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*([0-9]{1,6})[ \t]*\r?$")


async def echo_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conduct: Conduct) -> None:
    """One request and its answer. Raises OSError."""
    request = await _request(reader)
    if not request:
        return
    await conduct.hesitate()
    refused = conduct.now(Does.ERROR)
    status = "503 Service Unavailable" if refused else "200 OK"
    body = b"Please come back later.\n" if refused else _altered(request, conduct)
    kind = "text/plain" if refused else "message/http"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def echo_bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conduct: Conduct) -> None:
    """Everything, as it comes, until the other side is done. Raises OSError."""
    while True:
        async with asyncio.timeout(IDLE_S):
            data = await reader.read(MAX_REQUEST)
        if not data:
            return
        await conduct.hesitate()
        writer.write(_altered(data, conduct))
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Head and body, or what there is of them."""
    data = b""
    try:
        while len(data) < MAX_REQUEST and not _complete(data):
            async with asyncio.timeout(QUIET_S if data else IDLE_S):
                more = await reader.read(MAX_REQUEST)
            if not more:
                break
            data += more
    except TimeoutError:
        pass  # What has come so far is the request.
    return data


def _complete(data: bytes) -> bool:
    head, end, body = data.partition(_END)
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def _altered(data: bytes, conduct: Conduct) -> bytes:
    return data.swapcase() if conduct.now(Does.LIE) else data
