"""What a TLS connection goes on with: HTTP/2 or HTTP/1.1, as ALPN has it, and ndt7 by way of the latter."""

import asyncio

from civobs_anchor import http1, http2
from civobs_anchor.exchange import IDLE_S, Service
from civobs_anchor.http1 import TakeOver

ALPN = (http2.PROTOCOL, "http/1.1")


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    service: Service,
    take_over: TakeOver | None,
    idle_s: float = IDLE_S,
) -> None:
    """Serve one connection to its end. Raises OSError, EOFError."""
    if writer.get_extra_info("ssl_object").selected_alpn_protocol() == http2.PROTOCOL:
        await http2.serve(reader, writer, service, idle_s)
    else:
        await http1.serve(reader, writer, service, take_over, idle_s)
