"""What an event's version is to somebody who was told of an earlier one: a table of changes, the weightiest first.

Most versions are none: bounds that narrow, a chart that grew, one household more. What is told is what a reader would
act on.
"""

from collections.abc import Callable
from enum import StrEnum

from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind, EventRecord, Level, Status


class Change(StrEnum):
    """Why somebody is told."""

    OPENED = "opened"
    """Told for the first time, also of what is over by now."""
    RETRACTED = "retracted"
    REOPENED = "reopened"
    """Told to be over or retracted, and open or stood by again."""
    CLOSED = "closed"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    """Another kind, a smaller reach, another cause, or no longer confirmed."""
    WORSENED = "worsened"


_LEVELS = (Level.PROBE, Level.NETWORK, Level.REGION, Level.COUNTRY)
_DEPTHS = {Depth.PARTIAL: 1, Depth.INTERNATIONAL_ONLY: 2, Depth.WHITELIST: 2, Depth.FULL: 3}
"""How much was lost, where it is known."""
_MORE = 1.5
"""Networks or services: this many times as many are worse; one more in ten is not worth a message."""
_MANY_MORE = 2.0
"""The same of households."""
_LOST = (EventKind.OUTAGE, EventKind.SHUTDOWN_SUSPECTED)
"""One question, whether the Internet was lost: the kind only says how far it reached."""


def change_between(before: EventRecord | None, after: EventRecord) -> Change | None:
    """Say what ``after`` is to somebody who knows ``before``, or nothing; None is nothing worth telling."""
    if before is None:
        return None if after.status is Status.RETRACTED else Change.OPENED
    return next((change for change, is_so in _RULES if is_so(before, after)), None)


def rank(level: Level) -> int:
    """How far a level reaches, for comparison."""
    return _LEVELS.index(level)


def _confirmed(record: EventRecord) -> bool:
    return record.confidence.label is ConfidenceLabel.CONFIRMED


def _retracted(before: EventRecord, after: EventRecord) -> bool:
    return before.status is not Status.RETRACTED and after.status is Status.RETRACTED


def _reopened(before: EventRecord, after: EventRecord) -> bool:
    ended = {Status.CLOSED: (Status.OPEN,), Status.RETRACTED: (Status.OPEN, Status.CLOSED)}
    return after.status in ended.get(before.status, ())


def _corrected(before: EventRecord, after: EventRecord) -> bool:
    other = before.kind is not after.kind and not (before.kind in _LOST and after.kind in _LOST)
    smaller = rank(after.scope.level) < rank(before.scope.level)
    return other or smaller or before.cause != after.cause or (_confirmed(before) and not _confirmed(after))


def _worsened(before: EventRecord, after: EventRecord) -> bool:
    if rank(after.scope.level) > rank(before.scope.level):
        return True
    depths = _DEPTHS.get(before.depth), _DEPTHS.get(after.depth)
    if depths[0] is not None and depths[1] is not None and depths[1] > depths[0]:
        return True
    return (
        _grew(len(before.scope.asns), len(after.scope.asns), _MORE)
        or _grew(len(before.scope.targets), len(after.scope.targets), _MORE)
        or _grew(before.affected.n_down, after.affected.n_down, _MANY_MORE)
    )


def _grew(before: int, after: int, times: float) -> bool:
    return after > before and after >= times * before


_RULES: tuple[tuple[Change, Callable[[EventRecord, EventRecord], bool]], ...] = (
    (Change.RETRACTED, _retracted),
    (Change.REOPENED, _reopened),
    (Change.CLOSED, lambda before, after: before.status is Status.OPEN and after.status is Status.CLOSED),
    (Change.CONFIRMED, lambda before, after: _confirmed(after) and not _confirmed(before)),
    (Change.CORRECTED, _corrected),
    (Change.WORSENED, lambda before, after: after.status is not Status.RETRACTED and _worsened(before, after)),
)
"""The first that holds names the message; its text says all that changed."""
