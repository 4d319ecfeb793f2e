"""Sums up the scores of many scenarios."""

from collections.abc import Sequence
from statistics import median

from civobs_lab.scores import CauseTotal, Check, ScenarioScore, Share, Spread, TimeScore, TotalScore, Verdict
from civobs_lab.verdicts import UNDETERMINED

_TIMES = ("start_before", "start_after", "end_before", "end_after")


def total(scores: Sequence[ScenarioScore]) -> TotalScore:
    """All scenarios together. Broken ones count as misses, and add nothing to the quiet."""
    truths = [truth for one in scores for truth in one.truths]
    times = [each for truth in truths for each in truth.occurrences]
    hours = sum(one.quiet_h for one in scores)
    alarms = sum(len(one.false_alarms) for one in scores)
    ledgers = [one.ledger for one in scores if one.ledger is not None]
    return TotalScore(
        scenarios=len(scores),
        verdicts={verdict: sum(one.verdict is verdict for one in scores) for verdict in Verdict},
        right_unasked=sum(one.verdict is Verdict.RIGHT and not _asks(one) for one in scores),
        truths_right=Share(n=sum(truth.verdict is Verdict.RIGHT for truth in truths), of=len(truths)),
        found=Share(n=sum(each.found for each in times), of=len(times)),
        merged=sum(each.merged for each in times),
        split=sum(len(each.split) for each in times),
        withdrawn=sum(len(each.withdrawn) for each in times),
        kind=share([each.kind for each in times]),
        scope=share([each.scope for each in times]),
        mechanism=share([each.mechanism for each in times]),
        depth=share([each.depth for each in times]),
        cause=causes([each.cause for each in times]),
        said=Share(n=sum(truth.said is True for truth in truths), of=sum(truth.said is not None for truth in truths)),
        delay=spread([each.delay_s for each in times]),
        **{name: spread([_error(getattr(each, name)) for each in times]) for name in _TIMES},
        start_inside=_inside([each.start_after for each in times]),
        end_inside=_inside([each.end_after for each in times]),
        false_calls=sum(len(truth.false_calls) for truth in truths),
        false_alarms=alarms,
        household_alarms=sum(len(one.household_alarms) for one in scores),
        quiet_h=round(hours, 3),
        false_alarms_per_quiet_h=round(alarms / hours, 4) if hours else None,
        lost=sum(each.lost for each in ledgers),
        slots=sum(each.slots or 0 for each in ledgers),
        slots_missing=sum(len(each.slots_missing) for each in ledgers),
        doubled=sum(each.doubled for each in ledgers),
        rejected=sum(each.rejected_batches for each in ledgers),
        measurements=sum(each.recorded for each in ledgers),
    )


def causes(checks: Sequence[Check | None]) -> CauseTotal:
    """Hypotheses that were asked for, by what became of them."""
    asked = [check for check in checks if check is not None]
    right, missed = sum(check.right for check in asked), sum(check.published is None for check in asked)
    unsure = sum(check.published == UNDETERMINED for check in asked)
    return CauseTotal(right=right, undetermined=unsure, missed=missed, wrong=len(asked) - right - unsure - missed)


def share(checks: Sequence[Check | None]) -> Share:
    """How many of those that were asked are right."""
    asked = [check for check in checks if check is not None]
    return Share(n=sum(check.right for check in asked), of=len(asked))


def spread(values: Sequence[float | None]) -> Spread:
    """Median and worst by size."""
    known = [abs(value) for value in values if value is not None]
    return Spread(n=len(known), median_s=median(known) if known else None, worst_s=max(known, default=None))


def _asks(one: ScenarioScore) -> bool:
    """Whether there was anything to be found or said."""
    return any(truth.occurrences or truth.said is not None for truth in one.truths)


def _error(time: TimeScore | None) -> float | None:
    return None if time is None else time.error_s


def _inside(times: Sequence[TimeScore | None]) -> Share:
    known = [time for time in times if time is not None]
    return Share(n=sum(time.inside for time in known), of=len(known))
