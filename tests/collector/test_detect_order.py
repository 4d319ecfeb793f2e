"""Detection does not depend on the order in which facts arrive, nor on having run before."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.events import compute
from civobs_collector.detect.versions import Chain, plan
from tests.collector.fix_detect import PARAMS, T0, World, at, shutdown


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


def stored(versions, chains, now):
    """What the chains are after these versions were written."""
    known = {chain.event_key: chain for chain in chains}
    for one in versions:
        public_id = f"CIV-2026-{one.record.scope.cc}-{len(known):04d}" if one.public else None
        known[one.event_key] = Chain(one.event_key, public_id, one.version, now, one.record)
    return list(known.values())


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
