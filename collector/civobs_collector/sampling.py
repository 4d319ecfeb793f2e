"""Once a minute each role's gauges become rows (``gauge_sample``).

What a role knows of itself it keeps as metrics already; the samples are those metrics as Prometheus would read them, so
that both say the same. What surrounds the observatory is looked at beside ingest, where broker and archive are.
A database that is away is left alone until the next minute: that samples are missing says it.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import psycopg
from prometheus_client import REGISTRY, CollectorRegistry

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.gauges import insert_samples, read_stored
from civobs_collector.errors import DatabaseError
from civobs_collector.gauges import EVERY_S, Sample
from civobs_collector.surroundings import look_around

logger = logging.getLogger(__name__)

_SETTLE_S = 5.0
"""What has just started is given so long to connect to the broker, and who does not serve yet is asked again so soon:
a restart is no gap in a chart."""
_STATEMENT_S = 10.0
_BEGAN = time.time()

_VALUES: dict[str, dict[str, str]] = {
    "ingest": {
        "broker_connected": "civobs_ingest_broker_connected",
        "broker_dropped": "civobs_broker_dropped_total",
        "queue_depth": "civobs_ingest_queue_depth",
        "unacked": "civobs_ingest_unacked_messages",
        "stale_acks": "civobs_ingest_stale_acks_total",
        "batch_age_p99_s": "civobs_ingest_batch_age_p99_seconds",
    },
    "detect": {"tick_s": "civobs_detect_run_seconds"},
}
"""Gauges of each role that are metrics, by the metric's name."""
_SINCE: dict[str, dict[str, str]] = {
    "ingest": {"last_commit_age_s": "civobs_ingest_last_commit_timestamp_seconds"},
    "detect": {"services_judged_age_s": "civobs_detect_services_judged_timestamp_seconds"},
}
"""Gauges that are ages, by the metric of the moment they count from. What never was counts from when we began."""
_SERVING = "civobs_ingest_serving"
"""A spare has nothing to say: it shares its instance with the process that serves."""


async def keep_sampling(settings: CollectorSettings, role: str, stop: asyncio.Event) -> None:
    """Write one role's samples each minute until ``stop`` is set. Never raises for a database that is away."""
    wait = _SETTLE_S
    said = ""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
        if stop.is_set():
            return
        wait = EVERY_S
        try:
            if not await asyncio.to_thread(sample_once, settings, role, datetime.now(UTC)):
                wait = _SETTLE_S
            said = ""
        except (psycopg.Error, DatabaseError) as error:
            if not said:
                said = str(error).strip().partition("\n")[0]
                logger.warning("samples of role=%s are not kept: cause=%r", role, said)


def sample_once(
    settings: CollectorSettings, role: str, now: datetime, registry: CollectorRegistry = REGISTRY
) -> list[Sample]:
    """Take and store one role's samples; returns them, none for a spare. Raises DatabaseError and psycopg.Error."""
    metrics = _metrics(registry)
    if role == "ingest" and not metrics.get(_SERVING):
        return []
    samples = list(samples_of(role, metrics, now.timestamp()))
    with connect(settings.database, "gauges", statement_timeout_s=_STATEMENT_S) as conn:
        if role == "ingest":
            samples += (*look_around(settings, now), *read_stored(conn, now))
        insert_samples(conn, now, role, settings.ingest.instance, samples)
    return samples


def samples_of(role: str, metrics: Mapping[str, float], now: float) -> Iterator[Sample]:
    """What metrics, by name, say of a role at ``now``, in seconds since 1970."""
    for name, metric in _VALUES.get(role, {}).items():
        if metric in metrics:
            yield Sample(name, metrics[metric])
    for name, metric in _SINCE.get(role, {}).items():
        yield Sample(name, max(0.0, now - (metrics.get(metric) or _BEGAN)))
    if "process_resident_memory_bytes" in metrics:
        yield Sample("rss_bytes", metrics["process_resident_memory_bytes"])


def _metrics(registry: CollectorRegistry) -> dict[str, float]:
    """Every metric without labels."""
    return {one.name: one.value for family in registry.collect() for one in family.samples if not one.labels}
