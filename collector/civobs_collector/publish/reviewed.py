"""What reviewers decided, in words: for pages, tables and sentences."""

from civobs_collector.detect.record import Cause, ConfidenceLabel, EventRecord, Note
from civobs_collector.publish.times import iso
from civobs_collector.publish.words import CONFIDENCES

DECISIONS: dict[str, str] = {
    "confirm": "confirmed it",
    "retract": "retracted it",
    "reopen": "took the last decision back",
    "annotate": "added a note",
    "cause": "recorded what a source says of the cause",
    "merge": "merged it with another event",
    "split": "took a part of it out",
}
"""What the writer of a note did, by ``Note.action``."""

BASES: dict[str, str] = {
    "reported": "as reported by others",
    "official_order": "as an official order says",
    "operator_statement": "as an operator states",
}
"""Whose word a cause is, by ``Cause.basis``."""


SEEN = "Several households, or independent kinds of evidence, agree. A reviewer has seen it and has not confirmed it."


def confidence_words(record: EventRecord) -> tuple[str, str]:
    """Say how sure, and what that means now that somebody has looked at it, or nobody has."""
    word, meaning = CONFIDENCES[record.confidence.label]
    seen = record.reviewed_by is not None and record.confidence.label is ConfidenceLabel.PROBABLE
    return word, SEEN if seen else meaning


def decision_words(note: Note) -> str:
    """Say what the writer of a note decided with it."""
    return DECISIONS.get(note.action, note.action)


def cause_words(cause: Cause) -> tuple[str, str]:
    """Say the cause, and whose word it is: never the observatory's."""
    if cause.value == "unknown":
        return "Not known", "The observatory does not infer causes."
    basis = BASES.get(cause.basis, cause.basis.replace("_", " "))
    return cause.value.replace("_", " ").capitalize(), f"{basis.capitalize()}. The observatory does not infer causes."


def note_line(note: Note) -> str:
    """Write one note as plain text, without who and when."""
    return f"{decision_words(note)}: {' '.join((*note.text.split(), *note.sources))}"


def note_lines(record: EventRecord) -> str:
    """Write all notes as plain text, a line each; empty without any."""
    return "\n".join(f"{iso(note.at)} {note.by} {note_line(note)}" for note in record.notes)
