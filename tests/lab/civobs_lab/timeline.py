"""A scenario's timeline: which faults expand into which steps, and what was so from when to when.

Pure: the steps follow from the scenario and its topology alone, also the order in which a power cut takes the homes,
so that two runs of one scenario do the same. Times of the truth are those at which the steps were done.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from civobs_lab.censor.rule import Method, Protocol
from civobs_lab.fault_kinds import (
    CaptivePortal,
    Censor,
    CollectorBlocked,
    Fault,
    Flapping,
    ForgedProbes,
    HomeDown,
    InternationalCut,
    NationalShutdown,
    NetworkDown,
    ObservatoryDown,
    PowerCut,
    RouterDead,
    Whitelist,
)
from civobs_lab.results import Span
from civobs_lab.scenario import Scenario, Truth
from civobs_lab.topology import Topology

OPEN_END_S = 3600.0
"""How long a line flaps where nothing says so."""
HABIT = "habit"
"""The item of a step in which an adversary enrols and begins to behave: nothing is wrong yet."""
CLOCK = "clock of "
"""Before a household: the item of a step in which its probe may learn the time after a power cut."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done at one moment."""

    at_s: float
    """Lab seconds from the timeline's zero."""
    verb: Literal["begin", "mend"]
    fault: int
    """Index into the scenario's faults."""
    item: str
    """What is acted on: the fault's scope, one household of several that go one by one, or ``HABIT``."""
    occurrence: int = 0
    """Which time of a fault that comes back, from 0."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step and when it was done, by the clock."""

    step: Step
    at: datetime
    since: datetime | None = None
    """Of what was mended: when the mending began; ``at`` is when it was finished."""
    until: datetime | None = None
    """Of what was broken: when the breaking was finished; ``at`` is when it began."""


def steps(scenario: Scenario, topology: Topology) -> tuple[Step, ...]:
    """All steps of a scenario in the order of their times; of two at once, what is mended comes first."""
    found = [
        step
        for index, fault in enumerate(scenario.fault)
        for occurrence in range(fault.times)
        for step in _steps_of(fault, index, occurrence, scenario, topology)
    ]
    return tuple(sorted(found, key=lambda step: (step.at_s, step.verb != "mend", step.fault, step.occurrence)))


# From faults to steps.


def _steps_of(fault: Fault, index: int, occurrence: int, scenario: Scenario, topology: Topology) -> Iterator[Step]:
    shift_s = occurrence * (fault.every or 0.0)
    start_s, end_s = fault.start + shift_s, None if fault.end is None else fault.end + shift_s
    seed = f"{index} {occurrence}"
    match fault:
        case PowerCut():
            homes = [household.name for household in topology.households_of(fault.scope)]
            spans_s = _power_cuts(fault, homes, start_s, end_s, seed)
        case Flapping():
            until_s = end_s or scenario.length or start_s + OPEN_END_S
            spans_s = _flaps(fault, start_s, until_s)
        case ForgedProbes():
            # They stay, as if nothing had been, when they have told of their outage.
            spans_s = iter([(HABIT, max(0.0, start_s - fault.habit), None), (fault.scope, start_s, end_s)])
        case _:
            spans_s = iter([(fault.scope, start_s, end_s)])
    for item, begin_s, mend_s in spans_s:
        yield Step(begin_s, "begin", index, item, occurrence)
        if mend_s is not None:
            yield Step(mend_s, "mend", index, item, occurrence)
    if isinstance(fault, PowerCut) and end_s is not None and fault.clock_error and fault.clock_known_after:
        for home, after_s in _one_by_one(homes, fault.return_spread, f"{seed} returns"):
            yield Step(end_s + after_s + fault.clock_known_after, "mend", index, CLOCK + home, occurrence)


def _power_cuts(
    fault: PowerCut, homes: Sequence[str], start_s: float, end_s: float | None, seed: str
) -> Iterator[tuple[str, float, float | None]]:
    returns_s = dict(_one_by_one(homes, fault.return_spread, f"{seed} returns"))
    for home, after_s in _one_by_one(homes, fault.spread, f"{seed} goes"):
        yield home, start_s + after_s, None if end_s is None else end_s + returns_s[home]


def _one_by_one(homes: Sequence[str], spread_s: float, seed: str) -> Iterator[tuple[str, float]]:
    """Each home with its seconds after the first, in an order that is the same in every run."""
    order = random.Random(seed).sample(homes, len(homes))
    for number, home in enumerate(order):
        yield home, spread_s * number / max(1, len(order) - 1)


def _flaps(fault: Flapping, start_s: float, end_s: float) -> Iterator[tuple[str, float, float]]:
    down_s = start_s
    while down_s < end_s:
        yield fault.scope, down_s, min(end_s, down_s + fault.down)
        down_s += fault.down + fault.up


# From what was done to what was so.


