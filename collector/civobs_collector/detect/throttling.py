"""Targeted throttling: whether a name is slowed, or the line is slow.

Pairs of transfers from one server, alike in all but the name. A finding needs (i) pairs that point one way beyond
chance, by a factor of two or ten, and (ii) courses that differ within the pair; (iii) a rate that the target's
transfers keep coming back to makes it more likely; (iv) whatever slows both arms vetoes it (detection.md §3.5). With
fewer pairs than the signed-rank test can judge, the difference must stand out of the scatter, and it stays unconfirmed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import ks_2samp, mannwhitneyu, spearmanr, wilcoxon

from civobs_collector.detect.goodput import Course, Floats, Transfer, active, course, held, later, pieces, rate, scatter
from civobs_collector.detect.params import Params

Kind = Literal["throttling_targeted", "blocking", "congestion", "none", "insufficient"]
Level = Literal["moderate", "extreme", ""]
Pair = tuple[Transfer, Transfer]
_EXACT = 40
"""Samples a side up to which the exact distribution of the KS distance is worth its time."""
_DAY = 86400.0
_HARDLY = 0.8
"""KS distances whose p-value is above 0.5, in units of the limit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """All transfers of one run over one transport from one household."""

    id: str
    pairs: tuple[Pair, ...]
    """(target, neutral), back to back."""
    at: float | None = None
    """Seconds since the epoch."""
    spare_target: tuple[Transfer, ...] = ()
    """Without a partner."""
    spare_neutral: tuple[Transfer, ...] = ()
    usual_bps: float | None = None
    """What the neutral name usually gets here at this hour of the week."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial shows. ``blocking`` is a name under which nothing at all comes: cut off, and not slowed."""

    kind: Kind
    level: Level = ""
    ratio: float | None = None
    """Neutral over target, of sustained rates, median over pairs; at most ``throttling.most``."""
    p_wilcoxon: float | None = None
    """One-sided, that the target is slower."""
    p_mann_whitney: float | None = None
    """The same without regard to pairs."""
    pairs: int = 0
    """That could be compared."""
    slower: int = 0
    """Of them, those in which the target was slower by ``throttling.moderate``."""
    alike: bool = False
    """Two pairs or more, and most of them, went equally fast: a word against throttling, whatever the line was like."""
    ks_passed: int = 0
    """Pairs whose courses differ, as (ii) says."""
    ks_tested: int = 0
    area: float | None = None
    """(neutral - target) / the larger, median over pairs."""
    target_bps: float | None = None
    neutral_bps: float | None = None
    plateau_bps: float | None = None
    """The rate that the target's transfers come back to."""
    plateau_cv: float | None = None
    scatter: float | None = None
    """Of the logarithm of rates, both arms together."""
    rules: tuple[str, ...] = ()
    label: Literal["unconfirmed", "probable", ""] = ""
    why: str = ""


def pair_up(
    target: Mapping[int, Transfer], neutral: Mapping[int, Transfer]
) -> tuple[tuple[Pair, ...], tuple[Transfer, ...], tuple[Transfer, ...]]:
    """Pairs of one number, then what is left in the order of its numbers; and what has no partner, by arm."""
    both = sorted(target.keys() & neutral.keys())
    left = [target[key] for key in sorted(target.keys() - neutral.keys())]
    right = [neutral[key] for key in sorted(neutral.keys() - target.keys())]
    number = min(len(left), len(right))
    pairs = (*((target[key], neutral[key]) for key in both), *zip(left[:number], right[:number], strict=True))
    return pairs, tuple(left[number:]), tuple(right[number:])


def judge(trial: Trial, params: Params) -> Verdict:
    """The verdict on one trial; the order of its pairs decides nothing."""
    seen = _look(trial, params)
    if seen.refusal:
        return Verdict("insufficient", pairs=len(seen.pairs), rules=("throttling.neutral",), why=seen.refusal)
    if (cut := _cut_off(seen, params)) is not None:
        return cut
    if len(seen.pairs) >= params.count("throttling.pairs"):
        return _by_test(seen, params)
    return _by_scatter(seen, params)


