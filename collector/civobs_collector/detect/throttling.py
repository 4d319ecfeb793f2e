"""Targeted throttling: whether a name is slowed, or the line is slow.

Pairs of transfers from one server, alike in all but the name. A finding needs (i) pairs that point one way beyond
chance, by a factor of two or ten, and (ii) courses that differ within the pair; (iii) a rate that the target's
transfers keep coming back to makes it more likely; (iv) whatever slows both arms vetoes it (detection.md §3.5). With
fewer pairs than the signed-rank test can judge, the difference must stand out of the scatter, and it stays unconfirmed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import mannwhitneyu, wilcoxon

from civobs_collector.detect.goodput import Floats, Transfer
from civobs_collector.detect.pairs import Pair, Seen, apart, congested, courses_differ, look, noise, vetoes
from civobs_collector.detect.params import Params

Kind = Literal["throttling_targeted", "blocking", "congestion", "none", "insufficient"]
Level = Literal["moderate", "extreme", ""]


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
    seen = look(trial.pairs, (trial.spare_target, trial.spare_neutral), trial.usual_bps, params)
    if seen.refusal:
        return Verdict("insufficient", pairs=len(seen.pairs), rules=("throttling.neutral",), why=seen.refusal)
    if (cut := _cut_off(seen, params)) is not None:
        return cut
    if len(seen.pairs) >= params.count("throttling.pairs"):
        return _by_test(seen, params)
    return _by_scatter(seen, params)


def _cut_off(seen: Seen, params: Params) -> Verdict | None:
    """Nothing at all under the target's name, again and again, and the neutral one works."""
    silent = [one for one in seen.pairs if one.target.total <= 0 and one.neutral.total > 0]
    if not silent or len(silent) < params["throttling.silent"] * len(seen.pairs):
        return None
    base = _measured(seen, "none", params)
    rules, what = ("throttling.silent",), f"nothing came under the target's name in {len(silent)} of {base.pairs} pairs"
    if len(silent) < params.count("throttling.silent_pairs"):
        return _as(base, "insufficient", rules, f"{what}: once may be chance")
    return _as(base, "blocking", rules, f"{what}, while the neutral name worked: cut off, not slowed", "unconfirmed")


def _by_test(seen: Seen, params: Params) -> Verdict:
    """(i) to (iv) with as many pairs as the signed-rank test needs."""
    base = _measured(seen, "none", params)
    alpha = params["throttling.p"]
    # The least p that n pairs can give is 2^-n: of six, 0.016. There the ranks of single transfers decide.
    ranked = 0.5 ** len(seen.pairs) < alpha
    rule, p = ("throttling.wilcoxon", base.p_wilcoxon) if ranked else ("throttling.mann_whitney", base.p_mann_whitney)
    differs, how = courses_differ(seen, params)
    slower = float(np.median(seen.d)) >= apart(params, "moderate")
    if not (slower and p is not None and p < alpha and differs and _agree(seen, params)):
        return _no_finding(base, seen, params)
    return _finding(base, (rule, how), seen, params)


def _by_scatter(seen: Seen, params: Params) -> Verdict:
    """Too few pairs for a test: all must point one way, and further than the rates scatter."""
    base = _measured(seen, "none", params)
    rules = ("throttling.few_pairs",)
    differs, how = courses_differ(seen, params)
    middle, least = float(np.median(seen.d)), float(seen.d[0])
    slower = middle >= apart(params, "moderate") and least >= apart(params, "moderate") / 2
    noise = max(base.scatter or 0.0, params["throttling.few_floor"]) / math.sqrt(len(seen.pairs))
    if how == "throttling.ks_samples" and len(seen.pairs) > 1:
        # A neutral transfer that is over before its second sample leaves nothing to test; ten times as slow, twice.
        differs = least >= apart(params, "extreme")
    if slower and differs and middle >= params["throttling.few_scatter"] * noise:
        return _finding(base, (*rules, how), seen, params)
    # A target slower by as much is no sign of a line that is uneven for both: only of too few pairs.
    signs = vetoes(seen, params) if middle >= apart(params, "moderate") else congested(seen, params)
    if signs:
        return _as(base, "congestion", (*rules, *signs), "both arms are slow or uneven alike")
    if base.alike:
        return _as(base, "none", (*rules, "throttling.alike"), f"{base.pairs} pairs, and the arms are alike in them")
    pairs = "1 pair is" if base.pairs == 1 else f"{base.pairs} pairs are"
    return _as(base, "insufficient", rules, f"{pairs} too few to tell this difference from chance")


def _agree(seen: Seen, params: Params) -> bool:
    """A limit slows every transfer: where some pairs point the other way by as much, it is noise."""
    against = np.count_nonzero(seen.d <= -apart(params, "moderate"))
    return bool(against <= params["throttling.against"] * len(seen.pairs))


def _finding(base: Verdict, rules: tuple[str, ...], seen: Seen, params: Params) -> Verdict:
    plateau = base.plateau_cv is not None and base.plateau_cv < params["throttling.plateau_cv"]
    veto = () if plateau else vetoes(seen, params)
    if veto:
        return _as(base, "congestion", (*rules, *veto), "the target is slower, but the line itself was slow meanwhile")
    ratio = base.ratio or 0.0
    level: Level = "extreme" if float(np.median(seen.d)) >= apart(params, "extreme") else "moderate"
    label: Literal["unconfirmed", "probable"] = "unconfirmed"
    what = f"{base.slower} of {base.pairs} pairs slower under the target's name, by a factor of {ratio:.3g}"
    if plateau:
        rules = (*rules, "throttling.plateau")
        what += f", held at {_bits(base.plateau_bps or 0.0)}"
        label = "probable" if base.pairs >= params.count("throttling.pairs") else label
    return _as(base, "throttling_targeted", rules, what, label, level)


def _no_finding(base: Verdict, seen: Seen, params: Params) -> Verdict:
    signs = congested(seen, params)
    if signs:
        return _as(base, "congestion", signs, "both arms are slow or uneven alike")
    return _as(base, "none", (), "the arms do not differ by a factor of two beyond chance")


def _measured(seen: Seen, kind: Kind, params: Params) -> Verdict:
    """The numbers, before a conclusion is drawn from them."""
    d = seen.d
    target, neutral = (np.sort([one.bps for one in arm]) for arm in (seen.target, seen.neutral))
    rates = np.sort([one.held for one in seen.target if one.held is not None and one.held > 0])
    enough = len(rates) >= params.count("throttling.plateau_tests")
    spread = math.hypot(noise(seen.target, params), noise(seen.neutral, params))
    return Verdict(
        kind=kind,
        ratio=_digits(math.exp(float(np.median(d)))),
        p_wilcoxon=_signed_rank(d),
        p_mann_whitney=_digits(float(mannwhitneyu(target, neutral, alternative="less").pvalue)),
        pairs=len(seen.pairs),
        slower=int(np.count_nonzero(d >= apart(params, "moderate"))),
        alike=int(np.count_nonzero(d < apart(params, "alike"))) >= max(2, len(d) / 2),
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
