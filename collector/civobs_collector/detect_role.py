"""The role ``detect``: reads what is stored, lets the pure functions judge, writes what is new.

A run is a transaction for losses of the line and, more seldom, one for what is blocked or slowed, each under an
advisory lock: two detectors cannot publish the same change twice, and a crash at any point leaves either all versions
of a part or none. A fault in the second does not silence the first.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg import errors

from civobs_collector.config import CollectorSettings, DetectSettings
from civobs_collector.db import detect_input, events
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.migrate import require_current
from civobs_collector.detect.chains import Chain, NewVersion
from civobs_collector.detect.events import compute
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.params import Params, scaled
from civobs_collector.detect.record import EventRecord, Status
from civobs_collector.detect.reviews import Action, Review, applied, unreviewed
from civobs_collector.detect.services import SERVICE_KINDS, Evidence
from civobs_collector.detect.services import compute as compute_services
from civobs_collector.detect.versions import plan
from civobs_collector.detect_read import completed, hold, publish, read_chains, read_inputs, reviews_of
from civobs_collector.errors import CivobsCollectorError, DatabaseError, ServicesError
from civobs_collector.metrics import detect_metrics
from civobs_collector.service_days import Memory
from civobs_collector.service_read import block_pages, read_transfers, read_votes
from civobs_collector.speed_read import read_slow_networks

logger = logging.getLogger(__name__)

HOLD_COUNTRIES = "setting hold_countries"
"""Who holds new events of the countries that the settings name, as it stands in the decision."""
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
    memory, metrics = Memory(), detect_metrics()
    connection: Connection | None = None
    try:
        while not stop.is_set():
            started = time.monotonic()
            wait = pause
            try:
                if connection is None:
                    connection = await asyncio.to_thread(_open, settings)
                services = started - services_at >= every
                # Also when they fail: they are not tried again before their time, at the cost of the rest.
                services_at = started if services else services_at
                what = memory if services else False
                await asyncio.to_thread(detect_once, connection, settings, datetime.now(UTC), services=what)
                metrics.run.set(time.monotonic() - started)
                if services:
                    metrics.services_judged.set_to_current_time()
            except ServicesError:
                metrics.services_unjudged.inc()
                logger.exception("blocking and throttling not judged; losses of the line are")
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("detect failed error=%s", str(error).strip().partition("\n")[0])
                connection = await asyncio.to_thread(_close, connection)
                wait = max(pause, _RETRY_S)
            except CivobsCollectorError:
                raise
            except Exception:
                # Some stored row was not foreseen. Ingest and pages share the process, and must not end for that; that
                # nothing is judged is seen by the beats, which stay away.
                logger.exception("losses of the line not judged")
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
    services: Memory | bool = True,
) -> DetectReport:
    """One run at the time ``now``. ``since`` replaces the start of the trailing window.

    Without ``services`` blocking and throttling are left as they are: targets are measured more seldom than the ladder.
    With the memory of the run before, rows of targets are not read again that are the same still, and all that is
    found is the same.
    Raises psycopg.Error, and ServicesError when what was lost with the whole line has been published all the same.
    """
    started = time.monotonic()
    memory = services if isinstance(services, Memory) else None
    work = _Work(conn, now, dry_run, scaled(settings.detect.time_scale), memory, settings.publish.hold_countries)
    # What the detector reads it must see as of one moment, while ingest goes on writing.
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction(force_rollback=dry_run):
        may_publish = events.lock_publishing(conn) and not dry_run
        start = since or _window_start(conn, settings.detect, work.params, now)
        inputs = read_inputs(conn, start, now, work.params)
        found = compute(inputs, work.params)
        settled = start
        if detect_input.anything_before(conn, start):
            settled += timedelta(seconds=work.params["eligible.hold_alone"])
        chains, unreadable = _chains(conn, start, services=False)
        changes = _published(work, _known(found, unreadable), chains, settled, may_publish=may_publish)
        if may_publish:
            events.beat(conn, now, settings.ingest.instance)
    n_events = len(found)
    if services:
        n_services, later = _services_apart(work, inputs, found, since)
        n_events, changes = n_events + n_services, (*changes, *later)
    report = DetectReport(start, now, len(inputs.probes), n_events, changes, time.monotonic() - started, may_publish)
    _log(report)
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    """What both parts of a run share."""

    conn: Connection
    now: datetime
    dry_run: bool
    params: Params
    memory: Memory | None
    hold_countries: Collection[str] = ()


def _services_apart(
    work: _Work, inputs: Inputs, losses: Sequence[EventRecord], since: datetime | None
) -> tuple[int, tuple[Change, ...]]:
    """``_services``, whose faults are its own: ServicesError, also for a statement that takes too long."""
    try:
        return _services(work, inputs, losses, since)
    except errors.QueryCanceled as error:
        raise ServicesError from error
    except psycopg.Error:
        raise
    except Exception as error:
        raise ServicesError from error


def _services(
    work: _Work, inputs: Inputs, losses: Sequence[EventRecord], since: datetime | None
) -> tuple[int, tuple[Change, ...]]:
    """What was blocked or slowed, apart from what was lost with the whole line: how many events, and what is new.

    In a transaction of its own: whatever is wrong with the rows of targets, losses of the line have been published.
    """
    conn, now, params = work.conn, work.now, work.params
    with conn.transaction(force_rollback=work.dry_run):
        may_publish = events.lock_publishing(conn) and not work.dry_run
        chains, unreadable = _chains(conn, inputs.since, services=True)
        began = since or _services_since(chains, inputs.since, now, params)
        # What is judged is seen with what was usual before it.
        looked = max(inputs.since, began - timedelta(seconds=params["service.pad"]))
        votes = read_votes(conn, inputs, looked, params, block_pages(conn, params), memory=work.memory)
        evidence = Evidence(votes, read_transfers(conn, inputs, looked, params))
        slow = read_slow_networks(conn, inputs, began, params)
        found = _known((*compute_services(evidence, inputs, losses, params), *slow), unreadable)
        return len(found), _published(work, found, chains, began, may_publish=may_publish)


def _chains(conn: Connection, since: datetime, *, services: bool) -> tuple[list[Chain], frozenset[UUID]]:
    """Stored events of services, or all others, and the keys of those that cannot be read."""
    chains, unreadable = read_chains(conn, since)
    return [one for one in chains if (one.record.kind in SERVICE_KINDS) is services], unreadable


def _known(found: Sequence[EventRecord], unreadable: frozenset[UUID]) -> tuple[EventRecord, ...]:
    return tuple(one for one in found if one.event_key not in unreadable)


def _published(
    work: _Work, found: Sequence[EventRecord], chains: Sequence[Chain], settled: datetime, *, may_publish: bool
) -> tuple[Change, ...]:
    """Write what differs from what was published, or only say it."""
    said = reviews_of(work.conn, [one.event_key for one in chains])
    versions = plan(found, chains, settled, work.now, work.params, reviews=said)
    held = {one.event_key: _hold(one, work.now) for one in versions if _is_held(one, work.hold_countries)}
    said |= {key: (review,) for key, review in held.items()}
    versions = [
        replace(one, record=applied(one.record, said[one.event_key])) if one.event_key in held else one
        for one in versions
    ]
    complete = [completed(work.conn, one, work.now, said.get(one.event_key, ())) for one in versions]
    changes = tuple(Change(publish(work.conn, one, work.now) if may_publish else None, one) for one in complete)
    if may_publish:
        for review in held.values():
            hold(work.conn, review)
    return changes


def _is_held(new: NewVersion, countries: Collection[str]) -> bool:
    """Whether an event begins where a person looks before anything is published."""
    return new.version == 1 and new.public and new.record.scope.cc in countries


def _hold(new: NewVersion, now: datetime) -> Review:
    return Review(0, new.event_key, now, HOLD_COUNTRIES, Action.HOLD)


def _services_since(chains: Sequence[Chain], start: datetime, now: datetime, params: Params) -> datetime:
    """Where the window of services begins: shorter than the ladder's, and stretched as far by open events."""
    own = [unreviewed(chain.record) for chain in chains]
    opened = [record.onset.earliest for record in own if record.status is Status.OPEN]
    return max(start, min([now - timedelta(seconds=params["service.window"]), *(at for at in opened if at >= start)]))


def _window_start(conn: Connection, settings: DetectSettings, params: Params, now: datetime) -> datetime:
    """The trailing window, stretched so that a public event that is open keeps its start and what was before it.

    One of services does not: a site may be blocked for years, and ladders tell nothing of it. An event that began
    longer ago than ``window.stretch`` stretches it no more.
    """
    start = now - timedelta(days=settings.window_d / settings.time_scale)
    longest = now - timedelta(seconds=params["window.stretch"])
    onset = events.earliest_open_onset(conn, longest, SERVICE_KINDS)
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
