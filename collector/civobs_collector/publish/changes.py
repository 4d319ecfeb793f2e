"""What one version of an event says otherwise than the one before: a table of fields, each with its words.

Texts are compared, not numbers: what reads the same has not changed for a reader. The whole of both versions stays in
their JSON.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from civobs_collector.detect.record import Bounds, EventRecord, Transition
from civobs_collector.publish.published import PublishedEvent, family_words, network_name, signal_words, title
from civobs_collector.publish.reviewed import note_line
from civobs_collector.publish.services import finding, mechanism_text
from civobs_collector.publish.times import MONTHS, count, listing
from civobs_collector.publish.words import CONFIDENCES, DEPTHS, HYPOTHESES, LEVELS, STATUSES

NOTHING = "none"
"""Where a version has nothing to say of a field."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that reads otherwise."""

    field: str
    """Where it stands in the JSON, parts joined by dots."""
    name: str
    before: str
    after: str


def changes(before: PublishedEvent, after: PublishedEvent) -> tuple[Change, ...]:
    """List what changed, in the order of the page."""
    found = [Change(field, name, text(before), text(after)) for field, name, text in _FIELDS]
    found += _signal_changes(before, after)
    found += [
        Change("notes", note.by, NOTHING, note_line(note)) for note in after.record.notes[len(before.record.notes) :]
    ]
    return tuple(change for change in found if change.before != change.after)


def _signal_changes(before: PublishedEvent, after: PublishedEvent) -> Iterator[Change]:
    old, new = ({one.signal: one for one in event.record.per_signal} for event in (before, after))
    for signal in sorted({*old, *new}):
        name = signal_words(after, signal)[0]
        pair = [values.get(signal) for values in (old, new)]
        onsets = [_bounds(one.onset) if one else NOTHING for one in pair]
        ends = [_bounds(one.resolution) if one else NOTHING for one in pair]
        yield Change(f"per_signal.{signal}.onset", f"{name}: began", *onsets)
        yield Change(f"per_signal.{signal}.resolution", f"{name}: ended", *ends)


def _bounds(bounds: Bounds | Transition | None) -> str:
    return f"{_moment(bounds.earliest)} to {_moment(bounds.latest)}" if bounds else NOTHING


def _moment(moment: datetime | None) -> str:
    return f"{moment.day} {MONTHS[moment.month - 1][:3]} {moment:%Y %H:%M:%S}" if moment else NOTHING


def _rollout(transition: Transition | None) -> str:
    if transition is None or transition.t50 is None:
        return NOTHING
    return f"{_moment(transition.t10)}, {_moment(transition.t50)}, {_moment(transition.t90)}"


def _networks(event: PublishedEvent) -> str:
    return listing([network_name(event, asn) for asn in event.record.scope.asns]) or NOTHING


def _texts(texts: Sequence[str]) -> str:
    return listing(texts) or NOTHING


def _households(record: EventRecord) -> str:
    return f"{record.affected.n_down} of {count(record.affected.n_observed, 'household')}"


def _campaign(record: EventRecord) -> str:
    part = record.campaign
    return f"occurrence {part.occurrence} of {part.n_occurrences}" if part else NOTHING


_FIELDS: tuple[tuple[str, str, Callable[[PublishedEvent], str]], ...] = (
    ("title", "Title", title),
    ("status", "Status", lambda event: STATUSES[event.record.status][0]),
    ("finding", "Finding", lambda event: finding(event.record).replace("_", " ")),
    ("provisional", "Times may still narrow", lambda event: "yes" if event.record.provisional else "no"),
    ("depth", "What was lost", lambda event: DEPTHS[event.record.depth][0]),
    ("scope.level", "Reach", lambda event: LEVELS[event.record.scope.level]),
    ("scope.networks", "Networks affected", _networks),
    ("scope.networks_observed", "Networks observed", lambda event: str(len(event.record.scope.asns_observed))),
    ("scope.targets", "Services", lambda event: _texts(event.record.scope.targets)),
    ("scope.layers", "Where it failed", lambda event: _texts(event.record.scope.layers)),
    (
        "scope.mechanisms",
        "How it failed",
        lambda event: " ".join(map(mechanism_text, event.record.scope.mechanisms)) or NOTHING,
    ),
    ("onset", "Began between (UTC)", lambda event: _bounds(event.record.onset)),
    ("onset.t10", "A tenth, half, nine tenths had lost it", lambda event: _rollout(event.record.onset)),
    ("resolution", "Ended between (UTC)", lambda event: _bounds(event.record.resolution)),
    ("resolution.t10", "A tenth, half, nine tenths had it back", lambda event: _rollout(event.record.resolution)),
    ("affected", "Households", lambda event: _households(event.record)),
    (
        "affected.fraction_lo",
        "Share of homes (95 % bounds)",
        lambda event: f"{event.record.affected.fraction_lo:.0%} to {event.record.affected.fraction_hi:.0%}",
    ),
    ("severity.hours", "Hours", lambda event: f"{event.record.severity.hours:.1f}"),
    ("confidence.label", "Confidence", lambda event: CONFIDENCES[event.record.confidence.label][0]),
    (
        "confidence.families",
        "Kinds of evidence",
        lambda event: _texts([family_words(event.record, one) for one in event.record.confidence.families]),
    ),
    (
        "likeliest",
        "Where the fault may lie",
        lambda event: HYPOTHESES.get(event.record.likeliest, event.record.likeliest.replace("_", " ")),
    ),
    ("reviewed_by", "Reviewed by", lambda event: event.record.reviewed_by or NOTHING),
    ("cause.value", "Cause", lambda event: event.record.cause.value.replace("_", " ")),
    ("cause.sources", "Sources of the cause", lambda event: " ".join(event.record.cause.sources) or NOTHING),
    ("campaign", "Campaign", lambda event: _campaign(event.record)),
    ("evidence.n_measurements", "Measurements", lambda event: f"{event.record.evidence.n_measurements:,}"),
    ("evidence.backfill", "Arrived so far", lambda event: f"{event.record.evidence.backfill:.0%}"),
    ("coverage_note", "Coverage", lambda event: event.record.coverage_note),
    ("limits", "Limits", lambda event: " ".join(event.record.limits) or NOTHING),
    ("method.detector_version", "Detector", lambda event: event.record.method.detector_version),
    ("method.params_id", "Thresholds", lambda event: event.record.method.params_id),
)
"""Place in the JSON, words, and the text of the field."""
