"""``/api/v1/events``: lists, events, versions and histories, as JSON and CSV."""

import json
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.api.deps import PAGE_DEFAULT, ConnDep, Cursor, Limit, Served, ServedDep
from civobs_collector.api.models import CodfPage, EventLine, EventPage, FieldChange, History, HistoryLine
from civobs_collector.api.problems import not_found
from civobs_collector.db.connect import Connection
from civobs_collector.db.read_events import EventFilter
from civobs_collector.detect.record import EventKind, Status
from civobs_collector.publish.changes import changes
from civobs_collector.publish.codf import codf
from civobs_collector.publish.event_json import PublicEvent, public_event
from civobs_collector.publish.published import PublishedEvent, title
from civobs_collector.publish.tables_csv import events_csv, grid_csv
from civobs_collector.web.places import local_clock
from civobs_collector.web.stored import load_event, load_events, load_versions
from civobs_wire.scalars import Asn, CountryCode, UtcTime

router = APIRouter(prefix="/api/v1", tags=["events"])

CSV = "text/csv; charset=utf-8; header=present"
CSV_MOST = 10_000
IMMUTABLE = "public, max-age=31536000, immutable"
"""For what never changes: a version, once published."""
FRESH = "public, max-age=15"
"""For what may change at any time; detection runs every 30 seconds."""


_EXAMPLE = json.loads((files("civobs_collector.api") / "example_event.json").read_text(encoding="utf-8"))
EVENT_RESPONSE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": _EXAMPLE}}}}


Format = Annotated[Literal["json", "codf"], Field(description="`codf`: IODA's form, a row for each signal")]
FormQuery = Annotated[Format, Query(alias="format")]


class EventQuery(BaseModel):
    """The filters; one that is not known is refused, because ignoring it would answer another question."""

    model_config = ConfigDict(extra="forbid")

    cc: CountryCode | None = None
    asn: Asn | None = None
    kind: EventKind | None = None
    status: Status | None = None
    level: Literal["network", "region", "country"] | None = None
    campaign: Annotated[UUID | None, Field(description="Occurrences of one campaign")] = None
    start: Annotated[UtcTime | None, Field(alias="from", description="Not over before this time")] = None
    end: Annotated[UtcTime | None, Field(alias="to", description="Begun before this time")] = None

    def wanted(self) -> EventFilter:
        return EventFilter(
            cc=self.cc,
            asn=self.asn,
            kind=self.kind,
            status=self.status,
            level=self.level,
            campaign=self.campaign,
            start=self.start,
            end=self.end,
        )


class EventPageQuery(EventQuery):
    """The filters, and where the page begins."""

    cursor: Cursor = None
    limit: Limit = PAGE_DEFAULT
    format: Format = "json"


@router.get("/events", summary="Events, latest onset first")
def list_of_events(conn: ConnDep, served: ServedDep, query: Annotated[EventPageQuery, Query()]) -> EventPage | CodfPage:
    """The newest version of each event."""
    limit, after = query.limit, _after(served, query.cursor)
    found = load_events(conn, query.wanted(), limit + 1, served.settings.api.public_url, after)
    last = found[limit - 1] if len(found) > limit else None
    token = (
        served.sealer.seal_cursor("events", last.record.onset.earliest.isoformat(), last.public_id) if last else None
    )
    if query.format == "codf":
        return CodfPage(data=tuple(row for event in found[:limit] for row in codf(event)), next=token)
    return EventPage(items=tuple(_line(event) for event in found[:limit]), next=token)


@router.get("/events.csv", summary="Events as CSV", response_class=Response, responses={200: {"content": {CSV: {}}}})
def events_as_csv(conn: ConnDep, served: ServedDep, query: Annotated[EventQuery, Query()]) -> Response:
    """The newest version of each event, at most 10,000."""
    found = load_events(conn, query.wanted(), CSV_MOST, served.settings.api.public_url)
    return csv_response(events_csv(found), "events.csv", FRESH)


@router.get("/events/{public_id}", summary="The newest version of an event", responses=EVENT_RESPONSE)
def newest_event(
    conn: ConnDep, served: ServedDep, response: Response, public_id: str, form: FormQuery = "json"
) -> PublicEvent | CodfPage:
    """The record with its title, summary and citation."""
    event = find_event(conn, served, public_id, None)
    response.headers.update(event_headers(event, frozen=False))
    return _in_form(event, form)


