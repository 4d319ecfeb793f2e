"""The public JSON of one event version: the record without its internal key and without any household.

It depends on the version alone, so the same version gives the same bytes for ever.
"""

from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.detect.record import (
    Affected,
    Cause,
    Confidence,
    Depth,
    EventKind,
    EvidenceSummary,
    Grid,
    Level,
    Method,
    Severity,
    SignalTimes,
    Status,
    Transition,
)
from civobs_collector.publish.citation import citation
from civobs_collector.publish.published import PublishedEvent, network_name, summary, title
from civobs_collector.publish.times import LocalClock
from civobs_collector.publish.words import LICENCE_ID, LICENCE_URL
from civobs_wire.scalars import UtcTime


class PublicPart(BaseModel):
    """A piece of what is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PublicNetwork(PublicPart):
    """A network by number and name."""

    asn: int
    name: str


class PublicScope(PublicPart):
    """Who was affected, down to the network and no further."""

    level: Level
    cc: str = Field(description="ISO 3166-1 alpha-2")
    country: str
    networks: tuple[PublicNetwork, ...] = Field(description="Networks affected")
    networks_observed: tuple[PublicNetwork, ...] = Field(description="Networks of the country that probes could see")
    admin1: tuple[str, ...]
    access: str


class PublicEvent(PublicPart):
    """One version of one event, as published."""

    id: str
    version: int
    permalink: str
    latest: str = Field(description="Address of the newest version")
    published_at: UtcTime
    supersedes: int | None = Field(description="The version before this one")
    change_kind: str
    change_reason: str
    title: str
    summary: str
    kind: EventKind
    status: Status
    provisional: bool = Field(description="True while stored measurements of affected probes are still to arrive")
    depth: Depth
    scope: PublicScope
    onset: Transition
    resolution: Transition | None
    per_signal: tuple[SignalTimes, ...]
    affected: Affected
    severity: Severity
    hypotheses: dict[str, float]
    likeliest: str = Field(description="Where the fault may lie, never who did it; `undetermined` if none stands out")
    confidence: Confidence
    cause: Cause
    coverage_note: str
    limits: tuple[str, ...]
    method: Method
    grid: Grid
    evidence: EvidenceSummary
    citation: str
    licence: str = LICENCE_ID
    licence_url: str = LICENCE_URL


def public_event(event: PublishedEvent, local: LocalClock) -> PublicEvent:
    """Build what is served from what was stored."""
    record, scope = event.record, event.record.scope
    return PublicEvent(
        id=event.public_id,
        version=event.version,
        permalink=event.permalink,
        latest=event.latest_url,
        published_at=event.published_at,
        supersedes=event.version - 1 or None,
        change_kind=event.change_kind,
        change_reason=event.reason,
        title=title(event),
        summary=summary(event, local),
        kind=record.kind,
        status=record.status,
        provisional=record.provisional,
        depth=record.depth,
        scope=PublicScope(
            level=scope.level,
            cc=scope.cc,
            country=event.country,
            networks=_networks(event, scope.asns),
            networks_observed=_networks(event, scope.asns_observed),
            admin1=scope.admin1,
            access=scope.access,
        ),
        onset=record.onset,
        resolution=record.resolution,
        per_signal=record.per_signal,
        affected=record.affected,
        severity=record.severity,
        hypotheses=record.hypotheses,
        likeliest=record.likeliest,
        confidence=record.confidence,
        cause=record.cause,
        coverage_note=record.coverage_note,
        limits=record.limits,
        method=record.method,
        grid=record.grid,
        evidence=record.evidence,
        citation=citation(event),
    )


def _networks(event: PublishedEvent, asns: tuple[int, ...]) -> tuple[PublicNetwork, ...]:
    return tuple(PublicNetwork(asn=asn, name=network_name(event, asn)) for asn in asns)
