"""Security headers on every answer: nothing from elsewhere, no script at all, no frame, no referrer."""

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
        public = path.startswith("/api/") or path.endswith((".json", ".csv", ".atom"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if public:
                    headers.setdefault(ANYONE, "*")
            await send(message)

        await self._app(scope, receive, with_headers)
