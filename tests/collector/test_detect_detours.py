"""The first broker is blocked and the others are not: probes come by another, and lose nothing but the first."""

from datetime import timedelta

import pytest

from civobs_collector.detect.record import EventKind, Level, Status
from civobs_collector.detect.scope import FIRST_BROKER_ONLY
from tests.collector.fix_detect import OK, PARAMS, World, at


def world(elsewhere: int = 3) -> tuple[World, list[int]]:
    made = World()
    at_home = made.country("KE", {1: 3, 2: 2})
    made.country("UG", {9: elsewhere})
    for key in range(1, len(made.probes) + 1):
        made.rows(key, 4, OK, 0, 600, 5)
    return made, at_home


def detour(made: World, keys: list[int], start: float, end: float | None = None) -> None:
    for index, key in enumerate(keys):
        made.online(key, start + 1 + index * 0.1, broker=1)
        if end is not None:
            made.online(key, end + 1 + index * 0.5, broker=0)


def test_probes_that_come_by_another_broker_while_others_stay_with_the_first_are_kept_from_it():
    made, at_home = world()
    detour(made, at_home, 200, 260)
    (event,) = made.events(400)
    assert (event.kind, event.scope.level, event.scope.cc) == (EventKind.COLLECTOR_BLOCKED, Level.COUNTRY, "KE")
    assert (event.scope.asns, event.likeliest, event.status) == ((1, 2), "collector", Status.CLOSED)
    assert event.limits[0] == FIRST_BROKER_ONLY
    assert event.resolution is not None
    assert event.onset.earliest <= at(200) <= event.onset.latest
    assert event.resolution.earliest <= at(260) <= event.resolution.latest
    longest = timedelta(seconds=PARAMS["presence.reconnect"] + 60)
    assert event.resolution.latest - event.resolution.earliest <= longest
    (presence,) = [one for one in event.per_signal if one.signal == "presence"]
    assert (presence.value < 0.2, presence.baseline) == (True, 1.0)


def test_it_is_said_while_it_goes_on():
    made, at_home = world()
    detour(made, at_home, 200)
    assert made.events(203) == ()
    (event,) = made.events(212)
    assert (event.kind, event.status) == (EventKind.COLLECTOR_BLOCKED, Status.OPEN)


def test_without_stored_rows_it_is_known_from_presence_alone_and_unconfirmed():
    made, at_home = world()
    detour(made, at_home, 200, 260)
    rows, made.runs = made.runs, []
    (event,) = made.events(400)
    assert (event.confidence.families, event.confidence.label) == (("presence",), "unconfirmed")
    made.runs = rows
    (event,) = made.events(400)
    assert (event.confidence.families, event.confidence.label) == (("presence", "inside_out"), "probable")


def test_a_line_that_fails_meanwhile_is_lost_all_the_same():
    made, at_home = world()
    detour(made, at_home, 200, 400)
    made.runs = [run for run in made.runs if run.probe_key not in at_home]
    for key in at_home:
        made.cut(key, 260, 320)
        made.rows(key, 4, OK, 100, 199, 5)
        made.rows(key, 4, OK, 351, 600, 5)
    kinds = {event.kind for event in made.events(500)}
    assert EventKind.SHUTDOWN_SUSPECTED in kinds


def test_an_outage_of_one_network_is_told_while_the_whole_country_comes_by_another_broker():
    made, at_home = world()
    detour(made, at_home, 200, 400)
    made.runs = [run for run in made.runs if run.probe_key not in at_home[:3]]
    for key in at_home[:3]:
        made.cut(key, 260, 320)
        made.rows(key, 4, OK, 100, 199, 5)
        made.rows(key, 4, OK, 351, 600, 5)
    found = {(event.kind, event.scope.asns) for event in made.events(500)}
    assert found == {(EventKind.COLLECTOR_BLOCKED, (1, 2)), (EventKind.OUTAGE, (1,))}


@pytest.mark.parametrize("elsewhere", [0, 3])
def test_a_broker_that_nobody_elsewhere_has_is_not_said_to_be_blocked(elsewhere):
    made, at_home = world(elsewhere)
    detour(made, list(range(1, len(made.probes) + 1)) if elsewhere else at_home, 200, 260)
    assert made.events(400) == ()


def test_an_anchor_in_the_country_tells_as_well_that_the_broker_works():
    made, at_home = world(0)
    made.probe("KE", 7, is_anchor=True)
    detour(made, at_home, 200, 260)
    assert [event.kind for event in made.events(400)] == [EventKind.COLLECTOR_BLOCKED]


def test_a_greeting_that_waited_for_the_collector_bounds_nothing_from_below():
    made, at_home = world()
    made.away = [(at(150), at(200))]
    for index, key in enumerate(at_home):
        made.online(key, 200 + index * 0.01, broker=1, late=True)
        made.online(key, 261 + index * 0.5, broker=0)
    (event,) = made.events(400)
    assert event.kind is EventKind.COLLECTOR_BLOCKED
    assert event.onset.earliest <= at(150) < at(199) < event.onset.latest


def test_one_home_abroad_does_not_stand_for_the_broker_however_many_probes_it_has():
    made, at_home = world(0)
    for _ in range(5):
        made.probe("UG", 9, household=77)
    made.country("TZ", {8: 1})
    abroad = list(range(len(at_home) + 1, len(made.probes) + 1))
    detour(made, [*at_home, abroad[-1]], 200, 260)
    assert made.events(400) == ()


def test_a_short_detour_and_a_probe_that_never_had_the_first_are_nothing():
    made, at_home = world()
    detour(made, at_home[:3], 200, 203)
    for index, key in enumerate(at_home):
        made.presence = [fact for fact in made.presence if fact.probe_key != key or index < 3]
        if index >= 3:
            made.online(key, 0, broker=1)
    assert made.events(400) == ()


def test_agents_that_do_not_say_by_which_broker_they_speak_tell_nothing():
    made, at_home = world()
    for key in at_home:
        made.online(key, 201, broker=None)
    assert made.events(400) == ()


def test_one_household_that_comes_by_another_broker_is_no_event():
    made, at_home = world()
    detour(made, at_home[:1], 200)
    assert made.events(400) == ()
