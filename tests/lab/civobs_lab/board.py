"""The scoreboard: a line a scenario for people, a document for programs, and in words what was not right.

``compare`` sets two of them side by side.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from civobs_collector.errors import ConfigError
from civobs_lab.comparison import compare
from civobs_lab.results import RunResult
from civobs_lab.rules import RULES
from civobs_lab.scores import Check, ScenarioScore, Share, Spread, TimeScore, TotalScore, Verdict
from civobs_lab.scoring import score
from civobs_lab.totals import share, total
from civobs_lab.verdicts import UNDETERMINED

__all__ = ["compare", "document", "page", "read_runs", "table"]

FORMAT = 1
"""Of the document; raised when a key changes its meaning or goes away."""
WIDE = 110
"""Columns from which everything is shown; below, only what matters most."""
NOT_ASKED = "·"
_HOURS_FROM_S = 10_000.0
_GAP = 1
_SHORTEST_NAME = 10
_WORDS = frozenset({"scenario", "verdict"})
_WIDE_ONLY = frozenset({"depth", "how", "cause", "quiet h"})
_STYLES = {Verdict.RIGHT: "green", Verdict.PARTLY: "yellow", Verdict.WRONG: "red", Verdict.BROKE: "bold red"}

LEGEND = (
    "n/m: so many right of those asked, · none asked. alert: delay. start, end: error before → after backfill, "
    "! truth outside the bounds; worst of all times in lab seconds, medians below. cause: ? undetermined. "
    "how: mechanisms. false: alarms without a truth. lost: rows lost + doubled + batches rejected + slots without row."
)


_NAMED = 8
"""Scenarios that are not on a board: so many by name."""


def read_runs(folder: Path) -> list[ScenarioScore]:
    """Score every run whose result is in a folder, by name. Raises ConfigError in words for people."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".json")
    except OSError as error:
        why = f"{folder}: {(error.strerror or 'it cannot be read').lower()}"
        raise ConfigError(why, "name the folder that scripts/lab run wrote with --json") from None
    results = [result for file in files if (result := _read(file)) is not None]
    names = [result.scenario for result in results]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{folder}: two results of {twice}", "take one of them away: each would count")
    found = [score(result) for result in results]
    if not found:
        why = "no result of a run in it"
        raise ConfigError(f"{folder}: {why}", "name the folder that scripts/lab run wrote with --json")
    return sorted(found, key=lambda one: one.scenario)


def holds_run(file: Path) -> bool:
    """Whether a file is the result of a run, which nothing else may take the place of."""
    try:
        return file.is_file() and _read(file) is not None
    except ConfigError:
        return False


def _read(file: Path) -> RunResult | None:
    """None for a board, which may be kept beside the results."""
    if file.exists() and not file.is_file():
        raise ConfigError(f"{file}: this is no file", "take it away")
    try:
        text = file.read_bytes()
        return RunResult.model_validate_json(text)
    except ValidationError as error:
        if _is_board(text):
            return None
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"{file}: not the result of a run: {where or 'the file'}: {first['msg']}",
            "run the scenario again, or take the file away",
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "make it readable") from None


def _is_board(text: bytes) -> bool:
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(kept, dict) and "board" in kept


def table(scores: Sequence[ScenarioScore], *, width: int = 120) -> Table:
    """One line a scenario, and one for all; fits ``width`` columns from 80 on."""
    wide = width >= WIDE
    rows = [_cells(one, wide=wide) for one in scores]
    foot = _footer(total(scores), wide=wide)
    shown = [name for name in foot if wide or name not in _WIDE_ONLY]
    made = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, padding=(0, _GAP, 0, 0))
    room = width
    for name in reversed(shown):
        # The name of the scenario has what the others leave, because it can be cut short and numbers cannot.
        longest = max(len(name), *(len(row[name]) for row in (*rows, foot)))
        own = max(_SHORTEST_NAME, room) if name == shown[0] else longest
        room -= own + _GAP
        made.columns.insert(0, _column(name, foot[name], min(own, longest)))
    for row in rows:
        made.add_row(*(row[name] for name in shown))
    return made


def _column(name: str, footer: str | Text, width: int) -> Column:
    return Column(
        name,
        footer,
        footer_style="bold",
        justify="left" if name in _WORDS else "right",
        no_wrap=True,
        overflow="ellipsis",
        width=width,
    )


