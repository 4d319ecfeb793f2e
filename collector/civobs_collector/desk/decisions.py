"""What each decision needs, and what it writes about which event: a function an action.

Everything here reads; ``desk/triage.py`` writes.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid5

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
    seen,
    unreviewed,
)
from civobs_collector.errors import ReviewRefusedError

MOST_NAME, MOST_NOTE, MOST_URL, MOST_SOURCES = 80, 4000, 2000, 20
_NOT_TEXT = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode categories that no name or note has, but for line ends and tabs in a note."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to decide about an event."""

    event: str
    """Public id, or key."""
    action: Action
    reviewer: str
    """The name that will stand in the record."""
    note: str = ""
    sources: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    """``merge``: ``with``, another event. ``split``: ``asns`` or ``targets``. ``cause``: ``value`` and ``basis``."""
    staff_key: int | None = None
    seen_version: int | None = None
    """The version that was looked at; a newer one refuses the decision. None does not ask."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An event as it is stored, with everything that was decided about it."""

    event_key: UUID
    public_id: str | None
    version: int
    published_at: datetime
    record: EventRecord
    reviews: tuple[Review, ...]

    @property
    def name(self) -> str:
        return self.public_id or str(self.event_key)


@dataclass(frozen=True, slots=True)
class Step:
    """A decision about one event, to be written."""

    subject: Subject
    change_kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    action: Action | None = None
    """None: the one that was wanted."""
    born_of: Subject | None = None
    """Of a new event: what it is split from; then ``subject`` is not stored yet."""


Choice = TypeVar("Choice", CauseValue, CauseBasis)
Find = Callable[[str], Subject]
"""An event by public id or key. Raises NotFoundError."""


def steps(wanted: Wanted, subject: Subject, find: Find) -> list[Step]:
    """What to write, the subject's own first. Raises ReviewRefusedError."""
    _require_words(wanted)
    if wanted.seen_version is not None and wanted.seen_version != subject.version:
        raise ReviewRefusedError(
            f"the record has moved on: version {subject.version} was written since version {wanted.seen_version}",
            "look at the newest version and decide again",
        )
    return _DECISIONS[wanted.action](wanted, subject, find)


def _confirm(wanted: Wanted, subject: Subject, _: Find) -> list[Step]:
    judged = judgement(subject.reviews)
    if judged is not None and judged.action is Action.CONFIRM:
        raise ReviewRefusedError(
            f"{subject.name} is confirmed already, by {judged.reviewer}",
            "add what you know with: civobs events annotate",
        )
    missing = lacking(subject.record, wanted.sources)
    if missing:
        raise ReviewRefusedError(
            f"{subject.name} cannot be confirmed: {'; '.join(missing)}",
            "leave it as it is until the evidence is there; a source from outside is given with --source",
        )
    return [Step(subject, "reviewed", seen(subject.record.scope))]


def _retract(wanted: Wanted, subject: Subject, _: Find) -> list[Step]:
    _require_note(wanted, "readers are told why an event is retracted")
    _require_standing(subject)
    return [Step(subject, "retracted")]


def _reopen(_: Wanted, subject: Subject, find: Find) -> list[Step]:
    judged = judgement(subject.reviews)
    if judged is None:
        own = subject.record.status is Status.RETRACTED
        raise ReviewRefusedError(
            f"nobody has confirmed, retracted or merged {subject.name}",
            "the detector took it back, and brings it back itself if the records bear it out"
            if own
            else "there is nothing to take back",
        )
    found = [Step(subject, "reviewed")]
    if judged.action is Action.MERGE:
        larger = find(judged.body["into_key"])
        onward = judgement(larger.reviews)
        if onward is not None and onward.action is Action.MERGE:
            raise ReviewRefusedError(
                f"{larger.name}, into which {subject.name} was merged, is itself merged into {onward.body['into']}",
                f"take that back first: civobs events reopen {larger.name}",
            )
        found.append(Step(larger, "corrected", {"gives_back": str(subject.event_key)}))
    return found


def _hold(_: Wanted, subject: Subject, __: Find) -> list[Step]:
    if is_held(subject.reviews):
        raise ReviewRefusedError(f"{subject.name} is held already", "let it go with: civobs events release")
    return [Step(subject, "reviewed")]


