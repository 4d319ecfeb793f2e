"""The pages for people, feeds, and the suffixes ``.json`` and ``.csv`` that can be pasted behind an event's address."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from civobs_collector.api.deps import ConnDep, Served, ServedDep
from civobs_collector.api.problems import not_found
from civobs_collector.api.routes_events import FRESH, event_headers, find_event, find_versions, grid_response
from civobs_collector.db.connect import Connection
from civobs_collector.db.read_events import EventFilter, read_country_names, read_history
from civobs_collector.publish.event_json import public_event
from civobs_collector.publish.published import PublishedEvent
from civobs_collector.publish.words import PUBLISHER
from civobs_collector.web.campaign_page import MOST_OCCURRENCES, campaign_page
from civobs_collector.web.country_page import PERIODS, View, country_page
from civobs_collector.web.event_page import event_page, history_page
from civobs_collector.web.feed import MOST_ENTRIES, feed
from civobs_collector.web.overview_page import overview_page
from civobs_collector.web.places import local_clock
from civobs_collector.web.stored import load_events, load_latest
from civobs_wire.scalars import CountryCode

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
def overview(conn: ConnDep, served: ServedDep) -> Response:
    return _page(overview_page(conn, _this_minute(), served.settings.api.public_url))


@router.get("/countries/{cc}")
def country(
    conn: ConnDep, served: ServedDep, cc: str, chosen: Annotated[str, Query(alias="period")] = "7d"
) -> Response:
    if cc != cc.upper():
        return RedirectResponse(f"/countries/{cc.upper()}", HTTPStatus.MOVED_PERMANENTLY)
    period = next((one for one in PERIODS if one.id == chosen), None)
    if period is None:
        raise not_found(f"There is no period of that name; there are {', '.join(one.id for one in PERIODS)}.")
    page = None
    at = _this_minute()
    if len(cc) == 2 and cc.isascii() and cc.isalpha():
        view = View(at, local_clock(cc), served.drawings, served.settings.api.public_url)
        page = country_page(conn, cc, period, view)
    if page is None:
        raise not_found("The observatory has no probe and no event in this country, so it can say nothing about it.")
    served.ahead.asked(cc, period, at)
    return _page(page)


@router.get("/events.atom")
def feed_of_all(conn: ConnDep, served: ServedDep) -> Response:
    return _feed(conn, served, None)


@router.get("/countries/{cc}/events.atom")
def feed_of_country(conn: ConnDep, served: ServedDep, cc: CountryCode) -> Response:
    return _feed(conn, served, cc)


@router.get("/events/{public_id}.json")
def newest_json(conn: ConnDep, served: ServedDep, public_id: str) -> Response:
    return _json(find_event(conn, served, public_id, None), frozen=False)


@router.get("/events/{public_id}.csv")
def newest_csv(conn: ConnDep, served: ServedDep, public_id: str) -> Response:
    return grid_response(find_event(conn, served, public_id, None), frozen=False)


@router.get("/events/{public_id}/history")
def history(conn: ConnDep, served: ServedDep, public_id: str) -> Response:
    return _page(history_page(find_versions(conn, served, public_id)))


@router.get("/campaigns/{campaign}")
def campaign(conn: ConnDep, served: ServedDep, campaign: UUID) -> Response:
    wanted = EventFilter(campaign=campaign)
    found = load_events(conn, wanted, MOST_OCCURRENCES, served.settings.api.public_url)
    if not found:
        raise not_found("There is no such campaign.")
    return _page(campaign_page(campaign, found, local_clock(found[0].record.scope.cc)))


@router.get("/events/{public_id}/v{version:int}.json")
def version_json(conn: ConnDep, served: ServedDep, public_id: str, version: int) -> Response:
    return _json(find_event(conn, served, public_id, version), frozen=True)


@router.get("/events/{public_id}/v{version:int}.csv")
def version_csv(conn: ConnDep, served: ServedDep, public_id: str, version: int) -> Response:
    return grid_response(find_event(conn, served, public_id, version), frozen=True)


@router.get("/events/{public_id}/v{version:int}")
def version_page(request: Request, conn: ConnDep, served: ServedDep, public_id: str, version: int) -> Response:
    return _event(request, conn, served, find_event(conn, served, public_id, version), frozen=True)


@router.get("/events/{public_id}")
def newest_page(request: Request, conn: ConnDep, served: ServedDep, public_id: str) -> Response:
    return _event(request, conn, served, find_event(conn, served, public_id, None), frozen=False)


def _event(request: Request, conn: Connection, served: Served, event: PublishedEvent, *, frozen: bool) -> Response:
    """Answer with the page, or with JSON to a program that asks for JSON and not for a page (RFC 9110 §12)."""
    accept = request.headers.get("accept", "")
    if "application/json" in accept and "text/html" not in accept:
        response = _json(event, frozen=frozen)
    else:
        lines = read_history(conn, event.public_id)
        local = local_clock(event.record.scope.cc)
        accessed = None if frozen else datetime.now(UTC).date()
        response = HTMLResponse(event_page(event, lines, local, served.drawings, accessed=accessed))
        response.headers.update(event_headers(event, frozen=frozen))
    response.headers["Vary"] = "Accept"
    return response


def _json(event: PublishedEvent, *, frozen: bool) -> Response:
    body = public_event(event, local_clock(event.record.scope.cc)).model_dump_json()
    return Response(body, headers=event_headers(event, frozen=frozen), media_type="application/json")


def _feed(conn: Connection, served: Served, cc: str | None) -> Response:
    base_url = served.settings.api.public_url
    events = load_latest(conn, cc, MOST_ENTRIES, base_url)
    name = f"{PUBLISHER}: {read_country_names(conn).get(cc, cc)}" if cc else PUBLISHER
    path = f"/countries/{cc}/events.atom" if cc else "/events.atom"
    body = feed(name, path, events, _this_minute(), base_url)
    return Response(body, headers={"Cache-Control": FRESH}, media_type="application/atom+xml")


def _page(text: str) -> Response:
    return HTMLResponse(text, headers={"Cache-Control": FRESH})


def _this_minute() -> datetime:
    """Now, as exactly as a page says it."""
    return datetime.now(UTC).replace(second=0, microsecond=0)
