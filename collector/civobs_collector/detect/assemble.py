"""From a segment to its record: dates, depth, scope, confidence and words, each by its own module."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from civobs_collector import __version__
from civobs_collector.detect import access, crosschecks, dating, hypotheses, posterior, scope
from civobs_collector.detect.chart import chart
from civobs_collector.detect.confidence import Support, confidence_of
from civobs_collector.detect.dating import Change, Interval
from civobs_collector.detect.depth import depth_of
from civobs_collector.detect.grid import Flags, Group, View
from civobs_collector.detect.inputs import Inputs, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.presence import Seen
from civobs_collector.detect.record import (
    Affected,
    Bounds,
    DatingPosterior,
    EventKind,
    EventRecord,
    EvidenceSummary,
    Level,
    Method,
    Scope,
    SignalTimes,
    Status,
    Transition,
)
from civobs_collector.detect.segments import Segment
from civobs_collector.detect.severity import severity_of
from civobs_collector.detect.timeline import (
    DOMESTIC,
    INTERNATIONAL,
    NAMES,
    Code,
    ProbeLine,
    Timeline,
    Verdict,
    moment,
)

PRESENCE = "presence"
_BASELINE_BINS = 12
_LOSSES = (Code.DOWN, Code.DARK, Code.CONFLICT, Code.LISTED)
_TELLING = {View.INTERNET: _LOSSES, View.BROKER: _LOSSES, View.POWER: _LOSSES, View.NAMES: (Code.NAMELESS,)}
"""What stored rows say of a loss, by what was asked."""


@dataclass(frozen=True, slots=True)
class Household:
    """An affected home and its probes in the group."""

    household: int
    lines: tuple[ProbeLine, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A segment with everything its record is made of."""

    key: UUID
    segment: Segment
    group: Group
    homes: tuple[Household, ...]
    """Affected."""
    members: tuple[ProbeLine, ...]
    """All probes of the group."""
    n_around: int
    """Households of the country with a vote at the time, affected or not."""
    n_regions_around: int
    """Regions of the country in which somebody had one."""
    asns_observed: tuple[int, ...]
    asns: tuple[int, ...]
    charted: tuple[Group, ...]
    eligible: dict[int, Flags]
    since: float
    """Losses up to this long ago belong to it: its own start, or that of a smaller event it absorbed."""


@dataclass(frozen=True, slots=True)
class _Times:
    """Start and end of a case, in seconds, and what they were taken from."""

    start: float
    end: float
    changes: dict[str, list[Change]]
    """By signal, one for each affected household."""
    joint: list[Change]


def record_of(case: Case, timeline: Timeline, inputs: Inputs, params: Params) -> EventRecord:
    """Put the record together."""
    segment, axis = case.segment, timeline.axis
    part = slice(segment.start, max(segment.end, segment.start + 1))
    times = _times(case, timeline, params)
    onset = _onset(times, case, timeline, params)
    dated = segment.closed and not segment.lapsed
    resolution = _resolution(times, case, timeline, onset, params) if dated else None
    # Without an end, what is said of it reaches as far as it was watched.
    watched_until = axis.at(segment.end) if segment.lapsed else axis.now
    lines = [home.lines for home in case.homes]
    vector = hypotheses.weigh(
        hypotheses.evidence(lines, part, _reach(case), _coming(case, timeline, times, params)), params
    )
    affected = _affected(case, inputs)
    hours = max(0.0, _middle(resolution, watched_until) - _middle(onset, axis.now)) / 3600
    backfill = _backfill(case, timeline, params)
    told = _inside_out(case, part)
    over_since = axis.now - (axis.at(segment.end) if segment.ended else axis.now)
    return EventRecord(
        event_key=case.key,
        kind=_kind(segment),
        status=Status.CLOSED if segment.closed else Status.OPEN,
        provisional=backfill < params["late.share"] and over_since < params["late.limit"],
        depth=depth_of(segment.view, lines, part),
        scope=_scope(case, inputs),
        onset=onset,
        resolution=resolution,
        per_signal=_per_signal(case, times, params),
        affected=affected,
        severity=severity_of(
            case.group.n_up[part], case.group.n_known[part], (affected.fraction_lo + affected.fraction_hi) / 2, hours
        ),
        hypotheses=vector,
        likeliest=hypotheses.likeliest(vector, params),
        confidence=confidence_of(_support(case, timeline, times, (affected, told), params), params),
        coverage_note=scope.coverage_note(
            int(case.group.eligible[:, part].any(axis=1).sum()),
            case.asns_observed,
            inputs.known_networks.get(segment.key.cc, 0),
            affected.user_share,
            access.in_country(inputs.probes, segment.key.cc),
        ),
        limits=_limits(case, told),
        method=Method(
            detector_version=f"civobs {__version__}",
            params_id=params.params_id,
            rules=(*segment.rules, f"rule.{segment.key.level}", f"view.{segment.view.name.lower()}"),
        ),
        grid=chart(case.charted, segment, axis, params),
        evidence=_evidence(
            case, onset, moment(watched_until) if resolution is None else resolution.latest, backfill=backfill
        ),
        dating=_dating(case, timeline, params, ended=dated),
        cross_checks=_cross_checks(case, timeline, params),
    )


