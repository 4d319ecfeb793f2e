"""A database in which every panel of every dashboard has something to show, at the present."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.events import VersionColumns, create_event, lock_publishing, write_version
from civobs_collector.detect.record import EventRecord, Status, Transition
from civobs_collector.gauges import GAUGES
from tests.collector.fix_services import throttling_record
from tests.collector.fix_web import seed, shutdown_record
from tests.dashboards.grafana_sql import Window
from tests.fix_db import Server, fresh_database

_ROWS = Path(__file__).parent / "rows.sql"


@dataclass(frozen=True, slots=True)
class Told:
    """The database, the time range in which it has rows, and the public id of an event in it."""

    dsn: str
    window: Window
    event: str


@pytest.fixture(scope="module")
def told(timescale_server: Server) -> Iterator[Told]:
    now = datetime.now(UTC)
    with fresh_database(timescale_server) as dsn:
        with psycopg.connect(dsn) as conn:
            seed(conn, now)
            fill(conn, now)
        event = publish(dsn, now)
        yield Told(dsn, Window(now - timedelta(hours=24), now + timedelta(minutes=1), timedelta(minutes=5)), event)


def fill(conn: psycopg.Connection, now: datetime) -> None:
    """Twenty hours of presence, ladder, targets and transfers, and what the observatory says of itself."""
    for day in {(now - timedelta(hours=hours)).date() for hours in (0, 24)}:
        conn.execute("SELECT ensure_day(%s)", (day,))
    psycopg.ClientCursor(conn).execute(_ROWS.read_bytes(), {"now": now})
    samples = [(name, gauge.role, gauge.label) for name, gauge in GAUGES.items()]
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO gauge_sample SELECT at, %s, 'a', %s, %s, 1"
            " FROM generate_series(%s - interval '20 minutes', %s::timestamptz, interval '1 minute') at",
            [(role, name, label, now, now) for name, role, label in samples],
        )


def publish(dsn: str, now: datetime) -> str:
    """Two events of this hour, a shutdown in two versions and a throttling that goes on; the id of the first."""
    start = now - timedelta(hours=3)
    onset = Transition(earliest=start, latest=start + timedelta(minutes=2), likely=start + timedelta(minutes=1))
    record = shutdown_record(event_key=UUID(int=91), status=Status.OPEN, resolution=None, onset=onset, provisional=True)
    record = record.model_copy(update={"grid": record.grid.model_copy(update={"start": start - timedelta(hours=1)})})
    slow = throttling_record(event_key=UUID(int=92), onset=onset)
    with connect(DatabaseSettings(dsn=dsn), "detect") as conn:
        assert lock_publishing(conn)
        first = _columns(record, 1, now - timedelta(hours=2))
        public_id = create_event(conn, first, public=True)
        assert public_id is not None
        write_version(conn, first)
        write_version(conn, _columns(record, 2, now - timedelta(hours=1)))
        other = _columns(slow, 1, now - timedelta(hours=2))
        create_event(conn, other, public=True)
        write_version(conn, other)
        conn.execute(
            "INSERT INTO review (event_key, at, reviewer, action, note)"
            " VALUES (%s, %s, 'A. Reviewer', 'annotate', 'n')",
            (record.event_key, now - timedelta(minutes=50)),
        )
        conn.execute(
            "INSERT INTO notice (subscriber, event_key, version, change, made_at, not_before)"
            " VALUES ('desk', %s, 1, 'opened', %s, %s)",
            (record.event_key, now - timedelta(minutes=90), now),
        )
    return public_id


def _columns(record: EventRecord, version: int, at: datetime) -> VersionColumns:
    return VersionColumns(
        event_key=record.event_key,
        version=version,
        published_at=at,
        change_kind="new" if version == 1 else "extended",
        reason="detected",
        detector_version="1",
        status=record.status,
        kind=record.kind,
        level=record.scope.level,
        cc=record.scope.cc,
        asn=None,
        onset_earliest=record.onset.earliest,
        onset_latest=record.onset.latest,
        resolution_earliest=None,
        resolution_latest=None,
        record=record.model_dump(mode="json"),
    )