def _footer(whole: TotalScore, *, wide: bool) -> dict[str, str | Text]:
    """Every column in order, with its total."""
    n = whole.scenarios
    return {
        "scenario": f"{n} scenario{'' if n == 1 else 's'}",
        "verdict": f"{whole.verdicts[Verdict.RIGHT]} right",
        **{name: _share(getattr(whole, name)) for name in ("found", "kind", "scope", "depth")},
        "how": _share(whole.mechanism),
        "cause": f"{whole.cause.right}/{sum(whole.cause.model_dump().values())}",
        "alert": _median(whole.delay),
        "start": _arrow(_median(whole.start_before), _median(whole.start_after), wide=wide),
        "end": _arrow(_median(whole.end_before), _median(whole.end_after), wide=wide),
        "false": str(whole.false_alarms),
        "quiet h": f"{whole.quiet_h:.1f}",
        "lost": _plus(whole.lost, whole.doubled, whole.rejected, whole.slots_missing, wide=wide),
    }


def _cells(one: ScenarioScore, *, wide: bool) -> dict[str, str | Text]:
    times = [each for truth in one.truths for each in truth.occurrences]
    ledger = one.ledger
    return {
        "scenario": Text(one.scenario),
        "verdict": Text(one.verdict, style=_STYLES[one.verdict]),
        "found": _share(Share(n=sum(each.found for each in times), of=len(times))),
        **{name: _share(share([getattr(each, name) for each in times])) for name in ("kind", "scope", "depth")},
        "how": _share(share([each.mechanism for each in times])),
        "cause": _cause([each.cause for each in times]),
        "alert": _seconds(max((each.delay_s for each in times if each.delay_s is not None), default=None)),
        **{
            edge: _arrow(
                *(_worst([getattr(each, f"{edge}_{when}") for each in times]) for when in ("before", "after")),
                wide=wide,
            )
            for edge in ("start", "end")
        },
        "false": str(len(one.false_alarms)),
        "quiet h": f"{one.quiet_h:.1f}",
        "lost": "-"
        if ledger is None
        else _plus(ledger.lost, ledger.doubled, ledger.rejected_batches, len(ledger.slots_missing), wide=wide),
    }


def _share(some: Share) -> str:
    return f"{some.n}/{some.of}" if some.of else NOT_ASKED


def _cause(checks: Sequence[Check | None]) -> str:
    unsure = any(check is not None and check.published == UNDETERMINED for check in checks)
    return _share(share(checks)) + ("?" if unsure else "")


def _plus(*counts: int, wide: bool) -> str:
    return "+".join(map(str, counts)) if wide else str(sum(counts))


def _arrow(before: str, after: str, *, wide: bool) -> str:
    """Before and after backfill; only after where there is no room, or nothing was published before."""
    return f"{before}→{after}" if wide and before != NOT_ASKED else after


def _worst(times: Sequence[TimeScore | None]) -> str:
    known = [time for time in times if time is not None]
    far = max(known, key=lambda time: (not time.inside, abs(time.error_s)), default=None)
    return NOT_ASKED if far is None else f"{_seconds(far.error_s, sign='+')}{'' if far.inside else '!'}"


def _median(some: Spread) -> str:
    return _seconds(some.median_s)


def _seconds(value: float | None, sign: str = "") -> str:
    """Whole seconds; hours where they would be too long to read."""
    if value is None:
        return NOT_ASKED
    return f"{value:{sign}.0f}" if abs(value) < _HOURS_FROM_S else f"{value / 3600:{sign}.1f}h"


def page(scores: Sequence[ScenarioScore], *, width: int = 120, wanted: Sequence[str] = ()) -> Group:
    """The table, its legend, the sum in words, bars that were widened, and for each that is not right why.

    Of the scenarios that are ``wanted`` it says which have no score.
    """
    return Group(
        table(scores, width=width),
        Text(),
        Text(LEGEND, style="dim"),
        Text(),
        *_sum(total(scores)),
        *_load(scores),
        *_unsound(scores),
        *_left_out(scores, wanted),
        Text(),
        *_wider(scores),
        *_whys(scores),
    )


