"""The posterior of the moment at which a group changed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect import posterior
from civobs_collector.detect.filter import DOWN, OK
from tests.collector.fix_detect import PARAMS, World, at, shutdown


def votes(up, known):
    return np.array(up), np.full(len(up), known)


def test_many_households_lost_in_one_bin_leave_no_doubt_which():
    assert posterior.onset(*votes([10] * 12 + [0] * 6, 10), PARAMS) == (12, 12)
    assert posterior.resolution(*votes([0] * 6 + [10] * 12, 10), PARAMS) == (6, 6)


def test_a_staged_loss_leaves_a_span_of_bins():
    first, last = posterior.onset(*votes([3] * 12 + [2, 2, 1, 1, 0, 0, 0], 3), PARAMS)
    assert 12 <= first < last <= 16


def test_bins_in_which_nobody_was_observed_keep_every_beginning_among_them_possible():
    up, known = np.array([5] * 6 + [0] * 10), np.array([5] * 6 + [0] * 4 + [5] * 6)
    assert posterior.onset(up, known, PARAMS) == (6, 10)


def test_without_a_single_vote_it_may_have_begun_at_any_time():
    assert posterior.onset(np.zeros(20, dtype=int), np.zeros(20, dtype=int), PARAMS) == (0, 18)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60))
def test_it_is_a_distribution_whatever_the_votes(pairs):
    up = np.array([a for a, _ in pairs])
    found = posterior.of_change(up, up + np.array([b for _, b in pairs]), (OK, DOWN), PARAMS)
    assert (found >= 0).all()
    assert abs(found.sum() - 1) < 1e-9
    first, last = posterior.span(found, PARAMS)
    assert 0 <= first <= last < len(pairs)


def test_an_event_says_when_most_were_lost_and_back():
    world = World()
    keys = world.country("KE", {101: 3, 102: 3})
    world.country("TZ", {201: 3})
    shutdown(world, keys, 600, 780)
    (event,) = world.events(900)
    onset, resolution = event.dating.onset, event.dating.resolution
    assert onset.earliest < at(600.5) < onset.latest
    assert resolution.earliest < at(780.6) < resolution.latest
    assert (onset.latest - onset.earliest).total_seconds() <= 600


def test_an_event_that_lasts_has_no_posterior_of_its_end():
    world = World()
    shutdown(world, world.country("KE", {101: 3, 102: 3}), 600)
    (event,) = world.events(700)
    assert event.dating.resolution is None


def test_what_is_published_is_never_surer_than_experience():
    world = World()
    keys = world.country("KE", {101: 10, 102: 10})
    shutdown(world, keys, 600, 780)
    for key in keys:
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert event.confidence.posterior == PARAMS["confidence.most"]
    assert event.confidence.label == "probable"
