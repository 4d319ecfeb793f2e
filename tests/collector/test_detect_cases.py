"""The cases of detection that every implementation must pass, on facts written by hand.

A number in a test's name is that of the case in the specification, detection.md §4; ``pytest -k case_9_`` finds it.

| Case | Lost lines (here) | Services |
|---|---|---|
| 1 an empty hour opens, and stays provisional | ``case_1_`` | |
| 2 late rows revise and leave the first record | ``case_2_`` | ``test_detect_services.py`` |
| 3 any order, twice, gives the same bytes | ``case_3_``, ``test_detect_order.py`` | ``test_detect_properties.py`` |
| 4 the collector's own failure opens nothing | ``case_4_`` | |
| 5 one household has one vote | ``case_5_`` | ``case_5_`` in ``test_detect_votes.py`` |
| 6 a wrong clock neither makes nor moves an event | ``case_6_`` | |
| 7 curfews and exams are occurrences | ``case_7_`` | ``case_7_`` in ``test_detect_blocking.py`` |
| 8 ten days are still open on day ten | ``case_8_`` | |
| 9 site failure, common cause | | ``case_9_`` in ``test_detect_blocking.py`` |
| 10 congestion, and a plateau on one arm | | ``case_10_`` in ``test_detect_throttling.py`` |
| 11 a regional blackout is power | ``case_11_`` | |
| 12 forged crowds stay unconfirmed | ``case_12_`` | ``case_12_`` in ``test_detect_forged.py`` |
| 13 one probe is never more than unconfirmed | ``case_13_`` | ``case_13_`` in ``test_detect_services.py`` |
| 14 every time has an interval and a signal | ``case_14_`` | |
"""

import random
from dataclasses import replace
from datetime import timedelta

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.events import compute
from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind, Level, Status
from civobs_collector.detect.versions import plan
from civobs_collector.publish.codf import codf
from civobs_collector.publish.published import PublishedEvent
from tests.collector.fix_detect import AGENT_DOWN, CLOCK, FAILED, LONG_AGO, OK, PARAMS, T0, World, at, shutdown

DAY = 1440
BROKER_STEP = timedelta(seconds=8)
"""presence.broker_step: how late a broker may look."""


def two_countries():
    world = World()
    kenya = world.country("KE", {101: 2, 102: 2})
    tanzania = world.country("TZ", {201: 3})
    return world, kenya, tanzania


def test_case_1_an_empty_hour_opens_an_event_that_stays_provisional_until_rows_arrive():
    world = World()
    keys = world.country("KE", {101: 5, 102: 5})
    shutdown(world, keys, 600)
    (event,) = world.events(660)
    assert (event.kind, event.scope.level, event.status) == (EventKind.SHUTDOWN_SUSPECTED, Level.COUNTRY, Status.OPEN)
    assert event.provisional
    assert event.depth is Depth.UNKNOWN
    assert event.confidence.label is ConfidenceLabel.UNCONFIRMED
    assert event.confidence.families == ("presence",)
    assert (event.affected.n_down, event.affected.n_households) == (10, 10)
    assert event.affected.fraction_lo == 0.7616
    assert event.onset.earliest == at(599) - BROKER_STEP
    assert event.onset.latest == at(600.5)
    assert event.resolution is None


def test_case_2_rows_twenty_hours_late_move_the_start_and_leave_the_first_record_untouched():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    (alert,) = plan(world.events(620), [], T0, at(620), PARAMS)
    said = alert.record.model_dump_json()
    chain = Chain(alert.event_key, "CIV-2026-KE-0001", alert.version, at(620), alert.record)
    for key in kenya:
        world.cut(key, 600, 780, domestic_works=True)
    late = at(780 + 20 * 60)
    (revised,) = plan(world.events(780 + 20 * 60), [chain], T0, late, PARAMS)
    before, after = alert.record.onset, revised.record.onset
    assert before.latest - before.earliest >= timedelta(seconds=90)
    assert at(599) <= after.earliest <= after.latest <= at(601)
    assert (alert.record.depth, revised.record.depth) == (Depth.UNKNOWN, Depth.INTERNATIONAL_ONLY)
    assert (revised.event_key, revised.version, revised.reason) == (alert.event_key, 2, "late_data")
    assert alert.record.model_dump_json() == said


def test_case_3_any_order_of_arrival_twice_gives_the_same_bytes():
    world, kenya, tanzania = two_countries()
    shutdown(world, kenya, 600, 780)
    shutdown(world, tanzania[:2], 900, 960)
    for key in kenya:
        world.cut(key, 600, 780)
    facts = world.inputs(1200)
    bytes_of = {record.model_dump_json() for record in compute(facts, PARAMS)}
    for seed in range(3):
        shuffled = {
            name: tuple(random.Random(seed).sample(getattr(facts, name), len(getattr(facts, name))))
            for name in ("probes", "presence", "runs")
        }
        for _ in range(2):
            again = compute(replace(facts, **shuffled), PARAMS)
            assert {record.model_dump_json() for record in again} == bytes_of


