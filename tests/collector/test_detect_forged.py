"""Forged reports about a target: whoever enrols a crowd never gets more than ``unconfirmed`` for what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_collector.detect import target_cells, target_filter
from civobs_collector.detect.inputs import LadderRun, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_runs import Word
from tests.collector.fix_detect import at
from tests.collector.fix_said import RESET, Crowd, from_twelve_to_eighteen
from tests.collector.fix_votes import Network, hourly, votes

WORDS = (
    RESET,
    Word("dns", True, "dns.injection", True),
    Word("http", True, "http.blockpage", True),
    Word("tls", True, "tls.mitm"),
    Word("tcp", True, "tcp.timeout"),
)
NEW_ONLY, BORNE_OUT = "only newly enrolled households of one network", "longer than 14 days could use it"


def crowd(*, forged=0, networks=(101,), elders=0, abroad=3, word=RESET, lapses=0):
    """So many new households of each network say that it is blocked; elders beside them reach it, bar a few lapses."""
    world = Crowd()
    for asn in networks:
        world.ask(world.homes("KE", asn, forged, new=True), from_twelve_to_eighteen(word))
        known = world.homes("KE", asn, elders)
        world.ask(known, lambda key, hour, known=known: word if key in known[:lapses] and hour == 14 else None)
    world.ask(world.homes("TZ", 201, abroad))
    world.ask(world.homes("UG", 301, abroad))
    return world


def label_of(world):
    """The one event's label and reasons; none is as good as ``unconfirmed``."""
    events = world.events()
    assert len(events) <= 1
    return (events[0].confidence.label, " · ".join(events[0].confidence.reasons)) if events else ("unconfirmed", "")


@pytest.mark.parametrize("word", WORDS, ids=lambda one: one.how)
def test_case_12_twenty_new_identities_of_one_network_never_exceed_unconfirmed_whatever_they_say(word):
    label, why = label_of(crowd(forged=20, word=word))
    assert label == "unconfirmed"
    assert NEW_ONLY in why


def test_case_12_a_crowd_is_not_believed_against_those_of_its_networks_that_are_known_for_longer():
    label, why = label_of(crowd(forged=20, elders=3))
    assert (label, f"most of the 3 households that have taken part for {BORNE_OUT}" in why) == ("unconfirmed", True)
    label, why = label_of(crowd(forged=20, networks=(101, 102), elders=3, lapses=1))
    assert (label, BORNE_OUT in why) == ("unconfirmed", True)


def test_case_12_the_same_said_by_households_known_for_longer_is_probable():
    world = crowd()
    world.ask(world.homes("KE", 101, 3), from_twelve_to_eighteen())
    assert label_of(world)[0] == "probable"
    # New ones beside them take nothing away.
    world.ask(world.homes("KE", 101, 20, new=True), from_twelve_to_eighteen())
    assert label_of(world)[0] == "probable"


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(0, 4), st.integers(0, 1), st.sampled_from(WORDS), st.integers(0, 3))
def test_case_12_no_crowd_of_one_network_is_ever_probable(forged, elders, lapses, word, abroad):
    assert label_of(crowd(forged=forged, elders=elders, lapses=lapses, word=word, abroad=abroad))[0] == "unconfirmed"


def test_new_households_and_those_on_unsteady_lines_count_half():
    world = crowd()
    for asn in (101, 102):
        world.ask(world.homes("KE", asn, 1, new=True), from_twelve_to_eighteen())
    assert (label_of(world)[0], "too few households" in label_of(world)[1]) == ("unconfirmed", True)
    old = crowd()
    keys = [key for asn in (101, 102) for key in old.homes("KE", asn, 1)]
    old.ask(keys, from_twelve_to_eighteen())
    assert label_of(old)[0] == "probable"
    for number, key in enumerate(keys):
        for start in (60, 200, 340, 480):
            lost = start + 65 * number
            old.runs.append(LadderRun(key, 4, 4, RunOutcome.OK, at(lost - 40), at(lost - 5), 8))
            old.runs.append(LadderRun(key, 4, 4, RunOutcome.FAILED, at(lost), at(lost + 5), 2))
        old.runs.append(LadderRun(key, 4, 4, RunOutcome.OK, at(700), at(1440), 149))
    assert (label_of(old)[0], "too few households" in label_of(old)[1]) == ("unconfirmed", True)


def test_one_bin_of_a_network_weighs_no_more_than_three_households_however_many_it_has():
    def believed(n):
        given_ = votes(hourly([Network(100, "AA", n)], range(30), lambda one: one.hour >= 29, noise=0))
        ordered = target_cells.order(given_, 2e9, Params())
        cells = target_cells.sum_up(ordered)
        usual = target_cells.flakiness(cells, ordered.of_series, Params())
        return target_filter.run(cells, usual, 3600, Params()).blocked[-1]

    assert believed(20) == pytest.approx(believed(200), abs=1e-3)
    assert believed(1) < 0.9 < believed(20)


def test_a_crowd_of_one_network_makes_no_event_of_its_country():
    world = crowd(forged=40)
    world.ask(world.homes("KE", 102, 3))
    (event,) = world.events()
    assert (event.scope.level, event.scope.asns) == ("network", (101,))
