"""Holds a score against the rules: which were not kept, why in words, and what that makes of it.

A truth is wrong if it was never found, or if a rule was not kept that makes it wrong; else partly right if any rule was
not kept. A scenario is wrong if all that was to be found or said is wrong, or if something was published that must not
be; where nothing was to be found, any false alarm does that. It is right if everything is.
"""

from collections.abc import Iterator

from civobs_lab.matching import NOTHING
from civobs_lab.results import RunResult
from civobs_lab.rules import BY_ID, WRONG, alert_bar_s, alert_rule, edge_bar_s, edge_rule
from civobs_lab.scores import Miss, OccurrenceScore, ScenarioScore, TimeScore, TruthScore, Verdict

_CHECKS = ("kind", "scope", "mechanism", "depth")
UNDETERMINED = "undetermined"


def judged_truth(truth: TruthScore, result: RunResult, level: str) -> TruthScore:
    """With its misses and its verdict."""
    misses = tuple(_misses(truth, result, level))
    fatal = {miss.rule for miss in misses if BY_ID[miss.rule].fails == WRONG}
    if truth.occurrences and any(one.found for one in truth.occurrences):
        fatal.discard("found")
    verdict = Verdict.WRONG if fatal else Verdict.PARTLY if misses else Verdict.RIGHT
    return truth.model_copy(update={"misses": misses, "verdict": verdict})


def judged_run(scenario: ScenarioScore) -> ScenarioScore:
    """With the misses of the whole run, and the verdict."""
    misses = tuple(_run_misses(scenario))
    return scenario.model_copy(update={"misses": misses, "verdict": _verdict(scenario, misses)})


def _verdict(scenario: ScenarioScore, misses: tuple[Miss, ...]) -> Verdict:
    if scenario.broke is not None:
        return Verdict.BROKE
    wanted = [truth for truth in scenario.truths if truth.kind != NOTHING or truth.said is not None]
    missed = all(truth.verdict is Verdict.WRONG for truth in wanted) if wanted else bool(scenario.false_alarms)
    if missed or any(truth.false_calls for truth in scenario.truths):
        return Verdict.WRONG
    whole = not misses and all(truth.verdict is Verdict.RIGHT for truth in scenario.truths)
    return Verdict.RIGHT if whole else Verdict.PARTLY


def _misses(truth: TruthScore, result: RunResult, level: str) -> Iterator[Miss]:
    for event in truth.false_calls:
        yield Miss(rule="nothing", why=f"{event} was published")
    if truth.said is False:
        yield Miss(rule="says", why=f"the record does not say of {truth.cc} that it cannot be seen")
    several = len(truth.occurrences) > 1
    for number, one in enumerate(truth.occurrences, 1):
        for miss in _of_occurrence(truth, one, result, level):
            yield Miss(rule=miss.rule, why=f"time {number}: {miss.why}") if several else miss
    if truth.one_campaign is False:
        yield Miss(rule="campaign", why="its times are not one campaign")


def _of_occurrence(truth: TruthScore, one: OccurrenceScore, result: RunResult, level: str) -> Iterator[Miss]:
    if not one.found:
        never = "it was never done" if one.start is None else "not found"
        yield Miss(rule="found", why="merged into another's event" if one.merged else never)
        return
    for name in _CHECKS:
        check = getattr(one, name)
        if check is not None and not check.right:
            yield Miss(rule=name, why=f"{name} published as {check.published}, not {check.truth}")
    if one.cause is not None and not one.cause.right and one.cause.published != UNDETERMINED:
        yield Miss(rule="cause", why=f"cause said to be {one.cause.published}, not {one.cause.truth}")
    limit = alert_bar_s(result, truth.kind, level)
    if limit is not None and one.delay_s is not None and one.delay_s > limit:
        rule = alert_rule(truth.kind)
        yield Miss(rule=rule, why=f"published {one.delay_s:.0f} s after the start, bar {limit:.0f} s")
    if one.start_after is not None:
        yield from _edge(edge_rule("start", truth.kind, goes_on=one.end is None), one.start_after, result)
    yield from _end(one, edge_rule("end", truth.kind), result)
    if one.settled is False:
        yield Miss(rule="settled", why="still open or provisional at the end of the run")
    if one.split:
        yield Miss(rule="split", why=f"also published as {', '.join(one.split)}")


def _end(one: OccurrenceScore, rule: str, result: RunResult) -> Iterator[Miss]:
    if one.end is None and one.ended:
        yield Miss(rule=rule, why="said to have ended, and had not")
    elif one.end is not None and one.end_after is None:
        yield Miss(rule=rule, why="no end published")
    elif one.end_after is not None:
        yield from _edge(rule, one.end_after, result)


def _edge(rule: str, time: TimeScore, result: RunResult) -> Iterator[Miss]:
    edge, limit = rule.partition(".")[0], edge_bar_s(result, rule)
    if abs(time.error_s) > limit:
        yield Miss(rule=rule, why=f"{edge} off by {time.error_s:+.0f} s, bar ±{limit:.0f} s")
    if not time.inside:
        yield Miss(rule="bounds", why=f"the true {edge} lies outside the published bounds, {time.width_s:.0f} s wide")


def _run_misses(scenario: ScenarioScore) -> Iterator[Miss]:
    if scenario.broke is not None:
        yield Miss(rule="run.complete", why=f"broke down: {scenario.broke}")
    called = {event for truth in scenario.truths for event in truth.false_calls}
    for alarm in scenario.false_alarms:
        if alarm.event in called:
            continue
        after = " (retracted later)" if alarm.retracted else ""
        yield Miss(rule="run.alarms", why=f"{alarm.event}: {alarm.kind} {alarm.level} {alarm.cc}{after}")
    ledger = scenario.ledger
    if ledger is None:
        return
    if ledger.lost:
        yield Miss(rule="run.lost", why=f"{ledger.lost} of {ledger.recorded} measurements lost")
    if ledger.doubled:
        yield Miss(rule="run.doubled", why=f"{ledger.doubled} measurements stored twice")
    if ledger.slots_missing:
        first = ledger.slots_missing[0]
        yield Miss(rule="run.slots", why=f"{len(ledger.slots_missing)} of {ledger.slots} slots have no row: {first}")
    if ledger.rejected_batches:
        yield Miss(rule="run.rejected", why=f"{ledger.rejected_batches} batches rejected")
