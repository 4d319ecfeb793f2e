"""Counts without a roster: what must be found, and what must not (detection.md §3.3 c)."""

import numpy as np
import pytest

from civobs_collector.detect.counts import find_counts
from civobs_collector.detect.params import Params

PARAMS = Params()
HOUR, DAY = 3600.0, 86400.0
START = 1_767_225_600.0
"""2026-01-01, a Thursday."""


def means(weeks, mean, bin_s=HOUR, daily=0.5, weekend=1.0):
    at = np.arange(round(weeks * 7 * DAY / bin_s)) * bin_s
    season = 1 + daily * np.sin(2 * np.pi * (at / DAY - 0.35))
    weekday = ((START + at) // DAY + 3) % 7
    return mean * season * np.where(weekday >= 5, weekend, 1)


def drawn(mean, seed=1):
    return np.random.default_rng(seed).poisson(mean)


def found(counts, bin_s=HOUR):
    return find_counts(START, bin_s, np.asarray(counts), PARAMS)


def hours(day, hour):
    return day * 24 + hour


@pytest.mark.parametrize("mean", [0, 0.5, 7, 3000])
def test_a_quiet_series_has_no_event(mean):
    assert found(drawn(means(10, mean, weekend=0.5))) == []


def test_a_shutdown_of_seven_sightings_an_hour_opens_in_three_bins():
    mean = means(5, 7, daily=0.2)
    mean[hours(30, 6) : hours(30, 16)] = 0
    (one,) = found(drawn(mean))
    assert one.down
    assert one.ended
    assert one.opened < hours(30, 6) + 3
    assert abs(one.start - hours(30, 6)) <= 1
    assert abs(one.end - hours(30, 16)) <= 1
    assert one.start_earliest <= one.start <= one.start_latest
    assert one.end_earliest <= one.end <= one.end_latest


def test_of_thousands_an_hour_one_empty_bin_is_an_event_at_once():
    counts = drawn(means(4, 3000))
    counts[500] = 0
    (one,) = found(counts)
    assert (one.start, one.end, one.opened) == (500, 501, 500)


def test_one_empty_bin_of_five_minutes_is_the_counter_s_own_hiccup():
    counts = drawn(means(2, 250, bin_s=300))
    counts[3000] = 0
    assert found(counts, 300) == []
    counts[3001] = 0
    assert [(one.start, one.end) for one in found(counts, 300)] == [(3000, 3002)]


def test_a_curfew_of_ten_weeks_never_becomes_the_new_normal():
    mean = means(13, 7, daily=0.2)
    nights = range(20, 90)
    for day in nights:
        mean[hours(day, 1) : hours(day, 9)] = 0
    segments = found(drawn(mean))
    assert [one.start // 24 for one in segments] == list(nights)
    # An hour with two of seven sightings may be of the night or not; none is far off.
    assert {int(np.median([one.start % 24 for one in segments])), segments[0].start % 24} == {1}
    assert all(abs(one.start % 24 - 1) <= 2 and abs(one.end % 24 - 9) <= 2 for one in segments)


def test_a_month_without_the_internet_is_still_open_and_a_source_that_died_as_well():
    mean = means(12, 60, weekend=0.6)
    mean[hours(30, 6) :] = 0
    (one,) = found(drawn(mean))
    assert (one.ended, one.lapsed, one.end) == (False, False, len(mean))
    assert abs(one.start - hours(30, 6)) <= 1


def test_sixty_percent_lost_for_two_days_is_a_partial_loss():
    mean = means(6, 300)
    mean[hours(30, 6) : hours(32, 6)] *= 0.4
    (one,) = found(drawn(mean))
    assert not one.down
    assert one.depth == pytest.approx(0.6, abs=0.1)
    assert abs(one.start - hours(30, 6)) <= 1
    assert abs(one.end - hours(32, 6)) <= 2


def test_a_partial_loss_that_lasts_for_months_lapses_and_is_learnt_anew():
    mean = means(16, 300)
    mean[hours(30, 6) :] *= 0.4
    mean[hours(95, 6) : hours(95, 18)] = 0
    partial, outage = found(drawn(mean))
    assert partial.lapsed
    assert not partial.ended
    assert outage.down
    assert abs(outage.start - hours(95, 6)) <= 1
    assert abs(outage.end - hours(95, 18)) <= 1


def test_a_loss_that_deepens_over_hours_is_one_event():
    mean = means(6, 300, daily=0.3)
    mean[hours(30, 6) : hours(30, 11)] *= np.linspace(0.9, 0.1, 5)
    mean[hours(30, 11) : hours(31, 6)] *= 0.03
    (one,) = found(drawn(mean))
    assert hours(30, 6) <= one.start <= hours(30, 9)
    assert abs(one.end - hours(31, 6)) <= 1


@pytest.mark.parametrize("trend", [0.03, -0.03])
def test_a_trend_is_no_event(trend):
    mean = means(10, 200) * np.exp(trend * np.arange(1680) / 24)
    assert found(drawn(mean)) == []


def test_a_crowd_of_four_days_does_not_make_what_follows_look_low():
    mean = means(8, 60)
    mean[hours(30, 0) : hours(34, 0)] *= 6
    assert found(drawn(mean)) == []


def test_a_series_that_begins_in_a_shutdown_learns_from_what_follows():
    mean = means(5, 60)
    mean[: hours(9, 0)] = 0
    mean[hours(25, 6) : hours(25, 18)] = 0
    (one,) = found(drawn(mean))
    assert abs(one.start - hours(25, 6)) <= 1


def test_nothing_is_said_before_enough_has_been_learnt():
    mean = means(1, 3000)
    mean[hours(2, 0) : hours(2, 20)] = 0
    assert found(drawn(mean)) == []


def test_the_first_weekend_of_an_office_is_no_event():
    mean = means(6, 300, daily=0.9, weekend=0.15)[hours(4, 0) :]
    assert find_counts(START + 4 * DAY, HOUR, drawn(mean), PARAMS) == []


def test_a_weekend_without_anybody_is_told_once_at_most():
    mean = means(6, 300, daily=0.9, weekend=0.01)[hours(4, 0) :]
    assert len(find_counts(START + 4 * DAY, HOUR, drawn(mean), PARAMS)) <= 1


def test_what_was_not_observed_neither_opens_nor_ends_an_event():
    counts = drawn(means(6, 60))
    counts[hours(25, 0) : hours(26, 0)] = -1
    counts[hours(30, 6) : hours(31, 6)] = 0
    counts[hours(30, 12) : hours(30, 18)] = -1
    counts[::7] = -1
    (one,) = found(counts)
    assert abs(one.start - hours(30, 6)) <= 1
    assert abs(one.end - hours(31, 6)) <= 1


def test_what_comes_later_changes_no_alert_that_was_raised_before():
    mean = means(6, 20)
    mean[hours(30, 6) : hours(30, 18)] = 0
    counts = drawn(mean)
    (whole,) = found(counts)
    for until in (whole.opened + 1, hours(30, 20), hours(35, 0)):
        assert [one.opened for one in found(counts[:until])] == [whole.opened]
    assert found(counts[: whole.opened]) == []


def test_daily_bins_tell_an_outage_of_days():
    mean = means(26, 300, bin_s=DAY, daily=0, weekend=0.6)
    mean[100:104] *= 0.02
    (one,) = found(drawn(mean), DAY)
    assert (one.start, one.end) == (100, 104)


@pytest.mark.parametrize("bin_s", [7 * DAY, 5 * HOUR, 60.0])
def test_odd_widths_are_judged_too(bin_s):
    n = 300 if bin_s > HOUR else 9000
    counts = np.random.default_rng(3).poisson(50, n)
    assert found(counts, bin_s) == []
    counts[n - 40 : n - 20] = 0
    (one,) = found(counts, bin_s)
    assert (one.start, one.end) == (n - 40, n - 20)


def test_a_counter_that_fails_now_and_then_is_soon_known_for_it():
    counts = drawn(means(10, 60))
    counts[np.random.default_rng(5).random(len(counts)) < 1 / 25] = 0
    counts[hours(50, 6) : hours(50, 18)] = 0
    (one,) = found(counts)
    assert abs(one.start - hours(50, 6)) <= 1


@pytest.mark.parametrize("counts", [[], [-1, -1], [0], [5, -1, 4]])
def test_a_series_too_short_to_have_a_habit_says_nothing(counts):
    assert found(np.array(counts, dtype=np.int64)) == []
