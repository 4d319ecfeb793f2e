"""What a message says: plain sentences for people, and the same facts as JSON for programs.

It is made of what was published and of nothing else, so that a repetition says the same to the letter. What is not
known stands beside what is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from civobs_collector.detect.record import Status
from civobs_collector.notify.change import Change
from civobs_collector.publish import words
from civobs_collector.publish.changes import changes
from civobs_collector.publish.published import PublishedEvent, began, ended, how_sure, title, who
from civobs_collector.publish.times import count, iso, utc_text
from civobs_collector.web.places import local_clock

CHANGES: dict[Change, tuple[str, str]] = {
    Change.OPENED: ("New", "A new event has been published."),
    Change.WORSENED: ("Worse", "More was lost, or it reached further, than you were told before."),
    Change.CONFIRMED: ("Confirmed", "A named reviewer of the observatory has checked the evidence."),
    Change.CLOSED: ("Over", "The event is over."),
    Change.REOPENED: ("Open again", "You were told that this event was over or retracted. It is not."),
    Change.RETRACTED: ("Retracted", "The observatory no longer stands by this event. Please do not report it further."),
    Change.CORRECTED: ("Corrected", "What you were told before is corrected."),
}
"""For a subject, and as a sentence."""

_TOLD = {
    *("depth", "scope.level", "scope.networks", "scope.targets", "onset", "resolution", "affected"),
    *("confidence.label", "cause.value"),
}
"""Fields whose change is told besides the title's; the page has the others."""
_NO_CAUSE = "The cause is not known. The observatory does not infer causes."
_RETRACTED = CHANGES[Change.RETRACTED][1]


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a message: its version, the one told of before, and what the step from that to this is."""

    event: PublishedEvent
    before: PublishedEvent | None
    change: Change


@dataclass(frozen=True, slots=True)
class Content:
    """A message without its addressee."""

    subject: str
    text: str
    document: dict[str, Any]
    thread: str | None
    """What all messages of one event share; None for a digest."""


def content(told: Sequence[Told], base_url: str) -> Content:
    """Word one event, or a digest of several."""
    return _single(told[0]) if len(told) == 1 else _digest(told, base_url)


def trial(base_url: str, at: str) -> Content:
    """Word a message that only shows that messages arrive."""
    text = f"This is a trial: {base_url} can reach you. No event is meant.\n"
    return Content("Trial of notifications", text, {"type": "test.ping", "timestamp": at, "data": {"text": text}}, None)


def not_known(event: PublishedEvent) -> list[str]:
    """List what the record says it does not know."""
    record = event.record
    cause = record.cause
    stated = f"A source states a cause ({cause.value.replace('_', ' ')}); the observatory does not infer causes."
    provisional = "Not all measurements have arrived: times and numbers may still change."
    # The first limit of what was retracted is why; it stands among the sentences.
    limits = record.limits[1:] if _is_retracted(event) else record.limits
    return [
        _NO_CAUSE if cause.value == "unknown" else stated,
        *([provisional] if record.provisional else []),
        *limits,
    ]


def _is_retracted(event: PublishedEvent) -> bool:
    return event.record.status is Status.RETRACTED


def _sentences(event: PublishedEvent) -> list[str]:
    record, local = event.record, local_clock(event.record.scope.cc)
    if _is_retracted(event):
        return [_RETRACTED, *record.limits[:1], f"It had said: {who(event)} {began(event, local)}"]
    meaning = words.CONFIDENCES[record.confidence.label][1]
    return [who(event), began(event, local), ended(event, local), f"{how_sure(event)} {meaning}"]


def _single(told: Told) -> Content:
    event = told.event
    head, sentence = CHANGES[told.change]
    parts = [
        _heading(event),
        "" if _is_retracted(event) else sentence,
        "\n".join(_sentences(event)),
        "" if _is_retracted(event) else words.KINDS[event.record.kind].meaning,
        _block("Changed since you were last told", _differences(told)),
        _block("Notes of reviewers", _notes(told)),
        _block("What is not known", not_known(event)),
        _block("Sources of the cause", event.record.cause.sources),
        f"This version, for quoting: {event.permalink}\nThe newest: {event.latest_url}",
        f"{event.public_id}, version {event.version}, published {utc_text(event.published_at)}. {words.LICENCE_NAME}.",
    ]
    return Content(
        subject=f"{head}: {_heading(event)} ({event.public_id})",
        text="\n\n".join(part for part in parts if part) + "\n",
        document={
            "type": f"event.{told.change}",
            "timestamp": iso(event.published_at),
            "data": _facts(told),
        },
        thread=event.public_id,
    )


def _digest(told: Sequence[Told], base_url: str) -> Content:
    lines = [
        f"{CHANGES[one.change][0]}: {_heading(one.event)}\n  {_brief(one.event)}\n  {one.event.permalink}"
        for one in told
    ]
    head = f"{count(len(told), 'change')} of events"
    text = (
        f"{head}, told together because there are many.\n\n"
        + "\n\n".join(lines)
        + "\n\nThe observatory does not infer causes. What is not known of an event stands on its page.\n"
        + f"All events: {base_url}/events\n"
    )
    document = {
        "type": "event.digest",
        "timestamp": iso(max(one.event.published_at for one in told)),
        "data": {"events": [_facts(one) for one in told]},
    }
    return Content(f"{head} at {words.PUBLISHER}", text, document, None)


def _brief(event: PublishedEvent) -> str:
    return _RETRACTED if _is_retracted(event) else f"{who(event)} {how_sure(event)}"


def _differences(told: Told) -> list[str]:
    if told.before is None or _is_retracted(told.event):
        return []
    names = _heading(told.before), _heading(told.event)
    called = [f"Called: {names[0]} → {names[1]}"] if names[0] != names[1] else []
    rest = [one for one in changes(told.before, told.event) if one.field in _TOLD]
    return [*called, *(f"{one.name}: {one.before} → {one.after}" for one in rest)]


def _notes(told: Told) -> list[str]:
    """What people wrote since the reader was told last."""
    known = told.before.record.notes if told.before else ()
    return [f"{note.by}: {note.text}" for note in told.event.record.notes if note not in known and note.text]


def _heading(event: PublishedEvent) -> str:
    """The title without the word that says again that it is retracted."""
    return title(event).removeprefix("Retracted: ")


def _block(name: str, lines: Sequence[str]) -> str:
    return "\n".join((f"{name}:", *(f"- {line}" for line in lines))) if lines else ""


def _facts(told: Told) -> dict[str, Any]:
    event, record = told.event, told.event.record
    scope, end = record.scope, record.resolution
    return {
        "id": event.public_id,
        "version": event.version,
        "version_told_before": told.before.version if told.before else None,
        "change": told.change,
        "title": _heading(event),
        "summary": " ".join(_sentences(event)),
        "not_known": not_known(event),
        "reviewed_by": record.reviewed_by,
        "notes": _notes(told),
        "status": record.status,
        "kind": record.kind,
        "level": scope.level,
        "country": {"cc": scope.cc, "name": event.country},
        "networks": list(scope.asns),
        "targets": list(scope.targets),
        "confidence": record.confidence.label,
        "began": {"earliest": iso(record.onset.earliest), "latest": iso(record.onset.latest)},
        "ended": {"earliest": iso(end.earliest), "latest": iso(end.latest)} if end else None,
        "cause": record.cause.model_dump(mode="json"),
        "published_at": iso(event.published_at),
        "permalink": event.permalink,
        "json": f"{event.permalink}.json",
        "newest": event.latest_url,
        "licence": words.LICENCE_ID,
    }
