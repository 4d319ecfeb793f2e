"""A request's body, no more of it than it can be and no longer than it can take."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from civobs_collector.api.problems import ApiProblem

BODY_S = 15.0
"""Seconds for a body: of 16 KiB that is 9 kbit/s, less than a bad mobile line gives."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """What a body can be."""

    name: str
    """Such as ``An enrolment``."""
    most_bytes: int

    async def read(self, request: Request) -> bytes:
        """Read it. Raises ApiProblem for one that is too long, too slow or cut off."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.stream():
                    body += piece
                    if len(body) > self.most_bytes:
                        raise ApiProblem(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{self.name} has at most {self.most_bytes} bytes."
                        )
        except ClientDisconnect:
            raise ApiProblem(HTTPStatus.BAD_REQUEST, "The request ended before its body did.") from None
        except TimeoutError:
            raise ApiProblem(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The request did not arrive within {BODY_S:.0f} seconds.",
                {"Connection": "close"},
            ) from None
        return bytes(body)
