"""Stored events and what is to be written of them: how a version differs from the one before it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from civobs_collector.detect.record import EventRecord, Status, Transition
from civobs_collector.detect.service_chains import is_service


@dataclass(frozen=True, slots=True)
class Chain:
    """A stored event: its newest version."""

    event_key: UUID
    public_id: str | None
    version: int
    published_at: datetime
    record: EventRecord
    found_at: datetime | None = None
    """When the detector last wrote, if a person has since."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written."""

    event_key: UUID
    version: int
    change_kind: str
    reason: str
    record: EventRecord
    public: bool
    """Whether the event has, or now gets, a public id: all levels but a household's do."""


def change_kind(record: EventRecord, last: EventRecord) -> str | None:
    """What a version changes, by the most that it does; None where it says the same."""
    changes = {
        "reclassified": (record.kind, record.scope.level) != (last.kind, last.scope.level),
        "closed": (last.status, record.status) == (Status.OPEN, Status.CLOSED),
        "corrected": _times(record.onset) != _times(last.onset)
        or _ends_differ(record, last)
        or _judgement(record) != _judgement(last),
        "extended": (record.status, _reach(record)) != (last.status, _reach(last))
        or record.affected.n_down > last.affected.n_down
        or record.affected.n_households > last.affected.n_households
        or _campaign(record) != _campaign(last),
    }
    return next((kind for kind, is_so in changes.items() if is_so), None)


def _reach(record: EventRecord) -> tuple[tuple[object, ...], ...]:
    scope = record.scope
    return scope.asns, scope.targets, scope.layers, scope.mechanisms


def _judgement(record: EventRecord) -> tuple[str, bool, str, str]:
    # A service that fails is measured on: that one household was late this hour is no news.
    provisional = record.provisional and not (is_service(record) and record.status is Status.OPEN)
    return record.depth, provisional, record.likeliest, record.confidence.label


def _campaign(record: EventRecord) -> UUID | None:
    """How many occurrences a campaign has had is no news of each of them."""
    return None if record.campaign is None else record.campaign.campaign_id


def _times(transition: Transition) -> tuple[datetime, datetime]:
    return transition.earliest, transition.latest


def _ends_differ(record: EventRecord, last: EventRecord) -> bool:
    if record.resolution is None or last.resolution is None:
        # An event that is open has no end, and one that has lapsed has none that is known.
        return record.status is last.status and record.resolution is not last.resolution
    return _times(record.resolution) != _times(last.resolution)


def reason_of(record: EventRecord, last: EventRecord) -> str:
    """Why it changed: another method, rows that arrived late, or the world."""
    mine, theirs = record.method, last.method
    if (mine.detector_version, mine.params_id) != (theirs.detector_version, theirs.params_id):
        return "detector_version"
    if record.scope.targets and last.status is Status.OPEN and _times(record.onset) == _times(last.onset):
        # While a service fails, more of its failures come with time.
        return "detected"
    if (
        record.evidence.backfill > last.evidence.backfill
        or record.evidence.n_measurements > last.evidence.n_measurements
    ):
        return "late_data"
    return "detected"
