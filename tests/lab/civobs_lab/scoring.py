"""Scores one run: what was published against what was done, as a pure function of what the run gave.

Of an event its last version counts, for all but the delay of the alert and what was known before backfill.
"""

from datetime import datetime, timedelta

from civobs_lab import stalls
from civobs_lab.matching import (
    NOTHING,
    Event,
    Matches,
    Occurrence,
    hosts,
    level_right,
    match,
    middle,
    touches,
)
from civobs_lab.results import Interval, RunResult, Span, TruthRun, VersionRun
from civobs_lab.rules import CLOCK_S, bars, coarser
from civobs_lab.scores import (
    Alarm,
    Check,
    OccurrenceScore,
    ScenarioScore,
    TimeScore,
    TruthScore,
    Verdict,
)
from civobs_lab.totals import total
from civobs_lab.verdicts import judged_run, judged_truth

__all__ = ["score", "total"]

_CONFIDENCES = ("unconfirmed", "probable", "confirmed")
_HOUR_S = 3600.0


def score(result: RunResult) -> ScenarioScore:
    """The score of one run."""
    if result.broke is not None or result.zero is None:
        return _broken(result)
    found = match(result)
    truths = []
    row = 0
    for truth in result.truths:
        if truth.kind == NOTHING:
            part: tuple[OccurrenceScore, ...] = ()
        else:
            rows = range(row, row + max(1, len(truth.spans)))
            part = tuple(_occurrence(result, found, each) for each in rows)
            row = rows.stop
        truths.append(judged_truth(_truth(result, truth, part, found), result, truth.level))
    alarms = tuple(_alarm(event, result) for event in found.lonely if not _tolerated(event, result))
    return judged_run(
        _scenario(
            result,
            truths=tuple(truths),
            false_alarms=alarms,
            household_alarms=tuple(_alarm(event, result) for event in found.lonely_households),
            quiet_h=quiet_h(result),
        )
    )


def quiet_h(result: RunResult) -> float:
    """Country-hours of the lab from zero to the last look in which no truth held; ``nothing`` is quiet."""
    if result.zero is None or result.played_until is None:
        return 0.0
    total = 0.0
    for cc in result.countries:
        loud = sorted(
            (max(span.start, result.zero), min(span.end or result.played_until, result.played_until))
            for truth in result.truths
            if truth.cc == cc and truth.kind != NOTHING
            for span in truth.spans
        )
        since = result.zero
        for start, end in loud:
            total += max(0.0, (start - since).total_seconds())
            since = max(since, end)
        total += max(0.0, (result.played_until - since).total_seconds())
    return total * result.time_scale / _HOUR_S


def _occurrence(result: RunResult, found: Matches, row: int) -> OccurrenceScore:
    one = found.occurrences[row]
    span, event = one.span, found.pairs.get(row)
    known: dict[str, object] = {
        "start": None if span is None else span.start,
        "end": None if span is None else span.end,
        "merged": row in found.merged,
        "split": tuple(each.name for each in found.split.get(row, ())),
        "withdrawn": tuple(each.name for each in found.withdrawn.get(row, ())),
    }
    truth = one.truth
    last = None if event is None else event.last
    known |= _checks(truth, last)
    if span is None or event is None or last is None:
        return OccurrenceScore.model_validate(known)
    early = _before_backfill(event, one, found)
    delay_s = _lab_s(event.first.published_at - span.start, result)
    return OccurrenceScore.model_validate(
        known
        | {
            "event": event.name,
            "delay_s": delay_s,
            "delay_bins": delay_s / result.bin_s,
            "start_before": None if early is None else _time(early.onset, span.start, result, until=span.start_to),
            "start_after": _time(last.onset, span.start, result, until=span.start_to),
            "end_before": None if early is None else _time(early.resolution, span.end, result, since=span.end_from),
            "end_after": _time(last.resolution, span.end, result, since=span.end_from),
            "ended": last.resolution is not None,
            "confidence": last.confidence,
            "settled": None if span.end is None else last.status == "closed" and not last.provisional,
        }
    )