@dataclass(frozen=True, slots=True)
class _Arm:
    """One transfer, reduced to numbers."""

    total: float
    bps: float
    stretches: Floats
    held: float | None
    rtt: tuple[float, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class _Compared:
    target: _Arm
    neutral: _Arm
    d: float
    area: float
    differs: bool | None
    """None: too few samples to say."""
    at: float | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A trial, reduced to numbers."""

    pairs: tuple[_Compared, ...]
    target: tuple[_Arm, ...]
    """All transfers, those without a partner included."""
    neutral: tuple[_Arm, ...]
    usual_bps: float | None
    refusal: str = ""

    @property
    def d(self) -> Floats:
        return np.sort([one.d for one in self.pairs])


def _look(trial: Trial, params: Params) -> _Seen:
    targets = [course(one) for one, _ in trial.pairs]
    neutrals = [course(one) for _, one in trial.pairs]
    spare = [course(one) for one in trial.spare_target], [course(one) for one in trial.spare_neutral]
    came = np.sort([one.total for one in (*neutrals, *spare[1]) if one.total > 0])
    if not trial.pairs:
        return _Seen((), (), (), trial.usual_bps, "one arm is missing: there is nothing to compare")
    if 2 * sum(one.total > 0 for one in neutrals) < len(neutrals):
        return _Seen((), (), (), trial.usual_bps, "nothing came under the neutral name either: nothing to compare with")
    usual = float(np.median(came))
    found, shared = [], 0
    for (target, neutral), left, right in zip(trial.pairs, targets, neutrals, strict=True):
        one, other = _arm(left, target, usual, params), _arm(right, neutral, usual, params)
        if not (left.total > 0 or right.total > 0):
            continue
        if _disturbed(((target, left), (neutral, right)), other.bps, params):
            shared += 1
            continue
        found.append(_compare(one, other, target.at, params))
    arms = (
        (*(one.target for one in found), *map(lambda c, t: _arm(c, t, usual, params), spare[0], trial.spare_target)),
        (*(one.neutral for one in found), *map(lambda c, t: _arm(c, t, usual, params), spare[1], trial.spare_neutral)),
    )
    refusal = "" if found else f"others used the line in all {shared} pairs"
    return _Seen(tuple(found), *arms, trial.usual_bps, refusal)


def _disturbed(arms: Sequence[tuple[Transfer, Course]], neutral_bps: float, params: Params) -> bool:
    """Whether others took so much of the line in either arm that the pair says nothing."""
    return any(
        transfer.cross_bytes is not None
        and part.seconds[-1] > 0
        and 8 * transfer.cross_bytes / part.seconds[-1] > params["throttling.cross"] * neutral_bps
        for transfer, part in arms
    )


def _arm(whole: Course, transfer: Transfer, usual: float, params: Params) -> _Arm:
    ran = active(whole, usual, params)
    part = later(ran)
    stretches = pieces(part, params.count("throttling.stretches"))
    if len(stretches) < params.count("throttling.ks_samples"):
        stretches = pieces(ran, params.count("throttling.stretches"))
    # Where losses were not counted there may have been some.
    lost = transfer.retransmitted != 0
    return _Arm(whole.total, rate(part), stretches, held(ran, params), transfer.rtt_ms, lost)


def _compare(target: _Arm, neutral: _Arm, at: float | None, params: Params) -> _Compared:
    most = math.log(params["throttling.most"])
    if target.bps > 0 and neutral.bps > 0:
        d = min(most, max(-most, math.log(neutral.bps / target.bps)))
    else:
        d = 0.0 if target.bps == neutral.bps else math.copysign(most, neutral.bps - target.bps)
    larger = max(target.bps, neutral.bps)
    area = (neutral.bps - target.bps) / larger if larger > 0 else 0.0
    least = params.count("throttling.ks_samples")
    differs: bool | None = None
    if min(len(target.stretches), len(neutral.stretches)) >= least:
        fast = larger > params["throttling.fast"]
        needed = params["throttling.area_fast"] if fast else params["throttling.area"]
        differs = area >= needed and _ks(target.stretches, neutral.stretches) < params["throttling.p"]
    return _Compared(target, neutral, d, area, differs, at)


def _ks(left: Floats, right: Floats) -> float:
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


def _cut_off(seen: _Seen, params: Params) -> Verdict | None:
    """Nothing at all under the target's name, again and again, and the neutral one works."""
    silent = [one for one in seen.pairs if one.target.total <= 0 and one.neutral.total > 0]
    if not silent or len(silent) < params["throttling.silent"] * len(seen.pairs):
        return None
    base = _measured(seen, "none", params)
    rules, what = ("throttling.silent",), f"nothing came under the target's name in {len(silent)} of {base.pairs} pairs"
    if len(silent) < params.count("throttling.silent_pairs"):
        return _as(base, "insufficient", rules, f"{what}: once may be chance")
    return _as(base, "blocking", rules, f"{what}, while the neutral name worked: cut off, not slowed", "unconfirmed")


def _by_test(seen: _Seen, params: Params) -> Verdict:
    """(i) to (iv) with as many pairs as the signed-rank test needs."""
    base = _measured(seen, "none", params)
    alpha = params["throttling.p"]
    # The least p that n pairs can give is 2^-n: of six, 0.016. There the ranks of single transfers decide.
    ranked = 0.5 ** len(seen.pairs) < alpha
    rule, p = ("throttling.wilcoxon", base.p_wilcoxon) if ranked else ("throttling.mann_whitney", base.p_mann_whitney)
    differs, how = _courses_differ(seen, params)
    apart = float(np.median(seen.d)) >= math.log(params["throttling.moderate"])
    if not (apart and p is not None and p < alpha and differs and _agree(seen, params)):
        return _no_finding(base, seen, params)
    return _finding(base, (rule, how), seen, params)


def _by_scatter(seen: _Seen, params: Params) -> Verdict:
    """Too few pairs for a test: all must point one way, and further than the rates scatter."""
    base = _measured(seen, "none", params)
    rules = ("throttling.few_pairs",)
    differs, how = _courses_differ(seen, params)
    middle, least = float(np.median(seen.d)), float(seen.d[0])
    apart = middle >= math.log(params["throttling.moderate"]) and least >= math.log(params["throttling.moderate"]) / 2
    noise = max(base.scatter or 0.0, params["throttling.few_floor"]) / math.sqrt(len(seen.pairs))
    if how == "throttling.ks_samples" and len(seen.pairs) > 1:
        # A neutral transfer that is over before its second sample leaves nothing to test; ten times as slow, twice.
        differs = least >= math.log(params["throttling.extreme"])
    if apart and differs and middle >= params["throttling.few_scatter"] * noise:
        return _finding(base, (*rules, how), seen, params)
    if _congested(seen, params):
        return _as(base, "congestion", (*rules, *_congested(seen, params)), "both arms are slow or uneven alike")
    if base.alike:
        return _as(base, "none", (*rules, "throttling.alike"), f"{base.pairs} pairs, and the arms are alike in them")
    return _as(base, "insufficient", rules, f"{base.pairs} pairs are too few to tell this difference from chance")


def _courses_differ(seen: _Seen, params: Params) -> tuple[bool, str]:
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
    passes = area >= params["throttling.area"] and _ks(pooled[0], pooled[1]) < params["throttling.p"]
    return passes, "throttling.ks_pooled"


def _agree(seen: _Seen, params: Params) -> bool:
    """A limit slows every transfer: where some pairs point the other way by as much, it is noise."""
    against = np.count_nonzero(seen.d <= -math.log(params["throttling.moderate"]))
    return bool(against <= params["throttling.against"] * len(seen.pairs))


def _finding(base: Verdict, rules: tuple[str, ...], seen: _Seen, params: Params) -> Verdict:
    plateau = base.plateau_cv is not None and base.plateau_cv < params["throttling.plateau_cv"]
    veto = () if plateau else _vetoes(seen, params)
    if veto:
        return _as(base, "congestion", (*rules, *veto), "the target is slower, but the line itself was slow meanwhile")
    ratio = base.ratio or 0.0
    level: Level = "extreme" if ratio >= params["throttling.extreme"] else "moderate"
    label: Literal["unconfirmed", "probable"] = "unconfirmed"
    what = f"{base.slower} of {base.pairs} pairs slower under the target's name, by a factor of {ratio:.3g}"
    if plateau:
        rules = (*rules, "throttling.plateau")
        what += f", held at {_bits(base.plateau_bps or 0.0)}"
        label = "probable" if base.pairs >= params.count("throttling.pairs") else label
    return _as(base, "throttling_targeted", rules, what, label, level)


def _no_finding(base: Verdict, seen: _Seen, params: Params) -> Verdict:
    signs = _congested(seen, params)
    if signs:
        return _as(base, "congestion", signs, "both arms are slow or uneven alike")
    return _as(base, "none", (), "the arms do not differ by a factor of two beyond chance")


def _vetoes(seen: _Seen, params: Params) -> tuple[str, ...]:
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


def _daily(seen: _Seen, params: Params) -> bool:
    """Whether the difference goes with the hour of the day, where the pairs are spread over one."""
    timed = sorted((one.at, one.d) for one in seen.pairs if one.at is not None)
    if len(timed) < params.count("throttling.pairs") or timed[-1][0] - timed[0][0] < params["throttling.spread"]:
        return False
    hours, d = (np.array(column) for column in zip(*((at % _DAY, d) for at, d in timed), strict=True))
    if len(np.unique(hours)) < 2 or len(np.unique(d)) < 2:
        return False
    found = spearmanr(hours, d)
    return bool(found.statistic > params["throttling.hours"] and found.pvalue < params["throttling.hours_p"])


def _queued(arm: Sequence[_Arm], seen: _Seen, params: Params) -> bool:
    """Whether packets were lost after a queue had grown: round trips of lossy transfers over the usual short ones."""
    known = np.sort([one for each in (*seen.target, *seen.neutral) for one in each.rtt])
    lossy = [one for one in arm if one.lost and one.rtt]
    if not len(known) or not lossy:
        return False
    limit = params["throttling.rtt_ratio"] * float(np.quantile(known, 0.1))
    return sum(float(np.quantile(one.rtt, 0.75)) > limit for one in lossy) > params["throttling.rtt_share"] * len(lossy)


def _congested(seen: _Seen, params: Params) -> tuple[str, ...]:
    """Signs that the line was slow or uneven for both arms: no finding, and no clean bill either."""
    uneven = min(_noise(seen.target, params), _noise(seen.neutral, params)) >= params["throttling.uneven"]
    return (*_vetoes(seen, params), *(("throttling.uneven",) if uneven else ()))


def _noise(arm: Sequence[_Arm], params: Params) -> float:
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


def _measured(seen: _Seen, kind: Kind, params: Params) -> Verdict:
    """The numbers, before a conclusion is drawn from them."""
    d = seen.d
    target, neutral = (np.sort([one.bps for one in arm]) for arm in (seen.target, seen.neutral))
    rates = np.sort([one.held for one in seen.target if one.held is not None and one.held > 0])
    enough = len(rates) >= params.count("throttling.plateau_tests")
    spread = math.hypot(_noise(seen.target, params), _noise(seen.neutral, params))
    return Verdict(
        kind=kind,
        ratio=_digits(math.exp(float(np.median(d)))),
        p_wilcoxon=_signed_rank(d),
        p_mann_whitney=_digits(float(mannwhitneyu(target, neutral, alternative="less").pvalue)),
        pairs=len(seen.pairs),
        slower=int(np.count_nonzero(d >= math.log(params["throttling.moderate"]))),
        alike=int(np.count_nonzero(d < math.log(params["throttling.alike"]))) >= max(2, len(d) / 2),
        ks_passed=sum(one.differs is True for one in seen.pairs),
        ks_tested=sum(one.differs is not None for one in seen.pairs),
        area=_digits(float(np.median(np.sort([one.area for one in seen.pairs])))),
        target_bps=_digits(float(np.median(target))),
        neutral_bps=_digits(float(np.median(neutral))),
        plateau_bps=_digits(float(np.median(rates))) if enough else None,
        plateau_cv=_digits(float(rates.std(ddof=1) / rates.mean())) if enough else None,
        scatter=_digits(spread),
    )


def _signed_rank(d: Floats) -> float:
    moved = d[np.abs(d) > 1e-9]
    if not len(moved):
        return 1.0
    tied = len(np.unique(np.abs(moved))) < len(moved)
    if not tied:
        return _digits(float(wilcoxon(moved, alternative="greater", method="exact").pvalue))
    # With ties the exact table does not hold; all of one sign is 2^-n whatever their sizes.
    if bool((moved > 0).all()):
        return _digits(0.5 ** len(moved))
    return _digits(float(wilcoxon(moved, alternative="greater", method="approx").pvalue))


def _as(
    base: Verdict,
    kind: Kind,
    rules: tuple[str, ...],
    why: str,
    label: Literal["unconfirmed", "probable", ""] = "",
    level: Level = "",
) -> Verdict:
    return replace(base, kind=kind, rules=rules, why=why, label=label, level=level)


def _digits(value: float) -> float:
    """Six figures: what the order of additions decides is cut off."""
    return float(f"{value:.6g}")


def _bits(bps: float) -> str:
    """A rate in words."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bps >= size:
            return f"{bps / size:.3g} {unit}"
    return f"{bps:.3g} bit/s"
