"""Two scoreboards side by side: what got better, what worse, by scenario and measure.

Two runs of one version differ a little; a difference counts only beyond the tolerance of its measure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from civobs_lab.scores import CauseTotal, OccurrenceScore, ScenarioScore, Share, TimeScore, Verdict
from civobs_lab.totals import causes, share

FORMAT = 1
"""Of the document; raised when a key changes its meaning or goes away."""


LEGEND = (
    "Shares of what was asked; times in lab seconds, the worst of a scenario. What chance does to a run is not shown: "
    "the JSON names the tolerances. A scenario is worse if anything of it is."
)
_OTHERS = 49
"""Columns that all but the scenario's name take."""


class Change(StrEnum):
    """What became of a measure or of a scenario."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NEW = "new"
    GONE = "gone"


_VERDICTS = (Verdict.BROKE, Verdict.WRONG, Verdict.PARTLY, Verdict.RIGHT)
_STYLES = {Change.BETTER: "green", Change.WORSE: "red", Change.NEW: "cyan", Change.GONE: "yellow"}


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a scenario, and how far it may wander by chance."""

    id: str
    best: Literal["most", "least"]
    of: Callable[[ScenarioScore], float | None]
    """None is: not asked, or nothing to measure."""
    tolerance: float = 0.0
    """Lab seconds, wider in proportion where a scenario's probes measure more seldom."""
    tolerance_clock_s: float = 0.0
    """In seconds of the clock, which are more in a fast lab; added to the tolerance."""
    source: str = "counted, not measured: any difference is one"


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure before and after."""

    measure: str
    before: float | None
    after: float | None
    change: Change


@dataclass(frozen=True, slots=True)
class ScenarioChange:
    """One scenario: ``worse`` if anything of it is, also where something else is better."""

    scenario: str
    change: Change
    before: Verdict | None
    after: Verdict | None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All scenarios of either."""

    scenarios: tuple[ScenarioChange, ...]

    @property
    def worse(self) -> bool:
        """Whether anything is. A scenario that was not run again is not worse, but it is shown."""
        return any(one.change is Change.WORSE for one in self.scenarios)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "comparison": FORMAT,
            "worse": self.worse,
            "scenarios": [
                {
                    "scenario": one.scenario,
                    "change": one.change.value,
                    "before": one.before,
                    "after": one.after,
                    "differences": [
                        {"measure": each.measure, "before": each.before, "after": each.after, "change": each.change}
                        for each in one.differences
                    ],
                }
                for one in self.scenarios
            ],
            "tolerances": [
                {"measure": one.id, "s": one.tolerance, "clock_s": one.tolerance_clock_s, "source": one.source}
                for one in MEASURES
            ],
        }

    def page(self, *, width: int = 120) -> Group:
        """For people: a line for every measure that changed, and the sum."""
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        made.add_column("scenario", no_wrap=True, overflow="ellipsis", max_width=max(10, width - _OTHERS))
        made.add_column("measure", no_wrap=True)
        for name in ("before", "after"):
            made.add_column(name, no_wrap=True, justify="right")
        made.add_column("", no_wrap=True)
        for one in self.scenarios:
            if one.change in (Change.NEW, Change.GONE):
                made.add_row(Text(one.scenario), "verdict", one.before or "-", one.after or "-", _colour(one.change))
            for number, each in enumerate(one.differences):
                cells = (each.measure, _shown(each, each.before), _shown(each, each.after), _colour(each.change))
                made.add_row("" if number else Text(one.scenario), *cells)
        counts = ", ".join(f"{sum(one.change is each for one in self.scenarios)} {each}" for each in Change)
        changes = [each.change for one in self.scenarios for each in one.differences]
        measures = ", ".join(f"{changes.count(each)} {each}" for each in (Change.BETTER, Change.WORSE))
        total = Text(f"Scenarios: {counts}. Measures: {measures}.", style="bold")
        return Group(made, Text(), Text(LEGEND, style="dim"), total)


def compare(before: Sequence[ScenarioScore], after: Sequence[ScenarioScore]) -> Comparison:
    """Set two boards side by side, by the names of their scenarios."""
    old, new = ({one.scenario: one for one in scores} for scores in (before, after))
    return Comparison(tuple(_scenario(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())))


def _scenario(name: str, old: ScenarioScore | None, new: ScenarioScore | None) -> ScenarioChange:
    if old is None or new is None:
        return ScenarioChange(
            name,
            Change.NEW if old is None else Change.GONE,
            None if old is None else old.verdict,
            None if new is None else new.verdict,
        )
    found = [_difference(measure, old, new) for measure in MEASURES]
    changed = tuple(each for each in found if each.change is not Change.SAME)
    kinds = {each.change for each in changed}
    overall = next((change for change in (Change.WORSE, Change.BETTER) if change in kinds), Change.SAME)
    return ScenarioChange(name, overall, old.verdict, new.verdict, changed)


def _difference(measure: Measure, old: ScenarioScore, new: ScenarioScore) -> Difference:
    before, after = measure.of(old), measure.of(new)
    scale, coarser = max(old.time_scale, new.time_scale), max(old.coarser, new.coarser)
    tolerance = measure.tolerance * coarser + measure.tolerance_clock_s * scale
    return Difference(measure.id, before, after, _change(measure, before, after, tolerance))


