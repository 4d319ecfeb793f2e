"""Which event speaks of which truth: one event for one occurrence, whatever order they come in.

An event may stand for an occurrence if it is of the same family of kinds, of the same country, of networks and targets
that are not all others, overlaps it in time, and was not published before it began. Of all assignments the one with
the most pairs is taken, and of those the one in which kind, scope and time agree best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from scipy.optimize import linear_sum_assignment

from civobs_lab.results import EventRun, Interval, RunResult, Span, TruthRun, VersionRun

RETRACTED, OPEN = "retracted", "open"
NOTHING = "nothing"
_HOUSEHOLD = "probe"

FAMILIES: dict[str, str] = {
    "outage": "connectivity",
    "shutdown_suspected": "connectivity",
    "collector_blocked": "connectivity",
    "power": "connectivity",
    "blocking": "services",
    "throttling_targeted": "services",
    "throttling_general": "services",
}
"""Kinds that are taken for one another when the kind is wrong; across families nothing was found."""


def family(kind: str) -> str:
    """The family of a kind; one that is newer than this table is taken for a loss of the Internet."""
    return FAMILIES.get(kind, "connectivity")


SLACK_BINS = 1.0
"""How far apart an event and a truth may lie: bounds that rest on presence alone are up to a bin wide."""

_KIND, _LEVEL, _NETWORKS, _TARGETS, _TIME = 8.0, 4.0, 2.0, 2.0, 1.0
"""What agreement weighs: a right kind more than a right scope, that more than time, which always agrees somewhat."""
_MOST = _KIND + _LEVEL + _NETWORKS + _TARGETS + _TIME + 1.0


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time a truth happened; without a span if it was never done."""

    truth: TruthRun
    span: Span | None


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it stands at last, with the time it is said to have lasted."""

    run: EventRun
    start: datetime
    end: datetime

    @property
    def first(self) -> VersionRun:
        return self.run.versions[0]

    @property
    def last(self) -> VersionRun:
        return self.run.versions[-1]

    @property
    def public(self) -> bool:
        return self.run.public_id is not None

    @property
    def retracted(self) -> bool:
        return self.last.status == RETRACTED

    @property
    def name(self) -> str:
        """What a reader finds it by."""
        return self.run.public_id or f"a household's event in {self.last.cc}"


@dataclass(frozen=True, slots=True)
class Matches:
    """What became of every event."""

    occurrences: tuple[Occurrence, ...]
    pairs: dict[int, Event]
    """By index of the occurrence."""
    split: dict[int, tuple[Event, ...]]
    """Further events of an occurrence that stand."""
    withdrawn: dict[int, tuple[Event, ...]]
    """And those that were taken back."""
    merged: frozenset[int]
    """Occurrences without an event of their own because another's goes on over them."""
    lonely: tuple[Event, ...]
    """Published events that match no truth."""
    lonely_households: tuple[Event, ...]
    """The same for what only staff see."""

    @property
    def public(self) -> list[Event]:
        """All published events, each once."""
        groups = (self.pairs.values(), *self.split.values(), *self.withdrawn.values(), self.lonely)
        return sorted((event for group in groups for event in group if event.public), key=lambda event: event.name)

    def is_right(self, event: Event) -> bool:
        """Whether it stands for something that happened, and calls it by its name."""
        return any(
            mine is event and self.occurrences[row].truth.kind == event.last.kind for row, mine in self.pairs.items()
        )


def events_of(result: RunResult) -> tuple[Event, ...]:
    """The events of a run that claim something, in an order of their own."""
    until = result.played_until or max(
        (version.published_at for run in result.events for version in run.versions), default=result.started_at
    )
    claiming = [run for run in result.events if run.versions and run.versions[-1].access != "not_observable"]
    found = [Event(run, run.versions[-1].onset.earliest, _end(run, until)) for run in claiming]
    return tuple(sorted(found, key=lambda event: (event.start, event.end, event.run.model_dump_json())))


def occurrences_of(result: RunResult) -> tuple[Occurrence, ...]:
    """Each time each truth happened, in the order of the scenario; ``nothing`` is none."""
    return tuple(
        Occurrence(truth, span) for truth in result.truths if truth.kind != NOTHING for span in (truth.spans or (None,))
    )


def match(result: RunResult) -> Matches:
    """Give every event to an occurrence, or to none."""
    occurrences, events = occurrences_of(result), events_of(result)
    until = result.played_until or max((event.end for event in events), default=result.started_at)
    slack = timedelta(seconds=SLACK_BINS * result.bin_s / result.time_scale)
    weights = np.array(
        [[_weight(one, event, until, slack) for event in events] for one in occurrences], dtype=float
    ).reshape(len(occurrences), len(events))
    pairs = _assign(weights, [event.retracted for event in events])
    taken = set(pairs.values())
    split: dict[int, list[Event]] = {}
    withdrawn: dict[int, list[Event]] = {}
    lonely, households = [], []
    for column, event in enumerate(events):
        if column in taken:
            continue
        best = int(weights[:, column].argmax()) if len(occurrences) else 0
        if len(occurrences) and weights[best, column] > 0:
            (withdrawn if event.retracted else split).setdefault(best, []).append(event)
        elif event.public:
            lonely.append(event)
        elif not _within_larger(event, occurrences, until, slack):
            households.append(event)
    return Matches(
        occurrences=occurrences,
        pairs={row: events[column] for row, column in pairs.items()},
        split={row: tuple(many) for row, many in split.items()},
        withdrawn={row: tuple(many) for row, many in withdrawn.items()},
        merged=frozenset(_merged(occurrences, {row: events[column] for row, column in pairs.items()}, until)),
        lonely=tuple(lonely),
        lonely_households=tuple(households),
    )