def _dating(case: Case, timeline: Timeline, params: Params, *, ended: bool) -> DatingPosterior:
    segment, axis, group = case.segment, timeline.axis, case.group
    margin = axis.bins(params["posterior.margin"])

    def bounds(first: int, found: posterior.Span) -> Bounds:
        # A bin is judged by its majority, so a change at its beginning lay within half a bin of that.
        lo, hi = axis.at(first + found.first) - axis.bin_s / 2, axis.at(first + found.last) + axis.bin_s / 2
        return Bounds(earliest=moment(max(lo, axis.start)), latest=moment(min(hi, axis.now)))

    part = slice(max(0, segment.start - margin), max(segment.peak, segment.opened) + 1)
    onset = bounds(part.start, posterior.onset(group.n_up[part], group.n_known[part], params))
    if not ended:
        return DatingPosterior(onset=onset)
    part = slice(segment.peak, min(axis.n, segment.end + margin))
    resolution = bounds(part.start, posterior.resolution(group.n_up[part], group.n_known[part], params))
    return DatingPosterior(onset=onset, resolution=resolution)


def _cross_checks(case: Case, timeline: Timeline, params: Params) -> dict[str, float]:
    segment, axis = case.segment, timeline.axis
    part = slice(segment.start, max(segment.end, segment.start + 1))
    half = params["kleinberg.window"] / 2
    begun = axis.at(segment.start)
    losses = [loss.latest for line in case.members for loss in line.losses if abs(loss.latest - begun) <= half]
    return crosschecks.checked(case.group.n_down[part], case.group.n_known[part], losses, len(case.members), params)


def _reach(case: Case) -> hypotheses.Reach:
    affected = [line for home in case.homes for line in home.lines]
    return hypotheses.Reach(
        n_networks=len(case.asns),
        n_networks_observed=len(case.asns_observed),
        n_households=len(case.homes),
        n_households_observed=case.n_around,
        n_regions=len({line.probe.admin1 for line in affected if line.probe.admin1}),
        n_regions_observed=case.n_regions_around
        if case.segment.key.level is Level.REGION
        else len({line.probe.admin1 for line in case.members if line.probe.admin1}),
    )


def _coming(case: Case, timeline: Timeline, times: _Times, params: Params) -> hypotheses.Coming:
    often = [_flaps(home, times, params) for home in case.homes]
    back = [
        loss.rebooted
        for home in case.homes
        for line in home.lines
        for loss in line.losses
        if loss.back is not None and loss.back > times.start and loss.latest <= times.end
    ]
    return hypotheses.Coming(
        flaps=sum(often) * 2 > len(often),
        rebooted=sum(back) * 2 > len(back) if back else None,
        elsewhere=bool(_suspects(timeline, times)),
    )


def _flaps(home: Household, times: _Times, params: Params) -> bool:
    """Whether a probe was lost so often within a day, of which the event is a part, that its line flaps."""
    gap, more = params["rule.merge"], params.count("eligible.flaps") - 1
    return any(
        last - first <= params["eligible.flap_window"] and first <= times.end + gap and last >= times.start - gap
        for line in home.lines
        for lost in [sorted(loss.latest for loss in line.losses)]
        for first, last in zip(lost, lost[more:], strict=False)
    )


