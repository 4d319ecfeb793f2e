"""The ingest role: puts link, writer and roll-ups together and runs them until it is told to stop."""

import asyncio
import gc
import hashlib
import logging
import re
import threading
from collections.abc import Callable

from civobs_collector.config import CollectorSettings, IngestSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.db.migrate import require_current
from civobs_collector.detect.params import scaled
from civobs_collector.errors import DatabaseError
from civobs_collector.evidence.archive import Archive, check_folder
from civobs_collector.ingest.commit import Committer
from civobs_collector.ingest.link import Link
from civobs_collector.ingest.writer import Writer
from civobs_collector.keys import read_private
from civobs_collector.metrics import IngestMetrics, ingest_metrics
from civobs_collector.rollups import ladder_limits, run_rollups
from civobs_wire.topics import Leaf, subscriptions

logger = logging.getLogger(__name__)

_NOT_BY_WAITING = re.compile(r"does not exist|authentication failed|no password|pg_hba|dsn|lacks|migration|newer|older")
"""A refusal of the database that a person has to do something about; all else may pass by itself."""

_WRITTEN = ("batch", "measurement", "presence", "rejected_batch", "receipt", "collector_beat", "dirty_bucket")
"""Tables that a role of ingest must be able to write to."""

_GC_THRESHOLDS = (50_000, 20, 50)
"""Thousands of validated rows live for one flush; the default thresholds would scan them over and over, which halved
the rate (ingest.md §2.3)."""


def client_id(settings: IngestSettings) -> str:
    """The MQTT client id: fixed for an instance and its shards, because the broker keeps a session under it."""
    digest = hashlib.sha256(" ".join(sorted(settings.shards)).encode()).hexdigest()[:8]
    return f"civobs-ingest-{settings.instance}-{digest}"


def build_writer(settings: CollectorSettings, metrics: IngestMetrics) -> Writer:
    """Put the parts together. Raises ConfigError or ResourceError for what a person has to correct."""
    ingest = settings.ingest
    key = read_private(settings.keys.receipt_key)
    check_folder(ingest.archive_dir)
    filters = (*subscriptions(ingest.shards, Leaf.BATCH), *subscriptions(ingest.shards, Leaf.PRESENCE))
    link = Link(settings.broker, client_id(ingest), filters, receive_maximum=ingest.receive_maximum, metrics=metrics)
    committer = Committer(Archive(ingest.archive_dir, ingest.instance), ingest.quarantine_bytes)
    return Writer(settings, link, committer, key, metrics)


def check_database(settings: CollectorSettings) -> None:
    """Raise DatabaseError if a person has to act; a database that is merely away is waited for."""
    try:
        with connect(settings.database, "ingest-check") as conn:
            require_current(conn)
            _require_writing(conn)
    except DatabaseError as error:
        if _NOT_BY_WAITING.search(error.cause):
            raise
        logger.warning("the database is away, waiting for it: cause=%r", error.cause)


def _require_writing(conn: Connection) -> None:
    """Raise DatabaseError if the role may not write what ingest writes: it would wait for that for ever."""
    query = (
        "SELECT string_agg(t, ', '), current_user FROM unnest(%s::text[]) t WHERE NOT has_table_privilege(t, 'INSERT')"
    )
    missing, user = conn.execute(query, (list(_WRITTEN),)).fetchone() or (None, None)
    if missing is not None:
        raise DatabaseError(
            f"database: role {user} lacks the right to write to {missing}",
            "grant it SELECT, INSERT, UPDATE and DELETE on all tables, or name another user in [database] dsn",
        )


async def run(settings: CollectorSettings, stop: asyncio.Event) -> None:
    """Run the role until ``stop`` is set. Raises CivobsCollectorError for what a person has to correct."""
    await asyncio.to_thread(check_database, settings)
    writer = build_writer(settings, ingest_metrics())
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    halt = threading.Event()
    limits = ladder_limits(scaled(settings.detect.time_scale))
    async with asyncio.TaskGroup() as group:
        work = [
            group.create_task(asyncio.to_thread(_until_halted, writer.run, halt), name="ingest.writer"),
            group.create_task(
                asyncio.to_thread(_until_halted, lambda event: run_rollups(settings.database, limits, event), halt),
                name="ingest.rollups",
            ),
        ]
        waiting = group.create_task(stop.wait(), name="ingest.stop")
        try:
            await asyncio.wait([waiting, *work], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A thread cannot be cancelled: it is told, also when its neighbour has failed.
            halt.set()
            waiting.cancel()


def _until_halted(work: Callable[[threading.Event], None], halt: threading.Event) -> None:
    try:
        work(halt)
    finally:
        halt.set()
