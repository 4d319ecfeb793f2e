"""Detection does not depend on the order in which facts arrive, nor on having run before."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.events import compute
from civobs_collector.detect.inputs import RunOutcome
from civobs_collector.detect.versions import plan
from tests.collector.fix_detect import AGENT_DOWN, FAILED, OK, PARAMS, T0, World, at, shutdown, stored


def eventful():
    world = World()
    kenya = world.country("KE", {101: 2, 102: 3})
    tanzania = world.country("TZ", {201: 3})
    shutdown(world, kenya, 600, 700)
    shutdown(world, kenya[:2], 1000, 1100)
    shutdown(world, tanzania[:1], 300, 420)
    for key in kenya:
        world.cut(key, 600, 700, domestic_works=True)
    return world


WORLD = eventful()


def as_json(records):
    return [record.model_dump_json() for record in records]


@settings(max_examples=8, deadline=None)
@given(st.integers(min_value=0), st.sampled_from([650, 720, 1050, 1300]))
def test_any_order_of_arrival_gives_the_same_bytes(seed, now):
    facts = WORLD.inputs(now)
    shuffled = {}
    for name in ("probes", "presence", "runs"):
        rows = list(getattr(facts, name))
        random.Random(seed).shuffle(rows)
        shuffled[name] = tuple(rows)
    again = type(facts)(since=facts.since, now=facts.now, away=facts.away, **shuffled)
    assert as_json(compute(again, PARAMS)) == as_json(compute(facts, PARAMS))


def test_a_second_run_on_the_same_facts_publishes_nothing():
    records = compute(WORLD.inputs(1300), PARAMS)
    first = plan(records, [], T0, at(1300), PARAMS)
    assert [(v.version, v.change_kind, v.reason) for v in first] == [(1, "new", "detected")] * 3
    assert plan(records, stored(first, [], at(1300)), T0, at(1300), PARAMS) == []


def test_replaying_from_scratch_gives_the_same_keys():
    first = plan(compute(WORLD.inputs(1300), PARAMS), [], T0, at(1300), PARAMS)
    second = plan(compute(WORLD.inputs(1300), PARAMS), [], T0, at(1300), PARAMS)
    assert [v.event_key for v in first] == [v.event_key for v in second]
    assert all(v.event_key.version == 7 for v in first)


def test_running_at_every_bin_ends_in_what_one_run_finds():
    chains = []
    for now in range(590, 1300, 20):
        records = compute(WORLD.inputs(now), PARAMS)
        chains = stored(plan(records, chains, T0, at(now), PARAMS), chains, at(now))
    final = compute(WORLD.inputs(1300), PARAMS)
    live = [chain.record for chain in chains if chain.record.status != "retracted"]
    assert sorted((r.scope.cc, r.kind, r.onset.latest, r.status) for r in live) == sorted(
        (r.scope.cc, r.kind, r.onset.latest, r.status) for r in final
    )


def lost_power(world, keys, start, end):
    shutdown(world, keys, start)
    for key in keys:
        world.online(key, end, reboot=True)
        for outcome, first, last in (
            (OK, start - 60, start - 1),
            (AGENT_DOWN, start + 1, end - 1),
            (OK, end + 1, end + 60),
        ):
            world.rows(key, 4, outcome, first, last)


def lost_the_observatory(world, keys, start, end):
    shutdown(world, keys, start, end)
    for key in keys:
        world.rows(key, 4, OK, start - 60, end + 30)


def lost_the_first_broker(world, keys, start, end):
    for key in keys:
        world.rows(key, 4, OK, start - 60, end + 30)
        world.online(key, start + 1, broker=1)
        world.online(key, end + 1)


def reached_a_list(world, keys, start, end):
    shutdown(world, keys, start, end)
    for key in keys:
        world.rows(key, 3, OK, start - 60, end + 30)
        for outcome, first, last in (
            (OK, start - 60, start - 1),
            (RunOutcome.FEW, start, end),
            (OK, end + 1, end + 30),
        ):
            world.rows(key, 4, outcome, first, last)


def lost_names(world, keys, start, end):
    for key in keys:
        world.rows(key, 4, OK, start - 60, end + 30)
        for rung, ill in ((2, RunOutcome.FEW), (5, FAILED)):
            for outcome, first, last in ((OK, start - 60, start - 1), (ill, start, end), (OK, end + 1, end + 30)):
                world.rows(key, rung, outcome, first, last)


def lost_everything(world, keys, start, end):
    shutdown(world, keys, start, end)
    for key in keys:
        world.cut(key, start, end)


WAYS = {
    "shutdown_suspected": lost_everything,
    "power": lost_power,
    "collector_blocked": lost_the_observatory,
    "outage": lost_names,
}
TROUBLES = st.tuples(
    st.sampled_from([*WAYS.values(), lost_the_first_broker, reached_a_list]),
    st.integers(0, 3),
    st.integers(200, 900),
    st.integers(20, 200),
)


def troubled(troubles):
    """A country for each trouble, which some of its homes have, and one that is spared."""
    world = World()
    world.country("ZA", {201: 3})
    for number, (way, spared, start, length) in enumerate(troubles):
        keys = world.country(f"{'ABCDEF'[number]}A", {101 + 10 * number: 3, 102 + 10 * number: 2})
        way(world, keys[spared:], start, start + length)
    return world


def test_every_kind_of_lost_line_is_among_those_that_are_tried():
    one_by_one = [(way, 0, 200 + 200 * number, 90) for number, way in enumerate(WAYS.values())]
    assert {record.kind for record in troubled(one_by_one).events(1000)} == set(WAYS)


@settings(max_examples=15, deadline=None)
@given(st.lists(TROUBLES, min_size=1, max_size=4), st.integers(300, 1200), st.randoms(use_true_random=False))
def test_whatever_went_wrong_order_is_nothing_and_a_second_run_says_nothing_new(troubles, now, chance):
    facts = troubled(troubles).inputs(now)
    records = compute(facts, PARAMS)
    shuffled = {name: list(getattr(facts, name)) for name in ("probes", "presence", "runs")}
    for rows in shuffled.values():
        chance.shuffle(rows)
    again = compute(replace(facts, **{name: tuple(rows) for name, rows in shuffled.items()}), PARAMS)
    assert as_json(again) == as_json(records)
    first = plan(records, [], T0, at(now), PARAMS)
    assert plan(again, stored(first, [], at(now)), T0, at(now), PARAMS) == []
    for record in records:
        assert record.onset.earliest <= record.onset.latest
        assert record.resolution is None or record.onset.earliest <= record.resolution.latest
        assert 0 <= record.affected.fraction_lo <= record.affected.fraction_hi <= 1
        assert record.confidence.label != "confirmed"
