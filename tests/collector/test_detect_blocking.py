"""Blocking: what is found, when, where, and what is not (detection.md §3.3 (d), §3.5)."""

from dataclasses import replace

import numpy as np
import pytest

from civobs_collector.detect import blocking
from civobs_collector.detect.blocking import Blocking
from civobs_collector.detect.params import Params
from tests.collector.fix_votes import HOUR, START, Network, Vote, hourly, shuffled, votes

DAYS = 7
HOURS = range(24 * DAYS)
HOME = [Network(101), Network(102), Network(103)]
ABROAD = [Network(900 + number, cc) for number, cc in enumerate(("BB", "CC", "DD", "EE", "FF", "GG", "HH", "II"))]


def found(rows: list[Vote], bin_s: float = HOUR) -> list[Blocking]:
    given = votes(rows, bin_s)
    return list(blocking.find(given, float(given.last_at.max()), Params()))


def published(rows: list[Vote], bin_s: float = HOUR) -> list[Blocking]:
    return [one for one in found(rows, bin_s) if not one.held]


def hour_of(at: float) -> float:
    return (at - START) / HOUR


def within(one: Vote, first: float, last: float) -> bool:
    return first <= one.hour < last


def test_a_national_blocking_of_one_target_is_one_event_dated_between_its_neighbours() -> None:
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.cc == "AA" and within(one, 60, 90))
    (event,) = published(rows)
    assert (event.cc, event.asns, event.targets, event.layers) == ("AA", (101, 102, 103), ("a.example",), ("tls",))
    assert event.start is not None
    assert event.end is not None
    assert hour_of(event.start[0]) <= 60 <= hour_of(event.start[1]) < 61
    assert 88 < hour_of(event.end[0]) <= 90 <= hour_of(event.end[1]) < 91
    assert hour_of(event.opened_at) <= 62
    assert (event.n_down, event.n_observed, event.ongoing) == (9, 9, False)
    assert event.log10_bf > 10
    assert event.rate_difference > 0.9
    assert event.failures[0][0] == "timeout"


def test_the_order_of_votes_decides_nothing() -> None:
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.asn == 101 and within(one, 60, 90), ("a.example", "b.example"))
    given = votes(rows)
    now = float(given.last_at.max())
    first = blocking.find(given, now, Params())
    assert first
    for seed in range(3):
        assert blocking.find(shuffled(given, seed), now, Params()) == first


def test_a_quiet_world_has_no_event() -> None:
    assert found(hourly(HOME + ABROAD, HOURS, lambda one: False, ("a.example", "b.example"), noise=0.03)) == []


def test_case_9_a_site_that_is_down_everywhere_is_a_site_failure() -> None:
    events = found(hourly(HOME + ABROAD, HOURS, lambda one: within(one, 60, 90)))
    assert events
    assert {one.held for one in events} == {"site_failure"}


def test_case_9_a_change_in_five_countries_in_one_hour_is_held_as_a_common_cause() -> None:
    moved = {"AA", "BB", "CC", "DD", "EE"}
    events = found(hourly(HOME + ABROAD, HOURS, lambda one: one.cc in moved and within(one, 60, 90)))
    assert {one.cc for one in events} == moved
    assert {one.held for one in events} == {"common_cause"}


def test_case_7_nightly_windows_are_occurrences_and_none_is_merged_across_a_night() -> None:
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.cc == "AA" and 8 <= one.hour % 24 < 12)
    events = published(rows)
    assert len(events) == DAYS
    assert all(one.end is not None and hour_of(one.end[1]) - hour_of(one.first_bad) < 6 for one in events)


def test_windows_stay_apart_where_nobody_asks_at_night() -> None:
    day = [hour for hour in HOURS if 7 <= hour % 24 < 13]
    rows = hourly(HOME + ABROAD, day, lambda one: one.cc == "AA" and one.hour % 24 >= 8)
    assert len(published(rows)) == DAYS


def test_a_target_blocked_since_before_the_file_began_has_an_open_start() -> None:
    (event,) = published(hourly(HOME + ABROAD, HOURS, lambda one: one.cc == "AA"))
    assert (event.start, event.end, event.ongoing) == (None, None, True)


def test_a_target_that_always_failed_for_all_who_asked_is_not_said_to_be_blocked() -> None:
    (event,) = found(hourly(HOME, HOURS, lambda one: True))
    assert event.held == "no_comparison"


def test_a_blocking_that_was_there_before_and_ended_is_told_by_what_worked_after() -> None:
    (event,) = published(hourly(HOME, HOURS, lambda one: one.hour < 60))
    assert event.start is None
    assert event.end is not None
    assert 58 < hour_of(event.end[0]) <= 60 <= hour_of(event.end[1]) < 61
    assert (event.asns, event.out_n, event.past_n, event.ongoing) == ((101, 102, 103), 0, 0, False)


