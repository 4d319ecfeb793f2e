"""Rosters of every shape: what is found, and what is not made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.params import Params
from civobs_collector.evaluate import roster
from civobs_collector.evaluate.forms import Coded, ProbeRows, RosterRows
from civobs_collector.evaluate.join import joined
from civobs_collector.evaluate.steps import commonest, step_of

T0 = 1767225600.0
HOUR = 3600.0
PARAMS = Params()


def coded(names):
    known = tuple(sorted(set(names)))
    return Coded(np.array([known.index(name) for name in names], dtype=np.int32), known)


def rows(at, n_expected, n_up, names=None, bin_s=None):
    at = np.asarray(at, dtype=np.float64)
    group = coded(names if names is not None else ["G"] * len(at))
    expected = np.broadcast_to(np.asarray(n_expected, dtype=np.int64), at.shape)
    return RosterRows(at, group, expected, np.asarray(n_up, dtype=np.int64), step_of(at, [group.codes], bin_s))


def made(n=10, days=7, bin_s=300.0, out=(), *, usual=0.97, left=0.0, seed=0):
    chance = np.random.default_rng(seed)
    at = T0 + np.arange(int(days * 24 * HOUR / bin_s)) * bin_s
    share = np.full(len(at), usual)
    for first, last in out:
        share[(at >= T0 + first * HOUR) & (at < T0 + last * HOUR)] = left
    return at, n, chance.binomial(n, share)


def hours(found):
    return [
        (round((one.start.likely - T0) / HOUR, 2), round((one.end.likely - T0) / HOUR, 2) if one.end else None)
        for one in found
    ]


@pytest.mark.parametrize(
    ("n", "bin_s"),
    [(n, bin_s) for n in (1, 2, 3, 5, 10, 50, 5000) for bin_s in (300, 900, 3600, 86400) if n > 1 or bin_s < 86400],
)
def test_an_outage_is_found_once_by_groups_of_any_size_in_bins_of_any_width(n, bin_s):
    days, last = (60, 196) if bin_s == 86400 else (10, 112)
    (one,) = roster.find(rows(*made(n, days, bin_s, [(100, last)], usual=0.97 if n > 1 else 1.0)), PARAMS)
    assert abs(one.start.likely - T0 - 100 * HOUR) <= bin_s
    assert abs(one.end.likely - T0 - last * HOUR) <= bin_s
    assert one.start.earliest <= T0 + 100 * HOUR <= one.start.latest
    assert one.alert_at <= one.end.likely
    assert one.confidence == ("unconfirmed" if n == 1 else "probable")


@pytest.mark.parametrize("usual", [0.6, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 20])
def test_a_group_that_is_always_so_does_not_alarm(n, usual):
    assert roster.find(rows(*made(n, 21, usual=usual, seed=n)), PARAMS) == []


def test_a_file_may_begin_and_end_in_the_middle_of_trouble():
    found = roster.find(rows(*made(out=[(0, 5), (160, 999)])), PARAMS)
    assert hours(found) == [(0.0, 5.0), (160.0, None)]
    assert [one.ongoing for one in found] == [False, True]


def test_of_ten_expected_none_up_is_an_outage_and_of_none_expected_is_nothing():
    (one,) = roster.find(rows(*made(days=1, usual=0.0)), PARAMS)
    assert one.ongoing
    assert roster.find(rows(*made(0, days=1)), PARAMS) == []


def test_a_hole_in_the_file_is_no_outage_and_widens_the_bounds():
    at, n, up = made(out=[(100, 104)])
    kept = ((at < T0 + 50 * HOUR) | (at >= T0 + 60 * HOUR)) & ((at < T0 + 98 * HOUR) | (at >= T0 + 101 * HOUR))
    (one,) = roster.find(rows(at[kept], n, up[kept]), PARAMS)
    assert hours([one]) == [(101.0, 104.0)]
    assert one.start.earliest <= T0 + 98 * HOUR <= T0 + 101 * HOUR <= one.start.latest


def test_times_that_are_a_little_uneven_make_whole_bins():
    at, n, up = made(out=[(100, 104)])
    uneven = at + np.random.default_rng(3).normal(0, 20, len(at))
    (one,) = roster.find(rows(uneven, n, up), PARAMS)
    assert abs(one.start.likely - T0 - 100 * HOUR) <= 300
    assert abs(one.end.likely - T0 - 104 * HOUR) <= 300


def test_households_that_leave_the_roster_in_an_outage_do_not_end_it():
    at, _, up = made(out=[(100, 130)])
    expected = np.where((at >= T0 + 103 * HOUR) & (at < T0 + 130 * HOUR), 0, 10)
    assert hours(roster.find(rows(at, expected, up), PARAMS)) == [(100.0, 130.0)]


def test_wider_bins_take_the_middle_row():
    at, n, up = made(out=[(100, 112)])
    (one,) = roster.find(rows(at, n, up, bin_s=3600.0), PARAMS)
    assert hours([one]) == [(100.0, 112.0)]


def test_groups_of_different_width_in_one_file_are_judged_on_their_own():
    fine, coarse = made(out=[(100, 104)]), made(bin_s=3600.0, out=[(50, 60)], seed=2)
    both = rows(
        np.concatenate([fine[0], coarse[0]]),
        10,
        np.concatenate([fine[2], coarse[2]]),
        ["F"] * len(fine[0]) + ["C"] * len(coarse[0]),
    )
    found = roster.find(both, PARAMS)
    assert [one.group for one in found] == ["C", "F"]
    assert hours(found) == [(50.0, 60.0), (100.0, 104.0)]


def test_a_tenth_left_and_a_slow_decline_are_one_outage_each():
    at, n, up = made(50, out=[(100, 110)], left=0.1)
    assert len(roster.find(rows(at, n, up), PARAMS)) == 1
    falling = np.interp(at - T0, [100 * HOUR, 105 * HOUR, 120 * HOUR, 130 * HOUR], [49, 3, 3, 49]).astype(int)
    (one,) = roster.find(rows(at, n, falling), PARAMS)
    assert 100 * HOUR <= one.start.likely - T0 <= 103 * HOUR


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(order):
    at, n, up = made(4, days=3, out=[(30, 33)])
    places = list(range(len(at)))
    order.shuffle(places)
    assert roster.find(rows(at[places], n, up[places]), PARAMS) == roster.find(rows(at, n, up), PARAMS)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from("AB"), st.integers(0, 12), st.integers(0, 12)),
        min_size=1,
        max_size=60,
    )
)
def test_any_roster_can_be_judged(lines):
    found = roster.find(
        rows(
            [T0 + 300.0 * at for at, *_ in lines],
            [max(a, b) for *_, a, b in lines],
            [min(a, b) for *_, a, b in lines],
            [name for _, name, *_ in lines],
        ),
        PARAMS,
    )
    assert all(one.start.earliest <= one.start.likely <= one.start.latest for one in found)
    assert all(one.end is None or one.end.likely > one.start.likely for one in found)


def probes(households, days=7, bin_s=300.0):
    """``households``: name -> [(from hour, to hour)] down."""
    at = T0 + np.arange(int(days * 24 * HOUR / bin_s)) * bin_s
    names = sorted(households)
    up = np.ones((len(names), len(at)), dtype=bool)
    for row, name in enumerate(names):
        for first, last in households[name]:
            up[row, (at >= T0 + first * HOUR) & (at < T0 + last * HOUR)] = False
    group = coded(["G"] * up.size)
    household = Coded(np.repeat(np.arange(len(names), dtype=np.int32), len(at)), tuple(names))
    times = np.tile(at, len(names))
    return ProbeRows(times, group, household, up.ravel(), step_of(times, [household.codes]))


def test_named_households_vote_as_live_probes_do():
    lost = {f"h{n}": [(100, 104)] for n in range(6)}
    (one,) = roster.find_probes(probes(lost | {"dead": [(0, 999)], "gone": [(20, 999)]}), PARAMS)
    assert hours([one]) == [(100.0, 104.0)]
    # One was never up, one was lost alone days before: neither votes.
    assert (one.n_down, one.n_observed) == (6, 6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_households_that_miss_single_bins_do_not_lose_their_vote(n):
    missed = np.random.default_rng(1).choice(2016, (n, 100), replace=False) / 12
    lost = {f"h{row}": [(100, 107), *((at, at + 0.08) for at in missed[row])] for row in range(n)}
    (found,) = hours(roster.find_probes(probes(lost), PARAMS))
    # Back, one may miss a bin at once.
    assert found == (100.0, pytest.approx(107, abs=0.5))


def often_away(n, seed):
    """Each is away for half an hour every four hours."""
    chance = np.random.default_rng(seed)
    starts = np.cumsum(chance.exponential(4, (n, 60)) + 0.5, axis=1)
    ends = starts + chance.exponential(0.5, starts.shape)
    return {f"h{row}": list(zip(starts[row], ends[row], strict=True)) for row in range(n)}


def test_named_households_that_are_often_away_are_away_together_by_chance_for_short_times_only():
    quiet = [roster.find_probes(probes(often_away(n, seed)), PARAMS) for n in (1, 2, 3, 4) for seed in range(5)]
    # Of more than fifty that the filter alone would tell.
    assert sum(map(len, quiet)) <= 4


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_an_outage_of_named_households_that_are_often_away_is_found(n):
    away = {name: [*spells, (100, 112)] for name, spells in often_away(n, 7).items()}
    (found,) = hours(roster.find_probes(probes(away), PARAMS))
    assert found == (pytest.approx(100, abs=1), pytest.approx(112, abs=1))


def test_named_households_that_are_down_when_the_file_begins_are_an_outage():
    (one,) = roster.find_probes(probes({f"h{n}": [(0, 6)] for n in range(5)}), PARAMS)
    assert hours([one]) == [(0.0, 6.0)]


def test_one_household_of_many_is_no_event_and_a_group_of_one_is():
    assert roster.find_probes(probes({"a": [(50, 60)], "b": [], "c": [], "d": []}), PARAMS) == []
    (one,) = roster.find_probes(probes({"a": [(50, 60)]}), PARAMS)
    assert (one.level, one.confidence) == ("probe", "unconfirmed")


@pytest.mark.parametrize("step", [60.0, 300.0, 420.0, 3600.0, 10800.0, 86400.0])
def test_the_width_of_a_bin_is_the_commonest_step(step):
    gaps = np.concatenate([np.full(50, step), np.full(20, 3 * step)])
    assert commonest(gaps).seconds == step
    uneven = np.random.default_rng(1).normal(3600, 600, 200)
    assert commonest(uneven).seconds == 3600.0


def test_files_joined_are_as_one_file():
    at, n, up = made(out=[(80, 90)])
    names = ["G", "H"] * (len(at) // 2)
    half = len(at) // 2
    whole = rows(np.repeat(at[:half], 2), n, np.repeat(up[:half], 2), names)
    parts = [
        rows(np.repeat(at[a:b], 2), n, np.repeat(up[a:b], 2), ["G", "H"] * (b - a))
        for a, b in ((0, half // 2), (half // 2, half))
    ]
    assert roster.find(joined(parts), PARAMS) == roster.find(whole, PARAMS)