def _truth(result: RunResult, truth: TruthRun, part: tuple[OccurrenceScore, ...], found: Matches) -> TruthScore:
    """Without its verdict."""
    events = [event for row, event in found.pairs.items() if found.occurrences[row].truth is truth]
    campaigns = {event.run.campaign for event in events}
    return TruthScore(
        name=truth.name,
        kind=truth.kind,
        cc=truth.cc,
        verdict=Verdict.RIGHT,
        occurrences=part,
        one_campaign=len(campaigns) == 1 and None not in campaigns if len(events) > 1 else None,
        false_calls=tuple(event.name for event in found.public if _false_call(event, truth, result, found)),
        said=truth.cc in result.not_observable if truth.says == "not_observable" else None,
        bars={} if truth.kind == NOTHING else bars(result, truth),
    )


def _false_call(event: Event, truth: TruthRun, result: RunResult, found: Matches) -> bool:
    """Whether an event says there was something where there was nothing."""
    if truth.kind != NOTHING or not _excluded(event, truth) or found.is_right(event):
        return False
    return any(touches(event, truth, start, end) for start, end in _spans(truth, result))


def _excluded(event: Event, truth: TruthRun) -> bool:
    """Whether any of its versions is of a kind, and of a confidence, that a ``nothing`` does not allow."""
    versions = event.run.versions
    if truth.not_kinds and not any(version.kind in truth.not_kinds for version in versions):
        return False
    if truth.at_most is None:
        return True
    most = _rank(truth.at_most)
    return any(_rank(version.confidence) > most for version in versions)


def _tolerated(event: Event, result: RunResult) -> bool:
    """Whether it is within a ``nothing`` that excludes other kinds, or more confidence, only."""
    return any(
        truth.kind == NOTHING
        and (truth.not_kinds or truth.at_most)
        and any(touches(event, truth, start, end) for start, end in _spans(truth, result))
        and not _excluded(event, truth)
        for truth in result.truths
    )


def _spans(truth: TruthRun, result: RunResult) -> list[tuple[datetime, datetime]]:
    end = result.played_until or datetime.max.replace(tzinfo=result.started_at.tzinfo)
    zero = result.zero or result.started_at
    return [(span.start, span.end or end) for span in truth.spans] or [(zero, end)]


def _rank(label: str) -> int:
    """A label that is not known is more than any that is."""
    return _CONFIDENCES.index(label) if label in _CONFIDENCES else len(_CONFIDENCES)


def _checks(truth: TruthRun, last: VersionRun | None) -> dict[str, Check | None]:
    """What was asked in words, against the last version; None where it was not asked."""
    return {
        "kind": _word(truth.kind, None if last is None else last.kind),
        "scope": _scope(truth, last),
        "mechanism": _mechanism(truth, last),
        "depth": _word(truth.depth, None if last is None else last.depth),
        "cause": _word(truth.cause, None if last is None else last.likeliest),
    }


def _word(truth: str | None, published: str | None) -> Check | None:
    return None if truth is None else Check(truth=truth, published=published, right=truth == published)


def _scope(truth: TruthRun, last: VersionRun | None) -> Check:
    if last is None:
        return Check(truth=_place(truth, truth), published=None, right=False)
    right = (
        level_right(truth, last)
        and (not truth.asns or set(truth.asns) == set(last.asns))
        and (not truth.targets or hosts(truth.targets) == hosts(last.targets))
    )
    return Check(truth=_place(truth, truth), published=_place(last, truth), right=right)