def venezuela():
    """A region of homes with batteries of many sizes, of all providers, beside one that has power; and a neighbour."""
    world = World()
    north = [world.probe("VE", 101 + n % 3, admin1="North") for n in range(9)]
    for n in range(6):
        world.probe("VE", 101 + n % 3, admin1="South")
    world.country("CO", {201: 4})
    return world, north


def test_case_11_a_regional_blackout_over_hours_is_power_once_devices_return_with_new_boot_ids():
    world, north = venezuela()
    for number, key in enumerate(north):
        world.lose(key, 300 + 30 * number)
    dark = world.events(600)
    assert len(dark) == 1
    assert all(event.likeliest == "undetermined" for event in dark)
    assert all(event.confidence.label is ConfidenceLabel.UNCONFIRMED for event in dark)
    for number, key in enumerate(north):
        lost, back = 300 + 30 * number, 720 + 3 * number
        world.online(key, back, reboot=True)
        world.rows(key, 4, OK, 240, lost - 1.5)
        world.rows(key, 4, AGENT_DOWN, lost - 1, back - 0.5)
        world.rows(key, 4, OK, back + 0.5, back + 120)
    (event,) = world.events(860)
    assert (event.kind, event.likeliest) == (EventKind.POWER, "power")
    assert (event.scope.admin1, event.scope.asns) == (("North",), (101, 102, 103))
    assert event.onset.t90 - event.onset.t10 >= timedelta(hours=3)


def test_case_14_every_published_time_has_an_interval_and_a_signal_and_codf_its_uncertainty():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    for key in kenya:
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert {one.signal for one in event.per_signal} == {"presence", "ladder.L4", "ladder.L3"}
    spans = [event.onset, event.resolution, event.dating.onset, event.dating.resolution]
    spans += [bounds for one in event.per_signal for bounds in (one.onset, one.resolution)]
    assert all(bounds.earliest < bounds.latest for bounds in spans)
    rows = codf(PublishedEvent("CIV-2026-KE-0001", 1, at(900), "new", "detected", event, "https://observatory.example"))
    assert {row.datasource for row in rows} == {f"civobs.{one.signal}" for one in event.per_signal}
    assert all(row.uncertainty > 0 and 0 < row.fraction <= 1 for row in rows)


def test_three_households_are_published_within_two_bins_of_the_first_loss():
    for phase in range(5):
        world = World()
        keys = world.country("KE", {101: 2, 102: 1})
        shutdown(world, keys, 600 + phase)
        first_lost = 600.5 + phase
        (event,) = world.events(first_lost + 10)
        assert event.scope.level is Level.COUNTRY


def test_stored_rows_narrow_the_start_and_give_the_depth():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    (before,) = world.events(820)
    for key in kenya:
        world.cut(key, 600, 780, domestic_works=True)
    (after,) = world.events(DAY + 780)
    assert before.onset.earliest == at(599) - BROKER_STEP
    assert (before.provisional, before.depth) == (True, Depth.UNKNOWN)
    assert (after.provisional, after.depth) == (False, Depth.INTERNATIONAL_ONLY)
    assert after.likeliest == "international_only"
    assert abs(after.onset.earliest - at(600)) <= timedelta(seconds=60)
    assert abs(after.onset.latest - at(600)) <= timedelta(seconds=60)
    assert abs(after.resolution.earliest - at(780)) <= timedelta(seconds=60)
    assert abs(after.resolution.latest - at(780)) <= timedelta(seconds=60)
    assert after.confidence.label is ConfidenceLabel.PROBABLE
    assert set(after.confidence.families) == {"presence", "inside_out"}
    assert after.evidence.backfill == 1.0


def test_a_cut_of_everything_is_full():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    for key in kenya:
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert (event.depth, event.likeliest) == (Depth.FULL, "national")


def test_a_control_country_stays_silent():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    assert {event.scope.cc for event in world.events(900)} == {"KE"}


def test_case_4_all_probes_of_all_countries_lost_at_once_is_the_collector():
    world, kenya, tanzania = two_countries()
    shutdown(world, kenya + tanzania, 600)
    assert world.events(700) == ()


def test_a_share_of_the_probes_of_three_countries_is_the_collector():
    world = World()
    keys = [world.country(cc, {asn: 5, asn + 1: 5}) for cc, asn in (("KE", 1), ("TZ", 11), ("UG", 21), ("RW", 31))]
    shutdown(world, [key for country in keys[:3] for key in country[:7]], 600)
    assert world.events(700) == ()