def _suspects(timeline: Timeline, times: _Times) -> int:
    """Losses at the time that were blamed on the collector."""
    return sum(times.start <= one.latest <= times.end for one in timeline.suspects)


def _limits(case: Case, told: int) -> tuple[str, ...]:
    segment = case.segment
    unknown_end = (scope.END_UNKNOWN,) if segment.lapsed else ()
    names_only = (scope.NAMES_ONLY,) if segment.view is View.NAMES else ()
    by_another = segment.view is View.BROKER and any(line.detours for home in case.homes for line in home.lines)
    first_only = (scope.FIRST_BROKER_ONLY,) if by_another else ()
    return (*unknown_end, *names_only, *first_only, *scope.LIMITS, *(() if told else (scope.PRESENCE_ONLY,)))


def _kind(segment: Segment) -> EventKind:
    if segment.view is View.BROKER:
        return EventKind.COLLECTOR_BLOCKED
    if segment.view is View.POWER:
        return EventKind.POWER
    cut_off = segment.view is View.INTERNET and segment.key.level is Level.COUNTRY
    return EventKind.SHUTDOWN_SUSPECTED if cut_off else EventKind.OUTAGE


def _times(case: Case, timeline: Timeline, params: Params) -> _Times:
    axis, segment = timeline.axis, case.segment
    start, end = case.since, axis.at(segment.end)
    changes: dict[str, list[Change]] = {PRESENCE: [], "ladder.L4": [], "ladder.L3": [], "ladder.L5": []}
    joint = []
    for home in case.homes:
        by_broker = segment.view is View.BROKER
        presence = [dating.presence_spells(line, params, detours=by_broker) for line in home.lines]
        rows = [dating.rung_spells(line, INTERNATIONAL, params) for line in home.lines]
        domestic = [dating.rung_spells(line, DOMESTIC, params) for line in home.lines]
        names = [dating.rung_spells(line, NAMES, params) for line in home.lines]
        both = presence
        if segment.view is View.INTERNET:
            both = [dating.combined(*one) for one in zip(presence, rows, home.lines, strict=True)]
        elif segment.view is View.POWER:
            both = [dating.combined(seen, (), line) for seen, line in zip(presence, home.lines, strict=True)]
        elif segment.view is View.NAMES:
            both = names
        for name, found in ((PRESENCE, presence), ("ladder.L4", rows), ("ladder.L3", domestic), ("ladder.L5", names)):
            changes[name].append(dating.within(dating.both_down(found), start, end, params))
        joint.append(dating.within(dating.both_down(both), start, end, params))
    return _Times(start, end, changes, joint)


def _onset(times: _Times, case: Case, timeline: Timeline, params: Params) -> Transition:
    intervals = dating.together([one.onset for one in times.joint if one.onset is not None], params)
    axis, segment = timeline.axis, case.segment
    # Without one dated loss the bin in which the count turned is all that is known.
    first = dating.kth(intervals, 1) or Interval(axis.at(max(segment.start - 1, 0)), axis.at(segment.start + 1))
    return _transition(first, dating.quantiles(intervals, _shares(1, len(intervals))))


def _resolution(times: _Times, case: Case, timeline: Timeline, onset: Transition, params: Params) -> Transition:
    axis, segment = timeline.axis, case.segment
    enough, k, back = _returned(times.joint, case, params)
    waiting = [Interval(axis.now, math.inf)] * (len(case.homes) - len(back))
    bounds = enough or Interval(axis.at(max(segment.end - 1, 0)), axis.at(min(segment.end + 1, axis.n)))
    earliest, latest = onset.earliest.timestamp(), onset.latest.timestamp()
    # Nobody returns before the first is lost, and by no moment have more returned than were lost.
    lost = [None if at is None else at.timestamp() for at in (onset.likely, onset.t10, onset.t50, onset.t90)]
    shares = [
        None if at is None else max(at, earliest, before or earliest)
        for at, before in zip(dating.quantiles(back + waiting, _shares(k, len(case.homes))), lost, strict=True)
    ]
    if segment.view is View.POWER and back:
        # Homes that regain power one by one say nothing of one another: the last of them is taken as it is.
        last = max((one for one in back if one.hi <= bounds.hi), key=lambda one: one.hi, default=bounds)
        # A device that has just started has not been waiting to try again; how long its router takes nobody can say.
        started = last.hi - max(params["presence.boot"], params["presence.boot_floor"]) / 2
        shares[0] = max(shares[0] or earliest, started)
    return _transition(Interval(max(bounds.lo, earliest), max(bounds.hi, latest)), shares)