def _change(measure: Measure, before: float | None, after: float | None, tolerance: float) -> Change:
    if before is None or after is None:
        # Whether there is something to measure is a measure of its own: found, dated.
        return Change.SAME
    gain = after - before if measure.best == "most" else before - after
    if abs(gain) <= tolerance + _EPSILON:
        return Change.SAME
    return Change.BETTER if gain > 0 else Change.WORSE


_EPSILON = 1e-9
"""Shares are fractions."""


def _colour(change: Change) -> Text:
    return Text(change, style=_STYLES[change])


def _shown(each: Difference, value: float | None) -> str:
    if value is None:
        return "-"
    return str(_VERDICTS[int(value)]) if each.measure == "verdict" else f"{value:.3g}" if value < 1 else f"{value:.0f}"


def _times(one: ScenarioScore) -> list[OccurrenceScore]:
    return [each for truth in one.truths for each in truth.occurrences]


def _named(one: ScenarioScore, name: str) -> Iterator[TimeScore]:
    return (time for each in _times(one) if (time := getattr(each, name)) is not None)


def _worst(values: Sequence[float | None]) -> float | None:
    return max((abs(value) for value in values if value is not None), default=None)


def _part(some: Share) -> float | None:
    return some.n / some.of if some.of else None


def _found(one: ScenarioScore) -> float | None:
    return _part(Share(n=sum(each.found for each in _times(one)), of=len(_times(one))))


def _dated(name: str) -> Callable[[ScenarioScore], float | None]:
    """Of the times that have such an edge, those for which it was published."""
    return lambda one: _part(
        Share(
            n=sum(1 for _ in _named(one, f"{name}_after")),
            of=sum(getattr(each, name) is not None for each in _times(one)),
        )
    )


def _checked(name: str) -> Callable[[ScenarioScore], float | None]:
    return lambda one: _part(share([getattr(each, name) for each in _times(one)]))


def _cause(one: ScenarioScore) -> CauseTotal:
    return causes([each.cause for each in _times(one)])


def _error(name: str) -> Callable[[ScenarioScore], float | None]:
    return lambda one: _worst([time.error_s for time in _named(one, name)])


def _width(name: str) -> Callable[[ScenarioScore], float | None]:
    return lambda one: _worst([time.width_s for time in _named(one, name)])


def _outside(name: str) -> Callable[[ScenarioScore], float | None]:
    return lambda one: sum(not time.inside for time in _named(one, name))


def _of_truths(name: str) -> Callable[[ScenarioScore], float | None]:
    """Of the truths of which it was asked, those that have it."""
    return lambda one: _part(
        Share(
            n=sum(getattr(truth, name) is True for truth in one.truths),
            of=sum(getattr(truth, name) is not None for truth in one.truths),
        )
    )


def _of_ledger(name: str) -> Callable[[ScenarioScore], float | None]:
    return lambda one: None if one.ledger is None else getattr(one.ledger, name)


_TICK = "detection runs every 30 s, or 0.5 s of the clock, and Mosquitto looks for silent clients every 6 s of it"
_HALF_BIN = "half a bin: known from presence alone"
_SLOT = "the ladder's interval in trouble: where in it a fault falls is chance"

MEASURES: tuple[Measure, ...] = (
    Measure("verdict", "most", lambda one: _VERDICTS.index(one.verdict)),
    Measure("found", "most", _found),
    Measure("kind", "most", _checked("kind")),
    Measure("scope", "most", _checked("scope")),
    Measure("mechanism", "most", _checked("mechanism")),
    Measure("depth", "most", _checked("depth")),
    Measure("cause right", "most", _checked("cause")),
    Measure("cause wrong", "least", lambda one: _cause(one).wrong),
    Measure("said", "most", _of_truths("said")),
    Measure("campaign", "most", _of_truths("one_campaign")),
    Measure("delay", "least", lambda one: _worst([each.delay_s for each in _times(one)]), 30, 6.5, _TICK),
    Measure("start error before", "least", _error("start_before"), 150, 0, _HALF_BIN),
    Measure("start error", "least", _error("start_after"), 60, 0, _SLOT),
    Measure("start bounds", "least", _width("start_after"), 60, 0, _SLOT),
    Measure("start outside", "least", _outside("start_after")),
    Measure("end dated", "most", _dated("end")),
    Measure("end error before", "least", _error("end_before"), 150, 0, _HALF_BIN),
    Measure("end error", "least", _error("end_after"), 60, 0, _SLOT),
    Measure("end bounds", "least", _width("end_after"), 60, 0, _SLOT),
    Measure("end outside", "least", _outside("end_after")),
    Measure("unsettled", "least", lambda one: sum(each.settled is False for each in _times(one))),
    Measure("split", "least", lambda one: sum(len(each.split) for each in _times(one))),
    Measure("merged", "least", lambda one: sum(each.merged for each in _times(one))),
    Measure("false calls", "least", lambda one: sum(len(truth.false_calls) for truth in one.truths)),
    Measure("false alarms", "least", lambda one: len(one.false_alarms)),
    Measure("home alarms", "least", lambda one: len(one.household_alarms)),
    Measure("lost", "least", _of_ledger("lost")),
    Measure("doubled", "least", _of_ledger("doubled")),
    Measure("slots missing", "least", lambda one: None if one.ledger is None else len(one.ledger.slots_missing)),
    Measure("rejected", "least", _of_ledger("rejected_batches")),
)
"""What is compared. Withdrawn events are not: one may be the way to the right record."""
