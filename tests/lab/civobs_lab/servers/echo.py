"""What was sent comes back, byte for byte, so that the sender sees what was altered on the way.

On port 80 the anchor's own plain port answers. On port 7 it is sent back bare as it comes (RFC 862).
"""

import asyncio

from civobs_anchor import plain_port
from civobs_anchor.exchange import plain
from civobs_lab.servers.misbehaviour import Conduct, Does

HTTP_PORT, BARE_PORT = 80, 7
IDLE_S = 20.0
PIECE = 65_536


async def echo_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conduct: Conduct) -> None:
    """One request and its answer. Raises OSError."""
    request = await plain_port.read_request(reader)
    if not request:
        return
    await conduct.hesitate()
    if conduct.now(Does.ERROR):
        answer = plain_port.framed(503, "text/plain", b"Please come back later.\n")
    else:
        kind, body = plain_port.answer(request, plain(writer.get_extra_info("peername")[0]))
        answer = plain_port.framed(200, kind, _altered(body, conduct))
    writer.write(answer)
    await writer.drain()


async def echo_bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conduct: Conduct) -> None:
    """Everything, as it comes, until the other side is done. Raises OSError."""
    while True:
        async with asyncio.timeout(IDLE_S):
            data = await reader.read(PIECE)
        if not data:
            return
        await conduct.hesitate()
        writer.write(_altered(data, conduct))
        await writer.drain()


def _altered(data: bytes, conduct: Conduct) -> bytes:
    return data.swapcase() if conduct.now(Does.LIE) else data