def _shares(k: int, n: int) -> tuple[float, ...]:
    """Of n, those that make the k-th, a tenth, half and nine tenths."""
    return (min(1.0, k / max(n, 1)), 0.1, 0.5, 0.9)


def _returned(changes: Sequence[Change], case: Case, params: Params) -> tuple[Interval | None, int, list[Interval]]:
    """The return that brought the event to an end, the how-manyeth it is, and all returns."""
    still_out = math.floor(params["rule.leave"] * case.segment.n_peak)
    back = [one.resolution for one in changes if one.resolution is not None]
    k = max(1, min(len(case.homes) - still_out, len(back)))
    enough = dating.kth(back, k)
    if enough is not None and case.segment.view is View.POWER:
        # A line comes back for all who hang on it, electricity street by street: it ends with the last of them.
        enough = dating.train(back, enough, params["rule.merge"])
    return enough, k, back


def _transition(bounds: Interval, shares: Sequence[float | None]) -> Transition:
    """``shares``: when the moment itself, a tenth, half and nine tenths are estimated to have been."""
    likely, *rest = shares
    t10, t50, t90 = (None if at is None else moment(at) for at in rest)
    return Transition(
        earliest=moment(bounds.lo),
        latest=moment(bounds.hi),
        likely=None if likely is None else moment(min(max(likely, bounds.lo), bounds.hi)),
        t10=t10,
        t50=t50,
        t90=t90,
    )


def _middle(transition: Transition | None, otherwise: float) -> float:
    if transition is None:
        return otherwise
    if transition.likely is not None:
        return transition.likely.timestamp()
    return (transition.earliest.timestamp() + transition.latest.timestamp()) / 2


def _per_signal(case: Case, times: _Times, params: Params) -> tuple[SignalTimes, ...]:
    """Start and end as each signal has them, with the share of households it shows up, during and before."""
    segment = case.segment
    during = slice(segment.start, max(segment.end, segment.start + 1))
    before = slice(max(0, segment.start - _BASELINE_BINS), segment.start)
    found = []
    for name, changes in times.changes.items():
        onset = dating.kth(dating.together([one.onset for one in changes if one.onset is not None], params), 1)
        if onset is None:
            continue
        resolution = _returned(changes, case, params)[0] if segment.closed and not segment.lapsed else None
        found.append(
            SignalTimes(
                signal=name,
                onset=_bounds(onset),
                resolution=None if resolution is None else _bounds(resolution),
                value=_share_up(case, name, during),
                baseline=_share_up(case, name, before),
            )
        )
    return tuple(found)


def _bounds(interval: Interval) -> Bounds:
    return Bounds(earliest=moment(interval.lo), latest=moment(interval.hi))


def _share_up(case: Case, signal: str, part: slice) -> float:
    """Share of the known probe bins that this signal shows as up."""
    up = known = 0
    for line in case.members:
        votes = case.eligible[line.probe.probe_key][part]
        if signal == PRESENCE:
            said = line.online[part]
            good = np.isin(said, (Seen.ONLINE,) if case.segment.view is View.BROKER else (Seen.ONLINE, Seen.ELSEWHERE))
            bad = ~good & np.isin(said, (Seen.LOST, Seen.LOST_REBOOT, Seen.ELSEWHERE))
        else:
            verdict = line.rungs.get(int(signal[-1]))
            if verdict is None:
                continue
            good, bad = verdict[part] == Verdict.OK, verdict[part] == Verdict.FAILED
        up += int((good & votes).sum())
        known += int(((good | bad) & votes).sum())
    return round(up / known, 4) if known else 0.0