@router.get(
    "/events/{public_id}/v{version}", summary="One version of an event, for ever the same", responses=EVENT_RESPONSE
)
def event_version(
    conn: ConnDep, served: ServedDep, response: Response, public_id: str, version: int, form: FormQuery = "json"
) -> PublicEvent | CodfPage:
    """A published version is never rewritten."""
    event = find_event(conn, served, public_id, version)
    response.headers.update(event_headers(event, frozen=True))
    return _in_form(event, form)


@router.get("/events/{public_id}/history", summary="All versions of an event")
def event_history(conn: ConnDep, served: ServedDep, public_id: str) -> History:
    """What changed when, and why; newest first."""
    versions = find_versions(conn, served, public_id)
    pairs = zip(versions, [*versions[1:], None], strict=True)
    return History(id=public_id, items=tuple(_history_line(event, before) for event, before in pairs))


def find_event(conn: Connection, served: Served, public_id: str, version: int | None) -> PublishedEvent:
    """Load an event or answer 404; ids and versions that cannot exist are simply not there."""
    if "\x00" in public_id or (version is not None and not 1 <= version < 2**31):
        raise not_found("There is no such event.")
    event = load_event(conn, public_id, version, served.settings.api.public_url)
    if event is None:
        what = public_id if version is None else f"{public_id}, version {version}"
        raise not_found(f"There is no event {what}.")
    return event


def find_versions(conn: Connection, served: Served, public_id: str) -> list[PublishedEvent]:
    """Load all versions of an event, newest first, or answer 404."""
    versions = [] if "\x00" in public_id else load_versions(conn, public_id, served.settings.api.public_url)
    if not versions:
        raise not_found(f"There is no event {public_id}.")
    return versions


def event_headers(event: PublishedEvent, *, frozen: bool) -> dict[str, str]:
    """Make the headers of an event: how long it holds, how to cite it, where its neighbours are (RFC 8574, 5829)."""
    links = [
        f'<{event.permalink}>; rel="cite-as"',
        f'<{event.latest_url}>; rel="latest-version"',
        f'<{event.latest_url}/history>; rel="version-history"',
        '<https://creativecommons.org/licenses/by/4.0/>; rel="license"',
        f'<{event.permalink}.json>; rel="alternate"; type="application/json"',
        f'<{event.permalink}.csv>; rel="alternate"; type="text/csv"',
    ]
    if event.supersedes is not None:
        links.append(f'<{event.latest_url}/v{event.supersedes}>; rel="predecessor-version"')
    return {"Cache-Control": IMMUTABLE if frozen else FRESH, "Link": ", ".join(links)}


def csv_response(text: str, name: str, cache: str) -> Response:
    """Answer with a CSV file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": cache}
    return Response(text, headers=headers, media_type=CSV)


def grid_response(event: PublishedEvent, *, frozen: bool) -> Response:
    """Answer with what an event's chart shows."""
    response = csv_response(grid_csv(event), f"{event.public_id}-v{event.version}.csv", FRESH)
    response.headers.update(event_headers(event, frozen=frozen))
    return response


def _in_form(event: PublishedEvent, form: Format) -> PublicEvent | CodfPage:
    if form == "codf":
        return CodfPage(data=codf(event), next=None)
    return public_event(event, local_clock(event.record.scope.cc))


def _after(served: Served, cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    onset, public_id = served.sealer.open_cursor("events", cursor)
    return datetime.fromisoformat(str(onset)), str(public_id)


def _history_line(event: PublishedEvent, before: PublishedEvent | None) -> HistoryLine:
    return HistoryLine(
        version=event.version,
        permalink=event.permalink,
        published_at=event.published_at,
        change_kind=event.change_kind,
        reason=event.reason,
        detector_version=event.record.method.detector_version,
        changed=tuple(
            FieldChange(field=one.field, name=one.name, before=one.before, after=one.after)
            for one in (changes(before, event) if before else ())
        ),
    )


def _line(event: PublishedEvent) -> EventLine:
    record, end = event.record, event.record.resolution
    return EventLine(
        id=event.public_id,
        version=event.version,
        permalink=event.permalink,
        published_at=event.published_at,
        title=title(event),
        kind=record.kind,
        status=record.status,
        provisional=record.provisional,
        level=record.scope.level,
        cc=record.scope.cc,
        asns=record.scope.asns,
        targets=record.scope.targets,
        campaign=record.campaign.campaign_id if record.campaign else None,
        onset_earliest=record.onset.earliest,
        onset_latest=record.onset.latest,
        resolution_earliest=end.earliest if end else None,
        resolution_latest=end.latest if end else None,
        households=record.affected.n_observed,
        households_down=record.affected.n_down,
        confidence=record.confidence.label,
        cause=record.cause.value,
        reviewed_by=record.reviewed_by,
    )
