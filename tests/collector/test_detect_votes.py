"""From what probes say to votes: what counts, whose voice weighs how much, and what a dead line says of a target."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.fold import columns, fold
from civobs_collector.detect.inputs import Inputs, LadderRun, PresenceFact, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.votes import Line, Said, borne_out, failing, telling
from tests.collector.fix_detect import LONG_AGO, T0, at
from tests.collector.fix_said import Crowd, from_twelve_to_eighteen

PARAMS = Params()
BIN = 3600.0
ALL_DAY = LadderRun(1, 4, 4, RunOutcome.OK, T0, at(1440), 289)
SILENT, RESET, NAMELESS = (
    Word("tcp", True, "tcp.timeout"),
    Word("tls", True, "tls.reset"),
    Word("dns", True, "dns.timeout"),
)


def said(word, minute, target=1, probe=1):
    when = at(minute).timestamp()
    return Said(probe, target, when, when + 20, word, 4)


def hours(word, minutes, targets=(1, 2)):
    return [said(word, minute + target, target) for minute in minutes for target in targets]


def reached(minutes, targets, probe=1):
    return {(probe, int(at(minute).timestamp() // BIN)): frozenset(targets) for minute in minutes}


def kept(rows, ladder=(ALL_DAY,), met=()):
    found, doubtful = telling(rows, dict(met), Line(ladder), BIN, PARAMS)
    return found + borne_out(doubtful, {*dict(met), *failing(rows, BIN)}, Line(ladder), BIN, PARAMS)


@pytest.mark.parametrize("targets", [(1,), (1, 2), range(1, 21)], ids=["one", "two", "twenty"])
def test_all_targets_failing_for_hours_count_where_the_ladder_says_that_the_line_works(targets):
    rows = hours(SILENT, range(60, 360, 60), targets)
    assert len(kept(rows)) == len(rows)
    assert all(one.alive for one in kept(rows))


@pytest.mark.parametrize(
    "ladder",
    [
        pytest.param((), id="no-ladder"),
        pytest.param((LadderRun(1, 4, 4, RunOutcome.OK, T0, at(90), 19),), id="not-to-the-end"),
        pytest.param((LadderRun(1, 4, 6, RunOutcome.OK, T0, at(1440), 289),), id="the-other-family"),
        pytest.param((LadderRun(1, 4, 4, RunOutcome.FEW, T0, at(1440), 289),), id="a-few-hosts-only"),
        pytest.param((LadderRun(1, 3, 4, RunOutcome.OK, T0, at(1440), 289),), id="at-home-only"),
        pytest.param((LadderRun(2, 4, 4, RunOutcome.OK, T0, at(1440), 289),), id="another-probe"),
    ],
)
def test_all_targets_failing_say_nothing_where_the_line_may_be_dead(ladder):
    assert kept(hours(SILENT, range(60, 360, 60)), ladder) == []


def test_what_fails_between_two_rows_of_the_ladder_may_be_the_line():
    assert kept(hours(SILENT, [60])) == []
    again = hours(SILENT, [60, 180])
    assert kept(again, met=reached([120], [1, 2])) == []
    assert len(kept(again, met=reached([240], [1, 2]))) == len(again)


def test_a_resolver_that_is_dead_says_nothing_of_the_names_it_was_asked():
    assert kept(hours(NAMELESS, range(60, 360, 60))) == []


def test_most_targets_failing_beside_one_that_works_count_where_the_ladder_bears_it_out():
    rows, minutes = hours(RESET, range(60, 360, 60), range(1, 11)), range(60, 360, 60)
    assert len(kept(rows, met=reached(minutes, [99]))) == len(rows)
    assert kept(rows, (), met=reached(minutes, [99])) == []


def probe(key, household=None, **more):
    given = {"enrolled_at": LONG_AGO, **more}
    return ProbeInfo(key, f"{key:016d}", household or 100 + key, "KE", 101, **given)


def votes_of(rows, *probes, runs=()):
    names = {1: "a.example", 2: "b.example"}
    flapping = Flapping(Inputs(T0, at(1440), probes, runs=tuple(runs)), PARAMS)
    return fold(columns(rows), {one.probe_key: one for one in probes}, names, BIN, PARAMS, flapping=flapping)


def test_case_5_a_household_has_one_vote_however_many_probes_and_runs_it_has():
    probes = [probe(number, household=7) for number in (1, 2, 3, 4)]
    rows = [said(SILENT, minute, probe=one.probe_key) for one in probes for minute in (1, 20, 40)]
    votes = votes_of(rows, *probes)
    assert (votes.household.tolist(), votes.bad.tolist(), votes.weight.tolist()) == ([7], [True], [1.0])


def test_of_two_probes_that_disagree_the_household_says_that_it_failed_and_of_three_what_two_say():
    works = Word("tcp", False)
    two = [said(SILENT, 1, probe=1), said(works, 2, probe=2)]
    probes = [probe(number, household=7) for number in (1, 2, 3)]
    assert votes_of(two, *probes).bad.tolist() == [True]
    assert votes_of([*two, said(works, 3, probe=3)], *probes).bad.tolist() == [False]


def test_a_household_enrolled_within_fourteen_days_weighs_half():
    fortnight = timedelta(days=14)
    new, old = probe(1, enrolled_at=at(60) - fortnight + timedelta(hours=2)), probe(2, enrolled_at=at(0) - fortnight)
    rows = [said(SILENT, minute, probe=key) for minute in (70, 240) for key in (1, 2)]
    votes = votes_of(rows, new, old)
    assert dict(
        zip(zip(votes.household.tolist(), votes.bin.tolist(), strict=True), votes.weight.tolist(), strict=True)
    ) == {
        (home, int(at(minute).timestamp() // BIN)): weight
        for home, minute, weight in [(101, 70, 0.5), (101, 240, 1.0), (102, 70, 1.0), (102, 240, 1.0)]
    }


def test_a_probe_that_is_not_listed_has_no_vote():
    assert len(votes_of([said(SILENT, 1, probe=9)], probe(1)).bin) == 0


def comes_and_goes(key, minutes, family=4):
    """Rows of L4 that fail for ten minutes from each of these on."""
    edges = [0, *minutes, 1440]
    runs = [LadderRun(key, 4, family, RunOutcome.FAILED, at(minute), at(minute + 5), 2) for minute in minutes]
    for before, after in pairwise(edges):
        runs.append(LadderRun(key, 4, family, RunOutcome.OK, at(before + 10), at(after - 5), 9))
    return runs


FOUR_TIMES = (100, 300, 500, 700)


def test_a_household_whose_line_comes_and_goes_by_itself_weighs_half_for_a_day():
    rows = [said(SILENT, minute, probe=1) for minute in (200, 800)]
    votes = votes_of(rows, probe(1), probe(2), runs=comes_and_goes(1, FOUR_TIMES))
    assert votes.weight.tolist() == [1.0, 0.5]
    assert not Flapping(Inputs(T0, at(1440), (probe(1),), runs=()), PARAMS).at(1, at(800).timestamp())


def test_losses_that_others_share_are_not_the_households_own():
    runs = comes_and_goes(1, FOUR_TIMES) + comes_and_goes(2, FOUR_TIMES)
    assert votes_of([said(SILENT, 800, probe=1)], probe(1), probe(2), runs=runs).weight.tolist() == [1.0]
    assert votes_of([said(SILENT, 800, probe=1)], probe(1, 7), probe(2, 7), runs=runs).weight.tolist() == [0.5]


def test_two_families_that_are_lost_together_are_lost_once():
    runs = comes_and_goes(1, FOUR_TIMES[:3]) + comes_and_goes(1, FOUR_TIMES[:3], family=6)
    assert votes_of([said(SILENT, 800, probe=1)], probe(1), runs=runs).weight.tolist() == [1.0]


def test_without_a_ladder_lost_connections_to_the_broker_tell_of_an_unsteady_line():
    lost = tuple(PresenceFact(1, at(minute), "offline", "s", UUID(int=1), 60) for minute in FOUR_TIMES)
    seen = Inputs(T0, at(1440), (probe(1),), presence=lost)
    assert Flapping(seen, PARAMS).at(1, at(800).timestamp())
    climbed = replace(seen, runs=(LadderRun(1, 4, 4, RunOutcome.OK, T0, at(1440), 289),))
    assert not Flapping(climbed, PARAMS).at(1, at(800).timestamp())


@pytest.mark.parametrize("word", [RESET, Word("tls", False)])
def test_a_vote_says_when_its_runs_began_and_when_the_first_was_over(word):
    rows = [replace(said(word, minute), last_at=at(minute + wait).timestamp()) for minute, wait in ((5, 2), (45, 1))]
    found = votes_of(rows, probe(1))
    assert (found.first_at.tolist(), found.last_at.tolist()) == ([at(5).timestamp()], [at(45).timestamp()])
    assert found.over_at is not None
    assert found.over_at.tolist() == [at(7).timestamp()]


def test_a_blocking_that_sets_in_and_ends_in_the_midst_of_runs_lies_within_its_bounds():
    crowd = Crowd()
    crowd.ask(crowd.homes("KE", 1, 3), from_twelve_to_eighteen())
    crowd.ask(crowd.homes("UG", 2, 3))
    crowd.said = [replace(one, last_at=one.first_at + 30) for one in crowd.said]
    (event,) = crowd.events()
    # Probes 1 to 3 ask a minute apart, from the first minute of the hour.
    assert (event.onset.earliest, event.onset.latest) == (at(11 * 60 + 3), at(12 * 60 + 1.5))
    assert event.resolution is not None
    assert (event.resolution.earliest, event.resolution.latest) == (at(17 * 60 + 3), at(18 * 60 + 1.5))
