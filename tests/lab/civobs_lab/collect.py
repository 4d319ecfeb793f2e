"""What the observatory of a lab published, and the account of every row, read from its own tables.

Records are read as plain JSON: what another version of civobs adds to them or has not got yet must not stop a score.
"""

from collections.abc import Callable, Mapping
from typing import Any

from civobs_lab.lab import Lab
from civobs_lab.results import EventRun, LedgerRun, VersionRun

Query = Callable[[str, dict[str, Any] | None], list[dict[str, Any]]]
"""Text and values to rows by name, such as ``Observatory.query``."""

NOT_OBSERVABLE = "not_observable"

_VERSIONS = """
SELECT e.event_key, e.public_id, v.published_at, v.record
FROM event_version v JOIN event e USING (event_key)
ORDER BY e.created_at, e.event_key, v.version
"""
_COUNTS = """
SELECT count(m.seq) AS rows, count(DISTINCT m.seq) AS numbers
FROM unnest(%(probes)s::text[], %(lasts)s::int8[]) AS wanted(probe_id, last)
JOIN probe ON probe.probe_id = wanted.probe_id
LEFT JOIN measurement m ON m.probe_key = probe.probe_key AND m.seq BETWEEN 1 AND wanted.last
GROUP BY probe.probe_id
"""
_REJECTED = "SELECT count(*) AS batches FROM rejected_batch"


def events(lab: Lab) -> tuple[EventRun, ...]:
    """Every event with all its versions, also those that were retracted. Raises psycopg.Error."""
    return read_events(lab.observatory.query)


def read_events(query: Query) -> tuple[EventRun, ...]:
    """The same from any database of the collector."""
    chains: dict[Any, list[dict[str, Any]]] = {}
    for row in query(_VERSIONS, None):
        chains.setdefault(row["event_key"], []).append(row)
    return tuple(event_run(chain) for chain in chains.values())


def event_run(chain: list[dict[str, Any]]) -> EventRun:
    """One event from the rows of its versions, oldest first."""
    last = chain[-1]["record"]
    return EventRun(
        public_id=chain[0]["public_id"],
        campaign=(last.get("campaign") or {}).get("campaign_id"),
        versions=tuple(version_run(row["record"], row["published_at"]) for row in chain),
    )


def version_run(record: Mapping[str, Any], published_at: object) -> VersionRun:
    """Of a record, what a score needs. Raises ValidationError where it lacks what every record has."""
    scope: Mapping[str, Any] = record.get("scope") or {}
    affected: Mapping[str, Any] = record.get("affected") or {}
    confidence: Mapping[str, Any] = record.get("confidence") or {}
    return VersionRun.model_validate(
        {
            "published_at": published_at,
            "kind": record.get("kind"),
            "status": record.get("status"),
            "provisional": record.get("provisional", False),
            "level": scope.get("level"),
            "cc": scope.get("cc"),
            "access": scope.get("access", "fixed"),
            "depth": record.get("depth", "unknown"),
            "confidence": confidence.get("label", "unconfirmed"),
            "likeliest": record.get("likeliest", "undetermined"),
            "onset": record.get("onset"),
            "resolution": record.get("resolution"),
            "households_down": affected.get("n_down", 0),
            "households": affected.get("n_observed", 0),
            **{name: scope.get(name) or () for name in ("asns", "admin1", "targets", "mechanisms")},
        }
    )


def recorded_rows(lab: Lab) -> dict[str, int]:
    """The last row number of each probe, by its own account, also of before it was restarted.

    A probe without an id has none to deliver.
    """
    found = {}
    for probe in lab.probes:
        status = probe.status()
        if status is not None and status.probe_id is not None:
            found[status.probe_id] = status.last_seq
    return found


def ledger(lab: Lab, recorded: Mapping[str, int]) -> LedgerRun:
    """Look up every row number up to each probe's count. Raises psycopg.Error."""
    return read_ledger(lab.observatory.query, recorded)


def read_ledger(query: Query, recorded: Mapping[str, int]) -> LedgerRun:
    """The same in any database of the collector.

    A probe numbers its rows from 1 without gaps, so what it recorded is known from its own count, without asking the
    collector; every one of those numbers must be in the database exactly once.
    """
    rows = query(_COUNTS, {"probes": list(recorded), "lasts": list(recorded.values())})
    expected = sum(recorded.values())
    return LedgerRun(
        recorded=expected,
        stored=sum(row["rows"] for row in rows),
        lost=expected - sum(row["numbers"] for row in rows),
        doubled=sum(row["rows"] - row["numbers"] for row in rows),
        rejected_batches=query(_REJECTED, None)[0]["batches"],
    )


def not_observable(lab: Lab) -> tuple[str, ...]:
    """Countries of which the observatory's public API says that a kind of access cannot be seen there.

    An observatory that does not answer says nothing.
    """
    try:
        return said_not_observable(lab.observatory.ask("/api/v1/countries"))
    except OSError:
        return ()


def said_not_observable(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The same of an answer."""
    said = (one["cc"] for one in answer["items"] if any(each["sight"] == NOT_OBSERVABLE for each in one["access"]))
    return tuple(sorted(said))
