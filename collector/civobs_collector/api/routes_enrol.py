"""``POST /enrol/v1`` and ``GET /time/v1``: all that a probe asks of HTTP. The rest goes over MQTT."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from civobs_collector.api.body import BodyLimit
from civobs_collector.api.deps import ConnDep, ServedDep
from civobs_collector.api.problems import ApiProblem
from civobs_collector.api.rate import TokenBuckets
from civobs_collector.enrolment import MAX_REQUEST_BYTES, enrol, signed_time
from civobs_wire.enrol import EnrolResponse

router = APIRouter(tags=["probes"])

OCTETS = "application/octet-stream"
_BODY = BodyLimit("An enrolment", MAX_REQUEST_BYTES)


def _limit(request: Request, buckets: TokenBuckets) -> None:
    """Refuse a client that asks too often. Its address goes no further than the bucket's keyed digest."""
    wait_s = buckets.take(request.client.host if request.client else "")
    if wait_s:
        raise ApiProblem(
            HTTPStatus.TOO_MANY_REQUESTS, "Too many requests from this line.", {"Retry-After": str(wait_s)}
        )


def _limit_enrolments(request: Request, served: ServedDep) -> None:
    _limit(request, served.enrolments)


def _limit_times(request: Request, served: ServedDep) -> None:
    _limit(request, served.times)


MessageDep = Annotated[bytes, Depends(_BODY.read)]


@router.post(
    "/enrol/v1",
    summary="Make a device a probe",
    dependencies=[Depends(_limit_enrolments)],
    openapi_extra={"requestBody": {"required": True, "content": {OCTETS: {"schema": {"format": "binary"}}}}},
)
def enrol_probe(message: MessageDep, conn: ConnDep, served: ServedDep) -> EnrolResponse:
    """Body: an enrol-request (wire/schema) in an envelope signed by the key it registers."""
    # The message is asked for first: while it drips in, no connection to the database is held for it.
    return enrol(conn, message, served.settings)


@router.get(
    "/time/v1",
    summary="The time, signed",
    dependencies=[Depends(_limit_times)],
    response_class=Response,
    responses={200: {"content": {OCTETS: {}}}},
)
def time_signed(served: ServedDep, nonce: str) -> Response:
    """Answer: a time-response in an envelope signed with the receipt key. `nonce`: 32 hex digits."""
    headers = {"Cache-Control": "no-store"}
    return Response(signed_time(nonce, served.settings), headers=headers, media_type=OCTETS)