def _release(_: Wanted, subject: Subject, __: Find) -> list[Step]:
    if not is_held(subject.reviews):
        raise ReviewRefusedError(f"{subject.name} is not held", "nothing needs to be done: its versions are served")
    return [Step(subject, "reviewed")]


def _annotate(wanted: Wanted, subject: Subject, _: Find) -> list[Step]:
    _require_note(wanted, "an annotation is its note")
    return [Step(subject, "reviewed")]


def _cause(wanted: Wanted, subject: Subject, _: Find) -> list[Step]:
    _require_public(subject)
    _require_standing(subject)
    value = _one_of(CauseValue, wanted.body.get("value"), "cause")
    if value is CauseValue.UNKNOWN:
        _require_note(wanted, "readers are told why a cause is taken back")
        return [Step(subject, "reviewed", {"value": value.value, "basis": "unknown"})]
    basis = _one_of(CauseBasis, wanted.body.get("basis"), "basis")
    if not wanted.sources:
        raise ReviewRefusedError(
            "a cause is only ever taken from a source, and none is given", "name it: --source https://…"
        )
    return [Step(subject, "reviewed", {"value": value.value, "basis": basis.value})]


def _merge(wanted: Wanted, subject: Subject, find: Find) -> list[Step]:
    other = find(str(wanted.body.get("with", "")))
    if other.event_key == subject.event_key:
        raise ReviewRefusedError(f"{subject.name} cannot be merged with itself", "name two events")
    for one in (subject, other):
        _require_public(one)
        _require_standing(one)
    if is_held(subject.reviews) is not is_held(other.reviews):
        raise ReviewRefusedError(
            f"one of {subject.name} and {other.name} is held, and the other would tell of it",
            "hold both, or release both",
        )
    mine, theirs = subject.record, other.record
    if mine.scope.cc != theirs.scope.cc or bool(mine.scope.targets) != bool(theirs.scope.targets):
        raise ReviewRefusedError(
            f"{subject.name} and {other.name} are not of one country and of one kind",
            "merge events of the same country, both of lines that were lost or both of services",
        )
    larger, smaller = sorted((subject, other), key=_size, reverse=True)
    record = smaller.record
    taken = {
        "from": smaller.name,
        "from_key": str(smaller.event_key),
        **{name: list(getattr(record.scope, name)) for name in ("asns", "targets", "layers", "mechanisms", "admin1")},
        "names": {str(asn): name for asn, name in record.scope.names.items()},
        "onset": record.onset.model_dump(mode="json"),
        "resolution": None if record.resolution is None else record.resolution.model_dump(mode="json"),
    }
    return [
        Step(smaller, "retracted", {"into": larger.name, "into_key": str(larger.event_key)}),
        Step(larger, "extended", taken),
    ]


_LEVELS = (Level.PROBE, Level.NETWORK, Level.REGION, Level.COUNTRY)


def _size(one: Subject) -> tuple[bool, int, int, bool, float, str]:
    """What the larger of two events has more of; one that goes on is never merged into one that is over."""
    record = one.record
    level = _LEVELS.index(record.scope.level)
    confirmed = record.confidence.label is ConfidenceLabel.CONFIRMED
    began = -record.onset.earliest.timestamp()
    return (record.status is Status.OPEN, level, record.affected.n_down, confirmed, began, one.name)