def spans(scenario: Scenario, truth: Truth, done: Sequence[Done], *, zero: datetime | None = None) -> tuple[Span, ...]:
    """From when to when a truth was so, once for each time that it happened.

    That is from the first beginning to the last mending of the faults it refers to. Its own ``start`` and ``end``
    stand for the first time and move with each later one; ``zero``, the timeline's, is needed only where nothing
    was done.
    """
    moments = _Moments(scenario, done, zero)
    if not _faults_of(scenario, truth):
        return moments.without_faults(truth)
    found = []
    for occurrence in sorted({each.step.occurrence for each in done if _is_of(each.step, scenario, truth)}):
        span = _span(scenario, truth, [each for each in done if each.step.occurrence == occurrence])
        if span is not None:
            found.append(moments.moved(span, truth, occurrence))
    return tuple(found)


def backfill_from(scenario: Scenario, truth: Truth, done: Sequence[Done]) -> datetime | None:
    """When the probes that a truth's faults kept from delivering could deliver again, for the last time.

    None if nothing kept them, and if it never ended. An observatory that was down at the time counts too.
    """
    cuts = [index for index in _faults_of(scenario, truth) if _keeps_from_delivering(scenario.fault[index])]
    if not cuts:
        return None
    cuts += [index for index, fault in enumerate(scenario.fault) if isinstance(fault, ObservatoryDown)]
    cut = [each for each in done if each.step.fault in cuts and not each.step.item.startswith(CLOCK)]
    return None if _still_broken(cut) else max((each.at for each in cut if each.step.verb == "mend"), default=None)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Turns lab seconds into times of the clock, by the steps that were done."""

    scenario: Scenario
    done: Sequence[Done]
    zero: datetime | None

    def at(self, at_s: float) -> datetime | None:
        """The time of the last step until then, and what has passed since."""
        known = [(each.step.at_s, each.at) for each in self.done]
        if self.zero is not None:
            known.append((0.0, self.zero))
        if not known:
            return None
        nearest_s, nearest = max((each for each in known if each[0] <= at_s), default=min(known))
        return nearest + timedelta(seconds=(at_s - nearest_s) / self.scenario.time_scale)

    def without_faults(self, truth: Truth) -> tuple[Span, ...]:
        start = self.at(truth.start or 0.0)
        return () if start is None else (Span(start=start, end=None if truth.end is None else self.at(truth.end)),)

    def moved(self, span: Span, truth: Truth, occurrence: int) -> Span:
        """The span with the truth's own start and end, where it has them."""
        shift_s = max(
            (fault.every or 0.0) * min(occurrence, fault.times - 1)
            for fault in (self.scenario.fault[index] for index in _faults_of(self.scenario, truth))
        )
        start = span.start if truth.start is None else self.at(truth.start + shift_s)
        start = start or span.start
        if truth.end is None:
            return span if truth.start is None else span.model_copy(update={"start": start, "start_to": None})
        return Span(start=start, end=self.at(truth.end + shift_s))


def _faults_of(scenario: Scenario, truth: Truth) -> list[int]:
    """Indices of the faults that a truth refers to."""
    return [index for index, fault in enumerate(scenario.fault) if not truth.faults or fault.id in truth.faults]


def _is_of(step: Step, scenario: Scenario, truth: Truth) -> bool:
    aside = step.item == HABIT or step.item.startswith(CLOCK)
    return not aside and step.fault in _faults_of(scenario, truth)


def _span(scenario: Scenario, truth: Truth, done: Sequence[Done]) -> Span | None:
    own = [each for each in done if _is_of(each.step, scenario, truth)]
    first = min((each for each in own if each.step.verb == "begin"), key=lambda each: each.at, default=None)
    if first is None:
        return None
    # What is done to several places at one time is done to one after the other, and each has its own effect.
    start_to = max((each.until for each in _together(own, first) if each.until), default=None)
    if _still_broken(own):
        return Span(start=first.at, start_to=start_to, end=None)
    last = max((each for each in own if each.step.verb == "mend"), key=lambda each: each.at)
    end_from = min((each.since for each in _together(own, last) if each.since), default=None)
    return Span(start=first.at, start_to=start_to, end=last.at, end_from=end_from)


def _together(done: Iterable[Done], one: Done) -> list[Done]:
    """What was planned for the same lab second, begun or mended like it."""
    return [each for each in done if (each.step.verb, each.step.at_s) == (one.step.verb, one.step.at_s)]


def _still_broken(done: Sequence[Done]) -> bool:
    last = {(each.step.fault, each.step.item): each.step.verb for each in sorted(done, key=lambda each: each.at)}
    return "begin" in last.values()


_CUTS = (
    NationalShutdown,
    InternationalCut,
    Whitelist,
    NetworkDown,
    HomeDown,
    RouterDead,
    Flapping,
    CaptivePortal,
    PowerCut,
    CollectorBlocked,
    ObservatoryDown,
)


def _keeps_from_delivering(fault: Fault) -> bool:
    if isinstance(fault, Censor):
        everything = not (fault.names or fault.hosts or fault.addresses or fault.ports)
        swallowed = fault.method in {Method.DROP, Method.REJECT, Method.RESET}
        return everything and swallowed and fault.protocol in {None, Protocol.TCP} and fault.family != 6
    if isinstance(fault, CollectorBlocked) and fault.brokers == "first":
        return False
    return isinstance(fault, _CUTS)
