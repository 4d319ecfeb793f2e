"""From stored rows to published events."""

from datetime import datetime

from civobs_collector.db.connect import Connection
from civobs_collector.db.read_events import (
    EventFilter,
    EventVersionRow,
    list_events,
    list_versions,
    read_event,
    read_event_version,
    read_versions,
)
from civobs_collector.detect.record import EventRecord
from civobs_collector.publish.published import PublishedEvent


def load_event(conn: Connection, public_id: str, version: int | None, base_url: str) -> PublishedEvent | None:
    """Load one version of an event, the newest without a number; None when there is none or it is not public."""
    row = read_event(conn, public_id) if version is None else read_event_version(conn, public_id, version)
    return None if row is None else _published([row], base_url)[0]


def load_events(
    conn: Connection, wanted: EventFilter, limit: int, base_url: str, after: tuple[datetime, str] | None = None
) -> list[PublishedEvent]:
    """Load newest versions without the rows of their grids, latest onset first."""
    return _published(list_events(conn, wanted, limit, after), base_url)


def load_versions(conn: Connection, public_id: str, base_url: str) -> list[PublishedEvent]:
    """Load all versions of an event, newest first."""
    return _published(read_versions(conn, public_id), base_url)


def load_latest(conn: Connection, cc: str | None, limit: int, base_url: str) -> list[PublishedEvent]:
    """Load the versions published last without the rows of their grids, the newest first."""
    return _published(list_versions(conn, cc, limit), base_url)


def _published(rows: list[EventVersionRow], base_url: str) -> list[PublishedEvent]:
    return [
        PublishedEvent(
            public_id=row.public_id,
            version=row.version,
            published_at=row.published_at,
            change_kind=row.change_kind,
            reason=row.reason,
            record=EventRecord.model_validate(row.record),
            base_url=base_url.rstrip("/"),
            supersedes=row.supersedes,
        )
        for row in rows
    ]
