"""``HEAD`` for whatever has ``GET``: programs that check a citation's link ask so (RFC 9110 §9.3.2)."""

from starlette.types import ASGIApp, Receive, Scope, Send


class AnswerHead:
    """Has a HEAD request answered as a GET. The server knows what was asked and sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
