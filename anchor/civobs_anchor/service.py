"""What the anchor answers over TLS and QUIC: bytes, down and up, within what a client may take."""

import json
import re
from dataclasses import dataclass
from functools import partial

from civobs_anchor.allowance import Allowance
from civobs_anchor.exchange import Request, Response, told
from civobs_wire.anchor import BYTES_PATH

_SIZE = re.compile("[0-9]{1,12}")
_ABOUT = (
    "This is an anchor of the Core Internet Values Observatory: probes measure against it, and it keeps nothing.\n"
    f"GET {BYTES_PATH}?n=N gives N bytes, POST {BYTES_PATH} takes some, /ndt/v7/download and /ndt/v7/upload are ndt7."
)


@dataclass(frozen=True, slots=True)
class Bytes:
    """The service of ``/bytes``."""

    allowance: Allowance

    def admit(self, request: Request) -> Response | None:
        """Refuse what is too much before it comes."""
        most = min(self.allowance.limits.bytes_per_request, self.allowance.left(request.client))
        request.room = most if request.path == BYTES_PATH else 0
        return told(429, "This network has had its share of today.") if most == 0 else None

    async def answer(self, request: Request) -> Response:
        self.allowance.spend(request.client, request.received)
        if request.path == "/" and request.method in {"GET", "HEAD"}:
            return told(200, _ABOUT)
        if request.path != BYTES_PATH:
            return told(404, "Nothing is here.")
        match request.method:
            case "POST":
                said = json.dumps({"bytes": request.received}).encode()
                return Response(200, "application/json", said + b"\n")
            case "GET" | "HEAD":
                return self._noise(request)
            case _:
                return told(405, "GET or POST.")

    def _noise(self, request: Request) -> Response:
        most, number = self.allowance.limits.bytes_per_request, request.value("n")
        if not _SIZE.fullmatch(number) or int(number) > most:
            return told(400, f"n has to be a number up to {most}.")
        if int(number) > self.allowance.left(request.client):
            return told(429, "This network has had its share of today.")
        return Response(
            200,
            "application/octet-stream",
            noise=int(number),
            headers=(("cache-control", "no-store"),),
            count=partial(self.allowance.spend, request.client),
        )
