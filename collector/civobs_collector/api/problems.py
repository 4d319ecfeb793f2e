"""Errors as RFC 9457 problem documents; as a plain page for people who came with a browser.

No problem tells of the inside: the database's words stay in the log.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from civobs_collector.errors import CivobsCollectorError, EnrolmentError
from civobs_collector.web.templates import render

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 10

_MACHINE_PATHS = ("/api/", "/enrol/", "/time/", "/health", "/metrics")


class FieldProblem(BaseModel):
    """One value that could not be taken."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no event CIV-2026-KE-0001.",
                    "instance": "/api/v1/events/CIV-2026-KE-0001",
                    "errors": [],
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[FieldProblem, ...] = ()


class ApiProblem(HTTPException):
    """Raised by a route to answer with a problem; ``detail`` is for people."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status.value, detail, headers)


def not_found(detail: str) -> ApiProblem:
    """Make the problem of something that is not there."""
    return ApiProblem(HTTPStatus.NOT_FOUND, detail)


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _http,
        RequestValidationError: _validation,
        psycopg.errors.QueryCanceled: _too_long,
        psycopg.OperationalError: _database_away,
        PoolTimeout: _database_away,
        EnrolmentError: _enrolment,
        CivobsCollectorError: _not_ready,
        Exception: _unexpected,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


def answer(
    request: Request,
    status: int,
    detail: str,
    *,
    kind: str = "about:blank",
    errors: tuple[FieldProblem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write a problem, or a page with the same words for a browser."""
    title = HTTPStatus(status).phrase
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if _for_people(request):
        page = render("problem.html", {"title": title, "status": status, "detail": detail})
        return Response(page, status, sent, "text/html; charset=utf-8")
    body = Problem(type=kind, title=title, status=status, detail=detail, instance=request.url.path, errors=errors)
    return Response(body.model_dump_json(), status, sent, MEDIA_TYPE)


def _for_people(request: Request) -> bool:
    path = request.url.path
    machine = path.startswith(_MACHINE_PATHS) or path.endswith((".json", ".csv"))
    return not machine and "text/html" in request.headers.get("accept", "")


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException")
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = {404: "There is nothing at this address.", 405: "This address does not take that method."}.get(
            error.status_code, detail
        )
    return answer(request, error.status_code, detail, headers=error.headers)


async def _validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError")
    fields = tuple(
        FieldProblem(field=".".join(str(part) for part in one["loc"]), message=str(one["msg"]))
        for one in error.errors()
    )
    detail = "; ".join(f"{one.field}: {one.message}" for one in fields)
    return answer(request, 422, detail, errors=fields)


async def _database_away(request: Request, error: Exception) -> Response:
    logger.warning("database_away error=%s", type(error).__name__)
    return answer(
        request,
        503,
        "The observatory's database cannot be reached at the moment. Nothing is lost: try again in a minute.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _too_long(request: Request, error: Exception) -> Response:
    logger.warning("query_too_long path=%s error=%s", request.url.path, type(error).__name__)
    return answer(
        request,
        503,
        "The answer took too long. Ask for a shorter time or one network.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _enrolment(request: Request, error: Exception) -> Response:
    if not isinstance(error, EnrolmentError):
        raise TypeError("registered for EnrolmentError")
    return answer(request, error.status, f"{error.cause}; {error.remedy}", kind=f"urn:civobs:problem:{error.problem}")


async def _not_ready(request: Request, error: Exception) -> Response:
    logger.error("not_ready error=%s cause=%s", type(error).__name__, error)
    return answer(
        request,
        503,
        "The observatory is not set up completely. Its operators have been told in the log.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("unexpected path=%s", request.url.path, exc_info=error)
    return answer(request, 500, "Something went wrong here. It is in the log of the observatory.")