def test_losing_every_anchor_too_is_the_collector():
    world = World()
    kenya = world.country("KE", {101: 2, 102: 2})
    anchor = world.probe("DE", 3320, is_anchor=True)
    world.country("FR", {301: 2})
    shutdown(world, [*kenya, anchor], 600)
    assert world.events(700) == ()


def test_nothing_opens_while_the_collector_is_away():
    world, kenya, _ = two_countries()
    world.away.append((at(595), at(700)))
    for key in kenya:
        world.lose(key, 610, late=True)
        world.online(key, 690, late=True)
    assert world.events(650) == ()
    assert world.events(800) == ()


def test_rows_that_arrive_later_tell_of_a_cut_while_the_collector_was_away():
    world, kenya, _ = two_countries()
    world.away.append((at(595), at(830)))
    for key in kenya:
        world.online(key, 831)
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert (event.kind, event.depth) == (EventKind.SHUTDOWN_SUSPECTED, Depth.FULL)
    assert abs(event.onset.latest - at(600)) <= timedelta(seconds=60)


def test_case_5_one_household_with_four_probes_has_one_vote():
    world = World()
    keys = [world.probe("KE", 101, household=7) for _ in range(4)]
    world.country("KE", {101: 2, 102: 2})
    shutdown(world, keys, 600, 780)
    (event,) = world.events(900)
    assert event.scope.level is Level.PROBE
    assert (event.affected.n_probes, event.affected.n_households, event.affected.n_down) == (4, 1, 1)
    assert event.confidence.label is ConfidenceLabel.UNCONFIRMED


def test_case_6_rows_with_a_wrong_clock_neither_make_nor_move_an_event():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    for key in kenya[1:]:
        world.cut(key, 600, 780)
    without = world.events(1200)
    # Rebooted without time: its rows of the cut claim to be three hours later, and say that they may be.
    world.rows(kenya[0], 4, CLOCK, 780, 960, err_s=4 * 3600)
    assert [e.onset for e in world.events(1200)] == [e.onset for e in without]
    assert len(world.events(1200)) == 1


def test_a_failing_clockless_probe_opens_nothing_by_itself():
    world, kenya, _ = two_countries()
    for key in kenya:
        world.rows(key, 4, CLOCK, 780, 960, err_s=4 * 3600)
    assert world.events(1000) == ()


def test_case_7_seventy_two_nights_are_one_campaign_of_seventy_two_occurrences():
    world = World()
    keys = world.country("MM", {101: 2, 102: 2})
    world.country("TH", {201: 3})
    for night in range(1, 73):
        shutdown(world, keys, night * DAY + 60, night * DAY + 540)
    versions = plan(world.events(75 * DAY), [], T0, at(75 * DAY), PARAMS)
    parts = [one.record.campaign for one in versions]
    assert [(part.occurrence, part.n_occurrences) for part in parts] == [(night, 72) for night in range(1, 73)]
    assert len({part.campaign_id for part in parts}) == 1


def test_case_7_exam_hours_are_occurrences_and_none_reaches_over_a_night():
    world = World()
    keys = world.country("KE", {101: 3})
    world.country("KE", {102: 3})
    for day in (1, 2, 3, 4, 5, 8, 9):
        shutdown(world, keys, day * DAY + 300, day * DAY + 480)
        shutdown(world, keys, day * DAY + 540, day * DAY + 660)
    versions = plan(world.events(11 * DAY), [], T0, at(11 * DAY), PARAMS)
    assert len(versions) == 14
    assert all(one.record.severity.hours < 4 for one in versions)
    assert all(one.record.campaign is not None for one in versions)


def test_case_8_ten_days_are_one_open_event_and_recovery_has_steps():
    world = World()
    keys = world.country("KE", {101: 5, 102: 5})
    world.country("TZ", {201: 3})
    shutdown(world, keys, 2 * DAY)
    (event,) = world.events(12 * DAY)
    assert (event.status, event.onset.latest) == (Status.OPEN, at(2 * DAY + 0.5))
    for step, key in enumerate(keys):
        world.online(key, 12 * DAY + 30 * step)
    (event,) = world.events(12 * DAY + 600)
    assert event.status is Status.CLOSED
    assert event.resolution.t10 < event.resolution.t50 < event.resolution.t90
    # Seven of ten back: a third or less is still out.
    assert event.resolution.latest == at(12 * DAY + 180)


def test_case_13_a_country_with_one_probe_is_never_more_than_unconfirmed():
    world = World()
    key = world.probe("BI", 77)
    world.country("TZ", {201: 3})
    shutdown(world, [key], 600, 780)
    world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert (event.scope.level, event.confidence.label) == (Level.PROBE, ConfidenceLabel.UNCONFIRMED)
    assert "A single household cannot tell" in event.coverage_note


