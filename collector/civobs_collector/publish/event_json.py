"""The public JSON of one event version: the record without its internal key and without any household.

It depends on the version alone, so the same version gives the same bytes for ever.
"""

from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.detect.record import (
    Affected,
    CampaignPart,
    Cause,
    Confidence,
    DatingPosterior,
    Depth,
    EventKind,
    EvidenceSummary,
    Grid,
    Level,
    Method,
    Note,
    Severity,
    SignalTimes,
    Status,
    Transition,
)
from civobs_collector.publish.citation import citation
from civobs_collector.publish.published import PublishedEvent, network_name, summary, title
from civobs_collector.publish.services import Finding, finding
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
    """Who was affected, down to the network or the region and no further."""

    level: Level
    cc: str = Field(description="ISO 3166-1 alpha-2")
    country: str
    networks: tuple[PublicNetwork, ...] = Field(description="Networks affected")
    networks_observed: tuple[PublicNetwork, ...] = Field(description="Networks of the country that probes could see")
    admin1: tuple[str, ...]
    access: str
    targets: tuple[str, ...] = Field((), description="What was blocked or slowed; empty where the line was lost")
    layers: tuple[str, ...] = Field((), description="Where it failed: `dns`, `tcp`, `tls`, `http`, `quic`")
    mechanisms: tuple[str, ...] = Field((), description="How: where, what, by what; for example `tls.reset.sni`")


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
    finding: Finding = Field(description="The short answer; `blocked` only with a trace that only interference leaves")
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
    reviewed_by: str | None = Field(description="Who decided last what the event is; null while nobody has")
    notes: tuple[Note, ...] = Field(description="What reviewers wrote, the oldest first")
    campaign: CampaignPart | None = Field(description="Its place among windows that come again; null where none do")
    dating: DatingPosterior | None = Field(description="5 % to 95 % of the posterior of start and end")
    cross_checks: dict[str, float] = Field(description="What other detectors make of it; they decide nothing")
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
        supersedes=event.supersedes,
        change_kind=event.change_kind,
        change_reason=event.reason,
        title=title(event),
        summary=summary(event, local),
        kind=record.kind,
        finding=finding(record),
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
            targets=scope.targets,
            layers=scope.layers,
            mechanisms=scope.mechanisms,
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
        reviewed_by=record.reviewed_by,
        notes=record.notes,
        campaign=record.campaign,
        dating=record.dating,
        cross_checks=record.cross_checks,
        coverage_note=record.coverage_note,
        limits=record.limits,
        method=record.method,
        grid=record.grid,
        evidence=record.evidence,
        citation=citation(event),
    )


def _networks(event: PublishedEvent, asns: tuple[int, ...]) -> tuple[PublicNetwork, ...]:
    return tuple(PublicNetwork(asn=asn, name=network_name(event, asn)) for asn in asns)
