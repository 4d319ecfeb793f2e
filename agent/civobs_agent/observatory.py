"""Speaks HTTPS with the observatory: enrolment, and the signed time.

``urllib`` in a thread does: there are two requests in a probe's life, and nothing is loaded for them until then.
"""

import secrets
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from civobs_agent import AGENT
from civobs_agent.authorities import verifying_context
from civobs_agent.blocking import in_thread
from civobs_agent.errors import ConfigError, EnrolmentError, UnreachableError
from civobs_wire.enrol import TIME_CONTEXT, EnrolResponse, TimeResponse
from civobs_wire.envelope import Verifier, open_sealed
from civobs_wire.errors import WireError
from civobs_wire.limits import MAX_DOCUMENT

MAX_ANSWER_BYTES = 2 * MAX_DOCUMENT
"""A certificate chain and a plan, at most."""
NO_CHECK_TIME = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL: Python's ssl module has no name for it."""


@dataclass(frozen=True, slots=True)
class ToldTime:
    """A time the observatory signed."""

    at: datetime
    err_ms: int
    mono_ms: int
    """Monotonic clock of this boot at the instant it is taken for."""


class Observatory:
    """The observatory at one base address."""

    def __init__(self, url: str, ca: Path | None, timeout_s: float) -> None:
        self._url = url
        self._ca = ca
        self._timeout_s = timeout_s

    async def enrol(self, envelope: bytes) -> EnrolResponse:
        """Register. Raises UnreachableError if asking again may help, EnrolmentError if not."""
        answer = await self._ask("/enrol/v1", envelope)
        try:
            return EnrolResponse.model_validate_json(answer)
        except ValidationError:
            raise EnrolmentError(
                "the observatory's answer to the enrolment is not one", "check [observatory] url in the settings"
            ) from None

    async def time(self, receipt_key: Verifier) -> ToldTime:
        """Ask the time. Raises UnreachableError, or EnrolmentError if the answer cannot be trusted."""
        nonce = secrets.token_hex(16)
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        answer = await self._ask(f"/time/v1?nonce={nonce}", None, check_time=False)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            told = TimeResponse.model_validate_json(open_sealed(receipt_key, TIME_CONTEXT, answer))
        except (WireError, ValidationError):
            raise EnrolmentError(
                "the answer to the question for the time is not signed", "tell the operators"
            ) from None
        if told.nonce != nonce:
            raise EnrolmentError("the signed time is an old one", "tell the operators")
        # The answer was signed at some instant of the exchange: its middle is wrong by at most half of it.
        half_ms = (after - before) // 2_000_000 + 1
        return ToldTime(told.at, half_ms, before // 1_000_000 + half_ms)

    async def _ask(self, path: str, body: bytes | None, *, check_time: bool = True) -> bytes:
        return await in_thread("observatory", lambda: self._exchange(path, body, check_time=check_time))

    def _exchange(self, path: str, body: bytes | None, *, check_time: bool) -> bytes:
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        context = _tls(self._ca, check_time=check_time) if self._url.startswith("https://") else None
        headers = {"User-Agent": AGENT, "Content-Type": "application/octet-stream"}
        request = Request(self._url + path, data=body, headers=headers)  # noqa: S310 - the settings allow http(s) only
        try:
            with urlopen(request, timeout=self._timeout_s, context=context) as answer:  # noqa: S310 - as above
                content: bytes = answer.read(MAX_ANSWER_BYTES + 1)
        except HTTPError as error:
            with error:
                raise _refused(self._url + path, error.code, error.read(4096)) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnreachableError(
                f"cannot reach {self._url}: {reason}", "check the network and [observatory] url; it is tried again"
            ) from None
        if len(content) > MAX_ANSWER_BYTES:
            raise EnrolmentError(f"{self._url} answers without end", "check [observatory] url in the settings")
        return content


def _refused(url: str, status: int, body: bytes) -> EnrolmentError:
    """The error behind an HTTP status: 5xx, 408 and 429 pass, the others stay."""
    import json

    try:
        problem = json.loads(body)
        words = str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError):
        words = ""
    cause = f"{url} answers {status}" + (f": {words[:300]}" if words else "")
    if status >= 500 or status in {408, 429}:
        return UnreachableError(cause, "the observatory is in trouble; it is tried again")
    return EnrolmentError(cause, "check the claim code: it serves once, for seven days; ask for a new one")


def _tls(ca: Path | None, *, check_time: bool) -> ssl.SSLContext:
    try:
        context = verifying_context(ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot read certificates from {ca}: {error}", "correct [observatory] ca") from None
    if not check_time:
        # A clock at the date of the image would call every certificate not yet valid, and the answer to the only
        # question asked this way is signed with a key of its own (volunteers.md §0.7).
        context.verify_flags |= NO_CHECK_TIME
    return context