def _place(said: TruthRun | VersionRun, asked: TruthRun) -> str:
    """Where, as far as it was asked."""
    words = [said.level, said.cc]
    if asked.level == "region":
        words.append("+".join(sorted(said.admin1)) or "no region")
    if asked.asns:
        words.append("+".join(f"AS{asn}" for asn in sorted(said.asns)) or "no network")
    if asked.targets:
        words.append("+".join(sorted(hosts(said.targets))) or "no target")
    return " ".join(words)


def _mechanism(truth: TruthRun, last: VersionRun | None) -> Check | None:
    """``dns.injection`` is also said by ``dns.injection.blockpage``, and by nothing beside it."""
    if not truth.mechanisms:
        return None
    wanted, said = sorted(truth.mechanisms), sorted(last.mechanisms) if last else []
    right = all(any(_is_of(one, each) for one in said) for each in wanted) and all(
        any(_is_of(one, each) for each in wanted) for one in said
    )
    return Check(truth="+".join(wanted), published="+".join(said) or "none" if last else None, right=right)


def _is_of(said: str, wanted: str) -> bool:
    return said == wanted or said.startswith(f"{wanted}.")


def _before_backfill(event: Event, one: Occurrence, found: Matches) -> VersionRun | None:
    """The last version from before probes could deliver; None if they always could, or nothing was published yet."""
    assert one.span is not None
    at = one.truth.backfill_from
    if at is None:
        return None
    later = [each.start for each in one.truth.spans if each.start > one.span.start]
    if not one.span.start <= at < (later[0] if later else datetime.max.replace(tzinfo=at.tzinfo)):
        # It was noted of another occurrence; of this one its end is the earliest it can have been.
        if one.span.end is None:
            return None
        at = one.span.end
    return next((version for version in reversed(event.run.versions) if version.published_at < at), None)


def _time(
    bounds: Interval | None,
    truth: datetime | None,
    result: RunResult,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> TimeScore | None:
    """``since``, ``until``: the truth is not known better than from then on, or up to then."""
    if bounds is None or truth is None:
        return None
    near = timedelta(seconds=CLOCK_S)
    return TimeScore(
        error_s=_lab_s(middle(bounds) - truth, result),
        inside=bounds.earliest - near <= (until or truth) and (since or truth) <= bounds.latest + near,
        width_s=_lab_s(bounds.latest - bounds.earliest, result),
    )


def _lab_s(span: timedelta, result: RunResult) -> float:
    return round(span.total_seconds() * result.time_scale, 3)


def _alarm(event: Event, result: RunResult) -> Alarm:
    last = event.last
    return Alarm(
        event=event.name,
        kind=last.kind,
        cc=last.cc,
        level=last.level,
        retracted=event.retracted,
        from_zero_s=None if result.zero is None else _lab_s(event.start - result.zero, result),
    )


def _broken(result: RunResult) -> ScenarioScore:
    """A miss of everything."""
    truths = tuple(
        TruthScore(
            name=truth.name,
            kind=truth.kind,
            cc=truth.cc,
            verdict=Verdict.BROKE,
            occurrences=() if truth.kind == NOTHING else tuple(_missed(truth, span) for span in truth.spans or (None,)),
            said=False if truth.says else None,
        )
        for truth in result.truths
    )
    return judged_run(_scenario(result, truths=truths, broke=result.broke or "the timeline did not begin"))


def _missed(truth: TruthRun, span: Span | None) -> OccurrenceScore:
    times = {"start": None, "end": None} if span is None else {"start": span.start, "end": span.end}
    return OccurrenceScore.model_validate({**times, **_checks(truth, None)})


def _scenario(result: RunResult, **judged: object) -> ScenarioScore:
    """Without its verdict."""
    same = ("scenario", "title", "resembles", "version", "detector_version", "time_scale", "seconds")
    taken = {name: getattr(result, name) for name in (*same, "ledger", "load")}
    taken["stood_still"] = "" if stalls.is_sound(result) else stalls.words(result)
    return ScenarioScore.model_validate({**taken, "coarser": coarser(result), "verdict": Verdict.RIGHT, **judged})
