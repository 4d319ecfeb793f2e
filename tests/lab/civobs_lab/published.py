"""What the observatory of a lab published, measured against what was done to the network."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from civobs_collector.detect.record import EventRecord, Level, Status, Transition
from civobs_lab.lab import Lab

_VERSIONS = """
SELECT e.public_id, v.version, v.published_at, v.record
FROM event_version v JOIN event e USING (event_key)
ORDER BY v.published_at, v.version
"""


@dataclass(frozen=True, slots=True)
class Version:
    """One published version."""

    public_id: str | None
    number: int
    published_at: datetime
    record: EventRecord


@dataclass(frozen=True, slots=True)
class Published:
    """One event: its chain of versions, oldest first."""

    versions: tuple[Version, ...]

    @property
    def first(self) -> Version:
        return self.versions[0]

    @property
    def last(self) -> Version:
        return self.versions[-1]

    @property
    def record(self) -> EventRecord:
        """As it stands now."""
        return self.last.record

    @property
    def settled(self) -> bool:
        """Closed, with the stored records of the probes taken into account."""
        return self.record.status is Status.CLOSED and not self.record.provisional


def events(lab: Lab, cc: str) -> list[Published]:
    """Events of a country that have not been retracted, by the time they were first published."""
    chains: dict[Any, list[Version]] = {}
    for row in lab.observatory.query(_VERSIONS):
        record = EventRecord.model_validate(row["record"])
        version = Version(row["public_id"], row["version"], row["published_at"], record)
        chains.setdefault(record.event_key, []).append(version)
    found = [Published(tuple(chain)) for chain in chains.values()]
    return [each for each in found if each.record.scope.cc == cc and each.record.status is not Status.RETRACTED]


def national(published: list[Published]) -> Published | None:
    """The first event of a country that speaks of the whole country."""
    return next((each for each in published if each.record.scope.level is Level.COUNTRY), None)


def error_s(bounds: Transition | None, truth: datetime) -> float | None:
    """How far the published estimate, or else the middle, lies from the truth, in seconds; late is positive."""
    if bounds is None:
        return None
    if bounds.likely is not None:
        return (bounds.likely - truth).total_seconds()
    return ((bounds.earliest - truth) + (bounds.latest - truth)).total_seconds() / 2
