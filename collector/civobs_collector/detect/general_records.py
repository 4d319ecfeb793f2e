"""From a network that was slow against its own weeks to its record. Never more than ``unconfirmed``.

One network held against itself cannot tell a limit from a way that is full beyond the household's reach; that round
trips did not grow speaks for a limit and proves none.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from civobs_collector import __version__
from civobs_collector.detect import access, scope
from civobs_collector.detect.confidence import stated
from civobs_collector.detect.general import General
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import (
    Affected,
    Bounds,
    Confidence,
    ConfidenceLabel,
    Depth,
    EventKind,
    EventRecord,
    EvidenceSummary,
    Grid,
    GridRow,
    Level,
    Method,
    Scope,
    SignalTimes,
    Status,
    Transition,
)
from civobs_collector.detect.severity import severity_of
from civobs_collector.detect.timeline import moment

Counts = NDArray[np.int64]
LIMITS: tuple[str, ...] = (
    "Slow means slow against the same hours of earlier weeks, towards the observatory's own servers.",
    "A way that is overloaded beyond the households' reach can look alike.",
    "Only households that allow tests of speed take part.",
    "Who did it and why is not known from measurements; it is only ever taken from a named source.",
)
START_UNKNOWN = "When it began is not known: there is no earlier transfer to compare with."
END_UNKNOWN = "When it ended is not known: the speed was no longer measured here."


def general_records(found: Iterable[General], inputs: Inputs, params: Params) -> tuple[EventRecord, ...]:
    """A record of each, in their order."""
    return tuple(_record(one, inputs, params) for one in found)


def _record(one: General, inputs: Inputs, params: Params) -> EventRecord:
    now = inputs.now.timestamp()
    lapsed = one.end[1] is None and now - one.end[0] > params["eligible.hold_alone"]
    first, last = one.start[1], one.end[0]
    onset = _between(one.start[0] if one.start[0] is not None else first, first)
    resolution = None if one.end[1] is None else _between(last, one.end[1])
    slow, known = _counts(one, first, last, params)
    homes = {mark.household for mark in one.marks if first <= mark.at <= last}
    hit = {mark.household for mark in one.marks if mark.slow and first <= mark.at <= last}
    lo, hi = scope.fraction_bounds(len(hit), len(homes))
    shares = scope.user_share((one.asn,), inputs.user_share)
    unknown = (*((START_UNKNOWN,) if one.start[0] is None else ()), *((END_UNKNOWN,) if lapsed else ()))
    return EventRecord(
        event_key=_key(one),
        kind=EventKind.THROTTLING_GENERAL,
        status=Status.CLOSED if resolution is not None or lapsed else Status.OPEN,
        provisional=resolution is None and not lapsed,
        depth=Depth.PARTIAL,
        scope=Scope(
            level=Level.NETWORK,
            cc=one.cc,
            asns=(one.asn,),
            asns_observed=(one.asn,),
            access=access.of_homes(inputs.probes, hit),
        ),
        onset=onset,
        resolution=resolution,
        per_signal=(_signal(one, onset, resolution),),
        affected=Affected(
            n_probes=sum(probe.active and probe.household in hit for probe in inputs.probes),
            n_households=len(hit),
            n_observed=len(homes),
            n_down=len(hit),
            fraction_lo=lo,
            fraction_hi=hi,
            user_share=shares,
        ),
        severity=severity_of(known - slow, known, (lo + hi) / 2, (last - first) / 3600),
        hypotheses={},
        confidence=_confidence(one, len(hit), len(homes), params),
        coverage_note=scope.coverage_note(
            *(len(homes), (one.asn,), inputs.known_networks.get(one.cc, 0), shares),
            access.in_country(inputs.probes, one.cc),
        ),
        limits=(*unknown, *LIMITS),
        method=Method(detector_version=f"civobs {__version__}", params_id=params.params_id, rules=one.rules),
        grid=_chart(one, params),
        evidence=EvidenceSummary(
            n_measurements=one.transfers,
            n_batches=0,
            query=f"/api/v1/measurements?cc={one.cc}&from={_iso(first)}&to={_iso(last)}&kind=throughput&asn={one.asn}",
            backfill=1.0,
        ),
    )


def _between(earliest: float, latest: float) -> Transition:
    return Transition(earliest=moment(earliest), latest=moment(latest), likely=moment((earliest + latest) / 2))


def _signal(one: General, onset: Transition, resolution: Transition | None) -> SignalTimes:
    """Share of transfers that were not slow, meanwhile and before."""
    first, last = one.start[1], one.end[0]
    inside = [not mark.slow for mark in one.marks if first <= mark.at <= last]
    before = [not mark.slow for mark in one.marks if mark.at < first]
    return SignalTimes(
        signal="throughput",
        onset=Bounds(earliest=onset.earliest, latest=onset.latest),
        resolution=Bounds(earliest=resolution.earliest, latest=resolution.latest) if resolution else None,
        value=round(sum(inside) / len(inside), 4),
        baseline=round(sum(before) / len(before), 4) if before else 1.0,
    )


def _confidence(one: General, slow: int, observed: int, params: Params) -> Confidence:
    # Sellke, Bayarri and Berger (2001): the most that a p-value can do to even odds.
    bound = 1 / (1 - math.e * one.p * math.log(one.p)) if 0 < one.p < 1 / math.e else 0.5
    reasons = [
        f"{slow} of {observed} observed households slow, to {one.servers} servers of the observatory",
        f"{one.transfers} transfers at {one.ratio:.0%} of what is usual here at these hours of the week",
        "how long packets took did not grow with it"
        if one.rtt_ratio is not None
        else "how long packets took is not known",
    ]
    if one.steadier:
        reasons.append("the rates scatter less than half as much as usual, as under a limit")
    reasons.append("one network held against its own weeks: an overloaded way can look alike")
    return Confidence(
        label=ConfidenceLabel.UNCONFIRMED,
        posterior=stated(bound, params),
        families=("inside_out",),
        reasons=tuple(reasons),
    )


def _counts(one: General, first: float, last: float, params: Params) -> tuple[Counts, Counts]:
    """Households slow and households known, in each bin from the one of ``first`` to the one of ``last``."""
    width = params["general.bin"]
    start, n = math.floor(first / width), math.floor(last / width) - math.floor(first / width) + 1
    slow: list[set[int]] = [set() for _ in range(n)]
    known: list[set[int]] = [set() for _ in range(n)]
    marks: dict[tuple[int, int], list[bool]] = defaultdict(list)
    for mark in one.marks:
        at = math.floor(mark.at / width) - start
        if 0 <= at < n:
            marks[at, mark.household].append(mark.slow)
    for (at, household), words in marks.items():
        known[at].add(household)
        if 2 * sum(words) >= len(words):
            slow[at].add(household)
    return np.array([len(each) for each in slow]), np.array([len(each) for each in known])


def _chart(one: General, params: Params) -> Grid:
    """A day before until a day after."""
    width, day = params["general.bin"], params["general.day"]
    first, last = one.start[1] - day, min(one.end[0] + day, one.marks[-1].at)
    slow, known = _counts(one, first, last, params)
    fold = math.ceil(len(slow) / params["grid.chart_bins"])
    picked = [at + int(slow[at : at + fold].argmax()) for at in range(0, len(slow), fold)]
    n = len({mark.household for mark in one.marks if first <= mark.at <= last})
    row = GridRow(
        label=f"AS{one.asn}",
        asn=one.asn,
        n=n,
        up=tuple(int(known[at] - slow[at]) for at in picked),
        down=tuple(int(slow[at]) for at in picked),
        unknown=tuple(max(0, n - int(known[at])) for at in picked),
        state="".join(_letter(int(slow[at]), int(known[at]), params) for at in picked),
    )
    return Grid(start=moment(math.floor(first / width) * width), bin_s=width * fold, rows=(row,))


def _letter(slow: int, known: int, params: Params) -> str:
    if known == 0:
        return "?"
    share = slow / known
    return "d" if share >= params["rule.majority"] else "g" if share >= params["grid.degraded"] else "u"


def _iso(at: float) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(one: General) -> UUID:
    """A key in the shape of a uuid7 (RFC 9562), as other events have: the first slow transfer, and where."""
    text = f"{EventKind.THROTTLING_GENERAL}/{one.cc}/{one.asn}"
    raw = bytearray(int(one.start[1] * 1000).to_bytes(6, "big") + hashlib.sha256(text.encode()).digest()[:10])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return UUID(bytes=bytes(raw))