def _scope(case: Case, inputs: Inputs) -> Scope:
    key = case.segment.key
    lines = [line for home in case.homes for line in home.lines]
    return Scope(
        level=key.level,
        cc=key.cc,
        asns=case.asns,
        asns_observed=case.asns_observed,
        admin1=tuple(sorted({line.probe.admin1 for line in lines if line.probe.admin1})),
        access=access.of_homes(inputs.probes, (home.household for home in case.homes)),
        probe_id=min(line.probe.probe_id for line in lines) if key.level is Level.PROBE else None,
    )


def _affected(case: Case, inputs: Inputs) -> Affected:
    n = int(case.group.n_known[case.segment.peak])
    lo, hi = scope.fraction_bounds(case.segment.n_peak, n)
    return Affected(
        n_probes=sum(len(home.lines) for home in case.homes),
        n_households=len(case.homes),
        n_observed=n,
        n_down=case.segment.n_peak,
        fraction_lo=lo,
        fraction_hi=hi,
        user_share=scope.user_share(case.asns_observed, inputs.user_share),
    )


def _backfill(case: Case, timeline: Timeline, params: Params) -> float:
    """Share of the affected probes whose rows for their absence have arrived."""
    segment = case.segment
    # The bin that is still running has no rows yet even of a probe that sends them as it takes them.
    end = segment.end if segment.ended else max(segment.start + 1, timeline.axis.n - 1)
    part = slice(segment.start, end)
    done = total = 0
    for home in case.homes:
        for line in home.lines:
            codes = line.codes[part]
            absent = np.isin(codes, (*_TELLING[segment.view], Code.LOST))
            here = line.arrived[part] | (codes == Code.DARK)
            n_absent, n_here = int(absent.sum()), int((here & absent).sum())
            total += 1
            # One bin may be empty however complete the record is: a run that waits for its timeouts skips a slot.
            done += n_here > 0 and n_here >= min(params["late.covered"] * n_absent, n_absent - 1)
    return round(done / total, 4) if total else 0.0


def _inside_out(case: Case, part: slice) -> int:
    """Households whose stored rows tell of the loss."""
    telling = _TELLING[case.segment.view]
    return sum(any(_rows_tell(line, part, telling) for line in home.lines) for home in case.homes)


def _rows_tell(line: ProbeLine, part: slice, telling: tuple[Code, ...]) -> bool:
    codes = line.codes[part]
    # By which broker a probe comes is known at once, and is presence: rows may tell the same later.
    borne_out = line.arrived[part] | (codes != Code.CONFLICT)
    return bool((np.isin(codes, telling) & borne_out).any())


def _support(case: Case, timeline: Timeline, times: _Times, counts: tuple[Affected, int], params: Params) -> Support:
    affected, told = counts
    group, peak = case.group, case.segment.peak
    before = times.start - params["confidence.new_age"]
    elders = {line.probe.household for line in case.members if line.probe.enrolled_at.timestamp() <= before}
    established = sum(home.household in elders for home in case.homes)
    old = np.array([home in elders for home in group.households])
    return Support(
        level=case.segment.key.level,
        posterior=case.segment.posterior,
        chance=case.segment.chance,
        n_down=affected.n_down,
        n_observed=int(case.group.n_known[case.segment.peak]),
        weight=established + params["confidence.new_weight"] * (len(case.homes) - established),
        asns=case.asns,
        established=established,
        elders_down=int((old & group.down[:, peak]).sum()),
        elders_known=int((old & (group.down | group.up)[:, peak]).sum()),
        presence=sum(change.onset is not None for change in times.changes[PRESENCE]),
        inside_out=told,
        suspects=_suspects(timeline, times),
    )


def _evidence(case: Case, onset: Transition, until: datetime, *, backfill: float) -> EvidenceSummary:
    rows = sum(
        run.n
        for home in case.homes
        for line in home.lines
        for runs in line.runs.values()
        for run in runs
        if run.outcome is not RunOutcome.OK and run.last_at >= onset.earliest and run.first_at <= until
    )
    key = case.segment.key
    query = f"/api/v1/measurements?cc={key.cc}&from={_iso(onset.earliest)}&to={_iso(until)}&kind=ladder"
    if key.level is Level.NETWORK:
        query += f"&asn={key.asn}"
    return EvidenceSummary(n_measurements=rows, n_batches=0, query=query, backfill=backfill)


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
