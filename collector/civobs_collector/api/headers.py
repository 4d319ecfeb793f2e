"""Security headers on every answer: nothing from elsewhere, no script at all, no frame, no referrer elsewhere."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""Data is for everyone, so other sites may read it; pages may not be framed. HSTS is the TLS proxy's to set."""

STAFF_HEADERS = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'"),
    # With no-referrer a browser would send "Origin: null" with our own forms (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
"""The desk has forms, is nobody else's to read, and leaves nothing in any cache."""
STAFF = "/staff"

ANYONE = "Access-Control-Allow-Origin"


class SecurityHeaders:
    """Adds the headers; open data may be read by scripts of any site."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        ours = path == STAFF or path.startswith(f"{STAFF}/")
        public = not ours and (path.startswith("/api/") or path.endswith((".json", ".csv", ".atom")))
        added = STAFF_HEADERS if ours else HEADERS

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                if public:
                    headers.setdefault(ANYONE, "*")
            await send(message)

        await self._app(scope, receive, with_headers)
