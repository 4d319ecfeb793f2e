"""The desk's page of one event, and the decisions that are sent from it. ``desk/triage.py`` takes or refuses them."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from civobs_collector.api import staff_deps
from civobs_collector.api.deps import ConnDep, Served, ServedDep
from civobs_collector.api.problems import ApiProblem, not_found
from civobs_collector.api.routes_desk import frame
from civobs_collector.api.staff_deps import Form, OwnFormDep, Visit, VisitDep
from civobs_collector.db import events
from civobs_collector.db.connect import Connection
from civobs_collector.db.read_queue import list_nearby
from civobs_collector.db.staff import Role
from civobs_collector.desk.triage import Wanted, decide
from civobs_collector.detect.reviews import Action
from civobs_collector.detect_read import reviews_of
from civobs_collector.errors import NotFoundError, ReviewRefusedError
from civobs_collector.web.staff_event import Attempt, Dossier, staff_event_page
from civobs_collector.web.staff_pages import ACTIONS, line

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

MOST_OTHERS = 50
"""Events of the country that one may be merged with."""


@router.get("/staff/events/{name}")
def show_event(
    conn: ConnDep, served: ServedDep, visit: VisitDep, name: str, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    dossier = _dossier(conn, served, name)
    attempt = Attempt(done=ACTIONS[done].lower() if done in list(Action) else "")
    return HTMLResponse(_page(served, visit, dossier, attempt))


@router.post("/staff/events/{name}")
def decide_event(
    request: Request, form: OwnFormDep, conn: ConnDep, served: ServedDep, visit: VisitDep, name: str
) -> Response:
    """Decide; a refusal shows the page again with what was typed."""
    dossier = _dossier(conn, served, name)
    wanted = _wanted(form, dossier, visit)
    staff_deps.require_role(conn, visit, Role.REVIEWER, f"event.{wanted.action}", dossier.newest.event_key)
    try:
        decide(conn, wanted, visit.at)
    except (ReviewRefusedError, NotFoundError) as error:
        attempt = Attempt(wanted.action, refused=error.cause, typed=form)
        page = _page(served, visit, _dossier(conn, served, name), attempt)
        return HTMLResponse(page, HTTPStatus.CONFLICT)
    return RedirectResponse(f"{quote(request.url.path)}?done={wanted.action}", HTTPStatus.SEE_OTHER)


def _dossier(conn: Connection, served: Served, name: str) -> Dossier:
    versions = [] if "\x00" in name else events.read_versions(conn, name)
    if not versions:
        raise not_found("There is no such event.")
    newest = versions[-1]
    reviews = reviews_of(conn, [newest.event_key]).get(newest.event_key, ())
    nearby = list_nearby(conn, newest.event_key, MOST_OTHERS)
    return Dossier(versions, reviews, [line(row, served.settings.api.public_url) for row in nearby])


def _page(served: Served, visit: Visit, dossier: Dossier, attempt: Attempt) -> str:
    around = frame(served, visit, "")
    may_decide = visit.member.role.covers(Role.REVIEWER)
    return staff_event_page(around, dossier, attempt, served.drawings, may_decide=may_decide)


def _wanted(form: Form, dossier: Dossier, visit: Visit) -> Wanted:
    """Read a decision from its form. Raises ApiProblem for what no form of ours sends."""
    try:
        action = Action(form.get("action", ""))
        seen = int(form.get("seen_version", ""))
        asns = tuple(int(one) for one in form.getlist("asn"))
    except ValueError:
        raise ApiProblem(HTTPStatus.BAD_REQUEST, "This is no form of ours.") from None
    body: dict[Action, dict[str, object]] = {
        Action.CAUSE: {"value": form.get("value", ""), "basis": form.get("basis", "")},
        Action.MERGE: {"with": form.get("with", "")},
        Action.SPLIT: {"asns": asns, "targets": tuple(form.getlist("target"))},
    }
    return Wanted(
        event=str(dossier.newest.event_key),
        action=action,
        reviewer=visit.member.name,
        note=form.get("note", ""),
        sources=tuple(form.get("sources", "").split()),
        body=body.get(action, {}),
        staff_key=visit.member.staff_key,
        seen_version=seen,
    )
