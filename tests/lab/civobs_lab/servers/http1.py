"""HTTP/1.1 over a stream, plain or behind TLS, by h11."""

import asyncio

import h11

from civobs_lab.servers.exchange import Answer, Request, Response, named_host, plain

IDLE_S = 20.0
"""How long a client may take for its next bytes."""
_SERVER = [("server", "lab")]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Answer one request after the other until the client leaves. Raises OSError, EOFError."""
    connection = h11.Connection(h11.SERVER)
    client = plain(writer.get_extra_info("peername")[0])
    try:
        while (request := await _request(connection, reader, writer, client)) is not None:
            await _respond(connection, writer, await answer(request), with_body=request.method != "HEAD")
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        if connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = Response(error.error_status_hint, "text/plain", b"This is not HTTP as we know it.\n")
            await _respond(connection, writer, response, with_body=True)


async def _request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str
) -> Request | None:
    """The next request with its body, None when the client is done."""
    request: Request | None = None
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                async with asyncio.timeout(IDLE_S):
                    connection.receive_data(await reader.read(65_536))
            case h11.Request() as head:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                request = Request(
                    method=head.method.decode("ascii"),
                    target=head.target.decode("ascii"),
                    host=named_host(headers.get("host", "")),
                    client=client,
                    content_type=headers.get("content-type", ""),
                )
            case h11.Data() as piece:
                assert request is not None  # h11 gives the head first
                request.receive(bytes(piece.data))
            case h11.EndOfMessage():
                return request
            case h11.ConnectionClosed():
                return None


async def _respond(
    connection: h11.Connection, writer: asyncio.StreamWriter, response: Response, *, with_body: bool
) -> None:
    head = h11.Response(status_code=response.status, headers=_SERVER + response.lines())
    writer.write(connection.send(head) or b"")
    if with_body:
        async for piece in response.pieces():
            writer.write(connection.send(h11.Data(data=piece)) or b"")
            await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