def _split(wanted: Wanted, subject: Subject, _: Find) -> list[Step]:
    _require_public(subject)
    _require_standing(subject)
    if is_held(subject.reviews):
        raise ReviewRefusedError(
            f"{subject.name} is held, and an event that leaves it would not be", "release it first, or leave it whole"
        )
    asns, targets = _places(wanted)
    scope, own = subject.record.scope, unreviewed(subject.record).scope
    here = frozenset(scope.targets) & frozenset(own.targets) if targets else frozenset(scope.asns) & frozenset(own.asns)
    leaving: frozenset[object] = frozenset(targets) if targets else frozenset(asns)
    strange = sorted(f"AS{one}" if isinstance(one, int) else str(one) for one in leaving - here)
    if strange:
        raise ReviewRefusedError(
            f"{', '.join(strange)} is not of what the detector found of {subject.name}",
            "name networks or targets of the event; what was merged into it is given back with: civobs events reopen",
        )
    if len(leaving) >= len(scope.targets if targets else scope.asns):
        raise ReviewRefusedError(f"nothing would be left of {subject.name}", "leave at least one network or target")
    key = uuid5(subject.event_key, f"{sorted(asns)} {sorted(targets)} {len(subject.reviews)}")
    parted = {"asns": sorted(asns), "targets": sorted(targets), "of": subject.name, "to_key": str(key)}
    back = {"from": subject.name, "from_key": str(subject.event_key), "asns": sorted(asns), "targets": sorted(targets)}
    child = Subject(key, None, 0, subject.published_at, subject.record, ())
    return [Step(subject, "corrected", parted), Step(child, "new", back, born_of=subject)]


def _places(wanted: Wanted) -> tuple[tuple[int, ...], tuple[str, ...]]:
    asns, targets = tuple(wanted.body.get("asns") or ()), tuple(wanted.body.get("targets") or ())
    if bool(asns) == bool(targets):
        raise ReviewRefusedError("say what leaves: networks, or targets", "give --asn or --target, not both")
    try:
        return tuple(int(asn) for asn in asns), tuple(str(target) for target in targets)
    except ValueError:
        raise ReviewRefusedError("a network that leaves is no number", "give its AS number, such as 64500") from None


def _require_words(wanted: Wanted) -> None:
    if not wanted.reviewer.strip() or len(wanted.reviewer) > MOST_NAME or not _is_text(wanted.reviewer, ""):
        raise ReviewRefusedError(
            "a decision needs a name that can stand in the record",
            f"give the reviewer's name, at most {MOST_NAME} characters on one line",
        )
    if len(wanted.note) > MOST_NOTE or not _is_text(wanted.note, "\n\r\t"):
        raise ReviewRefusedError("the note is too long or holds what is no text", f"at most {MOST_NOTE} characters")
    for source in wanted.sources[: MOST_SOURCES + 1]:
        if not _is_address(source):
            raise ReviewRefusedError(
                f"a source is no https address: {source[:MOST_NAME]!r}", "give the whole address, as https://…"
            )
    if len(wanted.sources) > MOST_SOURCES:
        raise ReviewRefusedError(f"more than {MOST_SOURCES} sources", "name those that matter")


def _is_text(text: str, but: str) -> bool:
    return not any(unicodedata.category(one) in _NOT_TEXT and one not in but for one in text)


def _is_address(text: str) -> bool:
    if len(text) > MOST_URL or not re.fullmatch(r"https://[!-~]+", text) or re.search(r"[<>\"\\^`{|}]", text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return "." in (parts.hostname or "") and parts.username is None and port != 0


def _one_of(kind: type[Choice], value: object, what: str) -> Choice:
    try:
        return kind(str(value))
    except ValueError:
        raise ReviewRefusedError(f"{value!r} is no known {what}", f"one of: {', '.join(kind)}") from None


def _require_note(wanted: Wanted, why: str) -> None:
    if not wanted.note.strip():
        raise ReviewRefusedError(f"a note is missing: {why}", "give --note TEXT")


def _require_public(subject: Subject) -> None:
    if subject.record.scope.level is Level.PROBE:
        raise ReviewRefusedError(
            f"{subject.name} is of one household, and not public", "one household's event can be annotated or retracted"
        )


def _require_standing(subject: Subject) -> None:
    if is_retracted(subject.reviews) or subject.record.status is Status.RETRACTED:
        raise ReviewRefusedError(
            f"{subject.name} is retracted", "what a person retracted comes back with: civobs events reopen"
        )


_DECISIONS: Mapping[Action, Callable[[Wanted, Subject, Find], list[Step]]] = {
    Action.CONFIRM: _confirm,
    Action.RETRACT: _retract,
    Action.REOPEN: _reopen,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
    Action.ANNOTATE: _annotate,
    Action.CAUSE: _cause,
    Action.MERGE: _merge,
    Action.SPLIT: _split,
}
