"""Webhooks, signed as Standard Webhooks says (https://www.standardwebhooks.com).

Redirects are not followed: who signs for one address does not hand the message to another. The answer's body is not
read: nothing in it is of use, and it may have no end.
"""

import asyncio
import base64
import logging
import ssl
from datetime import datetime
from uuid import UUID

import httpx
import orjson
from standardwebhooks.webhooks import Webhook

from civobs_collector import __version__
from civobs_collector.errors import ConfigError
from civobs_collector.keys import read_secret
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.settings import SubscriberSettings
from civobs_collector.notify.texts import Content

# Their lines hold the whole address, and that of a chat service is a password.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)

_LEAST_SECRET = 24
"""Bytes: the specification's least."""


class WebhookSender:
    """One receiver. Raises ConfigError or KeyFileError for a secret that cannot be used."""

    def __init__(self, subscriber: SubscriberSettings, timeout_s: float) -> None:
        if subscriber.secret_file is None:
            raise AssertionError("the settings refuse a webhook without a secret")
        remedy = "write whsec_ and 24 to 64 random bytes in base64 there: docs/operating/notifications.md"
        try:
            # The library's own way skips what is no base64.
            secret = base64.b64decode(read_secret(subscriber.secret_file).removeprefix("whsec_"), validate=True)
        except ValueError:
            raise ConfigError(f"{subscriber.secret_file} holds no secret of a webhook", remedy) from None
        if len(secret) < _LEAST_SECRET:
            raise ConfigError(f"the secret in {subscriber.secret_file} is shorter than {_LEAST_SECRET} bytes", remedy)
        self._webhook = Webhook(secret)
        self._url = str(subscriber.webhook)
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()

    async def send(self, content: Content, message: UUID, now: datetime) -> None:
        """Deliver once. Raises SendError."""
        body = orjson.dumps(content.document)
        name = f"msg_{message.hex}"
        headers = {
            "content-type": "application/json",
            "user-agent": f"civobs/{__version__}",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(name, now, body.decode()),
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(
                    verify=self._tls, timeout=self._timeout_s, trust_env=False, follow_redirects=False
                ) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code
        except (TimeoutError, httpx.TimeoutException):
            raise SendError(f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SendError(_cause(error)) from None
        if not httpx.codes.is_success(status):
            # 410 is the specification's way to say: never again.
            raise SendError(f"answered with HTTP {status}", final=status == httpx.codes.GONE)


def _cause(error: BaseException) -> str:
    """Words for what failed below HTTP; the library's own may hold the address."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ssl.SSLError):
            return f"TLS: {chain.reason or 'handshake failed'}"
        chain = chain.__cause__ or chain.__context__
    return "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke off or answered not by HTTP"
