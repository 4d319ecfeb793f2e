"""``/health`` for whoever watches the observatory, ``/metrics`` for Prometheus."""

from collections.abc import Sequence
from http import HTTPStatus

import psycopg
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from psycopg_pool import PoolTimeout

from civobs_collector.api.deps import ServedDep
from civobs_collector.api.models import BeatLine, Health
from civobs_collector.api.problems import RETRY_AFTER_S
from civobs_collector.db.read_health import Beat, read_beats, read_last_commit_age
from civobs_collector.metrics import detect_metrics, ingest_metrics

router = APIRouter(tags=["observatory"])

STALE_BEAT_S = 120.0
"""A role beats every 30 seconds or oftener; four missed beats are no hiccup."""
NEEDED_ROLES = ("ingest", "detect")


@router.get("/health", summary="Whether the observatory works", responses={503: {"model": Health}})
def health(served: ServedDep, response: Response) -> Health:
    """200 when the database answers and every role gives signs of life; otherwise 503 and what is wrong."""
    response.headers["Cache-Control"] = "no-store"
    try:
        with served.pool.connection() as conn:
            beats, age_s = read_beats(conn), read_last_commit_age(conn)
    except (psycopg.OperationalError, PoolTimeout):
        return _answer(response, database=False, beats=(), age_s=None, problems=("the database does not answer",))
    except psycopg.errors.UndefinedTable:
        return _answer(response, database=True, beats=(), age_s=None, problems=("the database is not migrated",))
    return _answer(response, database=True, beats=beats, age_s=age_s, problems=_problems(beats))


@router.get("/metrics", summary="Metrics of this process", response_class=Response)
def metrics() -> Response:
    """Prometheus text format."""
    ingest_metrics()
    detect_metrics()
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _problems(beats: Sequence[Beat]) -> tuple[str, ...]:
    fresh = [beat for beat in beats if beat.age_s <= STALE_BEAT_S]
    found = [f"no sign of life from {role}" for role in NEEDED_ROLES if all(beat.role != role for beat in fresh)]
    found += [f"{beat.role} ({beat.instance}) says that it is not well" for beat in fresh if not beat.ok]
    return tuple(found)


def _answer(
    response: Response, *, database: bool, beats: Sequence[Beat], age_s: float | None, problems: tuple[str, ...]
) -> Health:
    if problems:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    lines = tuple(BeatLine(role=one.role, instance=one.instance, ok=one.ok, age_s=one.age_s) for one in beats)
    status = "degraded" if problems else "ok"
    return Health(status=status, database=database, last_commit_age_s=age_s, beats=lines, problems=problems)
