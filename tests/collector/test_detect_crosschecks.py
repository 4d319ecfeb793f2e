"""What other detectors make of the same facts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect import crosschecks
from civobs_collector.detect.params import scaled
from tests.collector.fix_detect import PARAMS, World, shutdown

NOON = 43_200.0


def level_of(rng, n, within):
    """Nine tenths of n probes lost within so many seconds, and each once in three days on its own."""
    burst = NOON + rng.uniform(0, within, max(2, round(0.9 * n)))
    alone = rng.uniform(0, 86_400, rng.poisson(0.33 * n))
    return crosschecks.kleinberg([*burst, *alone], n, PARAMS)


@pytest.mark.parametrize(
    ("within", "low", "high"),
    [(30, 11, 12), (120, 8, 10), (300, 7, 9), (900, 6, 7)],
    ids=["30s", "2min", "5min", "15min"],
)
def test_levels_of_bursts_are_those_of_the_design(within, low, high):
    rng = np.random.default_rng(7)
    for n in (3, 5, 10, 20, 50):
        assert low <= np.median([level_of(rng, n, within) for _ in range(25)]) <= high


def test_losses_without_a_common_cause_stay_at_low_levels():
    rng = np.random.default_rng(7)
    for n in (5, 10, 20, 50):
        found = [crosschecks.kleinberg(list(rng.uniform(0, 86_400, 1 + n // 3)), n, PARAMS) or 0 for _ in range(50)]
        assert np.quantile(found, 0.95) <= 3


def test_one_loss_is_no_burst_and_losses_at_one_moment_are():
    assert crosschecks.kleinberg([NOON], 5, PARAMS) is None
    assert crosschecks.kleinberg([NOON] * 5, 5, PARAMS) >= 11


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 86_400), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_levels_do_not_depend_on_the_order_of_losses_nor_on_the_pace_of_a_laboratory(times, chance):
    before = crosschecks.kleinberg(times, 10, PARAMS)
    chance.shuffle(times)
    assert crosschecks.kleinberg(times, 10, PARAMS) == before
    assert crosschecks.kleinberg([one / 64 for one in times], 10, scaled(64)) == before


def test_the_cusum_forgets_a_single_loss_and_alarms_at_many():
    known = np.full(12, 5)
    assert crosschecks.cusum(np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), known, PARAMS)[1] is None
    nats, alarm = crosschecks.cusum(np.array([0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 5]), known, PARAMS)
    assert alarm == 3
    assert nats > 100


def test_an_event_carries_them_and_they_change_nothing_else():
    world = World()
    keys = world.country("KE", {101: 3, 102: 3})
    world.country("TZ", {201: 3})
    shutdown(world, keys, 600, 780)
    (event,) = world.events(900)
    assert event.cross_checks["cusum.after_s"] <= 600
    assert event.cross_checks["kleinberg.level"] >= 8
    assert not any("kleinberg" in rule or "cusum" in rule for rule in event.method.rules)
