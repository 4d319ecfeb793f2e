"""Tables as CSV (RFC 4180), safe to open in a spreadsheet.

A name that begins like a formula is given an apostrophe: network names come from outside, and a spreadsheet would run
them.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta

from civobs_collector.publish.published import PublishedEvent, network_name, title
from civobs_collector.publish.reviewed import note_lines
from civobs_collector.publish.services import finding
from civobs_collector.publish.times import iso
from civobs_collector.publish.words import LICENCE_ID, states

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

EVENT_COLUMNS = (
    "id",
    "version",
    "published_at",
    "title",
    "kind",
    "status",
    "provisional",
    "level",
    "cc",
    "asns",
    "onset_earliest",
    "onset_latest",
    "resolution_earliest",
    "resolution_latest",
    "depth",
    "households",
    "households_down",
    "fraction_lo",
    "fraction_hi",
    "hours",
    "confidence",
    "cause",
    "permalink",
    "licence",
    "finding",
    "targets",
    "layers",
    "mechanisms",
    "campaign",
    "occurrence",
    "cause_basis",
    "cause_sources",
    "reviewed_by",
    "notes",
)
GRID_COLUMNS = ("network", "asn", "target", "bin_start", "bin_end", "households", "up", "down", "not_known", "state")


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a header and rows; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_safe(value) for value in row])
    return text.getvalue()


def events_csv(events: Iterable[PublishedEvent]) -> str:
    """Write one row an event."""
    return to_csv(EVENT_COLUMNS, (_event_row(event) for event in events))


def grid_csv(event: PublishedEvent) -> str:
    """Write what the event's chart shows: one row a network, target and time bin."""
    grid, step = event.record.grid, timedelta(seconds=event.record.grid.bin_s)
    words = states(event.record.kind)
    rows = (
        (
            row.label if row.asn is None else network_name(event, row.asn),
            row.asn,
            row.target,
            iso(grid.start + step * index),
            iso(grid.start + step * (index + 1)),
            row.n,
            row.up[index],
            row.down[index],
            row.unknown[index],
            words[letter][0],
        )
        for row in grid.rows
        for index, letter in enumerate(row.state)
    )
    return to_csv(GRID_COLUMNS, rows)


def _event_row(event: PublishedEvent) -> tuple[object, ...]:
    record = event.record
    end = record.resolution
    return (
        event.public_id,
        event.version,
        iso(event.published_at),
        title(event),
        record.kind,
        record.status,
        str(record.provisional).lower(),
        record.scope.level,
        record.scope.cc,
        " ".join(str(asn) for asn in record.scope.asns),
        iso(record.onset.earliest),
        iso(record.onset.latest),
        iso(end.earliest) if end else None,
        iso(end.latest) if end else None,
        record.depth,
        record.affected.n_observed,
        record.affected.n_down,
        record.affected.fraction_lo,
        record.affected.fraction_hi,
        record.severity.hours,
        record.confidence.label,
        record.cause.value,
        event.permalink,
        LICENCE_ID,
        finding(record),
        " ".join(record.scope.targets),
        " ".join(record.scope.layers),
        " ".join(record.scope.mechanisms),
        record.campaign.campaign_id if record.campaign else None,
        record.campaign.occurrence if record.campaign else None,
        record.cause.basis,
        " ".join(record.cause.sources),
        record.reviewed_by,
        note_lines(record),
    )


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
