"""Starts and ends: each signal has both, nobody returns before being lost, and older trouble dates nothing."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.record import Status
from tests.collector.fix_detect import FAILED, OK, World, at, shutdown

CUT, BACK = 600, 660


def started_shortly_before(*, arrived: bool):
    """Four households whose first look failed, for want of a plan, twenty minutes before the cut."""
    world = World()
    keys = world.country("KE", {101: 2, 102: 2}, online=CUT - 24)
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT, BACK)
    for key in keys:
        world.rows(key, 4, FAILED, CUT - 22, CUT - 22)
        for rung in (3, 4):
            world.rows(key, rung, OK, CUT - 21, CUT - 0.5, 0.5)
            if arrived:
                world.rows(key, rung, FAILED, CUT + 0.5, BACK - 0.5)
                world.rows(key, rung, OK, BACK + 0.5, BACK + 30.5)
    return world


def test_each_signal_has_its_start_and_its_end_although_the_first_look_failed():
    (event,) = started_shortly_before(arrived=True).events(700)
    assert [one.signal for one in event.per_signal] == ["presence", "ladder.L4", "ladder.L3"]
    for one in event.per_signal:
        assert (one.value, one.baseline) == (0.0, 1.0)
        assert abs(one.onset.latest - at(CUT)) <= timedelta(seconds=60)
        assert one.resolution is not None
        assert abs(one.resolution.latest - at(BACK)) <= timedelta(seconds=90)


def test_trouble_that_was_over_before_an_event_is_not_its_end():
    (event,) = started_shortly_before(arrived=False).events(700)
    assert event.status is Status.CLOSED
    assert event.resolution.t10 >= at(BACK - 5)


def test_one_failed_row_shortly_before_an_event_is_not_its_start():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT, BACK)
    for key in keys:
        world.rows(key, 4, OK, CUT - 60, CUT - 21)
        world.rows(key, 4, FAILED, CUT - 20, CUT - 20)
        world.rows(key, 4, OK, CUT - 19, CUT - 0.5, 0.5)
        world.rows(key, 4, FAILED, CUT + 0.5, BACK - 0.5)
        world.rows(key, 4, OK, BACK + 0.5, BACK + 30.5)
    (event,) = world.events(700)
    assert event.onset.earliest >= at(CUT - 1)


def test_what_all_households_allow_together_is_the_likely_start():
    world = World()
    keys = world.country("KE", {101: 3, 102: 3})
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT, BACK)
    for number, key in enumerate(keys):
        world.rows(key, 4, OK, CUT - 60, CUT - 0.2 - number)
        world.rows(key, 4, FAILED, CUT + 0.2 + number, BACK - 0.2 - number)
        world.rows(key, 4, OK, BACK + 0.2 + number, BACK + 30)
    (event,) = world.events(700)
    assert event.onset.latest - event.onset.earliest > timedelta(seconds=60)
    assert abs(event.onset.likely - at(CUT)) < timedelta(seconds=15)
    assert abs(event.resolution.likely - at(BACK)) < timedelta(seconds=15)


minutes = st.floats(min_value=0, max_value=240, allow_nan=False)
troubles = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([3, 4]),
        st.sampled_from([4, 6]),
        minutes,
        st.floats(min_value=0, max_value=90, allow_nan=False),
        st.sampled_from([0.01, 5.0, 290.0]),
    ),
    max_size=12,
)
absences = st.lists(
    st.tuples(st.integers(0, 4), minutes, st.floats(min_value=2, max_value=120, allow_nan=False)), max_size=8
)


@settings(max_examples=150, deadline=None)
@given(troubles, absences, st.booleans())
def test_no_event_ends_before_it_begins(rows, lost, common):
    """Five probes of four households, whatever their two families, two rungs and their lines to the broker do."""
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    keys.append(world.probe("KE", 101, household=1001))
    world.country("TZ", {201: 3})
    until = dict.fromkeys(keys, 0.0)
    for number, start, length in sorted(lost, key=lambda one: one[1]):
        key = keys[number]
        if 400 + start > until[key]:
            world.lose(key, 400 + start)
            world.online(key, 400 + start + length)
            until[key] = 400 + start + length + 1
    if common:
        later = [key for key in keys if until[key] < 500]
        shutdown(world, later, 500, 560)
    for number, rung, family, start, length, err_s in rows:
        _trouble(world, keys[number], (rung, family), (400 + start, length), err_s)
    for event in world.events(900):
        _assert_in_order(event.onset, event.resolution)
        for one in event.per_signal:
            _assert_in_order(one.onset, one.resolution)


def _trouble(world, key, where, when, err_s):
    (rung, family), (start, length) = where, when
    before = len(world.runs)
    world.rows(key, rung, OK, start - 30, start - 1)
    world.rows(key, rung, FAILED, start, start + length, err_s=err_s)
    world.rows(key, rung, OK, start + length + 1, start + length + 31)
    world.runs[before:] = [type(run)(**{**_fields(run), "family": family}) for run in world.runs[before:]]


def _fields(run):
    return {name: getattr(run, name) for name in type(run).__slots__}


def _assert_in_order(onset, resolution):
    assert onset.earliest <= onset.latest
    likely = getattr(onset, "likely", None)
    assert likely is None or onset.earliest <= likely <= onset.latest
    shares = [getattr(onset, name, None) for name in ("t10", "t50", "t90")]
    assert all(a <= b for a, b in pairwise([s for s in shares if s]))
    assert all(s >= onset.earliest for s in shares if s)
    if resolution is None:
        return
    assert onset.earliest <= resolution.earliest <= resolution.latest
    assert onset.latest <= resolution.latest
    ended = getattr(resolution, "likely", None)
    assert ended is None or resolution.earliest <= ended <= resolution.latest
    assert not (likely and ended) or likely <= ended
    ends = [getattr(resolution, name, None) for name in ("t10", "t50", "t90")]
    assert all(e >= s for e, s in zip(ends, shares, strict=True) if e and s)
    assert all(e >= onset.earliest for e in ends if e)


def test_a_probe_that_measures_every_quarter_of_an_hour_has_delivered_when_all_its_rows_are_there():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, 600, 1080)
    for key in keys:
        for first, outcome, last in ((0, OK, 595), (605, FAILED, 1075), (1085, OK, 1200)):
            for minute in range(first, last, 15):
                world.rows(key, 4, outcome, minute, minute)
                # Both families are asked at nearly the same time: that is not how often they are asked.
                world.rows(key, 4, outcome, minute + 0.01, minute + 0.01)
                world.runs[-1] = replace(world.runs[-1], family=6)
    (event,) = world.events(1300)
    assert (event.provisional, event.evidence.backfill) == (False, 1.0)
    world.runs = [run for run in world.runs if not at(700) < run.first_at < at(900)]
    (event,) = world.events(1300)
    assert event.provisional


def test_a_home_that_was_away_by_itself_does_not_date_an_event_and_a_network_lost_hours_before_does():
    for networks, lost_alone, start in (({101: 3, 102: 3}, 1, 1000), ({101: 2}, 1, 1000), ({101: 3, 102: 3}, 3, 100)):
        world = World()
        keys = world.country("KE", networks)
        world.country("TZ", {201: 3})
        shutdown(world, keys[:lost_alone], 100, 1180)
        shutdown(world, keys[lost_alone:], 1000, 1180)
        (event,) = [one for one in world.events(1400) if one.resolution is not None and one.scope.level != "probe"]
        assert abs(event.onset.latest - at(start)) <= timedelta(minutes=2)
        assert event.onset.earliest <= at(start) <= event.onset.latest
        assert event.per_signal[0].onset.earliest == event.onset.earliest


def test_homes_that_are_lost_one_after_the_other_date_it_by_the_first():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    for number, key in enumerate(keys):
        world.lose(key, 600 + 80 * number)
    (event,) = world.events(900)
    assert at(598) <= event.onset.earliest <= event.onset.latest == at(600)


def test_a_probe_that_had_just_tried_in_vain_bounds_its_return_by_its_longest_wait():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT)
    for key in keys:
        world.online(key, BACK + 7)
    (event,) = world.events(700)
    assert event.resolution.earliest <= at(BACK) <= event.resolution.latest


def test_a_climb_that_waited_over_the_change_keeps_it_within_the_bounds():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT, BACK)
    for key in keys:
        # A climb that began 3 s before the cut lost its answers; one that began 3 s before the end had its second try.
        world.rows(key, 4, OK, CUT - 60, CUT - 1.05)
        world.rows(key, 4, FAILED, CUT - 0.05, BACK - 1.05)
        world.rows(key, 4, OK, BACK - 0.05, BACK + 30)
    (event,) = world.events(700)
    assert event.onset.earliest <= at(CUT) <= event.onset.latest
    assert event.resolution.earliest <= at(BACK) <= event.resolution.latest
    assert max(one.latest - one.earliest for one in (event.onset, event.resolution)) < timedelta(seconds=70)


def test_a_greeting_that_waited_for_the_collector_does_not_date_the_return():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, CUT)
    # They were back at BACK, and nobody was there to hear it.
    world.away = [(at(BACK - 10), at(BACK + 60))]
    for index, key in enumerate(keys):
        world.online(key, BACK + 60 + index * 0.01, late=True)
    (event,) = world.events(800)
    assert event.resolution.earliest <= at(BACK) <= event.resolution.latest
