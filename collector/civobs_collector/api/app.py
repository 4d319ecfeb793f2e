"""The application: API, pages, enrolment and health in one ASGI program."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from civobs_collector import __version__
from civobs_collector.api import (
    problems,
    routes_desk,
    routes_desk_events,
    routes_enrol,
    routes_events,
    routes_health,
    routes_measurements,
    routes_networks,
    routes_pages,
    routes_staff,
)
from civobs_collector.api.deps import Served, make_served
from civobs_collector.api.head import AnswerHead
from civobs_collector.api.headers import SecurityHeaders
from civobs_collector.config import CollectorSettings

DESCRIPTION = """\
A public record of Internet shutdowns, throttling and blocking, measured from volunteers' homes.
Data: CC BY 4.0. Times are UTC, ISO 8601. Lists go on with `cursor`, from `next` of the page before.
Errors are problem documents (RFC 9457).
"""

_PROBLEM = {"model": problems.Problem, "content": {problems.MEDIA_TYPE: {}}}


class _Static(StaticFiles):
    """Files that change only with the program."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response


def create_app(settings: CollectorSettings) -> FastAPI:
    """Make the application. It starts without the database too, and answers 503 until that is there."""
    served = make_served(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        served.pool.open()
        drawing = Thread(target=_draw_ahead, args=(served,), name="drawings")
        drawing.start()
        try:
            yield
        finally:
            served.ahead.stop()
            drawing.join()
            served.pool.close()

    app = FastAPI(
        title="Core Internet Values Observatory",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "CC BY 4.0 (data)", "url": "https://creativecommons.org/licenses/by/4.0/"},
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        # The reason is named here because Python's own name for it changed with 3.13 (RFC 9110).
        responses={422: {**_PROBLEM, "description": "Unprocessable Content"}, "4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.served = served
    for module in (
        routes_events,
        routes_measurements,
        routes_networks,
        routes_health,
        routes_enrol,
        routes_pages,
        routes_staff,
        routes_desk,
        routes_desk_events,
    ):
        app.include_router(module.router)
    app.mount("/static", _Static(packages=[("civobs_collector.web", "static")]), name="static")
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AnswerHead)
    problems.install(app)
    return app


def _draw_ahead(served: Served) -> None:
    """Start the renderer, and keep drawings ready."""
    served.drawings.warm()
    served.ahead.run()


def _operation_id(route: APIRoute) -> str:
    return route.name
