"""From a finding on targets to its record: scope, times, chart, confidence and words.

A name or an address that fails in some networks and works elsewhere is called blocking. What is found to be the site's
own failure, or a change that many countries saw at once, is not published; nor is what one household alone saw, nor
what is explained by the loss of the whole line.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import overload
from uuid import UUID

from civobs_collector import __version__
from civobs_collector.detect import access, scope
from civobs_collector.detect.blocking import Blocking, find
from civobs_collector.detect.dating import Interval as Dated
from civobs_collector.detect.dating import quantiles
from civobs_collector.detect.grid import View
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import (
    Affected,
    Bounds,
    Depth,
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
from civobs_collector.detect.service_checks import checks_of, dating_of
from civobs_collector.detect.service_confidence import Standing, confidence_of, hypotheses_of, known_networks
from civobs_collector.detect.service_grid import Interval, Seen, chart, seen_by
from civobs_collector.detect.severity import severity_of
from civobs_collector.detect.target_runs import commonest
from civobs_collector.detect.targets import Votes
from civobs_collector.detect.timeline import moment

LIMITS: tuple[str, ...] = (
    "Only the services on the list of targets are tested, from the households observed.",
    "Who did it and why is not known from measurements; it is only ever taken from a named source.",
)
START_UNKNOWN = "When it began is not known: it was so already in the earliest measurements that were looked at."
END_UNKNOWN = "When it ended is not known: these targets were no longer measured here."
SERVICE_KINDS = frozenset({EventKind.BLOCKING, EventKind.THROTTLING_TARGETED, EventKind.THROTTLING_GENERAL})
_LINE_WORKED = SERVICE_KINDS | {EventKind.COLLECTOR_BLOCKED}
_NAMES_ONLY = f"view.{View.NAMES.name.lower()}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Votes of one kind of finding; None where there are none."""

    blocking: Votes | None = None
    throttling: Votes | None = None


def compute(
    evidence: Evidence, inputs: Inputs, losses: Sequence[EventRecord], params: Params
) -> tuple[EventRecord, ...]:
    """Every event of services that may be published. ``losses``: events in which the whole line was lost."""
    found = []
    both = ((EventKind.BLOCKING, evidence.blocking), (EventKind.THROTTLING_TARGETED, evidence.throttling))
    for kind, votes in both:
        if votes is None or not len(votes.bin):
            continue
        for one in find(votes, inputs.now.timestamp(), params):
            record = None if one.held else _record(kind, one, votes, inputs, params)
            if record is not None and not any(_explained(record, loss, inputs, params) for loss in losses):
                found.append(record)
    return tuple(sorted(found, key=lambda r: (r.scope.cc, r.onset.earliest, r.scope.targets, str(r.event_key))))


def _explained(record: EventRecord, loss: EventRecord, inputs: Inputs, params: Params) -> bool:
    """Whether most of its time lies within a loss of the whole line in all of its networks.

    Of a provider's resolver alone, if it is of names alone.
    """
    there = loss.scope
    if there.cc != record.scope.cc or there.level is Level.PROBE or loss.kind in _LINE_WORKED:
        return False
    if _NAMES_ONLY in loss.method.rules and record.scope.layers != ("dns",):
        return False
    if there.level is not Level.COUNTRY and not set(record.scope.asns) <= set(there.asns):
        return False
    if loss.onset.earliest - timedelta(seconds=params["rule.merge"]) > record.onset.latest:
        # It was blocked before: that the line was lost as well is no reason to take it back.
        return False
    start, end = record.onset.earliest, inputs.now if record.resolution is None else record.resolution.latest
    lost_until = inputs.now if loss.resolution is None else loss.resolution.latest
    shared = (min(end, lost_until) - max(start, loss.onset.earliest)).total_seconds()
    return shared > 0 and shared >= params["service.part"] * (end - start).total_seconds()


def _record(kind: EventKind, one: Blocking, votes: Votes, inputs: Inputs, params: Params) -> EventRecord | None:
    seen = seen_by(one, votes)
    if len(seen.homes_down) < params["rule.network_households"]:
        return None
    # What a resolver remembers is felt that long after a lie begins, and after it ends.
    remembered = params["service.remembered"] if "dns" in one.layers else 0.0
    onset, resolution = _earlier(_onset(one), remembered), _earlier(_resolution(one), remembered)
    until = inputs.now.timestamp() if one.ongoing else one.last_bad
    hours = max(0.0, (_middle(resolution) if resolution else until) - _middle(onset)) / 3600
    down, known = seen.deepest()
    lo, hi = scope.fraction_bounds(down, known)
    networks = seen.networks
    shares = scope.user_share(networks, inputs.user_share)
    level = Level.COUNTRY if known_networks(one) >= params["rule.country_networks"] else Level.NETWORK
    mechanisms = commonest(one.failures, params["service.word"])
    backfill = seen.told_after(until)
    return EventRecord(
        event_key=service_key(kind, one),
        kind=kind,
        status=Status.OPEN if one.ongoing else Status.CLOSED,
        provisional=backfill < params["late.share"] and inputs.now.timestamp() - until < params["late.limit"],
        depth=Depth.PARTIAL,
        scope=Scope(
            level=level,
            cc=one.cc,
            asns=one.asns,
            asns_observed=networks,
            access=access.of_homes(inputs.probes, seen.homes_down),
            targets=one.targets,
            layers=_layers(one, mechanisms),
            mechanisms=mechanisms,
        ),
        onset=onset,
        resolution=resolution,
        per_signal=tuple(_signals(one, seen, onset)),
        affected=Affected(
            n_probes=sum(probe.active and probe.household in seen.homes_down for probe in inputs.probes),
            n_households=len(seen.homes_down),
            n_observed=known,
            n_down=down,
            fraction_lo=lo,
            fraction_hi=hi,
            user_share=shares,
        ),
        severity=severity_of(*seen.during(), (lo + hi) / 2, hours),
        hypotheses=(weights := hypotheses_of(kind, one)),
        likeliest=next((name for name, p in weights.items() if p >= params["hypothesis.label"]), "undetermined"),
        confidence=confidence_of(kind, one, mechanisms, _standing(one, seen, inputs, params), params),
        coverage_note=scope.coverage_note(
            *(len(seen.homes), networks, inputs.known_networks.get(one.cc, 0), shares),
            access.in_country(inputs.probes, one.cc),
        ),
        limits=_limits(one),
        method=Method(
            detector_version=f"civobs {__version__}",
            params_id=params.params_id,
            rules=(*one.rules, f"rule.{level}", f"service.{kind}"),
        ),
        grid=chart(one, seen, params),
        evidence=EvidenceSummary(
            n_measurements=int(seen.bad.sum()),
            n_batches=0,
            query=_query(kind, one, level, onset, until),
            backfill=backfill,
        ),
        dating=dating_of(seen, inputs.now.timestamp(), params, ended=resolution is not None),
        cross_checks=checks_of(seen, params),
    )


