"""What the desk's routes are given: who is signed in, and a form that came from our own page.

A form has the token of its session, and the browser says that it comes from here. A session's cookie is never sent from
another site (SameSite=Strict), so whoever follows a link from elsewhere is asked to go on from the sign-in page.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from hmac import compare_digest
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl, quote
from uuid import UUID

from fastapi import Depends, Request, Response
from starlette.datastructures import ImmutableMultiDict

from civobs_collector.api.body import BodyLimit
from civobs_collector.api.deps import ConnDep, Served, ServedDep
from civobs_collector.api.problems import ApiProblem, not_found
from civobs_collector.db import audit
from civobs_collector.db.connect import Connection
from civobs_collector.db.staff import Member, Role, Session
from civobs_collector.desk import sessions
from civobs_collector.desk.sessions import Browser
from civobs_collector.keys import read_box_key

COOKIE = "__Host-civobs"
FORM_COOKIE = "__Host-civobs-form"
"""Before there is a session, the token of the sign-in form is made of this."""
SIGN_IN = "/staff/sign-in"
CSRF = "csrf"
NOBODY = "(nobody)"
"""In the audit, for whoever is not signed in. What was typed for a login is not written down: it may be a password."""

_BODY = BodyLimit("A form", 64 * 1024)
_MOST_FIELDS = 500
_NUL = "\0"
"""No text of a form has it, and the database takes none with it."""
_GATE_S = 10.0
_OWN_PATH = re.compile(r"/staff/[A-Za-z0-9/_-]*")

Form = ImmutableMultiDict[str, str]


@dataclass(frozen=True, slots=True)
class Visit:
    """Who is signed in, from which browser, since when it is."""

    session: Session
    browser: Browser
    at: datetime

    @property
    def member(self) -> Member:
        return self.session.member


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk of this process."""

    key: bytes = field(repr=False)


def _desk(served: ServedDep) -> Desk:
    """Refuse the desk where its key is not: nobody could sign in. The first member of staff has it made."""
    path = served.settings.keys.desk_key
    if not path.exists():
        raise not_found("There is nothing at this address.")
    return Desk(read_box_key(path))


DeskDep = Annotated[Desk, Depends(_desk)]


def browser_of(request: Request) -> Browser:
    """Return what the request says of the browser."""
    return Browser(request.cookies.get(COOKIE, ""), request.headers.get("user-agent", ""))


def _visit(request: Request, conn: ConnDep, served: ServedDep, _desk: DeskDep) -> Visit:
    """Ask whoever is not signed in to do so."""
    now = datetime.now(UTC)
    browser = browser_of(request)
    session = sessions.find(conn, browser, now)
    if session is not None:
        return Visit(session, browser, now)
    if request.method == "GET":
        to = f"{SIGN_IN}?next={quote(request.url.path)}"
        raise ApiProblem(HTTPStatus.SEE_OTHER, "Sign in first.", {"Location": to})
    refuse_stranger(conn, served, "form", "not signed in")
    raise ApiProblem(HTTPStatus.FORBIDDEN, "You are not signed in, or not any more. Sign in and do it again.")


VisitDep = Annotated[Visit, Depends(_visit)]


async def _form(request: Request) -> Form:
    """Read a form's fields."""
    body = await _BODY.read(request)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        fields = [("", _NUL)]
    if any(_NUL in part for pair in fields for part in pair):
        raise ApiProblem(HTTPStatus.BAD_REQUEST, "This is no form of ours.")
    return ImmutableMultiDict(fields)


FormDep = Annotated[Form, Depends(_form)]


def _own_form(request: Request, form: FormDep, conn: ConnDep, visit: VisitDep) -> Form:
    """Take a form of the page that this session was shown, and of no other. What is refused is logged."""
    wrong = forgery(request, form, visit.session.csrf)
    if wrong:
        refuse(conn, visit, "form", f"forged: {wrong}")
        raise ApiProblem(HTTPStatus.FORBIDDEN, f"This was not done: {wrong}. Open the page again and send its form.")
    return form


OwnFormDep = Annotated[Form, Depends(_own_form)]


def forgery(request: Request, form: Form, expected: str) -> str:
    """Say what shows that a form is not of our own page; empty if nothing does. No token is ever empty."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    if origin is None and site is None:
        return "the browser does not say where the form came from"
    if site not in (None, "same-origin") or origin not in (None, f"https://{host}", f"http://{host}"):
        return "the form came from another site"
    if not expected or not compare_digest(form.get(CSRF, "").encode(), expected.encode()):
        return "the form's token is not that of this session"
    return ""


def refuse(conn: Connection, visit: Visit, action: str, detail: str, event_key: UUID | None = None) -> None:
    """Write down that a member was refused something."""
    member = visit.member
    audit.record(
        conn, visit.at, member.login, action, "refused", staff_key=member.staff_key, event_key=event_key, detail=detail
    )


def refuse_stranger(conn: Connection, served: Served, action: str, detail: str) -> None:
    """Write down that a stranger was refused something, as long as that is not too much: no row is ever deleted."""
    if not served.strangers.take(NOBODY):
        audit.record(conn, datetime.now(UTC), NOBODY, action, "refused", detail=detail)


def require_role(conn: Connection, visit: Visit, needed: Role, action: str, event_key: UUID | None = None) -> None:
    """Refuse a member of a lesser role, and write it down."""
    if not visit.member.role.covers(needed):
        refuse(conn, visit, action, f"needs the role {needed}, has {visit.member.role}", event_key)
        raise ApiProblem(HTTPStatus.FORBIDDEN, f"This is for the role {needed}; yours is {visit.member.role}.")


async def _gate(served: ServedDep) -> AsyncIterator[None]:
    """Let in a few at a time: a hash takes 64 MiB, and who waits here holds no thread and no connection yet."""
    try:
        async with asyncio.timeout(_GATE_S):
            await served.hashing.acquire()
    except TimeoutError:
        raise ApiProblem(
            HTTPStatus.SERVICE_UNAVAILABLE, "Too many are signing in at the moment.", {"Retry-After": "30"}
        ) from None
    try:
        yield
    finally:
        served.hashing.release()


GateDep = Annotated[None, Depends(_gate)]


def waiting_s(request: Request, served: Served, login: str) -> int:
    """Seconds to wait before the next attempt from this address or for this login; 0 if it may be now."""
    by_address = served.sign_ins.take(request.client.host if request.client else "")
    # Who must wait does not use up a login's attempts all the while.
    return by_address or served.logins.take(f"login:{login.casefold()}")


def own_path(text: str | None) -> str:
    """Where to go after signing in: a page of the desk, whatever was asked for."""
    return text if text and _OWN_PATH.fullmatch(text) and "//" not in text else "/staff/"


def form_cookie(request: Request) -> str:
    """Return the browser's cookie of the sign-in form, or a new one."""
    return request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)


def form_token(cookie: str) -> str:
    """The token of the sign-in form that goes with its cookie; other sites can set no ``__Host-`` cookie."""
    return blake2b(cookie.encode(), digest_size=32, person=b"civobs-sign-in").hexdigest()


def set_cookie(response: Response, name: str, value: str) -> None:
    """Give the browser a cookie that ends with it, is only for us, and that no script reads (RFC 6265bis §4.1.3)."""
    response.set_cookie(name, value, secure=True, httponly=True, samesite="strict", path="/")
