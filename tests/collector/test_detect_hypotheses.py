"""Which failure is it: whitelists, resolvers, flapping lines, and a vector that is never wrong by being bold."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.detect import hypotheses
from civobs_collector.detect.hypotheses import EXPECTED, FAMILY, UNDETERMINED
from civobs_collector.detect.inputs import RunOutcome
from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind, Level, Status
from tests.collector.fix_detect import FAILED, OK, PARAMS, World, at, shutdown

FEW = RunOutcome.FEW


def kenya_and_tanzania():
    world = World()
    kenya = world.country("KE", {101: 3, 102: 3})
    world.country("TZ", {201: 3})
    return world, kenya


def whitelisted(world, keys, start, end):
    shutdown(world, keys, start, end)
    for key in keys:
        for rung, through in ((1, OK), (2, OK), (3, OK), (4, FEW)):
            world.rows(key, rung, OK, start - 60, start - 0.5)
            world.rows(key, rung, through, start + 0.5, end - 0.5)
            world.rows(key, rung, OK, end + 0.5, end + 30.5)


def resolver_dead(world, keys, start, end, *, hop=OK):
    """Names fail, addresses answer; the hop behind the gateway is the other half of L2."""
    for key in keys:
        for rung, well, through in ((4, OK, OK), (2, hop, FEW if hop is OK else FAILED), (5, OK, FAILED)):
            world.rows(key, rung, well, start - 60, start - 0.5)
            world.rows(key, rung, through, start + 0.5, end - 0.5)
            world.rows(key, rung, well, end + 0.5, end + 60.5)


def test_a_few_hosts_abroad_while_the_observatory_is_lost_are_a_whitelist():
    world, kenya = kenya_and_tanzania()
    whitelisted(world, kenya, 600, 780)
    (event,) = world.events(900)
    assert (event.kind, event.scope.level) == (EventKind.SHUTDOWN_SUSPECTED, Level.COUNTRY)
    assert (event.depth, event.likeliest) == (Depth.WHITELIST, "whitelist")
    assert event.onset.earliest <= at(600) <= event.onset.latest
    assert event.resolution.earliest <= at(780) <= event.resolution.latest
    assert event.confidence.label is ConfidenceLabel.PROBABLE


def test_a_second_family_whose_only_host_is_on_the_list_does_not_hide_it():
    world, kenya = kenya_and_tanzania()
    whitelisted(world, kenya, 600, 780)
    for key in kenya:
        world.rows(key, 4, OK, 300, 810)
        world.runs[-1] = replace(world.runs[-1], family=6)
    (event,) = world.events(900)
    assert (event.kind, event.depth, event.likeliest) == (EventKind.SHUTDOWN_SUSPECTED, Depth.WHITELIST, "whitelist")
    assert event.onset.earliest <= at(600) <= event.onset.latest
    assert event.resolution.earliest <= at(780) <= event.resolution.latest
    assert event.resolution.latest - event.resolution.earliest <= timedelta(minutes=2)


def test_probes_that_only_ever_reached_a_few_hosts_are_not_whitelisted():
    world, kenya = kenya_and_tanzania()
    for key in kenya:
        world.rows(key, 4, FEW, 0, 900)
    assert world.events(900) == ()
    shutdown(world, kenya, 600, 780)
    (event,) = world.events(900)
    assert (event.kind, event.likeliest) == (EventKind.COLLECTOR_BLOCKED, "collector")


@pytest.mark.parametrize("hop", [OK, FEW], ids=["hop answers", "hop never answers"])
def test_a_provider_s_dead_resolver_is_a_partial_outage_of_names(hop):
    world, kenya = kenya_and_tanzania()
    for key in kenya[3:]:
        for rung in (2, 4, 5):
            world.rows(key, rung, OK, 540, 900)
    resolver_dead(world, kenya[:3], 600, 780, hop=hop)
    (event,) = world.events(900)
    assert (event.kind, event.scope.level, event.scope.asns) == (EventKind.OUTAGE, Level.NETWORK, (101,))
    assert (event.depth, event.likeliest) == (Depth.PARTIAL, "dns")
    assert event.onset.earliest <= at(600) <= event.onset.latest
    assert event.resolution.earliest <= at(780) <= event.resolution.latest
    assert "ladder.L5" in {one.signal for one in event.per_signal}
    assert "look-up of names" in event.limits[0]


def test_a_name_that_is_not_found_while_the_resolver_answers_is_no_outage():
    world, kenya = kenya_and_tanzania()
    for key in kenya:
        world.rows(key, 5, OK, 540, 599.5)
        world.rows(key, 5, FAILED, 600.5, 779.5)
        for rung in (2, 4):
            world.rows(key, rung, OK, 540, 900)
    assert world.events(900) == ()


def climbed_by_the_half_hour(world, keys, start, end):
    """Cut off, with a row every 30 minutes: each is a run of its own."""
    shutdown(world, keys, start, end)
    for key in keys:
        for minute in range(start - 180, end + 90, 30):
            offline = start <= minute < end
            for rung in (1, 2, 3, 4):
                outcome = FAILED if offline and rung > 2 else OK
                world.rows(key, rung, outcome, minute + 10, minute + 10)


def test_a_ladder_climbed_by_the_half_hour_tells_the_depth_too():
    world, kenya = kenya_and_tanzania()
    climbed_by_the_half_hour(world, kenya, 600, 1200)
    (event,) = world.events(1400)
    assert (event.depth, event.likeliest) == (Depth.FULL, "national")


def test_between_two_failed_climbs_a_probe_that_is_heard_is_not_cut_off():
    world, kenya = kenya_and_tanzania()
    for key in kenya:
        for minute in range(400, 900, 30):
            world.rows(key, 4, FAILED if 600 <= minute <= 640 else OK, minute, minute)
    assert world.events(900) == ()


def test_names_that_no_country_finds_are_no_countrys_outage():
    world, kenya = kenya_and_tanzania()
    tanzania = [probe.probe_key for probe in world.probes if probe.cc == "TZ"]
    resolver_dead(world, [*kenya, *tanzania], 600, 780)
    assert world.events(900) == ()


def test_names_that_fail_in_three_countries_at_once_are_no_ones_outage_while_others_find_them():
    world, kenya = kenya_and_tanzania()
    uganda, rwanda = world.country("UG", {301: 2, 302: 2}), world.country("RW", {401: 3})
    for key in range(1, len(world.probes) + 1):
        if key not in {*kenya, *uganda, *rwanda}:
            for rung in (2, 4, 5):
                world.rows(key, rung, OK, 540, 840)
    resolver_dead(world, [*kenya, *uganda], 600, 780)
    assert {event.scope.cc for event in world.events(900)} == {"KE", "UG"}
    resolver_dead(world, rwanda, 600, 780)
    assert world.events(900) == ()


def test_one_bad_bin_right_after_the_first_that_were_seen_is_no_outage():
    world = World()
    kenya = world.country("KE", {101: 4, 102: 3}, online=600)
    world.country("TZ", {201: 3})
    for key in kenya:
        world.rows(key, 4, OK, 600, 650)
        for rung, through in ((2, FEW), (5, FAILED)):
            world.rows(key, rung, OK, 600, 604.5)
            world.rows(key, rung, through if key != kenya[-1] else OK, 605.5, 609.5)
            world.rows(key, rung, OK, 610.5, 650)
    assert not any(world.events(now) for now in (608, 610, 615, 650))


def test_one_household_s_dead_resolver_is_no_event():
    world, kenya = kenya_and_tanzania()
    resolver_dead(world, kenya[:1], 600, 780)
    assert world.events(900) == ()


def test_names_that_fail_for_many_do_not_hide_the_few_who_lost_everything():
    world = World()
    first, second = world.country("KE", {101: 4}), world.country("KE", {102: 2})
    world.country("TZ", {201: 3})
    resolver_dead(world, [*first, *second], 500, 900)
    shutdown(world, second, 600, 780)
    for key in second:
        world.runs = [run for run in world.runs if run.probe_key != key]
        resolver_dead(world, [key], 500, 600)
        world.cut(key, 601, 780)
    kinds = {(event.scope.level, event.scope.asns, event.likeliest) for event in world.events(1000)}
    assert (Level.NETWORK, (102,), "isp") in kinds
    assert any(cause == "dns" for _, _, cause in kinds)


def test_a_line_that_comes_and_goes_all_day_is_called_flapping():
    world, kenya = kenya_and_tanzania()
    for turn in range(4):
        world.lose(kenya[0], 600 + 70 * turn)
        world.online(kenya[0], 660 + 70 * turn)
    events = [event for event in world.events(900) if event.affected.n_down]
    assert {event.scope.level for event in events} == {Level.PROBE}
    assert events[-1].likeliest == "flapping"


def test_before_any_row_has_arrived_no_cause_is_named():
    world, kenya = kenya_and_tanzania()
    shutdown(world, kenya, 600)
    (event,) = world.events(700)
    assert (event.status, event.likeliest) == (Status.OPEN, UNDETERMINED)
    assert set(event.hypotheses) == set(EXPECTED)


@given(st.dictionaries(st.sampled_from(sorted(FAMILY)), st.booleans()))
def test_the_vector_is_a_distribution_and_a_label_needs_to_stand_out(known):
    vector = hypotheses.weigh(known, PARAMS)
    assert abs(sum(vector.values()) - 1) < 0.01
    name = hypotheses.likeliest(vector, PARAMS)
    if name != UNDETERMINED:
        others = max(value for other, value in vector.items() if other != name)
        assert vector[name] >= 0.8
        assert vector[name] >= 2 * others


def test_every_hypothesis_can_be_told_from_every_other():
    for name, expected in EXPECTED.items():
        assert hypotheses.likeliest(hypotheses.weigh(expected, PARAMS), PARAMS) == name
