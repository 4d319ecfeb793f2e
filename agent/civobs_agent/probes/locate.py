"""M-Lab's server for the moment: what its Locate API (v2) names, with the tokens that let a test begin.

M-Lab publishes every test with the address it came from (docs/methods/throughput.md): a plan that names the API is for
households that agreed to that.
"""

import asyncio
import json
from dataclasses import dataclass

import h11

from civobs_agent.faults import MeasurementError
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.place import Place, place_of, resolve
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import NDT7_DOWNLOAD_PATH, NDT7_UPLOAD_PATH
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_NAME
from civobs_wire.version import VERSION

TIMEOUTS = table(Timeout("locate.whole", 15.0, "three round trips and a look-up at M-Lab; as http.headers"))
MAX_ANSWER = 65_536
"""Bytes; four servers with their tokens take some 10 kB."""
USER_AGENT = f"civobs-agent/{VERSION}"
"""ndt7 wants clients to say who they are (spec, server discovery)."""


@dataclass(frozen=True, slots=True)
class Located:
    """One server of M-Lab."""

    machine: str
    download: Place
    upload: Place


async def locate(url: str, family: IpFamily, context: Context) -> Located:
    """Ask the API. Raises MeasurementError, OSError, EOFError, h11.RemoteProtocolError, ValueError."""
    place = place_of(url)
    if place.scheme != "https":
        raise MeasurementError(Failure.NOTHING_TO_ASK, "ndt7_locate is not https")
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["locate.whole"])):
        address = await resolve(place, family, context)
        async with await Stream.connect(address, place.port, context) as stream:
            await stream.start_tls(context.roots.verifying(), place.host, ("http/1.1",))
            return _first(await _get(stream, place))


async def _get(stream: Stream, place: Place) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", place.host),
        ("User-Agent", USER_AGENT),
        ("Accept", "application/json"),
        ("Connection", "close"),
    ]
    await stream.send(connection.send(h11.Request(method="GET", target=place.path, headers=headers)) or b"")
    body, before = bytearray(), stream.received
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                if stream.received - before > 2 * MAX_ANSWER:
                    raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "locate answered too much")
                connection.receive_data(await stream.receive())
            case h11.Response(status_code=status) if status != 200:
                # 204 and 429 are M-Lab's ways to say that it has no room now.
                raise MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, f"locate answered {status}")
            case h11.Data(data=data):
                body += data
                if len(body) > MAX_ANSWER:
                    raise MeasurementError(Failure.HTTP_REQUEST_FAILED, "locate answered too much")
            case h11.EndOfMessage():
                return bytes(body)
            case h11.ConnectionClosed():
                raise EOFError


def _first(answer: bytes) -> Located:
    """The nearest server that speaks TLS. The answer is anybody's text until it has been checked."""
    try:
        results = json.loads(answer)["results"]
        first = results[0]
        urls = first["urls"]
        return Located(
            str(first["machine"])[:MAX_NAME] or "-",
            _place(urls[f"wss://{NDT7_DOWNLOAD_PATH}"]),
            _place(urls[f"wss://{NDT7_UPLOAD_PATH}"]),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise MeasurementError(Failure.JSON_PARSE_ERROR, "locate named no server") from None


def _place(url: str) -> Place:
    """Of a WebSocket's URL. Raises ValueError."""
    if not url.startswith("wss://"):
        raise ValueError(url)
    return place_of("https" + url.removeprefix("wss"))