def test_a_loss_followed_by_a_connection_within_the_debounce_is_none():
    world, kenya, _ = two_countries()
    for key in kenya:
        world.lose(key, 600)
        world.online(key, 604)
    assert world.events(620) == ()


def test_a_flapping_probe_makes_no_event_of_its_country():
    world, kenya, _ = two_countries()
    for turn in range(12):
        world.lose(kenya[0], 600 + 40 * turn)
        world.online(kenya[0], 620 + 40 * turn)
    assert all(event.scope.level is Level.PROBE for event in world.events(1200))


def test_leave_taking_is_no_outage():
    world, kenya, _ = two_countries()
    for key in kenya:
        world.stop(key, 600)
    assert world.events(900) == ()


def test_one_network_down_is_an_outage_of_that_network():
    world = World()
    first = world.country("KE", {101: 3})
    world.country("KE", {102: 3})
    shutdown(world, first, 600, 780)
    for key in first:
        world.cut(key, 600, 780)
        world.runs = [run for run in world.runs if (run.probe_key, run.rung) != (key, 2)]
        world.rows(key, 2, FAILED, 600.5, 779.5)
    (event,) = world.events(900)
    assert (event.kind, event.scope.level, event.scope.asns) == (EventKind.OUTAGE, Level.NETWORK, (101,))
    assert event.scope.asns_observed == (101, 102)
    assert event.hypotheses["isp"] == max(event.hypotheses.values())
    assert event.confidence.label is ConfidenceLabel.PROBABLE


def test_lost_by_the_broker_while_the_world_was_there_is_a_blocked_collector():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    (before,) = world.events(700)
    for key in kenya:
        world.rows(key, 4, OK, 540, 800)
    (after,) = world.events(900)
    assert before.kind is EventKind.SHUTDOWN_SUSPECTED
    assert (after.kind, after.likeliest) == (EventKind.COLLECTOR_BLOCKED, "collector")


def test_probes_that_were_off_and_return_rebooted_lost_power():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600)
    for key in kenya:
        world.online(key, 780, reboot=True)
        world.rows(key, 4, OK, 540, 599)
        world.rows(key, 4, AGENT_DOWN, 601, 779)
        world.rows(key, 4, OK, 780.5, 800)
    (event,) = world.events(900)
    assert (event.kind, event.likeliest, event.depth) == (EventKind.POWER, "power", Depth.UNKNOWN)
    assert event.resolution is not None
    times = event.resolution
    assert (times.earliest, times.likely, times.latest) == (at(772), at(779), at(780))


def test_an_agent_that_died_without_a_reboot_says_nothing_of_the_network():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    for key in kenya:
        world.rows(key, 4, OK, 540, 599)
        world.rows(key, 4, AGENT_DOWN, 600, 781)
        world.rows(key, 4, OK, 781.5, 800)
    assert world.events(900) == ()


def test_case_12_twenty_new_probes_of_one_network_never_exceed_unconfirmed():
    world = World()
    forged = world.country("KE", {101: 20}, enrolled_at=at(0))
    world.country("KE", {102: 3}, enrolled_at=LONG_AGO)
    shutdown(world, forged, 600, 780)
    for key in forged:
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert event.confidence.label is ConfidenceLabel.UNCONFIRMED


def test_case_12_a_crowd_of_new_probes_in_two_networks_is_not_believed_against_those_known_for_longer():
    world = World()
    forged = world.country("KE", {101: 10, 102: 10}, enrolled_at=at(0))
    world.country("KE", {101: 3, 102: 3})
    world.country("TZ", {201: 3})
    shutdown(world, forged, 600, 780)
    for key in forged:
        world.cut(key, 600, 780)
    (event,) = world.events(900)
    assert event.confidence.label is ConfidenceLabel.UNCONFIRMED
    assert any("longer than 14 days were not down" in reason for reason in event.confidence.reasons)


def test_every_bin_of_the_chart_accounts_for_every_household():
    world, kenya, _ = two_countries()
    shutdown(world, kenya, 600, 780)
    (event,) = world.events(900)
    for row in event.grid.rows:
        assert {up + down + unknown for up, down, unknown in zip(row.up, row.down, row.unknown, strict=True)} == {row.n}
        assert len(row.state) == len(row.up)
    assert [row.asn for row in event.grid.rows] == [None, 101, 102]
    assert event.grid.rows[0].state.strip("u").strip("d") == ""


def test_a_long_chart_is_folded_to_a_bounded_number_of_bins():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    shutdown(world, keys, 600)
    (event,) = world.events(12 * DAY)
    assert len(event.grid.rows[0].state) <= 2000
    assert event.grid.bin_s == 600
