"""Targeted throttling against congestion, noise, boosts and names that are cut off."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.goodput import Course, Transfer, active, course, held, later, rate
from civobs_collector.detect.params import Params
from civobs_collector.detect.throttling import Trial, judge, pair_up
from tests.collector.fix_transfers import Limit, Line, Run, trial

PARAMS = Params()
SLOW = Line(bps=1e6, rtt=0.08)
FAST = Line(bps=300e6, rtt=0.02)
EVENING = Line(bps=2e6, between=0.5, within=0.5, queue_s=0.4)
WIFI = Line(bps=30e6, between=0.4, within=0.6, loss=0.0005)


def made(run: Run, seed: int = 1) -> Trial:
    return trial("t", run, Random(seed))


def even(bps: float, seconds: float = 5.0, step: float = 0.25, **more) -> Transfer:
    n = round(seconds / step)
    return Transfer(tuple((step * (k + 1), bps / 8 * step * (k + 1)) for k in range(n)), **more)


def wavy(bps: float, number: int, **more) -> Transfer:
    """Even but for a ripple, and a little different each time."""
    scale = bps * (1 + 0.01 * number)
    points, size = [], 0.0
    for k in range(20):
        size += scale / 8 * 0.25 * (1 + 0.1 * math.sin(k + number))
        points.append((0.25 * (k + 1), size))
    return Transfer(tuple(points), **more)


def against(target: float, neutral: float, pairs: int = 8, **more) -> Trial:
    return Trial("t", tuple((wavy(target, k), wavy(neutral, k + 1)) for k in range(pairs)), **more)


def test_case_10_a_plateau_at_140_kbit_on_the_target_arm_only_is_extreme_targeted_throttling():
    verdict = judge(made(Run(limit=Limit(140e3))), PARAMS)
    assert (verdict.kind, verdict.level, verdict.label) == ("throttling_targeted", "extreme", "probable")
    assert verdict.plateau_bps == pytest.approx(140e3, rel=0.05)
    assert "throttling.plateau" in verdict.rules
    assert "held at 139 kbit/s" in verdict.why


def test_case_10_evening_congestion_on_both_arms_is_congestion():
    for seed in range(6):
        assert judge(made(Run(EVENING), seed), PARAMS).kind == "congestion"


@pytest.mark.parametrize(
    ("line", "limit", "level"),
    [
        (Line(), Limit(150e3, shape=True), "extreme"),
        (Line(), Limit(1.5e6, bucket=100_000), "extreme"),
        (Line(), Limit(1e6, bucket=2_000_000), "extreme"),
        (Line(), Limit(500e3, after=1_000_000), "extreme"),
        (Line(bps=10e6), Limit(4e6, bucket=50_000), "moderate"),
        (SLOW, Limit(400e3), "moderate"),
        (EVENING, Limit(100e3), "extreme"),
        (Line(bps=5e6, boost=5, boost_bytes=3e6), Limit(300e3), "extreme"),
    ],
)
def test_a_limit_on_the_target_arm_is_found_whatever_its_kind(line, limit, level):
    verdict = judge(made(Run(line, limit)), PARAMS)
    assert (verdict.kind, verdict.level, verdict.label) == ("throttling_targeted", level, "probable")
    assert verdict.plateau_bps == pytest.approx(limit.bps, rel=0.15)


@pytest.mark.parametrize("step", [0.01, 0.1, 1.0])
def test_a_limit_is_found_in_samples_of_any_length(step):
    for line, bps in ((FAST, 10e6), (SLOW, 200e3)):
        assert judge(made(Run(line, Limit(bps), step=step, seconds=6)), PARAMS).kind == "throttling_targeted"


def test_a_body_that_is_over_before_the_second_sample_still_shows_a_limit():
    verdict = judge(made(Run(limit=Limit(130e3), size=524_288, seconds=20, step=0.25)), PARAMS)
    assert (verdict.kind, verdict.ks_tested) == ("throttling_targeted", 0)
    assert "throttling.ks_pooled" in verdict.rules


def test_throttling_that_begins_within_the_body_is_found():
    run = Run(limit=Limit(130e3, after=262_144), size=524_288, seconds=20, step=0.25)
    assert judge(made(run), PARAMS).level == "extreme"


@pytest.mark.parametrize(
    "run",
    [
        Run(),
        Run(SLOW),
        Run(FAST, step=0.01, seconds=3),
        Run(WIFI),
        Run(WIFI, step=1),
        Run(Line(bps=8e6, drift=1.5, between=0.2)),
        Run(Line(bps=5e6, boost=5, boost_bytes=3e6)),
        Run(limit=Limit(140e3), both=True),
        Run(WIFI, size=524_288, step=0.25),
        Run(EVENING, pairs=2),
        Run(pairs=20, neutral=3),
    ],
)
def test_what_both_arms_share_is_no_throttling(run):
    for seed in range(3):
        assert judge(made(run, seed), PARAMS).kind in {"none", "congestion", "insufficient"}


@pytest.mark.parametrize("pairs", [1, 2, 3, 5])
def test_few_replicates_never_give_more_than_unconfirmed(pairs):
    verdict = judge(made(Run(limit=Limit(140e3), pairs=pairs)), PARAMS)
    assert (verdict.kind, verdict.level, verdict.label) == ("throttling_targeted", "extreme", "unconfirmed")
    assert "throttling.few_pairs" in verdict.rules


def test_one_pair_that_is_twice_as_slow_is_insufficient():
    assert judge(against(2e6, 5e6, pairs=1), PARAMS).kind == "insufficient"
    assert judge(against(2e6, 5e6, pairs=8), PARAMS).kind == "throttling_targeted"


def test_two_uneven_pairs_in_which_the_target_is_slower_are_too_few_and_no_congestion():
    pairs = ((wavy(2.4e6, 0), wavy(5e6, 1)), (wavy(1.2e6, 2), wavy(10e6, 3)))
    verdict = judge(Trial("t", pairs), PARAMS)
    assert (verdict.kind, verdict.why) == ("insufficient", "2 pairs are too few to tell this difference from chance")


def test_two_pairs_that_are_alike_speak_against_throttling_and_one_does_not():
    assert judge(against(5e6, 5e6, pairs=2), PARAMS).kind == "none"
    assert judge(against(5e6, 5e6, pairs=1), PARAMS).kind == "insufficient"
    uneven = tuple((wavy(5e6 * (1 + k % 2), k), wavy(5e6 * (1 + k % 2), k)) for k in range(8))
    verdict = judge(Trial("t", uneven), PARAMS)
    assert (verdict.kind, verdict.alike) == ("congestion", True)


def test_two_pairs_too_short_to_be_sampled_need_a_factor_of_ten():
    def short(bps: float) -> Transfer:
        return Transfer(((524_288 * 8 / bps, 524_288.0),))

    assert judge(Trial("t", ((short(200e3), short(20e6)),) * 2), PARAMS).kind == "throttling_targeted"
    assert judge(Trial("t", ((short(4e6), short(20e6)),) * 2), PARAMS).kind == "insufficient"


@pytest.mark.parametrize(("factor", "level"), [(2, "moderate"), (10, "extreme")])
def test_transfers_without_any_noise_reach_a_threshold_that_they_are_exactly_at(factor, level):
    for bps in (1e5, 3e6, 7.7e6):
        verdict = judge(Trial("t", ((even(bps), even(factor * bps)),) * 8), PARAMS)
        assert (verdict.kind, verdict.level) == ("throttling_targeted", level)


def test_six_pairs_are_judged_by_the_ranks_of_single_transfers():
    verdict = judge(against(1e6, 5e6, pairs=6), PARAMS)
    assert verdict.kind == "throttling_targeted"
    assert verdict.p_wilcoxon == pytest.approx(1 / 64)
    assert "throttling.mann_whitney" in verdict.rules


def test_a_name_under_which_nothing_comes_is_cut_off_and_not_slowed():
    verdict = judge(made(Run(limit=Limit(1e5, cut=True))), PARAMS)
    assert (verdict.kind, verdict.level, verdict.label) == ("blocking", "", "unconfirmed")
    empty = Trial("t", ((Transfer(()), even(1e6)),) * 2)
    assert judge(empty, PARAMS).kind == "blocking"


def test_one_silent_transfer_may_be_chance():
    assert judge(Trial("t", ((Transfer(()), even(1e6)),)), PARAMS).kind == "insufficient"


def test_a_name_that_is_stopped_after_its_first_bytes_is_extreme_and_its_ratio_is_bounded():
    verdict = judge(made(Run(limit=Limit(1e5, after=16_000, cut=True))), PARAMS)
    assert (verdict.kind, verdict.level) == ("throttling_targeted", "extreme")
    assert verdict.ratio == PARAMS["throttling.most"]


def test_without_a_neutral_transfer_that_works_there_is_nothing_to_compare():
    assert judge(Trial("t", ((even(1e6), Transfer(())),) * 8), PARAMS).kind == "insufficient"
    assert judge(Trial("t", ((Transfer(()), Transfer(())),) * 8), PARAMS).kind == "insufficient"
    assert judge(Trial("t", (), spare_target=(even(1e5),) * 8), PARAMS).kind == "insufficient"


def test_a_control_at_less_than_half_of_what_is_usual_vetoes():
    pairs = tuple((wavy(3e5 * (k % 3 + 1), k), wavy(2e6, k)) for k in range(8))
    assert judge(Trial("t", pairs), PARAMS).kind == "throttling_targeted"
    verdict = judge(Trial("t", pairs, usual_bps=20e6), PARAMS)
    assert verdict.kind == "congestion"
    assert "throttling.slow" in verdict.rules


def test_losses_after_a_grown_queue_on_both_arms_veto():
    def arm(bps: float, k: int, rtt: float) -> Transfer:
        return wavy(bps, k, rtt_ms=(40.0, rtt), retransmitted=5)

    queued = tuple((arm(3e5 * (k % 3 + 1), k, 200), arm(2e6, k, 180)) for k in range(8))
    plain = tuple((arm(3e5 * (k % 3 + 1), k, 41), arm(2e6, k, 180)) for k in range(8))
    assert judge(Trial("t", queued), PARAMS).rules[-1] == "throttling.rtt"
    assert judge(Trial("t", queued), PARAMS).kind == "congestion"
    assert judge(Trial("t", plain), PARAMS).kind == "throttling_targeted"


def test_a_difference_that_goes_with_the_hour_of_the_day_is_congestion():
    def at(hour: float, k: int, slower: float) -> tuple[Transfer, Transfer]:
        began = 1_767_225_600 + 86400 * k + 3600 * hour
        return wavy(4e6 / slower, k, at=began), wavy(4e6, k + 1, at=began + 20)

    hours = (6, 9, 12, 14, 16, 18, 20, 22)
    daily = tuple(at(hour, k, 1.5 + hour / 5) for k, hour in enumerate(hours))
    mixed = tuple(at(hour, k, 1.5 + hours[(3 * k) % 8] / 5) for k, hour in enumerate(hours))
    verdict = judge(Trial("t", daily), PARAMS)
    assert (verdict.kind, verdict.rules[-1]) == ("congestion", "throttling.hours")
    assert judge(Trial("t", mixed), PARAMS).kind == "throttling_targeted"


def test_a_rate_that_repeats_is_no_congestion_even_where_packets_wait():
    pairs = tuple((wavy(140e3, k, rtt_ms=(900.0,), retransmitted=3), wavy(2e6, k)) for k in range(8))
    assert judge(Trial("t", pairs, usual_bps=20e6), PARAMS).label == "probable"


def test_pairs_in_which_others_used_the_line_do_not_count():
    clean = against(1e6, 5e6, pairs=7).pairs
    busy = (wavy(1e5, 1, cross_bytes=20e6), wavy(5e6, 1, cross_bytes=0))
    assert judge(Trial("t", (*clean, busy)), PARAMS).pairs == 7
    verdict = judge(Trial("t", (busy,) * 8), PARAMS)
    assert (verdict.kind, verdict.pairs) == ("insufficient", 0)
    # What a phone does in the background is little beside the neutral rate, however slow the target is.
    quiet = tuple((wavy(1e5, k, cross_bytes=60_000), wavy(5e6, k, cross_bytes=9_000)) for k in range(8))
    assert judge(Trial("t", quiet), PARAMS).kind == "throttling_targeted"


def test_a_sampler_that_goes_on_after_the_end_does_not_slow_a_transfer():
    def rest(part: Transfer) -> Transfer:
        last = part.samples[-1][1]
        return Transfer((*part.samples, *((part.samples[-1][0] + 0.25 * k, last) for k in range(1, 60))))

    trial_ = Trial("t", tuple((rest(wavy(4e6, k)), wavy(4e6, k)) for k in range(8)))
    assert judge(trial_, PARAMS).kind == "none"


def test_arms_may_differ_in_their_samples():
    def coarse(part: Transfer) -> Transfer:
        return replace(part, samples=part.samples[3::4])

    pairs = tuple((coarse(target), neutral) for target, neutral in against(1e6, 5e6).pairs)
    assert judge(Trial("t", pairs), PARAMS).kind == "throttling_targeted"
    same = tuple((coarse(target), neutral) for target, neutral in against(5e6, 5e6).pairs)
    assert judge(Trial("t", same), PARAMS).kind == "none"


def test_pairs_are_made_by_number_and_then_in_order():
    a, b, c = even(1e6), even(2e6), even(3e6)
    pairs, left, right = pair_up({1: a, 3: b, 5: c}, {2: c, 3: a})
    assert pairs == ((b, a), (a, c))
    assert (left, right) == ((c,), ())


@given(st.randoms(use_true_random=False), st.sampled_from([3, 8]), st.sampled_from([None, 140e3, 6e6]))
@settings(max_examples=6, deadline=None)
def test_the_order_of_pairs_and_samples_decides_nothing(rng, pairs, bps):
    run = Run(WIFI, Limit(bps) if bps else None, pairs=pairs)
    given_ = made(run, 7)

    def shuffled(items: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(rng.sample(items, len(items)))

    mixed = shuffled(
        tuple(
            (replace(a, samples=shuffled(a.samples)), replace(b, samples=shuffled(b.samples))) for a, b in given_.pairs
        )
    )
    assert judge(replace(given_, pairs=mixed), PARAMS) == judge(given_, PARAMS)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e12)), max_size=6).map(lambda s: Transfer(tuple(s))),
        max_size=16,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_numbers_get_a_verdict(transfers):
    half = len(transfers) // 2
    verdict = judge(Trial("t", tuple(zip(transfers[:half], transfers[half:], strict=False))), PARAMS)
    numbers = (verdict.ratio, verdict.area, verdict.p_wilcoxon, verdict.p_mann_whitney, verdict.plateau_cv)
    assert all(one is None or math.isfinite(one) for one in numbers)
    assert verdict.why


def test_the_fit_of_a_token_bucket_gives_its_rate():
    at = [0.1 * (k + 1) for k in range(80)]
    bucket = Transfer(tuple((t, min(20e6 / 8 * t, 250_000 + 1e6 / 8 * t)) for t in at))
    assert held(course(bucket), PARAMS) == pytest.approx(1e6, rel=0.02)
    assert held(course(even(3e6)), PARAMS) == pytest.approx(3e6)
    assert held(course(Transfer(((1.0, 10.0),))), PARAMS) is None


def test_a_course_starts_at_nought_and_its_later_half_tells_the_sustained_rate():
    whole = course(Transfer(((2.0, 300.0), (1.0, 200.0), (1.0, 150.0), (0.0, 7.0))))
    assert whole.seconds.tolist() == [0, 1, 2]
    assert whole.bytes.tolist() == [0, 200, 300]
    part = later(course(even(8e6, seconds=4)))
    assert rate(part) == pytest.approx(8e6)
    assert active(Course(whole.seconds, whole.bytes), 1e9, PARAMS).total == 300
