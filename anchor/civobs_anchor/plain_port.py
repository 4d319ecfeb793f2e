"""The port of plain HTTP: what was sent comes back byte for byte, and two pages whose content is known.

It is read by hand and not by an HTTP library, because a request that is no HTTP is of interest too.
"""

import asyncio
import re

from civobs_anchor.exchange import IDLE_S
from civobs_wire.anchor import (
    ADDRESS_PATH,
    ECHO_HEADERS,
    ECHO_QUIET_S,
    KNOWN_BODY,
    KNOWN_CONTENT_TYPE,
    KNOWN_PATH,
    MAX_ECHO_BYTES,
)

ECHO_TYPE = "message/http"
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*([0-9]{1,6})[ \t]*\r?$")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str, idle_s: float = IDLE_S) -> int:
    """One request and its answer; gives the bytes of both. Raises OSError."""
    request = await read_request(reader, idle_s)
    if not request:
        return 0
    said = framed(200, *answer(request, client))
    writer.write(said)
    async with asyncio.timeout(idle_s):
        await writer.drain()
    return len(request) + len(said)


async def read_request(reader: asyncio.StreamReader, idle_s: float = IDLE_S) -> bytes:
    """Head and body, or what there is of them."""
    data = b""
    try:
        async with asyncio.timeout(idle_s):
            while len(data) < MAX_ECHO_BYTES and not _complete(data):
                async with asyncio.timeout(ECHO_QUIET_S if data else idle_s):
                    more = await reader.read(MAX_ECHO_BYTES - len(data))
                if not more:
                    break
                data += more
    except TimeoutError:
        pass  # What has come so far is the request.
    return data


def answer(request: bytes, client: str) -> tuple[str, bytes]:
    """Content type and body."""
    line = request.partition(b"\r\n")[0].split(b" ")
    if line[0] == b"GET" and len(line) == 3:
        path = line[1].decode("latin-1").partition("?")[0]
        if path == KNOWN_PATH:
            return KNOWN_CONTENT_TYPE, KNOWN_BODY
        if path == ADDRESS_PATH:
            return "text/plain", client.encode()
    return ECHO_TYPE, request


def framed(status: int, content_type: str, body: bytes) -> bytes:
    """A whole answer, whose headers are in an order and a spelling that a probe knows."""
    reason = "OK" if status == 200 else "Service Unavailable"
    lines = (
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *ECHO_HEADERS,
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode() + body


def _complete(data: bytes) -> bool:
    head, end, body = data.partition(_END)
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)
