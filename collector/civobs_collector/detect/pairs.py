"""Pairs of transfers reduced to numbers, and what these say together: whether courses differ, and what slows a line.

`throttling` draws the conclusions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp, spearmanr

from civobs_collector.detect.goodput import Course, Floats, Transfer, active, course, held, later, pieces, rate, scatter
from civobs_collector.detect.params import Params

Pair = tuple[Transfer, Transfer]
"""Target and neutral."""
_EXACT = 40
"""Samples a side up to which the exact distribution of the KS distance is worth its time."""
_PLACES = 6
"""Logarithms and areas are rounded: a factor of exactly two is not to fail by the last bit."""
_DAY = 86400.0
_HARDLY = 0.8
"""KS distances whose p-value is above 0.5, in units of the limit."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One transfer, reduced to numbers."""

    total: float
    bps: float
    """Sustained."""
    stretches: Floats
    held: float | None
    """The rate that a bucket held it at, or the line."""
    rtt: tuple[float, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair, reduced to numbers."""

    target: Arm
    neutral: Arm
    d: float
    """Logarithm of the neutral rate over the target's."""
    area: float
    differs: bool | None
    """None: too few samples to say."""
    at: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial, reduced to numbers."""

    pairs: tuple[Compared, ...]
    target: tuple[Arm, ...]
    """All transfers, those without a partner included."""
    neutral: tuple[Arm, ...]
    usual_bps: float | None
    refusal: str = ""

    @property
    def d(self) -> Floats:
        """Sorted, so that the order of pairs decides nothing."""
        return np.sort([one.d for one in self.pairs])


def look(
    pairs: Sequence[Pair],
    spare: tuple[Sequence[Transfer], Sequence[Transfer]],
    usual_bps: float | None,
    params: Params,
) -> Seen:
    """A trial's transfers as numbers; ``spare`` are those without a partner, by arm."""
    courses = [(course(target), course(neutral)) for target, neutral in pairs]
    alone = [(course(one), one) for one in spare[0]], [(course(one), one) for one in spare[1]]
    neutrals = [right for _, right in courses]
    came = np.sort([one.total for one in (*neutrals, *(one for one, _ in alone[1])) if one.total > 0])
    refusal = ""
    if not pairs:
        refusal = "one arm is missing: there is nothing to compare"
    elif 2 * sum(one.total > 0 for one in neutrals) < len(neutrals):
        refusal = "nothing came under the neutral name either: nothing to compare with"
    if refusal:
        return Seen((), (), (), usual_bps, refusal)
    usual = float(np.median(came))
    found, shared = [], 0
    for (target, neutral), (left, right) in zip(pairs, courses, strict=True):
        one, other = _arm(left, target, usual, params), _arm(right, neutral, usual, params)
        if not (left.total > 0 or right.total > 0):
            continue
        if _disturbed(((target, left), (neutral, right)), other.bps, params):
            shared += 1
            continue
        found.append(_compare(one, other, target.at, params))
    targets = (*(one.target for one in found), *(_arm(*one, usual, params) for one in alone[0]))
    others = (*(one.neutral for one in found), *(_arm(*one, usual, params) for one in alone[1]))
    refusal = "" if found else f"others used the line in all {shared} pairs"
    return Seen(tuple(found), targets, others, usual_bps, refusal)


def _disturbed(arms: Sequence[tuple[Transfer, Course]], neutral_bps: float, params: Params) -> bool:
    """Whether others took so much of the line in either arm that the pair says nothing."""
    return any(
        transfer.cross_bytes is not None
        and part.seconds[-1] > 0
        and 8 * transfer.cross_bytes / part.seconds[-1] > params["throttling.cross"] * neutral_bps
        for transfer, part in arms
    )


def _arm(whole: Course, transfer: Transfer, usual: float, params: Params) -> Arm:
    ran = active(whole, usual, params)
    part = later(ran)
    stretches = pieces(part, params.count("throttling.stretches"))
    if len(stretches) < params.count("throttling.ks_samples"):
        stretches = pieces(ran, params.count("throttling.stretches"))
    # Where losses were not counted there may have been some.
    lost = transfer.retransmitted != 0
    return Arm(whole.total, rate(part), stretches, held(ran, params), transfer.rtt_ms, lost)


def _compare(target: Arm, neutral: Arm, at: float | None, params: Params) -> Compared:
    most = math.log(params["throttling.most"])
    if target.bps > 0 and neutral.bps > 0:
        d = round(min(most, max(-most, math.log(neutral.bps / target.bps))), _PLACES)
    else:
        d = 0.0 if target.bps == neutral.bps else math.copysign(most, neutral.bps - target.bps)
    larger = max(target.bps, neutral.bps)
    area = round((neutral.bps - target.bps) / larger, _PLACES) if larger > 0 else 0.0
    least = params.count("throttling.ks_samples")
    differs: bool | None = None
    if min(len(target.stretches), len(neutral.stretches)) >= least:
        fast = larger > params["throttling.fast"]
        needed = params["throttling.area_fast"] if fast else params["throttling.area"]
        differs = area >= needed and ks(target.stretches, neutral.stretches) < params["throttling.p"]
    return Compared(target, neutral, d, area, differs, at)


def ks(left: Floats, right: Floats) -> float:
    """Two-sided p-value; 1 where the samples hardly differ."""
    both = np.sort(np.concatenate([left, right]))
    shares = [np.searchsorted(np.sort(one), both, side="right") / len(one) for one in (left, right)]
    apart = float(np.abs(shares[0] - shares[1]).max())
    if apart * math.sqrt(len(left) * len(right) / (len(left) + len(right))) < _HARDLY:
        # SciPy's exact sum can come out above 1 here, and warns.
        return 1.0
    # The exact distribution is for the stretches of one pair; those of all pairs are many, and the limit does.
    method = "exact" if max(len(left), len(right)) <= _EXACT else "asymp"
    return float(ks_2samp(left, right, method=method).pvalue)


def courses_differ(seen: Seen, params: Params) -> tuple[bool, str]:
    """(ii): most pairs that have the samples for it pass; else all their stretches together do."""
    tested = [one.differs for one in seen.pairs if one.differs is not None]
    if 2 * len(tested) >= len(seen.pairs):
        passed = sum(tested)
        if passed >= min(2, len(seen.pairs)) and passed >= params["throttling.ks_share"] * len(tested):
            return True, "throttling.ks"
        # Of five samples a side all must lie apart; a pause of a second hides what all pairs together show.
        sizes = sorted(min(len(one.target.stretches), len(one.neutral.stretches)) for one in seen.pairs)
        if sizes[len(sizes) // 2] >= params.count("throttling.ks_power"):
            return False, "throttling.ks"
    pooled = [np.concatenate([getattr(one, arm).stretches for one in seen.pairs]) for arm in ("target", "neutral")]
    if min(map(len, pooled)) < params.count("throttling.ks_samples"):
        return False, "throttling.ks_samples"
    area = float(np.median(np.sort([one.area for one in seen.pairs])))
    passes = area >= params["throttling.area"] and ks(pooled[0], pooled[1]) < params["throttling.p"]
    return passes, "throttling.ks_pooled"


def vetoes(seen: Seen, params: Params) -> tuple[str, ...]:
    """(iv): what slows the line."""
    found = []
    neutral = float(np.median(np.sort([one.bps for one in seen.neutral])))
    if seen.usual_bps is not None and neutral < params["throttling.slow"] * seen.usual_bps:
        found.append("throttling.slow")
    if all(_queued(arm, seen, params) for arm in (seen.target, seen.neutral)):
        found.append("throttling.rtt")
    if _daily(seen, params):
        found.append("throttling.hours")
    return tuple(found)


def _daily(seen: Seen, params: Params) -> bool:
    """Whether the difference goes with the hour of the day, where the pairs are spread over one."""
    timed = sorted((one.at, one.d) for one in seen.pairs if one.at is not None)
    if len(timed) < params.count("throttling.pairs") or timed[-1][0] - timed[0][0] < params["throttling.spread"]:
        return False
    hours, d = (np.array(column) for column in zip(*((at % _DAY, d) for at, d in timed), strict=True))
    if len(np.unique(hours)) < 2 or len(np.unique(d)) < 2:
        return False
    found = spearmanr(hours, d)
    return bool(found.statistic > params["throttling.hours"] and found.pvalue < params["throttling.hours_p"])


def _queued(arm: Sequence[Arm], seen: Seen, params: Params) -> bool:
    """Whether packets were lost after a queue had grown: round trips of lossy transfers over the usual short ones."""
    known = np.sort([one for each in (*seen.target, *seen.neutral) for one in each.rtt])
    lossy = [one for one in arm if one.lost and one.rtt]
    if not len(known) or not lossy:
        return False
    limit = params["throttling.rtt_ratio"] * float(np.quantile(known, 0.1))
    return sum(float(np.quantile(one.rtt, 0.75)) > limit for one in lossy) > params["throttling.rtt_share"] * len(lossy)


def congested(seen: Seen, params: Params) -> tuple[str, ...]:
    """Signs that the line was slow or uneven for both arms: no finding, and no clean bill either."""
    uneven = min(noise(seen.target, params), noise(seen.neutral, params)) >= params["throttling.uneven"]
    return (*vetoes(seen, params), *(("throttling.uneven",) if uneven else ()))


def apart(params: Params, name: str) -> float:
    """The logarithm of a factor of the parameters, as ``d`` is compared with it."""
    return round(math.log(params[f"throttling.{name}"]), _PLACES)


def noise(arm: Sequence[Arm], params: Params) -> float:
    """Scatter of an arm: between its transfers, or within them, whichever is larger."""
    within = []
    for one in arm:
        floor = params["throttling.floor"] * one.bps
        if one.bps > 0 and len(one.stretches) > 1:
            coarse = _coarse(one.stretches, params.count("throttling.few_stretches"))
            within.append(scatter(np.maximum(coarse, floor)))
    inner = float(np.median(np.sort(within))) if within else 0.0
    return max(scatter([one.bps for one in arm]), inner)


def _coarse(stretches: Floats, most: int) -> Floats:
    return np.array([part.mean() for part in np.array_split(stretches, min(most, len(stretches)))])