def test_networks_that_reach_the_target_speak_for_the_site_without_any_other_country() -> None:
    (event,) = published(hourly(HOME, HOURS, lambda one: one.asn == 101))
    assert event.asns == (101,)


def test_a_national_blocking_is_found_without_any_other_country() -> None:
    (event,) = published(hourly(HOME, HOURS, lambda one: within(one, 60, 200)))
    assert event.asns == (101, 102, 103)
    assert event.ongoing
    assert event.out_n == 0


def test_a_rollout_over_hours_is_one_event() -> None:
    networks = [Network(100 + number) for number in range(8)]
    rows = hourly(networks + ABROAD, HOURS, lambda one: one.cc == "AA" and within(one, 40 + 3 * (one.asn - 100), 140))
    (event,) = published(rows)
    assert len(event.networks) == 8
    starts = [hour_of(one.start[1]) for one in event.networks if one.start]
    assert starts == pytest.approx([40.5 + 3 * number for number in range(8)], abs=1)


def test_a_network_that_is_wholly_down_is_not_a_blocking_of_every_target() -> None:
    targets = tuple(f"{name}.example" for name in "abcdef")
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.asn == 101 and within(one, 60, 90.4), targets)
    assert found(rows) == []


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_a_line_that_loses_packets_is_not_a_blocking_of_some_targets(share: float) -> None:
    targets = tuple(f"{name}.example" for name in "abcdefgh")
    chance = np.random.default_rng(7)
    rows = hourly(
        HOME + ABROAD,
        HOURS,
        lambda one: one.asn == 101 and within(one, 60, 90) and bool(chance.random() < share),
        targets,
    )
    assert published(rows) == []


def test_resets_of_every_target_are_a_blocking_for_somebody_sends_them() -> None:
    rows = hourly(
        HOME + ABROAD,
        HOURS,
        lambda one: one.asn == 101 and within(one, 60, 90),
        ("a.example", "b.example", "c.example"),
    )
    (event,) = published([replace(one, failure="connection_reset") for one in rows])
    assert (event.asns, event.targets) == ((101,), ("a.example", "b.example", "c.example"))


def test_a_network_upgrade_that_blocks_many_targets_is_one_event() -> None:
    targets = tuple(f"t{number}.example" for number in range(12))
    rows = hourly(
        HOME + ABROAD, HOURS, lambda one: one.asn == 102 and within(one, 60, 90) and one.target < "t6", targets
    )
    (event,) = published(rows)
    assert (event.asns, len(event.targets)) == ((102,), 8)


def test_a_household_whose_target_alone_fails_is_no_blocking_of_its_network() -> None:
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.household == 10101 and one.hour > 60)
    assert found(rows) == []


def test_a_household_that_always_fails_beside_one_that_comes_and_goes_is_no_blocking() -> None:
    rows = hourly([Network(101, households=2), *ABROAD], HOURS, lambda one: one.household == 10101)
    rows = [one for one in rows if one.household != 10100 or int(one.hour) % 9 == 0]
    assert found(rows) == []


def test_a_network_of_one_household_is_judged_by_it() -> None:
    rows = hourly([Network(101, households=1), *ABROAD], HOURS, lambda one: one.asn == 101 and within(one, 60, 90))
    (event,) = published(rows)
    assert (event.n_down, event.n_observed) == (1, 1)
    assert hour_of(event.opened_at) <= 64


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_a_flaky_site_is_no_blocking(rate: float) -> None:
    assert published(hourly(HOME + ABROAD, range(24 * 21), lambda one: False, noise=rate)) == []


def test_daily_rows_are_enough() -> None:
    rows = hourly(HOME + ABROAD, range(12, 24 * 60, 24), lambda one: one.cc == "AA" and within(one, 480, 960))
    (event,) = published(rows, 86400.0)
    assert event.start is not None
    assert event.end is not None
    assert 456 <= hour_of(event.start[0]) <= hour_of(event.start[1]) <= 505
    assert 936 <= hour_of(event.end[0]) <= hour_of(event.end[1]) <= 985
    assert hour_of(event.opened_at) <= 528


def test_two_countries_that_block_one_target_are_two_events_and_not_a_site_failure() -> None:
    rows = hourly(HOME + ABROAD, HOURS, lambda one: one.cc == "BB" or (one.cc == "AA" and within(one, 60, 120)))
    assert [(one.cc, one.start is None) for one in published(rows)] == [("BB", True), ("AA", False)]


def test_what_an_anchor_sees_speaks_for_the_world_outside_only() -> None:
    rows = hourly(HOME, HOURS, lambda one: one.cc == "AA" and within(one, 60, 90))
    anchors = [Vote(hour + 0.5, 1, 999, "ZZ", bad=True, control=True) for hour in range(60, 90)]
    assert {one.held for one in found(rows + anchors)} == {"site_failure"}
    assert {one.cc for one in found(rows + anchors)} == {"AA"}


def test_no_votes_are_no_event() -> None:
    assert blocking.find(votes([]), START, Params()) == ()
