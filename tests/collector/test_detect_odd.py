"""Odd but possible facts: the detector draws no wrong conclusion from them, and never breaks."""

from dataclasses import replace
from datetime import timedelta

import pytest

from civobs_collector.detect.events import compute
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.record import Level
from tests.collector.fix_detect import FAILED, OK, PARAMS, T0, World, at, shutdown


def test_nothing_stored_is_no_event():
    assert compute(Inputs(since=T0, now=at(60), probes=()), PARAMS) == ()


@pytest.mark.parametrize("minutes", [0, -60])
def test_a_window_that_ends_before_it_begins_is_no_event(minutes):
    world = World()
    shutdown(world, world.country("KE", {101: 2, 102: 2}), 600)
    compute(replace(world.inputs(900), now=at(minutes)), PARAMS)


def test_households_of_unknown_networks_are_no_network_and_no_country():
    world = World()
    shutdown(world, world.country("KE", {0: 4}), 600)
    world.country("TZ", {201: 3})
    found = world.events(700)
    assert {event.scope.level for event in found} == {Level.PROBE}
    assert all(event.scope.asns == () for event in found)
    assert "in networks not known" in found[0].coverage_note


def test_households_of_unknown_networks_count_for_their_country():
    world = World()
    shutdown(world, world.country("KE", {0: 2, 101: 1, 102: 1}), 600)
    world.country("TZ", {201: 3})
    (event,) = world.events(700)
    assert (event.scope.level, event.scope.asns, event.affected.n_down) == (Level.COUNTRY, (101, 102), 4)


def test_a_country_of_anchors_has_no_events():
    world = World()
    anchors = [world.probe("DE", 3320, is_anchor=True) for _ in range(3)]
    world.country("TZ", {201: 3, 202: 3})
    shutdown(world, anchors[:1], 600)
    assert world.events(700) == ()


def test_what_a_revoked_probe_says_makes_no_event_and_moves_none():
    world = World()
    kenya = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, kenya, 600, 660)
    without = world.events(700)
    revoked = world.country("KE", {101: 2}, active=False)
    shutdown(world, revoked, 590, 690)
    for key in revoked:
        world.cut(key, 590, 690)
    assert world.events(700) == without


def test_presence_of_a_probe_that_is_not_listed_is_left_out():
    world = World()
    shutdown(world, world.country("KE", {101: 2, 102: 2}), 600)
    facts = world.inputs(700)
    assert compute(replace(facts, probes=()), PARAMS) == ()


@pytest.mark.parametrize("jump", [-300, -5, 5, 300, 60 * 24 * 400])
def test_rows_of_a_clock_that_jumped_leave_the_bounds_of_an_event_in_order(jump):
    world = World()
    kenya = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, kenya, 600, 660)
    for key in kenya[1:]:
        world.cut(key, 600, 660)
    # Its clock jumped in the middle of the cut, and the probe did not notice.
    world.rows(kenya[0], 4, OK, 540, 599.5)
    world.rows(kenya[0], 4, FAILED, 600.5, 630)
    world.rows(kenya[0], 4, FAILED, 631 + jump, 659.5 + jump)
    world.rows(kenya[0], 4, OK, 660.5 + jump, 690.5 + jump)
    (event,) = [one for one in world.events(800) if one.scope.level is Level.COUNTRY]
    assert event.onset.earliest <= event.resolution.earliest <= event.resolution.latest
    assert abs(event.onset.latest - at(600)) <= timedelta(seconds=60)
    assert abs(event.resolution.latest - at(660)) <= timedelta(minutes=5)
