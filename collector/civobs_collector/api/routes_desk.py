"""The desk behind the sign-in: the queue and the audit."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from civobs_collector.api import staff_deps
from civobs_collector.api.deps import ConnDep, Served, ServedDep
from civobs_collector.api.staff_deps import Visit, VisitDep
from civobs_collector.db.read_queue import list_reviewed, list_waiting
from civobs_collector.db.staff import Role, read_audit
from civobs_collector.web.staff_pages import Frame, audit_page, queue_page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

MOST_WAITING, MOST_REVIEWED, AUDIT_LINES = 200, 20, 100


@router.get("/staff/")
def show_queue(conn: ConnDep, served: ServedDep, visit: VisitDep) -> Response:
    waiting, reviewed = list_waiting(conn, MOST_WAITING), list_reviewed(conn, MOST_REVIEWED)
    around = frame(served, visit, "/staff/")
    return HTMLResponse(queue_page(around, waiting, reviewed, visit.at, full=len(waiting) == MOST_WAITING))


@router.get("/staff/audit")
def show_audit(
    conn: ConnDep,
    served: ServedDep,
    visit: VisitDep,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    login: Annotated[str, Query(max_length=32, pattern=r"^[a-z0-9._() -]*$")] = "",
) -> Response:
    staff_deps.require_role(conn, visit, Role.ADMIN, "audit")
    lines = read_audit(conn, AUDIT_LINES + 1, before=before, login=login.strip() or None)
    shown = lines[:AUDIT_LINES]
    older = shown[-1].audit_key if len(lines) > AUDIT_LINES else None
    return HTMLResponse(audit_page(frame(served, visit, "/staff/audit"), shown, login.strip(), older))


def frame(served: Served, visit: Visit, here: str) -> Frame:
    """What stands around a page."""
    return Frame(visit.member, visit.session.csrf, here, served.settings.api.public_url)