def touches(event: Event, truth: TruthRun, start: datetime, end: datetime) -> bool:
    """Whether an event lies in the place of a truth and, strictly, in a span of time."""
    return event.start < end and event.end > start and _same_place(event, truth)


def middle(interval: Interval) -> datetime:
    """The estimate, or else the middle of the bounds."""
    return interval.likely or interval.earliest + (interval.latest - interval.earliest) / 2


def _assign(weights: np.ndarray, retracted: Sequence[bool]) -> dict[int, int]:
    """Row to column. What was taken back stands for nothing."""
    usable = np.where(np.array(retracted, dtype=bool)[None, :], 0.0, weights) if weights.size else weights
    # More than all agreement of all pairs together, so that one pair more always wins.
    base = np.where(usable > 0, _MOST * (len(usable) + 1) + usable, 0.0)
    rows, columns = linear_sum_assignment(base, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if usable[row, column] > 0}


def _weight(one: Occurrence, event: Event, until: datetime, slack: timedelta) -> float:
    """How well they agree, above 0; 0 where the event does not speak of this occurrence."""
    truth, span, last = one.truth, one.span, event.last
    if span is None or family(last.kind) != family(truth.kind) or not _same_place(event, truth):
        return 0.0
    if not event.public and truth.level != _HOUSEHOLD:
        return 0.0
    end = span.end or until
    if event.first.published_at < span.start or event.start - slack > end or event.end + slack < span.start:
        return 0.0
    return (
        1.0
        + _KIND * (last.kind == truth.kind)
        + _LEVEL * level_right(truth, last)
        + _NETWORKS * _alike(truth.asns, last.asns)
        + _TARGETS * _alike(hosts(truth.targets), hosts(last.targets))
        + _TIME * _shared(event, span.start, end)
    )


def level_right(truth: TruthRun, version: VersionRun) -> bool:
    """Whether the level is right. A record without regions as a level speaks of one by naming it and no other."""
    if truth.level == "region" and version.level in ("network", "country"):
        return bool(truth.admin1) and set(version.admin1) == set(truth.admin1)
    return version.level == truth.level


def hosts(targets: Sequence[str]) -> frozenset[str]:
    """Targets by name, however they are written: as addresses of pages, or with a dot at the end."""
    bare = (target.partition("://")[2] or target for target in targets)
    return frozenset(name.partition("/")[0].rstrip(".").lower() for name in bare)


def _same_place(event: Event, truth: TruthRun) -> bool:
    last = event.last
    return (
        last.cc == truth.cc
        and _meet(truth.asns, last.asns)
        and _meet(hosts(truth.targets), hosts(last.targets))
        and not (truth.level == "region" and not _meet(truth.admin1, last.admin1))
    )


def _meet(wanted: Sequence[object] | frozenset[str], said: Sequence[object] | frozenset[str]) -> bool:
    """Whether they have one in common; one that names none means all."""
    return not wanted or not said or not set(wanted).isdisjoint(said)


def _alike(wanted: Sequence[object] | frozenset[str], said: Sequence[object] | frozenset[str]) -> float:
    """Share of all those named by either that both name."""
    both = set(wanted) | set(said)
    return len(set(wanted) & set(said)) / len(both) if both else 1.0


def _shared(event: Event, start: datetime, end: datetime) -> float:
    common = min(event.end, end) - max(event.start, start)
    whole = max(event.end, end) - min(event.start, start)
    return max(common / whole, 0.0) if whole else 0.0


def _within_larger(event: Event, occurrences: Sequence[Occurrence], until: datetime, slack: timedelta) -> bool:
    """Whether it is of one of the homes that a larger truth concerns."""
    return any(
        one.span is not None
        and touches(event, one.truth, one.span.start - slack, (one.span.end or until) + slack)
        and family(event.last.kind) == family(one.truth.kind)
        for one in occurrences
    )


def _merged(occurrences: Sequence[Occurrence], pairs: dict[int, Event], until: datetime) -> list[int]:
    """Occurrences over which the event of another of the same family, in the same place, goes on."""
    found = []
    for row, one in enumerate(occurrences):
        if row in pairs or one.span is None:
            continue
        centre = one.span.start + ((one.span.end or until) - one.span.start) / 2
        if any(
            family(event.last.kind) == family(one.truth.kind)
            and touches(event, one.truth, centre, centre + timedelta(microseconds=1))
            for event in pairs.values()
        ):
            found.append(row)
    return found


def _end(run: EventRun, until: datetime) -> datetime:
    """How long it is said to have lasted: its end; while it has none, until the last look; else until it was closed."""
    last = run.versions[-1]
    if last.resolution is not None:
        return last.resolution.latest
    return until if last.status == OPEN else max(last.published_at, last.onset.latest)