def _sum(whole: TotalScore) -> Iterator[Text]:
    words = ", ".join(f"{n} {verdict}" for verdict, n in whole.verdicts.items())
    yield Text(
        f"Scenarios: {words}. Truths right: {_share(whole.truths_right)}. "
        f"Of the scenarios that are right, {whole.right_unasked} had nothing to find.",
        style="bold",
    )
    rate = (
        "no quiet hour" if whole.false_alarms_per_quiet_h is None else f"{whole.false_alarms_per_quiet_h:.3g} an hour"
    )
    yield Text(
        f"False alarms: {whole.false_alarms} in {whole.quiet_h:.1f} quiet country-hours of the lab ({rate}); "
        f"of single households, which are not published: {whole.household_alarms}."
    )
    cause = whole.cause
    yield Text(
        f"Cause: {cause.right} right, {cause.wrong} wrong, {cause.undetermined} undetermined, {cause.missed} missed. "
        f"Mechanism: {_share(whole.mechanism)}. Said what had to be said: {_share(whole.said)}. "
        f"Truth within bounds: start {_share(whole.start_inside)}, end {_share(whole.end_inside)}."
    )
    yield Text(
        f"Events too many: {whole.split} split, {whole.withdrawn} withdrawn; merged wrongly: {whole.merged}. "
        f"Measurements: {whole.measurements} recorded, {whole.lost} lost, {whole.doubled} doubled, "
        f"{whole.rejected} batches rejected. Slots of schedules: {whole.slots}, {whole.slots_missing} without a row."
    )


def _load(scores: Sequence[ScenarioScore]) -> Iterator[Text]:
    """Of the run with the most agents, which says most of what the machine carries."""
    loads = {one.scenario: one.load for one in scores if one.load is not None}
    if loads:
        name, most = max(loads.items(), key=lambda each: each[1].agents)
        yield Text(
            f"Load: {most.agents} agents in {name}, {most.rss_mib:.0f} MiB and {most.cpu_share:.1%} of a core each; "
            f"all cores {most.machine_cpu_share:.0%} busy."
        )


def _unsound(scores: Sequence[ScenarioScore]) -> Iterator[Text]:
    for one in scores:
        if one.stood_still:
            yield Text(f"Not sound: {one.scenario}, {one.stood_still}.", style="yellow")


def missing(scores: Sequence[ScenarioScore], wanted: Sequence[str]) -> list[str]:
    """The scenarios without a score, by name."""
    return sorted(set(wanted) - {one.scenario for one in scores})


def _left_out(scores: Sequence[ScenarioScore], wanted: Sequence[str]) -> Iterator[Text]:
    """What makes a board say less than it seems to: scenarios that are not on it, results of several versions."""
    absent = missing(scores, wanted)
    if absent:
        shown = ", ".join(absent[:_NAMED]) + (f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else "")
        yield Text(f"Not on this board, {len(absent)} of the lab's {len(wanted)} scenarios: {shown}.", style="yellow")
    versions = sorted({one.version for one in scores})
    if len(versions) > 1:
        yield Text(f"Results of {len(versions)} versions: {', '.join(versions)}.", style="yellow")


def _wider(scores: Sequence[ScenarioScore]) -> Iterator[Text]:
    """Which times were held against a wider bar than in life; scenarios with the same bars share a line."""
    found: dict[str, list[str]] = {}
    for one in scores:
        wider = {
            rule: f"{rule} {bar.s:.0f} s ({bar.life_s:.0f})"
            for truth in one.truths
            for rule, bar in truth.bars.items()
            if bar.s > bar.life_s
        }
        if wider:
            found.setdefault(", ".join(wider[rule] for rule in sorted(wider)), []).append(one.scenario)
    if found:
        yield Text("Bars that were wider than in life, because the lab is fast or its probes measure seldom:")
        yield from (Text(f"  {', '.join(names)}: {bars}", style="dim") for bars, names in found.items())
        yield Text()


def _whys(scores: Sequence[ScenarioScore]) -> Iterator[Text]:
    for one in scores:
        if one.verdict is Verdict.RIGHT:
            continue
        yield Text.assemble((one.scenario, "bold"), " ", (one.verdict, _STYLES[one.verdict]), f"  {one.title}")
        for line in _why(one):
            yield Text(f"  {line}")


def _why(one: ScenarioScore) -> Iterator[str]:
    """Each rule that was not kept, the run's first."""
    for miss in one.misses:
        yield f"{miss.why} [{miss.rule}]"
    for truth in one.truths:
        for miss in truth.misses:
            yield f"{truth.name}: {miss.why} [{miss.rule}]"


def document(scores: Sequence[ScenarioScore], *, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """The same for programs. Keys are only added; seconds are the lab's."""
    return {
        "board": FORMAT,
        "rules": [
            {"id": rule.id, "asks": rule.asks, "bar": rule.bar, "unit": rule.unit, "source": rule.source}
            for rule in RULES
        ],
        "total": total(scores).model_dump(mode="json"),
        "missing": missing(scores, wanted),
        "scenarios": [one.model_dump(mode="json") for one in scores],
    }
