"""Events whose households never return: over for the observer, with no end known."""

from dataclasses import replace
from datetime import timedelta

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.events import compute
from civobs_collector.detect.record import Level, Status
from civobs_collector.detect.scope import END_UNKNOWN
from civobs_collector.detect.versions import plan
from tests.collector.fix_detect import PARAMS, T0, World, at, shutdown

DAY = 1440


def _published(record, day, version=1):
    public_id = None if record.scope.level is Level.PROBE else "CIV-2026-UG-0001"
    return Chain(record.event_key, public_id, version, at(day * DAY), record)


def test_an_unplugged_probe_leaves_an_event_that_lapses_with_no_end_known():
    world = World()
    key = world.probe("UG", 301)
    world.lose(key, 10 * DAY)
    (while_counted,) = world.events(12 * DAY)
    (later,) = world.events(20 * DAY)
    assert while_counted.status is Status.OPEN
    assert (later.status, later.resolution) == (Status.CLOSED, None)
    assert later.limits[0] == END_UNKNOWN
    assert later.severity.hours < 5 * 24
    assert later == world.events(20 * DAY + 60)[0].model_copy(update={"provisional": later.provisional})
    (version,) = plan([later], [_published(while_counted, 12)], T0, at(20 * DAY), PARAMS)
    assert version.change_kind == "closed"


def test_two_homes_of_one_network_that_stay_away_lapse_when_their_vote_does():
    world = World()
    world.probe("UG", 301)
    shutdown(world, world.country("UG", {302: 2}), 8 * DAY)
    (within_hold,) = world.events(37 * DAY)
    (after,) = world.events(40 * DAY)
    assert (within_hold.scope.level, within_hold.status) == (Level.NETWORK, Status.OPEN)
    assert (after.scope.level, after.status, after.resolution) == (Level.NETWORK, Status.CLOSED, None)
    assert after.severity.hours / 24 > 29


def test_homes_that_lost_their_vote_have_not_returned_although_others_are_up():
    world = World()
    world.country("UG", {302: 2})
    shutdown(world, world.country("UG", {302: 3}), 8 * DAY)
    (after,) = world.events(40 * DAY)
    assert (after.status, after.resolution) == (Status.CLOSED, None)
    assert after.limits[0] == END_UNKNOWN


def test_a_probe_that_returns_after_all_gives_a_lapsed_event_its_end():
    world = World()
    key = world.probe("UG", 301)
    world.lose(key, 10 * DAY)
    (lapsed,) = world.events(15 * DAY)
    world.online(key, 16 * DAY)
    (event,) = world.events(25 * DAY)
    assert lapsed.resolution is None
    assert event.resolution.latest == at(16 * DAY)
    assert END_UNKNOWN not in event.limits
    (version,) = plan([event], [_published(lapsed, 15)], T0, at(25 * DAY), PARAMS)
    assert version.change_kind == "corrected"


def test_what_is_left_in_view_of_an_event_that_lapsed_is_no_event_of_its_own():
    world = World()
    world.probe("UG", 301)
    early, late = world.country("UG", {302: 2}), world.country("UG", {303: 2})
    shutdown(world, early, 8 * DAY)
    shutdown(world, late, 12 * DAY)
    whole = world.inputs(45 * DAY)
    (event,) = compute(whole, PARAMS)
    chain = _published(event, 45)
    part = compute(replace(whole, since=at(10 * DAY)), PARAMS)
    assert {one.scope.level for one in part} == {Level.NETWORK}
    assert plan(part, [chain], at(11 * DAY), at(45 * DAY), PARAMS) == []
    home = [one.model_copy(update={"scope": one.scope.model_copy(update={"level": Level.PROBE})}) for one in part]
    assert plan(home, [chain], at(11 * DAY), at(45 * DAY), PARAMS) == []


def test_an_open_event_of_one_household_is_not_published_anew_every_hour():
    world = World()
    key = world.probe("UG", 301)
    world.lose(key, 10 * DAY)
    (before,), (now,) = world.events(11 * DAY), world.events(12 * DAY)
    assert plan([now], [_published(before, 11)], T0, at(12 * DAY), PARAMS) == []


def test_an_open_event_that_began_before_everything_looked_at_is_closed_once():
    world = World()
    key = world.probe("UG", 301)
    world.lose(key, 10 * DAY)
    chain = _published(world.events(11 * DAY)[0], 11)
    now = at(60 * DAY)
    assert plan([], [chain], at(9.99 * DAY) + timedelta(hours=1), at(12 * DAY), PARAMS) == []
    (version,) = plan([], [chain], at(30 * DAY), now, PARAMS)
    assert (version.change_kind, version.record.status, version.record.resolution) == ("closed", Status.CLOSED, None)
    assert version.record.limits[0] == END_UNKNOWN
    closed = Chain(chain.event_key, None, 2, now, version.record)
    assert plan([], [closed], at(30 * DAY), now + timedelta(days=1), PARAMS) == []
