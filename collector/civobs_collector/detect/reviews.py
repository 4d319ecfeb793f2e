"""What people decide about an event, laid over what the detector says of it.

A record is a pure function of the facts and of the reviews, in the order in which these were written. What the detector
alone would say is kept beside it (``record.machine``): it goes on from that, so no run ever undoes a person, and what
is taken back leaves no trace in the next version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any
from uuid import UUID

from civobs_collector.detect.carve import carved, joined
from civobs_collector.detect.record import (
    Cause,
    ConfidenceLabel,
    EventRecord,
    Level,
    Machine,
    Note,
    Scope,
    Status,
)

HELD = "review"
HELD_RETRACTED = "retracted"
CONFIRM_POSTERIOR = 0.97
"""detection.md §3.8 asks for .99 of the filter; experience lets no more than this be stated (``confidence.most``)."""
CONFIRM_HOUSEHOLDS = 3
RETRACTED = "A reviewer of the observatory has retracted it: the notes say why."
OF_THE_WHOLE = "The measurements that are named are those of the whole."
BY_ITSELF = "by the measurements alone it would be called unconfirmed"
NOT_BORNE_OUT = "the detector no longer finds it in the records that have arrived since"
FURTHER = "since then it has come to reach further than what was checked"


class Action(StrEnum):
    """What a person can decide."""

    CONFIRM = "confirm"
    RETRACT = "retract"
    REOPEN = "reopen"
    """The last confirmation, retraction or merger is taken back."""
    HOLD = "hold"
    RELEASE = "release"
    ANNOTATE = "annotate"
    CAUSE = "cause"
    MERGE = "merge"
    SPLIT = "split"


class CauseValue(StrEnum):
    """What a source may say was the cause: a closed list, so that events can be counted by it."""

    UNKNOWN = "unknown"
    GOVERNMENT_ORDER = "government_order"
    POWER_FAILURE = "power_failure"
    CABLE_CUT = "cable_cut"
    MILITARY_ACTION = "military_action"
    NATURAL_DISASTER = "natural_disaster"
    WEATHER = "weather"
    FIRE = "fire"
    CYBERATTACK = "cyberattack"
    TECHNICAL_FAULT = "technical_fault"
    MAINTENANCE = "maintenance"


class CauseBasis(StrEnum):
    """Who says so."""

    REPORTED = "reported"
    OFFICIAL_ORDER = "official_order"
    OPERATOR_STATEMENT = "operator_statement"


@dataclass(frozen=True, slots=True)
class Review:
    """One decision of one person about one event."""

    review_key: int
    event_key: UUID
    at: datetime
    reviewer: str
    action: Action
    note: str = ""
    sources: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


def applied(record: EventRecord, reviews: Sequence[Review]) -> EventRecord:
    """The record as people have decided; doing it again, or with more reviews later, comes to the same."""
    bare = unreviewed(record)
    ordered = sorted(reviews, key=lambda one: one.review_key)
    changed = reduce(_step, _standing(ordered), bare)
    judged = judgement(ordered)
    changed = changed.model_copy(update=_judged(changed, judged, ordered) | _signed(ordered))
    return _remembering(changed, bare)


def unreviewed(record: EventRecord) -> EventRecord:
    """What the detector alone says."""
    if record.machine is None:
        return record
    return EventRecord.model_validate(
        {**record.model_dump(mode="json"), "held": None, **record.machine.said, "machine": None}
    )


def judgement(reviews: Sequence[Review]) -> Review | None:
    """The confirmation, retraction or merger into another that stands."""
    found: list[Review] = []
    for one in sorted(reviews, key=lambda one: one.review_key):
        if one.action is Action.REOPEN and "gives_back" not in one.body:
            # One decision only: a retraction that is taken back leaves the confirmation before it.
            del found[-1:]
        elif one.action in (Action.CONFIRM, Action.RETRACT) or (one.action is Action.MERGE and "into" in one.body):
            found.append(one)
    return found[-1] if found else None


def is_retracted(reviews: Sequence[Review]) -> bool:
    """Whether a person has retracted it, and has not taken that back."""
    judged = judgement(reviews)
    return judged is not None and judged.action is not Action.CONFIRM


def is_held(reviews: Sequence[Review]) -> bool:
    """Whether new versions are kept from the public."""
    last = None
    for one in sorted(reviews, key=lambda one: one.review_key):
        if one.action in (Action.HOLD, Action.RELEASE):
            last = one.action
    return last is Action.HOLD


def split_from(reviews: Sequence[Review]) -> Review | None:
    """The decision that made it an event of its own, if a person did."""
    return next((one for one in reviews if one.action is Action.SPLIT and "from_key" in one.body), None)


def part_of(record: EventRecord, body: Mapping[str, Any]) -> EventRecord:
    """The part of an event that was split off, from what the detector says of the whole; ``body`` of the decision."""
    part = carved(record, asns=frozenset(body["asns"]), targets=frozenset(body["targets"]), keep=True)
    return part.model_copy(
        update={
            "event_key": UUID(body["to_key"]),
            "limits": (f"Taken out of {body['of']} by a reviewer. {OF_THE_WHOLE}", *part.limits),
            "campaign": None,
            "dating": None,
            "cross_checks": {},
        }
    )


def lacking(record: EventRecord, sources: Sequence[str] = ()) -> tuple[str, ...]:
    """What keeps an event from being confirmed (detection.md §3.8), in words; empty where nothing does."""
    own = unreviewed(record)
    families, asns = set(own.confidence.families), own.scope.asns
    independent = families | ({"external"} if sources else set())
    conditions = {
        "it is of one household, and what one household met is never confirmed": own.scope.level is not Level.PROBE,
        "it is retracted": Status.RETRACTED not in (record.status, own.status),
        f"the posterior is {own.confidence.posterior:.2f}, under {CONFIRM_POSTERIOR}": own.confidence.posterior
        >= CONFIRM_POSTERIOR,
        f"{own.affected.n_down} households were down, fewer than {CONFIRM_HOUSEHOLDS}": own.affected.n_down
        >= CONFIRM_HOUSEHOLDS,
        "the households are of one network only, and the event claims more than that": len(asns) >= 2
        or (own.scope.level is Level.NETWORK and len(asns) == 1),
        "it rests on one kind of evidence only: a source outside the observatory is a second": len(independent) >= 2,
        "neither stored measurements of the probes nor a source outside the observatory bear it out": bool(
            independent & {"inside_out", "external"}
        ),
        "the observatory itself may have failed": not _collector_suspect(own),
    }
    return tuple(words for words, met in conditions.items() if not met)


def _collector_suspect(record: EventRecord) -> bool:
    elsewhere = any("collector lost probes elsewhere" in reason for reason in record.confidence.reasons)
    return elsewhere or record.likeliest == "collector_fault"


def _standing(reviews: Sequence[Review]) -> list[Review]:
    """Mergers and splits that change this record, without mergers that were taken back."""
    standing: list[Review] = []
    for one in reviews:
        if one.action is Action.REOPEN and "gives_back" in one.body:
            standing = [old for old in standing if old.body.get("from_key") != one.body["gives_back"]]
        elif (one.action is Action.MERGE and "from" in one.body) or (one.action is Action.SPLIT and "to" in one.body):
            standing.append(one)
    return standing


def _step(record: EventRecord, review: Review) -> EventRecord:
    if review.action is Action.MERGE:
        return joined(record, review.body)
    body = review.body
    left = carved(record, asns=frozenset(body["asns"]), targets=frozenset(body["targets"]), keep=False)
    note = f"A reviewer took a part of it out, which has an event of its own: {review.body['to']}. {OF_THE_WHOLE}"
    return left.model_copy(update={"limits": (note, *left.limits)})


def _judged(record: EventRecord, judged: Review | None, reviews: Sequence[Review]) -> dict[str, Any]:
    """What a confirmation or a retraction changes."""
    held = {"held": HELD} if is_held(reviews) else {}
    if judged is None:
        return held
    if judged.action is Action.CONFIRM:
        return held | _confirmed(record, judged)
    note = f"Merged into {judged.body['into']}, which tells of it." if judged.action is Action.MERGE else RETRACTED
    return held | {"status": Status.RETRACTED, "provisional": False, "limits": (note, *record.limits)}


def _confirmed(record: EventRecord, review: Review) -> dict[str, Any]:
    own = record.confidence
    reasons = [*own.reasons, f"{review.reviewer} checked the evidence on {review.at:%Y-%m-%d}"]
    changes: dict[str, Any] = {}
    if _reaches_further(record.scope, review.body):
        reasons.append(FURTHER)
    if own.label is ConfidenceLabel.UNCONFIRMED:
        reasons.append(BY_ITSELF)
    if record.status is Status.RETRACTED:
        reasons.append(NOT_BORNE_OUT)
        changes["status"] = Status.CLOSED
    families = (*own.families, *(("external",) if review.sources else ()))
    confidence = own.model_copy(
        update={
            "label": ConfidenceLabel.CONFIRMED,
            "families": tuple(dict.fromkeys(families)),
            "reasons": tuple(reasons),
        }
    )
    return changes | {"confidence": confidence}


def seen(scope: Scope) -> dict[str, Any]:
    """What a confirmation is of, for its ``body``."""
    return {"level": scope.level.value, "asns": list(scope.asns), "targets": list(scope.targets)}


def _reaches_further(scope: Scope, checked: Mapping[str, Any]) -> bool:
    if "level" not in checked:
        return False
    wider = _LEVELS.index(scope.level) > _LEVELS.index(checked["level"])
    return wider or not (set(scope.asns) <= set(checked["asns"]) and set(scope.targets) <= set(checked["targets"]))


_LEVELS = (Level.PROBE, Level.NETWORK, Level.REGION, Level.COUNTRY)
_DECIDES = (Action.CONFIRM, Action.RETRACT, Action.REOPEN, Action.MERGE, Action.SPLIT)
_PUBLIC_NOTES = (*_DECIDES, Action.ANNOTATE, Action.CAUSE)
"""Why something is held back is nobody's business: it may be held to keep somebody safe."""


def _signed(reviews: Sequence[Review]) -> dict[str, Any]:
    """Who said what."""
    notes = tuple(
        Note(at=one.at, by=one.reviewer, action=one.action, text=one.note, sources=one.sources)
        for one in reviews
        if one.action in _PUBLIC_NOTES and (one.note or one.sources)
    )
    causes = [
        Cause(value=one.body["value"], basis=one.body["basis"], sources=one.sources)
        for one in reviews
        if one.action is Action.CAUSE
    ]
    names = [one.reviewer for one in reviews if one.action in _DECIDES]
    return {
        **({"notes": notes} if notes else {}),
        **({"cause": causes[-1]} if causes else {}),
        **({"reviewed_by": names[-1]} if names else {}),
    }


def _remembering(changed: EventRecord, bare: EventRecord) -> EventRecord:
    """The record with what the detector said of every field that people changed."""
    own = bare.model_dump(mode="json")
    theirs = changed.model_dump(mode="json")
    said = {name: value for name, value in own.items() if value != theirs[name]}
    return changed.model_copy(update={"machine": Machine(said=said) if said else None})
