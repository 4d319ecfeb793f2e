"""What the lab's hosts answer over HTTP, whichever version carries it.

``web`` and ``h3`` have a small page at every path, and the anchor's ``/bytes``, down and up. ``throughput`` is the
anchor's own server: on TCP 443 HTTP/1.1 with ndt7 and HTTP/2, on UDP 443 HTTP/3. ``doh`` is RFC 8484 at ``/dns-query``,
GET and POST. ``portal`` has a login page under its own name and address, and sends whoever wants anything else there.
"""

import base64
import binascii

import dns.exception

from civobs_anchor.allowance import Allowance
from civobs_anchor.config import LimitSettings
from civobs_anchor.exchange import NO_LIMIT, Request, Response
from civobs_anchor.service import Bytes
from civobs_lab.servers.dns_messages import Answer, respond
from civobs_lab.servers.misbehaviour import Conduct, Does

_DNS_TYPE = "application/dns-message"
_PAGE = "<!doctype html><title>{title}</title><p>{text}\n"
_OTHERS_PAGE = _PAGE.format(title="Domains for sale", text="This domain may be for sale.").encode()


class Site:
    """The pages of one host."""

    def __init__(
        self, services: tuple[str, ...], own: tuple[str, ...], conduct: Conduct, names: Answer | None = None
    ) -> None:
        self._services = frozenset(services)
        self._own = own
        self._conduct = conduct
        self._names = names
        self._bytes = Bytes(Allowance(LimitSettings(bytes_per_day=NO_LIMIT)))
        self._more = (("alt-svc", 'h3=":443"; ma=60'),) if {"h3", "throughput"} & self._services else ()

    async def over_tcp(self, request: Request) -> Response:
        """HTTP/1.1, with TLS or without."""
        response = await self._answer(request)
        response.headers += self._more
        return response

    async def over_quic(self, request: Request) -> Response:
        """HTTP/3."""
        return await self._answer(request)

    async def login(self, request: Request) -> Response:
        """A captive portal, plain HTTP."""
        await self._conduct.hesitate()
        if self._conduct.now(Does.ERROR):
            return _page(503, "Out of order", "Please come back later.")
        if request.host in self._own:
            return _page(200, "Welcome", "Please log in to use this network.")
        moved = _page(302, "Moved", "Please log in first.")
        moved.headers = (("location", f"http://{self._own[0]}/login"), ("cache-control", "no-store"))
        return moved

    async def _answer(self, request: Request) -> Response:
        await self._conduct.hesitate()
        response = await self._honest(request)
        if self._conduct.now(Does.ERROR):
            response = _page(503, "Out of order", "Please come back later.")
        elif self._conduct.now(Does.LIE) and {"web", "h3"} & self._services:
            response = Response(200, body=_OTHERS_PAGE)
        response.byte_s = self._conduct.byte_s
        return response

    async def _honest(self, request: Request) -> Response:
        pages = bool({"web", "h3"} & self._services)
        match request.path:
            case "/dns-query" if "doh" in self._services:
                return await self._resolve(request)
            case "/bytes" if pages or "throughput" in self._services:
                return await self._bytes.answer(request)
            case _ if not pages:
                return _page(404, "Not found", "Nothing is here.")
            case _ if request.method not in {"GET", "HEAD"}:
                return _page(405, "Not allowed", "This page can only be read.")
            case _:
                return _page(200, "Lab", f"This is {request.host or 'a lab site'}.")

    async def _resolve(self, request: Request) -> Response:
        if self._names is None:
            return _page(404, "Not found", "Nothing is here.")
        if request.method == "POST" and request.content_type != _DNS_TYPE:
            return Response(415, "text/plain", b"Only application/dns-message.\n")
        try:
            asked = bytes(request.body) if request.method == "POST" else _decoded(request.value("dns"))
            answer = await respond(asked, request.client, self._names)
        except (binascii.Error, ValueError, dns.exception.DNSException):
            answer = None
        if answer is None:
            return Response(400, "text/plain", b"No question in it.\n")
        return Response(200, _DNS_TYPE, answer)


def _decoded(text: str) -> bytes:
    """base64url without padding (RFC 8484 §6)."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _page(status: int, title: str, text: str) -> Response:
    return Response(status, body=_PAGE.format(title=title, text=text).encode())
