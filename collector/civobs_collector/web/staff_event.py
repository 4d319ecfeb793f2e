"""The desk's page of one event: what is known, what was decided, and what can be decided now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from civobs_collector.db.events import StoredVersion
from civobs_collector.detect.record import ConfidenceLabel, EventRecord, Level, Status
from civobs_collector.detect.reviews import (
    Action,
    CauseBasis,
    CauseValue,
    Review,
    is_held,
    is_retracted,
    judgement,
    lacking,
)
from civobs_collector.publish import words
from civobs_collector.publish.changes import Change, changes
from civobs_collector.publish.charts import event_timeline, lane_lines
from civobs_collector.publish.published import (
    PublishedEvent,
    began,
    ended,
    how_sure,
    network_name,
    signal_words,
    status_words,
    title,
    who,
)
from civobs_collector.web.draw import Drawings
from civobs_collector.web.event_page import describe, facts, hypotheses
from civobs_collector.web.places import local_clock
from civobs_collector.web.service_part import services_part
from civobs_collector.web.staff_pages import Frame, Waiting, as_event, is_doubted
from civobs_collector.web.templates import render

_SIGNATURES = ("notes", "reviewed_by", "held")
"""What people add of their own: it changes nothing of what the detector says."""
_ANY_SOURCE = ("https://source.example/",)


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that is stored of an event: its versions, the oldest first, what was decided, and others of its country."""

    versions: Sequence[StoredVersion]
    reviews: Sequence[Review]
    others: Sequence[Waiting]

    @property
    def newest(self) -> StoredVersion:
        return self.versions[-1]

    def published(self, base_url: str) -> list[PublishedEvent]:
        """The versions as formatters take them."""
        return [as_event(one, base_url) for one in self.versions]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A form that was sent: what came of it, and what was typed, to be shown again where it was refused."""

    action: str = ""
    done: str = ""
    refused: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version and what it changed; ``held`` ones the public does not see."""

    event: PublishedEvent
    held: bool
    changed: tuple[Change, ...]


def staff_event_page(frame: Frame, dossier: Dossier, attempt: Attempt, drawings: Drawings, *, may_decide: bool) -> str:
    """Render the page."""
    events = dossier.published(frame.base_url)
    event, record, local = events[-1], events[-1].record, local_clock(events[-1].record.scope.cc)
    timeline = event_timeline(event)
    served = [one.version for one in dossier.versions if not one.held] if dossier.newest.public_id else []
    lacks, beyond = lacking(record), lacking(record, _ANY_SOURCE)
    return render(
        "staff_event.html",
        {
            **frame.values(),
            "event": event,
            "record": record,
            "local": local,
            "title": title(event),
            "sentences": [who(event), began(event, local), ended(event, local), how_sure(event)],
            "status": status_words(record),
            "public": bool(served) and record.scope.level is not Level.PROBE,
            "served": served[-1] if served else None,
            "lacks": [(words, words not in beyond) for words in lacks],
            "confirmable": not beyond,
            "offered": _offered(record, dossier.reviews) if may_decide else frozenset(),
            "attempt": attempt,
            "facts": facts(event),
            "services": services_part(event),
            "hypotheses": hypotheses(record),
            "chart": drawings.both(timeline, describe(event, timeline)),
            "lines": lane_lines(timeline.lanes),
            "states": words.states(record.kind),
            "signals": [(signal_words(event, one.signal), one) for one in record.per_signal],
            "networks": [(asn, network_name(event, asn)) for asn in record.scope.asns],
            "others": dossier.others,
            "changed": _changed(record),
            "doubted": is_doubted(record),
            "causes": [(one.value, _plain(one)) for one in CauseValue],
            "bases": [(one.value, _plain(one)) for one in CauseBasis],
            "reviews": sorted(dossier.reviews, key=lambda one: -one.review_key),
            "versions": _versions(dossier, events),
            "changes": words.CHANGES,
            "reasons": words.REASONS,
        },
    )


def _offered(record: EventRecord, reviews: Sequence[Review]) -> frozenset[Action]:
    """The decisions that make sense now; whether one is taken is for the desk to say when it comes."""
    public = record.scope.level is not Level.PROBE
    standing = not is_retracted(reviews) and record.status is not Status.RETRACTED
    several = len(record.scope.asns) > 1 or len(record.scope.targets) > 1
    sensible = {
        Action.ANNOTATE: True,
        Action.CONFIRM: public and standing and record.confidence.label is not ConfidenceLabel.CONFIRMED,
        Action.RETRACT: standing,
        Action.REOPEN: judgement(reviews) is not None,
        Action.HOLD: public and not is_held(reviews),
        Action.RELEASE: is_held(reviews),
        Action.CAUSE: public and standing,
        Action.MERGE: public and standing,
        Action.SPLIT: public and standing and several,
    }
    return frozenset(action for action, makes_sense in sensible.items() if makes_sense)


def _versions(dossier: Dossier, events: Sequence[PublishedEvent]) -> list[VersionLine]:
    """The newest first, each with what it says otherwise than the one before."""
    before = [None, *events[:-1]]
    lines = [
        VersionLine(event, stored.held, changes(past, event) if past else ())
        for event, past, stored in zip(events, before, dossier.versions, strict=True)
    ]
    return lines[::-1]


def _changed(record: EventRecord) -> list[str]:
    """Name what people changed of what the detector says."""
    said = record.machine.said if record.machine else {}
    return [_plain(name) for name in sorted(said) if name not in _SIGNATURES]


def _plain(value: str) -> str:
    return value.replace("_", " ")
