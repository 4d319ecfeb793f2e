"""``/api/v1/measurements``: what was measured, without what could name a home."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.api.deps import PAGE_DEFAULT, ConnDep, Cursor, Limit, Served, ServedDep
from civobs_collector.api.models import MeasurementLine, MeasurementPage
from civobs_collector.api.problems import ApiProblem
from civobs_collector.api.routes_events import CSV, FRESH, csv_response
from civobs_collector.db.connect import Connection
from civobs_collector.db.read_measurements import MeasurementFilter, MeasurementRow, list_measurements
from civobs_collector.publish.tables_csv import to_csv
from civobs_collector.publish.times import iso
from civobs_wire.failure import Outcome
from civobs_wire.scalars import Asn, CountryCode, Name, UtcTime

router = APIRouter(prefix="/api/v1", tags=["measurements"])

LONGEST = timedelta(days=31)
"""Span of one request; more is read in several."""
DEFAULT = timedelta(hours=1)

OUTCOMES: tuple[Outcome, ...] = (Outcome.OK, Outcome.FAILED, Outcome.NOT_RUN)
"""By the number that the database stores."""

COLUMNS = tuple(name for name in MeasurementLine.model_fields if name != "detail")


class MeasurementQuery(BaseModel):
    """The filters, and where the page begins; an unknown filter is refused."""

    model_config = ConfigDict(extra="forbid")

    cc: CountryCode | None = None
    asn: Annotated[list[Asn], Field(description="May be given several times", max_length=100)] = []
    kind: Name | None = None
    target: Name | None = None
    outcome: Outcome | None = None
    start: Annotated[UtcTime | None, Field(alias="from", description="Inclusive; an hour before `to` by default")] = (
        None
    )
    end: Annotated[UtcTime | None, Field(alias="to", description="Exclusive; now by default")] = None
    cursor: Cursor = None
    limit: Limit = PAGE_DEFAULT

    def wanted(self) -> MeasurementFilter:
        """Raises ApiProblem when the times do not fit."""
        end = self.end or datetime.now(UTC)
        start = self.start or end - DEFAULT
        if not timedelta(0) < end - start <= LONGEST:
            raise ApiProblem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"`from` must lie before `to`, at most {LONGEST.days} days; longer spans are read in parts.",
            )
        return MeasurementFilter(
            start=start,
            end=end,
            cc=self.cc,
            asns=tuple(self.asn),
            kind=self.kind,
            target=self.target,
            outcome=None if self.outcome is None else OUTCOMES.index(self.outcome),
        )


QueryDep = Annotated[MeasurementQuery, Query()]


@router.get("/measurements", summary="Measurements, oldest first")
def list_of_measurements(conn: ConnDep, served: ServedDep, query: QueryDep) -> MeasurementPage:
    """One row a measurement. A probe has a pseudonym that changes every quarter."""
    lines, token = _page(conn, served, query)
    return MeasurementPage(items=tuple(lines), next=token)


@router.get(
    "/measurements.csv",
    summary="Measurements as CSV",
    response_class=Response,
    responses={200: {"content": {CSV: {}}}},
)
def measurements_as_csv(request: Request, conn: ConnDep, served: ServedDep, query: QueryDep) -> Response:
    """One page of rows; the `Link` header names the next one."""
    lines, token = _page(conn, served, query)
    rows = ([_cell(getattr(line, name)) for name in COLUMNS] for line in lines)
    response = csv_response(to_csv(COLUMNS, rows), "measurements.csv", FRESH)
    if token:
        response.headers["Link"] = f'<{request.url.include_query_params(cursor=token)}>; rel="next"'
    return response


def _page(conn: Connection, served: Served, query: MeasurementQuery) -> tuple[list[MeasurementLine], str | None]:
    after, limit = None, query.limit
    if query.cursor is not None:
        at, probe_key, seq = served.sealer.open_cursor("measurements", query.cursor)
        after = (datetime.fromisoformat(str(at)), int(probe_key), int(seq))
    rows = list_measurements(conn, query.wanted(), limit + 1, after)
    token = None
    if len(rows) > limit:
        last = rows[limit - 1]
        token = served.sealer.seal_cursor("measurements", last.ts.isoformat(), last.probe_key, last.seq)
    return [_line(served, row) for row in rows[:limit]], token


def _line(served: Served, row: MeasurementRow) -> MeasurementLine:
    return MeasurementLine(
        at=row.ts,
        slot_at=row.slot_at,
        probe=served.sealer.pseudonym(row.probe_id, row.ts),
        cc=row.cc,
        asn=row.asn,
        kind=row.kind,
        target=row.target,
        family=row.family,
        outcome=OUTCOMES[row.outcome].value,
        failure=row.failure,
        value=row.value,
        ms=row.ms,
        clock_err_ms=row.clock_err_ms,
        detail=row.detail,
    )


def _cell(value: object) -> object:
    return iso(value) if isinstance(value, datetime) else value
