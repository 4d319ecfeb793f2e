"""How the detector goes on from events that people have reviewed: from what it said itself, and never undoing them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from civobs_collector.detect.chains import Chain, NewVersion, change_kind
from civobs_collector.detect.record import Status
from civobs_collector.detect.reviews import (
    HELD_RETRACTED,
    Review,
    applied,
    is_retracted,
    part_of,
    split_from,
    unreviewed,
)

Reviews = Mapping[UUID, Sequence[Review]]


def machine_chains(stored: Sequence[Chain], reviews: Reviews) -> list[Chain]:
    """The chains as the detector alone left them. One that a person made out of another follows that one."""
    return [
        replace(one, record=unreviewed(one.record), published_at=one.found_at or one.published_at)
        for one in stored
        if split_from(reviews.get(one.event_key, ())) is None
    ]


def as_reviewed(found: Sequence[NewVersion], stored: Sequence[Chain], reviews: Reviews) -> list[NewVersion]:
    """What the detector would write, with what people decided, and the same of events that were split off."""
    chains = {one.event_key: one for one in stored}
    every = [*found, *_parts(found, chains, reviews)]
    said = [(one, reviews.get(one.event_key, ())) for one in every]
    return [_reviewed(one, its) if its else one for one, its in said]


def _parts(found: Sequence[NewVersion], chains: Mapping[UUID, Chain], reviews: Reviews) -> Iterator[NewVersion]:
    waiting = list(found)
    while waiting:
        whole = waiting.pop(0)
        for review in reviews.get(whole.event_key, ()):
            child = chains.get(UUID(review.body["to_key"])) if "to_key" in review.body else None
            if child is None:
                continue
            record, last = part_of(whole.record, review.body), unreviewed(child.record)
            if record == last:
                continue
            change = change_kind(record, last) or "extended"
            if Status.RETRACTED is record.status is not last.status:
                change = "retracted"
            part = NewVersion(child.event_key, child.version + 1, change, whole.reason, record, whole.public)
            waiting.append(part)
            yield part


def _reviewed(new: NewVersion, said: Sequence[Review]) -> NewVersion:
    """A version of an event that people have reviewed."""
    record = applied(new.record, said)
    if is_retracted(said):
        # What the detector goes on finding is kept, for the day on which the retraction is taken back.
        return replace(new, record=record.model_copy(update={"held": record.held or HELD_RETRACTED}))
    undone = new.change_kind == "retracted" and record.status is not Status.RETRACTED
    return replace(new, record=record, change_kind="corrected" if undone else new.change_kind)
