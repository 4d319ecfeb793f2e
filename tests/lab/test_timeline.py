"""A scenario's faults become steps in the order of their times, and what was done becomes what was so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies
from pydantic import ValidationError

from civobs_lab.scenario import Scenario
from civobs_lab.spans import words
from civobs_lab.timeline import CLOCK, HABIT, Done, Step, backfill_from, spans, steps
from civobs_lab.topology import load

TOPOLOGY = load(Path("two-countries"))
ZERO = datetime(2026, 11, 22, 9, tzinfo=UTC)
NOTHING = {"kind": "nothing", "cc": "XA", "level": "country"}


def scenario(*faults, truth=NOTHING, **other):
    """A scenario of these faults, with a truth about all of them."""
    values = {"title": "A test", "resembles": "nothing", "time_scale": 60.0, "fault": faults, "truth": [truth]}
    return Scenario.model_validate(values | other)


def played(made, late_s=0.0, until_s=float("inf")):
    """Its steps, each done so many seconds of the clock late."""
    return [
        Done(step, at(step.at_s, made.time_scale) + timedelta(seconds=late_s))
        for step in steps(made, TOPOLOGY)
        if step.at_s <= until_s
    ]


def at(lab_s, scale=60.0):
    """A moment of the timeline, by the clock."""
    return ZERO + timedelta(seconds=lab_s / scale)


def brief(made):
    """Its steps in short."""
    return [(step.at_s, step.verb, step.item) for step in steps(made, TOPOLOGY)]


def outage(**other):
    return {"kind": "national_shutdown", "scope": "XA", "start": "10m", "end": "30m"} | other


def power_cut(**other):
    return {"kind": "power_cut", "scope": "XA/North", "start": "10m", "end": "2h"} | other


def span_of(made, **late):
    """The one span of its one truth."""
    (only,) = spans(made, made.truth[0], played(made, **late))
    return only


def test_a_fault_begins_and_is_mended():
    assert brief(scenario(outage())) == [(600.0, "begin", "XA"), (1800.0, "mend", "XA")]


def test_a_fault_without_an_end_is_never_mended():
    assert brief(scenario(outage(end=None))) == [(600.0, "begin", "XA")]


def test_a_fault_that_comes_back_is_mended_before_it_begins_again():
    made = scenario(outage(every="20m", times=3))
    assert [(step.at_s, step.verb, step.occurrence) for step in steps(made, TOPOLOGY)] == [
        (600.0, "begin", 0),
        (1800.0, "mend", 0),
        (1800.0, "begin", 1),
        (3000.0, "mend", 1),
        (3000.0, "begin", 2),
        (4200.0, "mend", 2),
    ]


def test_a_staggered_power_cut_takes_one_home_after_the_other():
    made = scenario(power_cut(spread="1h", return_spread="30m"))
    homes = {household.name for household in TOPOLOGY.households_of("XA/North")}
    begins = [step for step in steps(made, TOPOLOGY) if step.verb == "begin"]
    mends = [step for step in steps(made, TOPOLOGY) if step.verb == "mend"]
    assert {step.item for step in begins} == {step.item for step in mends} == homes
    assert (begins[0].at_s, begins[-1].at_s) == (600.0, 4200.0)
    assert (mends[0].at_s, mends[-1].at_s) == (7200.0, 9000.0)
    assert len({step.at_s for step in begins}) == len(homes)
    assert [step.item for step in begins] != [step.item for step in mends]
    assert steps(made, TOPOLOGY) == steps(made, TOPOLOGY)


def test_a_probe_without_a_clock_learns_the_time_later():
    made = scenario(power_cut(scope="xa-64500-1", clock_error="3h", clock_known_after="20m"))
    assert brief(made)[-1] == (8400.0, "mend", f"{CLOCK}xa-64500-1")
    assert span_of(made).end == at(7200.0)


def test_a_flapping_line_goes_down_and_comes_up_until_the_end():
    made = scenario({"kind": "flapping", "scope": "xa-64500-1", "start": "10m", "end": "20m", "up": "2m", "down": "3m"})
    assert [(each_s, verb) for each_s, verb, _ in brief(made)] == [
        (600.0, "begin"),
        (780.0, "mend"),
        (900.0, "begin"),
        (1080.0, "mend"),
    ]
    assert (span_of(made).start, span_of(made).end) == (at(600.0), at(1080.0))


def test_a_line_that_flaps_without_an_end_flaps_until_the_timeline_is_over():
    flapping = {"kind": "flapping", "scope": "xa-64500-1", "start": "10m", "up": "2m", "down": "3m"}
    assert brief(scenario(flapping, length="14m"))[-1] == (780.0, "mend", "xa-64500-1")


def test_forged_probes_behave_before_they_lie():
    made = scenario({"kind": "forged_probes", "scope": "AS64500", "start": "30m", "end": "1h", "habit": "20m"})
    assert brief(made) == [(600.0, "begin", HABIT), (1800.0, "begin", "AS64500"), (3600.0, "mend", "AS64500")]
    assert span_of(made).start == at(1800.0)


def test_a_span_is_as_long_as_it_was_done_and_not_as_it_was_planned():
    only = span_of(scenario(outage()), late_s=1.5)
    assert (only.start, only.end) == (at(600.0) + timedelta(seconds=1.5), at(1800.0) + timedelta(seconds=1.5))


def test_a_span_knows_how_long_was_broken_at_its_start_and_mended_at_its_end():
    made = scenario(outage())
    begin, mend = played(made)
    second = timedelta(seconds=1)
    done = [replace(begin, until=begin.at + second), replace(mend, since=mend.at - second)]
    (only,) = spans(made, made.truth[0], done)
    assert (only.start, only.start_to) == (at(600.0), at(660.0))
    assert (only.end_from, only.end) == (at(1740.0), at(1800.0))
    elsewhere = scenario(outage(), truth={**NOTHING, "end": "40m"})
    assert spans(elsewhere, elsewhere.truth[0], [begin, mend])[0].end_from is None


def test_what_is_done_to_two_networks_at_one_time_begins_until_it_is_done_to_both():
    second = timedelta(seconds=1)
    one, other = (
        {"kind": "network_down", "scope": scope, "start": "10m", "end": "30m"} for scope in ("AS64500", "AS64501")
    )
    made = scenario(one, other, {**one, "scope": "AS64504", "start": "20m"})
    late = {"AS64500": 0, "AS64501": 1, "AS64504": 2}
    done = [
        Done(
            each.step, when := each.at + late[each.step.item] * second, since=when - second / 2, until=when + second / 2
        )
        for each in played(made)
    ]
    (only,) = spans(made, made.truth[0], done)
    assert (only.start, only.start_to) == (at(600.0), at(600.0) + 1.5 * second)
    assert (only.end_from, only.end) == (at(1800.0) - second / 2, at(1800.0) + 2 * second)


def test_a_truth_has_a_span_for_each_time_it_happened():
    made = scenario(outage(every="1h", times=3))
    found = spans(made, made.truth[0], played(made))
    assert [(each.start, each.end) for each in found] == [
        (at(600.0 + 3600 * number), at(1800.0 + 3600 * number)) for number in range(3)
    ]


def test_a_truth_has_only_the_faults_it_refers_to():
    made = scenario(outage(id="cut"), power_cut(id="dark"), truth={**NOTHING, "faults": ["dark"]})
    assert span_of(made).end == at(7200.0)


def test_a_truth_about_several_faults_lasts_from_the_first_to_the_last():
    made = scenario(outage(), power_cut(start="20m"))
    assert (span_of(made).start, span_of(made).end) == (at(600.0), at(7200.0))


def test_a_truth_may_begin_and_end_at_moments_of_its_own():
    truth = {**NOTHING, "start": "40m", "end": "100m"}
    only = span_of(scenario(power_cut(spread="1h"), truth=truth))
    assert (only.start, only.end) == (at(2400.0), at(6000.0))
    made = scenario(outage(every="1h", times=2), truth={**NOTHING, "start": "12m"})
    assert [each.start for each in spans(made, made.truth[0], played(made))] == [at(720.0), at(4320.0)]


def test_a_truth_without_faults_needs_to_know_when_the_timeline_began():
    made = scenario(truth={**NOTHING, "start": "5m"})
    assert spans(made, made.truth[0], ()) == ()
    (only,) = spans(made, made.truth[0], (), zero=ZERO)
    assert (only.start, only.end) == (at(300.0), None)


def test_what_is_not_mended_has_no_end():
    assert span_of(scenario(outage(end=None))).end is None
    made = scenario(power_cut(return_spread="1h"))
    assert span_of(made, until_s=7300.0).end is None


def test_what_never_began_has_no_span():
    made = scenario(outage())
    assert spans(made, made.truth[0], played(made, until_s=0.0)) == ()


def test_probes_deliver_again_when_the_last_of_what_kept_them_is_mended():
    made = scenario(outage(), power_cut(return_spread="10m"))
    assert backfill_from(made, made.truth[0], played(made)) == at(7800.0)


def test_an_observatory_that_was_down_as_well_delays_the_delivery():
    down = {"kind": "observatory_down", "scope": "observatory", "start": "20m", "end": "1h"}
    made = scenario(outage(id="cut"), down, truth={**NOTHING, "faults": ["cut"]})
    assert backfill_from(made, made.truth[0], played(made)) == at(3600.0)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "server", "scope": "site-p", "does": "silent"},
        {"kind": "congestion", "scope": "AS64500", "rate_kbit": 500.0},
        {"kind": "collector_blocked", "scope": "XA", "brokers": "first"},
        {"kind": "censor", "scope": "XA", "method": "drop", "names": ["www.site.example"]},
        {"kind": "censor", "scope": "XA", "method": "drop", "protocol": "udp"},
    ],
)
def test_nothing_is_delivered_late_where_only_measurements_suffer(fault):
    made = scenario({**fault, "start": "10m", "end": "20m"})
    assert backfill_from(made, made.truth[0], played(made)) is None


def test_a_censor_that_drops_everything_keeps_probes_from_delivering():
    made = scenario({"kind": "censor", "scope": "XA", "method": "drop", "start": "10m", "end": "20m"})
    assert backfill_from(made, made.truth[0], played(made)) == at(1200.0)


def test_nothing_is_delivered_while_something_still_keeps_it():
    made = scenario(outage(), outage(scope="XB", end=None))
    assert backfill_from(made, made.truth[0], played(made)) is None


@pytest.mark.parametrize(
    "fault",
    [
        power_cut(spread="2h"),
        power_cut(every="2h", times=2, return_spread="20m"),
        {"kind": "flapping", "scope": "xa-64500-1", "start": "10m", "up": "0s", "down": "1m"},
    ],
)
def test_what_would_return_before_it_went_is_refused(fault):
    with pytest.raises(ValidationError):
        scenario(fault)


lengths = strategies.integers(min_value=1, max_value=7200)


@given(
    start=lengths,
    length=lengths,
    gap=lengths,
    times=strategies.integers(min_value=2, max_value=9),
    data=strategies.data(),
)
def test_steps_are_in_order_and_each_beginning_has_its_mending(start, length, gap, times, data):
    spread = data.draw(strategies.integers(min_value=0, max_value=length - 1))
    return_spread = data.draw(strategies.integers(min_value=0, max_value=gap))
    fault = power_cut(
        scope="XA",
        start=words(start),
        end=words(start + length),
        every=words(length + gap),
        times=times,
        spread=words(spread),
        return_spread=words(return_spread),
    )
    made = scenario(fault)
    found = steps(made, TOPOLOGY)
    assert [step.at_s for step in found] == sorted(step.at_s for step in found)
    state: dict[str, str] = {}
    for step in found:
        assert state.get(step.item, "mend") != step.verb
        state[step.item] = step.verb
    assert set(state.values()) == {"mend"}
    assert len(found) == 2 * times * len(TOPOLOGY.households_of("XA"))
    made_spans = spans(made, made.truth[0], played(made))
    assert len(made_spans) == times
    for number, span in enumerate(made_spans):
        first = start + number * (length + gap)
        assert abs(span.start - at(first)) < timedelta(milliseconds=1)
        assert span.end is not None
        assert abs(span.end - at(first + length + return_spread)) < timedelta(milliseconds=1)


def test_two_steps_at_once_mend_first():
    made = scenario(outage(scope="XB", start="30m", end="40m"), outage())
    assert [(step.verb, step.fault) for step in steps(made, TOPOLOGY)] == [
        ("begin", 1),
        ("mend", 1),
        ("begin", 0),
        ("mend", 0),
    ]
    assert isinstance(steps(made, TOPOLOGY)[0], Step)