def _standing(one: Blocking, seen: Seen, inputs: Inputs, params: Params) -> Standing:
    since = one.first_bad - params["confidence.new_age"]
    elders = frozenset(probe.household for probe in inputs.probes if probe.enrolled_at.timestamp() <= since)
    return Standing(seen.weight, elders)


def _onset(one: Blocking) -> Transition:
    # Not where the window begins: that moves with every run.
    earliest, latest = one.start or (one.first_bad, one.first_bad)
    shares = _shares([network.start for network in one.networks])
    return Transition(
        earliest=moment(earliest),
        latest=moment(latest),
        likely=None if one.start is None else moment((earliest + latest) / 2),
        **shares,
    )


def _resolution(one: Blocking) -> Transition | None:
    if one.end is None or one.ongoing:
        return None
    shares = _shares([network.end for network in one.networks])
    return Transition(earliest=moment(one.end[0]), latest=moment(one.end[1]), likely=moment(sum(one.end) / 2), **shares)


@overload
def _earlier(transition: Transition, by: float) -> Transition: ...
@overload
def _earlier(transition: Transition | None, by: float) -> Transition | None: ...
def _earlier(transition: Transition | None, by: float) -> Transition | None:
    """The same, where it may have been up to so many seconds earlier."""
    if transition is None or by <= 0:
        return transition
    return transition.model_copy(update={"earliest": transition.earliest - timedelta(seconds=by)})


def _shares(spans: Iterable[Interval | None]) -> dict[str, object]:
    """When a tenth, half and nine tenths of the networks had changed."""
    known = [Dated(*span) for span in spans if span is not None]
    names = ("t10", "t50", "t90")
    return {name: None if at is None else moment(at) for name, at in zip(names, quantiles(known), strict=True)}


def _middle(transition: Transition) -> float:
    return (transition.earliest.timestamp() + transition.latest.timestamp()) / 2


def _layers(one: Blocking, mechanisms: Sequence[str]) -> tuple[str, ...]:
    """The layers that failed; those alone that the mechanisms name, where they name any."""
    named = {word.partition(".")[0].replace("ip", "tcp") for word in mechanisms}
    return tuple(layer for layer in one.layers if layer in named) or one.layers


def _signals(one: Blocking, seen: Seen, onset: Transition) -> Iterable[SignalTimes]:
    """Start and end as each layer shows them, over all networks and in each."""
    for layer in one.layers:
        for asn in (None, *one.asns):
            times = seen.times(layer, asn, onset.earliest.timestamp())
            if times is None:
                continue
            start, end, value, baseline = times
            yield SignalTimes(
                signal=layer if asn is None else f"{layer}.AS{asn}",
                onset=_bounds(start),
                resolution=None if end is None or one.ongoing else _bounds(end),
                value=value,
                baseline=baseline,
            )


def _bounds(interval: Interval) -> Bounds:
    return Bounds(earliest=moment(interval[0]), latest=moment(interval[1]))


def _limits(one: Blocking) -> tuple[str, ...]:
    unknown = (*((START_UNKNOWN,) if one.start is None else ()), *((END_UNKNOWN,) if not one.end else ()))
    return (*(unknown if not one.ongoing else unknown[: one.start is None]), *LIMITS)


def _query(kind: EventKind, one: Blocking, level: Level, onset: Transition, until: float) -> str:
    query = f"/api/v1/measurements?cc={one.cc}&from={_iso(onset.earliest.timestamp())}&to={_iso(until)}"
    if kind is EventKind.THROTTLING_TARGETED:
        query += "&kind=throttling"
    elif len(one.layers) == 1:
        query += f"&kind={one.layers[0]}"
    return query + (f"&asn={one.asns[0]}" if level is Level.NETWORK and one.asns else "")


def _iso(at: float) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def service_key(kind: EventKind, one: Blocking) -> UUID:
    """A key in the shape of a uuid7 (RFC 9562): the first failure in its time, scope and targets in its random bits."""
    text = "/".join((kind, one.cc, *map(str, one.asns), *one.targets))
    raw = bytearray(int(one.first_bad * 1000).to_bytes(6, "big") + hashlib.sha256(text.encode()).digest()[:10])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return UUID(bytes=bytes(raw))
