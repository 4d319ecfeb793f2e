"""What holds of every detector whatever happened: order is nothing, twice is once, and in pieces ends as at once."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect.counts import find_counts
from civobs_collector.detect.general import Speed, find_general
from civobs_collector.detect.general_records import general_records
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.throttling import judge, pair_up
from civobs_collector.detect.versions import plan
from tests.collector.fix_detect import PARAMS, T0, at, stored
from tests.collector.fix_said import HOURS, RESET, Crowd, told
from tests.collector.fix_transfers import Limit, Line, Run, trial
from tests.collector.fix_votes import chosen

WORDS = (
    RESET,
    Word("dns", True, "dns.nxdomain"),
    Word("dns", True, "dns.injection", True),
    Word("http", True, "http.blockpage", True),
    Word("tcp", True, "tcp.timeout"),
)
NETWORKS = {"KE": (101, 102), "TZ": (201,), "UG": (301, 302)}
CHANCE = st.integers(0, 2**32 - 1).map(random.Random)
BLOCKS = st.tuples(
    st.sampled_from([*NETWORKS]),
    st.integers(1, 2),
    st.integers(2, 20),
    st.integers(2, 12),
    st.sampled_from(WORDS),
)
"""Country, networks of it, first hour, hours, and what is seen."""
WORLDS = st.tuples(st.lists(BLOCKS, max_size=3), st.integers(0, 8), st.integers(0, 99))
"""What is blocked, how many households in all are new, and a seed for what fails by chance."""


def world_of(drawn):
    """Three households a network. Where two blocks meet, the first is seen."""
    blocks, n_new, seed = drawn
    crowd, chance = Crowd(), random.Random(seed)
    for cc, networks in NETWORKS.items():
        for number, asn in enumerate(networks):
            mine = [one for one in blocks if one[0] == cc and number < one[1]]
            for key in crowd.homes(cc, asn, 2) + crowd.homes(cc, asn, 1, new=n_new > asn % 10 + number):
                met = {hour: word for _, _, first, n, word in reversed(mine) for hour in range(first, first + n)}
                met |= {hour: chance.choice(WORDS) for hour in range(HOURS) if chance.random() < 0.02}
                crowd.ask([key], lambda _, hour, met=met: met.get(hour))
    return crowd


def as_json(records):
    return [record.model_dump_json() for record in records]


def recoded(votes, chance):
    """The same with other numbers for countries, targets and words, and some that nobody says."""
    changes = {}
    for names, column, more in (
        ("countries", "cc", "ZZ"),
        ("targets", "target", "nowhere"),
        ("failures", "failure", "unheard"),
    ):
        known = list(getattr(votes, names))
        fixed, rest = (known[:1], [*known[1:], more]) if names == "failures" else ([], [*known, more])
        chance.shuffle(rest)
        code = np.array([[*fixed, *rest].index(name) for name in known])
        changes |= {names: (*fixed, *rest), column: code[getattr(votes, column)].astype(getattr(votes, column).dtype)}
    return replace(votes, **changes)


@settings(max_examples=20, deadline=None)
@given(WORLDS, CHANCE)
def test_what_was_said_of_targets_gives_the_same_bytes_in_any_order_and_under_any_numbers(drawn, chance):
    world = world_of(drawn)
    expected = as_json(world.events())
    mixed = chance.sample(world.said, len(world.said))
    assert as_json(world.events(mixed)) == expected
    votes = world.votes()
    by = np.array(chance.sample(range(len(votes.bin)), len(votes.bin)), dtype=np.int64)
    for other in (chosen(votes, by), recoded(votes, chance)):
        assert as_json(world.judged(other)) == expected


@settings(max_examples=20, deadline=None)
@given(WORLDS, CHANCE)
def test_a_vote_that_is_given_twice_is_one_vote(drawn, chance):
    world = world_of(drawn)
    votes = world.votes()
    again = np.concatenate([np.arange(len(votes.bin)), np.array(chance.sample(range(len(votes.bin)), 200))])
    assert as_json(world.judged(chosen(votes, again))) == as_json(world.events())


@settings(max_examples=30, deadline=None)
@given(WORLDS, st.lists(st.integers(1, HOURS - 1), max_size=4), CHANCE)
def test_rows_that_come_in_any_steps_end_in_the_events_that_all_at_once_give(drawn, steps, chance):
    """Promised is what ``told`` lists, of every event that stands and began within the window.

    Nothing is promised of how many versions there were, under which key an event goes on, or of numbers that change
    without a new version, as charts and counts of rows do. What was closed before the window began is left as it is.
    """
    world = world_of(drawn)
    parts = sorted({(one.probe_key, int(one.first_at // 21600)) for one in world.said})
    late = {part: 3600 * chance.choice((0, 0, 3, 12)) for part in parts}
    chains = []
    for hour in (*sorted(steps), HOURS + 12):
        now = at(60 * hour)
        come = [
            one
            for one in world.said
            if one.last_at + late[one.probe_key, int(one.first_at // 21600)] <= now.timestamp()
        ]
        records = world.events(come, hours=hour)
        chains = stored(plan(records, chains, T0, now, PARAMS), chains, now)
        assert plan(records, chains, T0, now, PARAMS) == []
    live = [chain.record for chain in chains if chain.record.status != "retracted"]
    assert sorted(map(str, map(told, live))) == sorted(map(str, map(told, records)))


SPEEDS = st.lists(
    st.tuples(st.integers(100, 101), st.integers(1, 3), st.integers(0, 30), st.integers(8, 20)), max_size=2
)
"""Network, household or all three, hours after it begins to be slow, and hours that it is."""


def transfers(slow):
    """Three households in each of two networks, every three hours for three weeks; each server in turn."""
    rng, speeds = random.Random(3), []
    for step in range(23 * 8):
        hour = 3 * step - 22 * 24
        for asn in (100, 101):
            for home in (1, 2, 3):
                hit = any(a == asn and home <= n and first <= hour < first + k for a, n, first, k in slow)
                rate = 1e7 * math.exp(rng.gauss(0, 0.2)) * (0.2 if hit else 1)
                when = T0.timestamp() + 3600 * hour + 60 * home
                speeds.append(Speed(when, 10 * asn + home, asn, "ab"[(step + home) % 2], rate, 40.0, "KE"))
    return speeds


def sightings(lost, seed):
    counts = np.random.default_rng(seed).poisson(20 + 10 * np.sin(np.arange(400) / 24 * 2 * np.pi))
    for start, n in lost:
        counts[start : start + n] = 0
    return counts


def test_what_is_tried_below_is_found_by_its_detector():
    assert {one.kind for one in world_of(([("KE", 2, 5, 8, RESET)], 0, 7)).events()} == {"blocking"}
    assert len(find_general(transfers([(100, 3, 2, 18)]), PARAMS)) == 1
    assert len(find_counts(T0.timestamp(), 3600.0, sightings([(200, 30)], 1), PARAMS)) == 1


@settings(max_examples=5, deadline=None)
@given(SPEEDS, CHANCE)
def test_transfers_give_the_same_slow_networks_in_any_order(slow, chance):
    speeds = transfers(slow)
    facts = Inputs(T0, at(24 * 60), ())
    records = general_records(find_general(speeds, PARAMS), facts, PARAMS)
    again = find_general(chance.sample(speeds, len(speeds)), PARAMS)
    assert as_json(general_records(again, facts, PARAMS)) == as_json(records)
    first = plan(records, [], T0, at(24 * 60), PARAMS)
    assert plan(records, stored(first, [], at(24 * 60)), T0, at(24 * 60), PARAMS) == []


@settings(max_examples=3, deadline=None)
@given(st.lists(st.tuples(st.integers(100, 330), st.integers(1, 40)), max_size=3), st.integers(0, 99))
def test_counts_are_judged_alike_twice_and_in_any_type(lost, seed):
    counts = sightings(lost, seed)
    before = counts.copy()
    found = find_counts(T0.timestamp(), 3600.0, counts, PARAMS)
    assert (counts == before).all()
    apart = np.repeat(counts, 2)[::2].astype(np.int32)
    assert find_counts(T0.timestamp(), 3600.0, apart, PARAMS) == found
    assert all(one.start < other.start for one, other in pairwise(found))


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(1, 9)), st.sampled_from([None, 140e3, 3e6]))
def test_transfers_of_a_trial_are_paired_and_judged_alike_in_any_order(order, bps):
    made = trial("t", Run(Line(), Limit(bps) if bps else None), random.Random(1))
    arms = [dict(enumerate(arm, 1)) for arm in zip(*made.pairs, strict=True)]
    pairs, left, right = pair_up(*({number: arm[number] for number in order} for arm in arms))
    assert judge(replace(made, pairs=pairs, spare_target=left, spare_neutral=right), PARAMS) == judge(made, PARAMS)
