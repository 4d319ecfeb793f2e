"""The role ``detect``: reads what is stored, lets the pure functions judge, writes what is new.

A run is one transaction under an advisory lock: two detectors cannot publish the same change twice, and a crash at any
point leaves either all versions of a run or none.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from civobs_collector.config import CollectorSettings, DetectSettings
from civobs_collector.db import detect_input, events
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.migrate import require_current
from civobs_collector.detect.events import compute
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.params import Params, scaled
from civobs_collector.detect.record import EventRecord, Status
from civobs_collector.detect.services import SERVICE_KINDS, Evidence
from civobs_collector.detect.services import compute as compute_services
from civobs_collector.detect.versions import Chain, NewVersion, plan
from civobs_collector.detect_read import completed, publish, read_chains, read_inputs
from civobs_collector.errors import DatabaseError
from civobs_collector.service_read import block_pages, read_transfers, read_votes
from civobs_collector.speed_read import read_slow_networks

logger = logging.getLogger(__name__)

_RETRY_S = 5.0
"""A database that is away is asked again this often."""


@dataclass(frozen=True, slots=True)
class Change:
    """A version that was written, or would be."""

    public_id: str | None
    version: NewVersion


@dataclass(frozen=True, slots=True)
class DetectReport:
    """One run."""

    since: datetime
    now: datetime
    n_probes: int
    """Probes enrolled; without any there is nothing to find."""
    n_events: int
    """Events the facts of the window bear out, published before or not."""
    changes: tuple[Change, ...]
    seconds: float
    published: bool
    """False for a dry run, and when another detector was at work."""


async def run(settings: CollectorSettings, stop: asyncio.Event) -> None:
    """Detect every tick until ``stop`` is set. A database that goes away is waited for."""
    pause = settings.detect.tick_s / settings.detect.time_scale
    every = scaled(settings.detect.time_scale)["service.every"]
    services_at = -every
    connection: Connection | None = None
    try:
        while not stop.is_set():
            started = time.monotonic()
            wait = pause
            try:
                if connection is None:
                    connection = await asyncio.to_thread(_open, settings)
                services = started - services_at >= every
                await asyncio.to_thread(detect_once, connection, settings, datetime.now(UTC), services=services)
                services_at = started if services else services_at
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("detect failed error=%s", str(error).strip().partition("\n")[0])
                connection = await asyncio.to_thread(_close, connection)
                wait = max(pause, _RETRY_S)
            took = time.monotonic() - started
            with suppress(TimeoutError):
                # Never more than half of the time at work, however large the window: ingest shares the machine.
                await asyncio.wait_for(stop.wait(), max(0.05, wait - took, took))
    finally:
        await asyncio.to_thread(_close, connection)


def _open(settings: CollectorSettings) -> Connection:
    connection = connect(settings.database, "detect")
    try:
        require_current(connection)
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    return connection


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()


def detect_once(
    conn: Connection,
    settings: CollectorSettings,
    now: datetime,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - the one switch there is
    since: datetime | None = None,
    *,
    services: bool = True,
) -> DetectReport:
    """One run at the time ``now``. ``since`` replaces the start of the trailing window. Raises psycopg.Error.

    Without ``services`` blocking and throttling are left as they are: targets are measured more seldom than the ladder.
    """
    started = time.monotonic()
    params = scaled(settings.detect.time_scale)
    # What the detector reads it must see as of one moment, while ingest goes on writing.
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction(force_rollback=dry_run):
        may_publish = events.lock_publishing(conn) and not dry_run
        start = since or _window_start(conn, settings.detect, params, now)
        inputs = read_inputs(conn, start, now, params)
        computed = compute(inputs, params)
        settled = start
        if detect_input.anything_before(conn, start):
            settled += timedelta(seconds=params["eligible.hold_alone"])
        chains, unreadable = read_chains(conn, start)
        known = [one for one in computed if one.event_key not in unreadable]
        lines = [chain for chain in chains if chain.record.kind not in SERVICE_KINDS]
        versions = plan(known, lines, settled, now, params)
        if services:
            others = [chain for chain in chains if chain.record.kind in SERVICE_KINDS]
            began = start if since else _services_since(others, start, now, params)
            found = _services(conn, inputs, began, computed, params)
            found = tuple(one for one in found if one.event_key not in unreadable)
            versions += plan(found, others, began, now, params)
            computed = (*computed, *found)
        versions = [completed(conn, one, now) for one in versions]
        changes = []
        for one in versions:
            public_id = publish(conn, one, now) if may_publish else None
            changes.append(Change(public_id, one))
        if may_publish:
            events.beat(conn, now, settings.ingest.instance)
    report = DetectReport(
        start, now, len(inputs.probes), len(computed), tuple(changes), time.monotonic() - started, may_publish
    )
    _log(report)
    return report


def _services(
    conn: Connection, inputs: Inputs, since: datetime, losses: Sequence[EventRecord], params: Params
) -> tuple[EventRecord, ...]:
    """What was blocked or slowed since then, apart from what was lost with the whole line."""
    votes = read_votes(conn, inputs, since, params, block_pages(conn, params))
    evidence = Evidence(votes, read_transfers(conn, inputs, since, params))
    slow = read_slow_networks(conn, inputs, since, params)
    return (*compute_services(evidence, inputs, losses, params), *slow)


def _services_since(chains: Sequence[Chain], start: datetime, now: datetime, params: Params) -> datetime:
    """Where the window of services begins: shorter than the ladder's, and stretched by events that are open."""
    pad = timedelta(seconds=params["service.pad"])
    opened = [chain.record.onset.earliest - pad for chain in chains if chain.record.status is Status.OPEN]
    longest = now - timedelta(seconds=params["window.stretch"])
    return max(start, min([now - timedelta(seconds=params["service.window"]), *(at for at in opened if at >= longest)]))


def _window_start(conn: Connection, settings: DetectSettings, params: Params, now: datetime) -> datetime:
    """The trailing window, stretched so that a public event that is open keeps its start and what was before it.

    An event that began longer ago than ``window.stretch`` stretches it no more.
    """
    start = now - timedelta(days=settings.window_d / settings.time_scale)
    onset = events.earliest_open_onset(conn, now - timedelta(seconds=params["window.stretch"]))
    if onset is None:
        return start
    return min(start, onset - timedelta(seconds=params["eligible.window"] + params["eligible.hold_alone"]))


def _log(report: DetectReport) -> None:
    for change in report.changes:
        one = change.version
        logger.info(
            "event id=%s key=%s version=%d change=%s reason=%s kind=%s status=%s level=%s cc=%s published=%s",
            change.public_id,
            one.event_key,
            one.version,
            one.change_kind,
            one.reason,
            one.record.kind,
            one.record.status,
            one.record.scope.level,
            one.record.scope.cc,
            report.published,
        )
    logger.debug("detected events=%d changes=%d s=%.3f", report.n_events, len(report.changes), report.seconds)
