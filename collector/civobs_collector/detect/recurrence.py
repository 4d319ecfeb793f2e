"""Which published events are occurrences of one campaign, and how a campaign goes on once it has been published.

What is looked at is a window of days, and a campaign may last for months: its id and its numbers come from the events
that carry them already, and only a campaign that nobody has published begins at one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from civobs_collector.detect.campaigns import Occurrence, Span, campaigns
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import CampaignPart, EventKind, EventRecord, Level, Transition


@dataclass(frozen=True, slots=True)
class Member:
    """An event that may be one of many."""

    key: UUID
    """That of its chain, which does not change when late rows move its start."""
    record: EventRecord
    known: CampaignPart | None
    """Its place as it was last published."""


def places(members: Sequence[Member], params: Params) -> tuple[CampaignPart | None, ...]:
    """The place of each in its campaign. One that has been published is never taken back nor renumbered."""
    found = campaigns([_span(one) for one in members], params)
    begun: dict[UUID, tuple[CampaignPart, int]] = {}
    for one, at in zip(members, found, strict=True):
        if at is not None and one.known is not None:
            first = begun.get(at.campaign_id)
            if first is None or at.occurrence < first[1]:
                begun[at.campaign_id] = one.known, at.occurrence
    return tuple(
        one.known if at is None else _place(at, one.known, begun.get(at.campaign_id))
        for one, at in zip(members, found, strict=True)
    )


def _place(at: Occurrence, own: CampaignPart | None, begun: tuple[CampaignPart, int] | None) -> CampaignPart:
    if begun is None:
        return CampaignPart(campaign_id=at.campaign_id, occurrence=at.occurrence, n_occurrences=at.n_occurrences)
    known, seen_as = begun
    earlier = known.occurrence - seen_as
    part = own or known.model_copy(update={"occurrence": max(1, at.occurrence + earlier)})
    return part.model_copy(update={"n_occurrences": max(known.n_occurrences, at.n_occurrences + earlier)})


def _span(member: Member) -> Span:
    record = member.record
    end = record.resolution
    return Span(_group(record), _at(record.onset), None if end is None else _at(end), str(member.key))


def _group(record: EventRecord) -> str:
    """What has to be the same for two events to be of one campaign."""
    scope = record.scope
    kind = EventKind.OUTAGE if record.kind is EventKind.SHUTDOWN_SUSPECTED else record.kind
    # Which of a country's networks joined in may differ from night to night.
    asns = scope.asns if scope.level is Level.NETWORK and not scope.targets else ()
    regions = scope.admin1 if scope.level is Level.REGION else ()
    return "/".join([kind, scope.cc, scope.level, *map(str, asns), *regions, *sorted(scope.targets)])


def _at(transition: Transition) -> float:
    likely = transition.likely or transition.earliest + (transition.latest - transition.earliest) / 2
    return likely.timestamp()
