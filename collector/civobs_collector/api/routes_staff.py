"""Signing in and out of the desk."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from civobs_collector.api import staff_deps
from civobs_collector.api.deps import ConnDep, ServedDep
from civobs_collector.api.staff_deps import COOKIE, FORM_COOKIE, DeskDep, FormDep, GateDep, OwnFormDep, VisitDep
from civobs_collector.db import audit
from civobs_collector.desk import sessions
from civobs_collector.desk.sign_in import Typed, sign_in
from civobs_collector.web.staff_pages import sign_in_page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

WRONG = "The login, the password or the code is not right. Each code works once: wait for the next one."
FORGED = "This form was not sent from our own page, or its page was open for too long. Try again."


@router.get(staff_deps.SIGN_IN)
def show_sign_in(
    request: Request, _desk: DeskDep, wanted: Annotated[str | None, Query(alias="next", max_length=200)] = None
) -> Response:
    return _sign_in_form(request, wanted, "", HTTPStatus.OK)


@router.post(staff_deps.SIGN_IN)
def do_sign_in(
    request: Request, form: FormDep, served: ServedDep, desk: DeskDep, _gate: GateDep, conn: ConnDep
) -> Response:
    """One answer for all that is wrong with a login, a password and a code."""
    wanted = form.get("next")
    cookie = request.cookies.get(FORM_COOKIE, "")
    if wrong := staff_deps.forgery(request, form, staff_deps.form_token(cookie) if cookie else ""):
        staff_deps.refuse_stranger(conn, served, "sign-in", f"forged: {wrong}")
        return _sign_in_form(request, wanted, FORGED, HTTPStatus.FORBIDDEN)
    typed = Typed(form.get("login", "").strip().casefold(), form.get("password", ""), form.get("code", ""))
    if wait_s := staff_deps.waiting_s(request, served, typed.login):
        words = f"Too many attempts. Try again in {wait_s} seconds."
        response = _sign_in_form(request, wanted, words, HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(wait_s)
        return response
    answer = sign_in(conn, desk.key, typed, staff_deps.browser_of(request), datetime.now(UTC))
    if answer.stranger:
        staff_deps.refuse_stranger(conn, served, "sign-in", "no such login")
    if answer.token is None:
        return _sign_in_form(request, wanted, WRONG, HTTPStatus.FORBIDDEN)
    response = RedirectResponse(staff_deps.own_path(wanted), HTTPStatus.SEE_OTHER)
    staff_deps.set_cookie(response, COOKIE, answer.token)
    return response


@router.post("/staff/sign-out")
def do_sign_out(_form: OwnFormDep, conn: ConnDep, visit: VisitDep) -> Response:
    sessions.end(conn, visit.browser, visit.at)
    member = visit.member
    audit.record(conn, visit.at, member.login, "sign-out", "done", staff_key=member.staff_key)
    response = RedirectResponse(staff_deps.SIGN_IN, HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return response


def _sign_in_form(request: Request, wanted: str | None, wrong: str, status: HTTPStatus) -> Response:
    cookie = staff_deps.form_cookie(request)
    page = sign_in_page(staff_deps.form_token(cookie), staff_deps.own_path(wanted) if wanted else None, wrong)
    response = HTMLResponse(page, status)
    staff_deps.set_cookie(response, FORM_COOKIE, cookie)
    return response
