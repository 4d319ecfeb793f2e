"""What becomes of a chain when its event grows, shrinks or turns out not to have been one."""

from dataclasses import replace

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.record import EventKind, Level, Status
from civobs_collector.detect.versions import PART_OF_LARGER, WITHDRAWN, plan
from tests.collector.fix_detect import OK, PARAMS, T0, World, at, shutdown


def kenya_and_tanzania(networks):
    world = World()
    keys = world.country("KE", networks)
    world.country("TZ", {201: 3})
    return world, keys


def step(world, chains, now):
    """What a run at minute ``now`` writes, and the chains as they are then."""
    versions = plan(world.events(now), list(chains.values()), T0, at(now), PARAMS)
    known = dict(chains)
    for one in versions:
        public_id = f"CIV-2026-KE-{len(known) + 1:04d}" if one.public else None
        if one.event_key in known:
            public_id = known[one.event_key].public_id
        known[one.event_key] = Chain(one.event_key, public_id, one.version, at(now), one.record)
    return versions, known


def said(versions):
    return [(one.record.scope.level, one.version, one.change_kind, one.reason) for one in versions]


def test_a_household_a_network_a_country_are_one_public_event_that_keeps_its_id():
    world, keys = kenya_and_tanzania({101: 2, 102: 2})
    world.lose(keys[0], 600)
    first, chains = step(world, {}, 640)
    assert said(first) == [(Level.PROBE, 1, "new", "detected")]
    assert [chain.public_id for chain in chains.values()] == [None]
    world.lose(keys[1], 641)
    second, chains = step(world, chains, 661)
    assert sorted(said(second)) == [(Level.NETWORK, 1, "new", "detected"), (Level.PROBE, 2, "retracted", "detected")]
    (absorbed,) = [one for one in second if one.change_kind == "retracted"]
    assert absorbed.record.limits[0] == PART_OF_LARGER
    assert not absorbed.public
    (network,) = [one.event_key for one in second if one.public]
    public_id = chains[network].public_id
    for key in keys[2:]:
        world.lose(key, 662)
    third, chains = step(world, chains, 682)
    assert said(third) == [(Level.COUNTRY, 2, "reclassified", "detected")]
    assert (third[0].event_key, chains[network].public_id) == (network, public_id)


def test_two_networks_become_one_country_and_one_of_the_chains_says_so():
    world, keys = kenya_and_tanzania({101: 2, 102: 2, 103: 2, 104: 2, 105: 2})
    shutdown(world, keys[:4], 600)
    first, chains = step(world, {}, 625)
    assert said(first) == [(Level.NETWORK, 1, "new", "detected")] * 2
    shutdown(world, keys[4:], 626)
    second, chains = step(world, chains, 650)
    assert sorted(said(second)) == [
        (Level.COUNTRY, 2, "reclassified", "detected"),
        (Level.NETWORK, 2, "retracted", "detected"),
    ]
    (retracted,) = [one.record for one in second if one.change_kind == "retracted"]
    assert (retracted.status, retracted.provisional, retracted.limits[0]) == (Status.RETRACTED, False, PART_OF_LARGER)
    assert step(world, chains, 651)[0] == []


def test_an_event_that_late_rows_do_not_bear_out_is_withdrawn_in_words():
    world, keys = kenya_and_tanzania({101: 2, 102: 2})
    shutdown(world, keys, 600, 640)
    _, chains = step(world, {}, 660)
    published = next(iter(chains.values())).record
    for key in keys:
        # The agents were stopped: they say that they were not running, and nothing of the network.
        world.rows(key, 4, OK, 540, 599)
        world.runs.append(replace(world.runs[-1], outcome=type(OK).AGENT_DOWN, first_at=at(599.5), last_at=at(641)))
        world.rows(key, 4, OK, 641.5, 660)
    (withdrawn,), chains = step(world, chains, 700)
    assert (withdrawn.change_kind, withdrawn.reason) == ("retracted", "late_data")
    assert withdrawn.record.limits == (WITHDRAWN, *published.limits)
    assert withdrawn.record.onset == published.onset
    assert step(world, chains, 701)[0] == []


def test_a_withdrawn_event_that_is_borne_out_after_all_lives_on_under_its_id():
    world, keys = kenya_and_tanzania({101: 2, 102: 2})
    shutdown(world, keys, 600)
    (new,), chains = step(world, {}, 625)
    gone = new.record.model_copy(update={"status": Status.RETRACTED})
    chains = {new.event_key: replace(chains[new.event_key], record=gone, version=2)}
    (again,), _ = step(world, chains, 640)
    assert (again.event_key, again.version, again.record.status) == (new.event_key, 3, Status.OPEN)


def test_a_country_event_that_shrinks_to_one_network_is_reclassified():
    world, keys = kenya_and_tanzania({101: 2, 102: 2})
    shutdown(world, keys, 600, 640)
    (new,), chains = step(world, {}, 660)
    assert new.record.scope.level is Level.COUNTRY
    for key in keys[:2]:
        world.cut(key, 600, 640)
    for key in keys[2:]:
        world.rows(key, 4, OK, 540, 700)
    versions, chains = step(world, chains, 720)
    (network,) = [one for one in versions if one.event_key == new.event_key]
    assert (network.record.scope.level, network.record.scope.asns) == (Level.NETWORK, (101,))
    assert (network.change_kind, network.reason) == ("reclassified", "late_data")
    assert sorted((one.record.scope.asns, one.record.kind) for one in versions) == [
        ((101,), EventKind.OUTAGE),
        ((102,), EventKind.COLLECTOR_BLOCKED),
    ]
