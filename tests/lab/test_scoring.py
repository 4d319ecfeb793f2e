"""A score says of every truth what was published of it, and how far off that was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.detect.record import EventKind
from civobs_lab.matching import FAMILIES
from civobs_lab.results import LedgerRun, RunResult
from civobs_lab.rules import BY_ID, alert_bar_s, alert_rule, edge_bar_s, edge_rule
from civobs_lab.scores import Verdict
from civobs_lab.scoring import score, total
from tests.lab.fix_scores import END, START, UNTIL, at, bounds, closed, event, household_event, run, truth, version


def rules(scored):
    return {miss.rule for one in (scored, *scored.truths) for miss in one.misses}


def only(scored):
    """The one occurrence of the first truth."""
    (occurrence,) = scored.truths[0].occurrences
    return occurrence


ASKED = truth(asns=(64500, 64501), depth="full", cause="national", backfill_from=at(END))


def test_a_perfect_record_is_right_in_everything():
    scored = score(run([ASKED, truth("nothing", spans=(), cc="XB")], [event()]))
    assert scored.verdict is Verdict.RIGHT
    assert rules(scored) == set()
    one = only(scored)
    assert (one.event, one.delay_s, one.delay_bins) == ("CIV-2026-XA-0001", 500.0, pytest.approx(500 / 300))
    assert all(check.right for check in (one.kind, one.scope, one.depth, one.cause))
    assert (one.start_after.error_s, one.start_after.width_s) == (5.0, 45.0)
    assert (one.end_after.error_s, one.end_after.inside) == (7.0, True)


def test_before_backfill_counts_what_was_published_last_before_probes_could_deliver():
    revised = version(3000.0, onset=bounds(START - 90, START + 210))
    one = only(score(run([ASKED], [event(version(), revised, closed())])))
    assert (one.start_before.error_s, one.start_before.width_s) == (60.0, 300.0)
    assert one.end_before is None
    assert only(score(run([truth()], [event()]))).start_before is None, "nothing kept probes from delivering"


def test_of_what_recurs_each_time_has_its_own_before():
    both = truth(spans=((START, END), (6000, 7000)), backfill_from=at(7000))
    second = [version(6400.0, onset=bounds(5990, 6000)), closed(7300.0, 6000, 7000)]
    scored = score(run([both], [event(), event(*second, number=2)]))
    first, later = scored.truths[0].occurrences
    assert (first.start_before.error_s, later.start_before.error_s) == (-15.0, -5.0)


def test_what_was_not_found_is_a_miss_of_all_that_was_asked():
    scored = score(run([ASKED]))
    assert scored.verdict is Verdict.WRONG
    assert rules(scored) == {"found"}
    summed = total([scored])
    assert (summed.found.n, summed.found.of) == (0, 1)
    assert [(some.n, some.of) for some in (summed.kind, summed.scope, summed.depth)] == [(0, 1)] * 3
    assert summed.cause.missed == 1


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        ({"kind": "outage"}, "kind"),
        ({"level": "network", "asns": (64500,)}, "scope"),
        ({"asns": (64500, 64501, 64502)}, "scope"),
        ({"depth": "international_only"}, "depth"),
        ({"likeliest": "power"}, "cause"),
        ({"onset": bounds(START - 200, START + 20)}, "start.connectivity"),
        ({"onset": bounds(START + 5, START + 20)}, "bounds"),
        ({"resolution": bounds(END + 40, END + 100)}, "end.connectivity"),
        ({"resolution": None}, "end.connectivity"),
        ({"provisional": True}, "settled"),
    ],
)
def test_each_thing_that_is_not_right_is_named_and_makes_it_partly_right(known, rule):
    scored = score(run([ASKED], [event(version(), closed(**known))]))
    assert rule in rules(scored)
    assert scored.verdict is Verdict.PARTLY
    assert only(scored).found


def test_an_end_is_within_bounds_that_hold_any_moment_of_its_mending():
    early = closed(resolution=bounds(END - 50, END - 10))
    assert rules(score(run([ASKED], [event(version(), early)]))) == {"bounds"}
    (span,) = ASKED.spans
    mended = ASKED.model_copy(update={"spans": (span.model_copy(update={"end_from": at(END - 20)}),)})
    assert score(run([mended], [event(version(), early)])).verdict is Verdict.RIGHT
    too_early = closed(resolution=bounds(END - 50, END - 30))
    assert rules(score(run([mended], [event(version(), too_early)]))) == {"bounds"}


def test_a_start_is_within_bounds_that_hold_any_moment_of_its_breaking():
    late = bounds(START + 10, START + 40)
    record = [event(version(onset=late), closed(onset=late))]
    assert rules(score(run([ASKED], record))) == {"bounds"}
    (span,) = ASKED.spans
    broken = ASKED.model_copy(update={"spans": (span.model_copy(update={"start_to": at(START + 12)}),)})
    assert score(run([broken], record)).verdict is Verdict.RIGHT


def test_an_undetermined_cause_is_neither_right_nor_wrong():
    scored = score(run([ASKED], [event(version(), closed(likeliest="undetermined"))]))
    assert scored.verdict is Verdict.RIGHT
    assert total([scored]).cause.model_dump() == {"right": 0, "wrong": 0, "undetermined": 1, "missed": 0}


def test_an_alert_has_two_bins_and_what_the_broker_costs_more_in_a_fast_lab():
    assert "alert.connectivity" in rules(score(run([ASKED], [event(version(START + 775), closed())])))
    assert "alert.connectivity" not in rules(score(run([ASKED], [event(version(START + 773), closed())])))
    assert alert_bar_s(run([], time_scale=1.0), "outage", "network") == 600


def test_where_probes_measure_more_seldom_start_and_end_may_be_off_by_more():
    off = closed(onset=bounds(START - 300, START + 300, START + 250))
    asked_less = run([ASKED], [event(version(), off)], intervals={"ladder": 1800.0, "trouble": 300.0})
    assert rules(score(run([ASKED], [event(version(), off)]))) == {"start.connectivity"}
    assert score(asked_less).verdict is Verdict.RIGHT
    assert score(asked_less).coarser == 6


def test_what_is_known_from_lost_connections_alone_is_dated_by_their_bars():
    assert edge_bar_s(run([], time_scale=1.0), edge_rule("start", "collector_blocked")) == 90
    late = closed(kind="collector_blocked", onset=bounds(START - 100, START + 300, START + 200))
    assert score(run([truth("collector_blocked")], [event(version(), late)])).verdict is Verdict.RIGHT
    assert rules(score(run([ASKED], [event(version(), late)]))) >= {"kind", "start.connectivity"}


def test_a_truth_that_goes_on_wants_an_event_without_an_end_and_has_no_stored_rows_yet():
    goes_on = truth(spans=((START, None),))
    open_still = version(onset=bounds(START - 60, START + 300, START + 200))
    scored = score(run([goes_on], [event(open_still)]))
    assert scored.verdict is Verdict.RIGHT
    assert (only(scored).settled, only(scored).end_after) == (None, None)
    assert "end.connectivity" in rules(score(run([goes_on], [event()])))


def test_an_event_that_was_published_before_anything_happened_is_a_false_alarm():
    scored = score(run([ASKED], [event(version(START - 30), closed())]))
    assert not only(scored).found
    assert [alarm.event for alarm in scored.false_alarms] == ["CIV-2026-XA-0001"]


@pytest.mark.parametrize(
    "elsewhere", [{"cc": "XB"}, {"asns": (64502,)}, {"onset": bounds(6000, 6100), "resolution": bounds(6500, 6600)}]
)
def test_an_event_of_another_place_or_time_matches_nothing(elsewhere):
    there = truth(asns=(64500,), level="network")
    scored = score(run([there], [event(version(**elsewhere), closed(**elsewhere))]))
    assert not only(scored).found
    assert len(scored.false_alarms) == 1


def test_blocking_is_not_found_by_an_outage_nor_by_what_happened_to_other_sites():
    blocked = truth("blocking", targets=("news.example",))
    other = closed(kind="blocking", targets=("https://video.example/",))
    scored = score(run([blocked], [event(), event(other, number=2)]))
    assert not only(scored).found
    assert len(scored.false_alarms) == 2


def test_targets_and_mechanisms_are_compared_by_what_they_mean():
    blocked = truth("blocking", targets=("news.example",), mechanisms=("dns.injection",))
    right = closed(kind="blocking", targets=("https://NEWS.example/",), mechanisms=("dns.injection.blockpage",))
    assert score(run([blocked], [event(right)])).verdict is Verdict.RIGHT
    besides = right.model_copy(update={"mechanisms": ("dns.injection", "tcp.timeout")})
    assert rules(score(run([blocked], [event(besides)]))) == {"mechanism"}
    more = right.model_copy(update={"targets": ("news.example", "video.example")})
    assert rules(score(run([blocked], [event(more)]))) == {"scope"}


def test_a_region_is_right_where_it_alone_is_named():
    dark = truth("power", level="region", admin1=("North",), backfill_from=at(END))
    named = closed(kind="power", level="network", admin1=("North",))
    assert only(score(run([dark], [event(named)]))).scope.right
    wider = named.model_copy(update={"admin1": ("North", "South")})
    assert not only(score(run([dark], [event(wider)]))).scope.right
    assert not only(score(run([dark], [event(named.model_copy(update={"admin1": ("South",)}))]))).found


def test_two_events_of_one_truth_are_one_and_a_split():
    networks = [
        event(version(**net), closed(**net), number=asn)
        for asn in (64500, 64501)
        for net in [{"kind": "outage", "level": "network", "asns": (asn,)}]
    ]
    scored = score(run([ASKED], networks))
    assert {"kind", "scope", "split"} <= rules(scored)
    assert len(only(scored).split) == 1
    assert scored.false_alarms == ()


def test_what_was_taken_back_finds_nothing_but_is_no_false_alarm_where_something_was():
    taken_back = event(version(), version(2000.0, status="retracted"), number=2)
    scored = score(run([ASKED], [taken_back]))
    assert not only(scored).found
    assert only(scored).withdrawn == ("CIV-2026-XA-0002",)
    assert scored.false_alarms == ()
    beside = score(run([ASKED], [event(), taken_back]))
    assert beside.verdict is Verdict.RIGHT
    assert only(beside).withdrawn == ("CIV-2026-XA-0002",)


def test_what_was_taken_back_where_nothing_was_is_a_false_alarm_all_the_same():
    taken_back = event(version(cc="XB"), version(2000.0, cc="XB", status="retracted"))
    scored = score(run([truth("nothing", spans=(), cc="XB")], [taken_back]))
    assert scored.verdict is Verdict.WRONG
    assert scored.truths[0].false_calls == ("CIV-2026-XA-0001",)
    assert [alarm.retracted for alarm in scored.false_alarms] == [True]


NIGHTS = truth(spans=((1200, 2400), (4800, 6000)), backfill_from=at(6000))


def night(number, start, end, **known):
    first = version(start + 500, onset=bounds(start - 60, start + 30))
    return event(first, closed(end + 500, start, end), number=number, **known)


def test_each_night_of_a_curfew_is_found_by_an_event_of_its_own_and_all_are_one_campaign():
    both = [night(1, 1200, 2400, campaign="C1"), night(2, 4800, 6000, campaign="C1")]
    scored = score(run([NIGHTS], both))
    assert scored.verdict is Verdict.RIGHT
    assert scored.truths[0].one_campaign
    apart = score(run([NIGHTS], [night(1, 1200, 2400), night(2, 4800, 6000)]))
    assert rules(apart) == {"campaign"}


def test_an_event_over_two_nights_is_merged_and_the_second_is_not_found():
    merged = event(version(), closed(6300.0, 1200, 6000))
    first, second = score(run([NIGHTS], [merged])).truths[0].occurrences
    assert (first.found, second.found, second.merged) == (True, False, True)


def test_one_night_found_is_partly_right():
    scored = score(run([NIGHTS], [night(1, 1200, 2400)]))
    assert scored.verdict is Verdict.PARTLY
    assert [one.found for one in scored.truths[0].occurrences] == [True, False]


def test_a_household_is_found_by_what_only_staff_see_and_a_network_is_not():
    own = {"kind": "outage", "level": "probe", "asns": (64500,)}
    seen = household_event(closed(**own))
    alone = truth("outage", level="probe", asns=(64500,))
    assert only(score(run([alone], [seen]))).scope.right
    network = score(run([truth("outage", level="network", asns=(64500,))], [seen]))
    assert not only(network).found
    assert network.household_alarms == ()


def test_a_household_s_event_where_nothing_was_is_told_and_published_nowhere():
    scored = score(run([truth("nothing", spans=())], [household_event(closed(kind="outage", level="probe"))]))
    assert scored.verdict is Verdict.RIGHT
    assert [alarm.level for alarm in scored.household_alarms] == ["probe"]


def test_of_nothing_only_the_kinds_that_are_named_are_wrong():
    down = truth("nothing", not_kinds=("blocking",))
    assert score(run([down], [event(closed(kind="blocking"))])).verdict is Verdict.WRONG
    tolerated = score(run([down], [event()]))
    assert (tolerated.verdict, tolerated.false_alarms) == (Verdict.RIGHT, ())
    outside = score(run([down], [event(closed(9000.0, 6000, 7000))]))
    assert len(outside.false_alarms) == 1


def test_of_nothing_only_more_confidence_than_allowed_is_wrong():
    forged = truth("nothing", at_most="unconfirmed")
    assert score(run([forged], [event(version())])).verdict is Verdict.RIGHT
    assert score(run([forged], [event()])).truths[0].false_calls == ("CIV-2026-XA-0001",)


def test_what_is_called_by_its_name_is_not_what_it_was_first_taken_for():
    truths = [truth("collector_blocked"), truth("nothing", not_kinds=("shutdown_suspected",))]
    recognised = event(version(), closed(kind="collector_blocked"))
    assert score(run(truths, [recognised])).verdict is Verdict.RIGHT
    assert score(run(truths, [event()])).verdict is Verdict.WRONG


def test_that_a_country_cannot_be_seen_has_to_be_said():
    mobile = truth("nothing", says="not_observable")
    assert rules(score(run([mobile]))) == {"says"}
    assert score(run([mobile])).verdict is Verdict.WRONG
    assert score(run([mobile], not_observable=("XA",))).verdict is Verdict.RIGHT


def test_an_event_that_says_only_that_nobody_could_see_claims_nothing():
    blind = event(version(access="not_observable"))
    assert (
        score(run([truth("nothing", says="not_observable")], [blind], not_observable=("XA",))).verdict is Verdict.RIGHT
    )


@pytest.mark.parametrize(
    ("ledger", "rule"),
    [
        ({"lost": 2}, "run.lost"),
        ({"doubled": 1}, "run.doubled"),
        ({"rejected_batches": 1}, "run.rejected"),
        ({"slots": 9, "slots_missing": ("probe ntp ntp 2026-01-01T00:00:00+00:00",)}, "run.slots"),
    ],
)
def test_rows_lost_and_doubled_and_batches_rejected_are_told(ledger, rule):
    account = {"recorded": 1000, "stored": 1000, "lost": 0, "doubled": 0} | ledger
    scored = score(run([ASKED], [event()], ledger=LedgerRun(**account)))
    assert rules(scored) == {rule}
    assert scored.verdict is Verdict.PARTLY


def test_quiet_is_counted_by_country_outside_of_all_truths():
    scored = score(run([ASKED, truth(spans=((3000, 4200),)), truth("nothing", spans=(), cc="XB")]))
    assert scored.quiet_h == pytest.approx((2 * UNTIL - 3000) / 3600)


def test_a_run_that_broke_down_is_a_miss_of_everything_and_says_why():
    scored = score(run([ASKED, truth("nothing", spans=(), says="not_observable")], [event()], broke="no broker"))
    assert scored.verdict is Verdict.BROKE
    assert [one.verdict for one in scored.truths] == [Verdict.BROKE, Verdict.BROKE]
    assert [miss.why for miss in scored.misses] == ["broke down: no broker"]
    summed = total([scored])
    assert (summed.found.n, summed.found.of, summed.said.of, summed.quiet_h) == (0, 1, 1, 0.0)
    never_begun = run([truth(spans=())], zero=None, played_until=None, broke="no broker")
    assert total([score(never_begun)]).found.of == 1


def test_a_truth_that_was_never_done_is_not_found():
    scored = score(run([truth(spans=())], [event()]))
    assert [miss.why for miss in scored.truths[0].misses] == ["it was never done"]
    assert len(scored.false_alarms) == 1


def test_false_alarms_are_told_by_the_quiet_hour():
    lonely = event(closed(6000.0, 4000, 5000, cc="XB"))
    summed = total([score(run([], [lonely])), score(run([]))])
    assert summed.false_alarms == 1
    assert summed.false_alarms_per_quiet_h == pytest.approx(1 / (4 * UNTIL / 3600), abs=1e-4)
    assert score(run([], [lonely])).verdict is Verdict.WRONG


def test_a_score_survives_json():
    result = run([ASKED, NIGHTS], [event(), night(2, 4800, 6000)])
    assert score(RunResult.model_validate_json(result.model_dump_json())) == score(result)


def test_every_kind_has_a_family_and_every_miss_a_rule():
    assert set(FAMILIES) == {kind.value for kind in EventKind}
    asked = {edge_rule(edge, kind) for edge in ("start", "end") for kind in FAMILIES}
    assert asked | {alert_rule(kind) for kind in FAMILIES} <= set(BY_ID)


# Properties.

PLACES = [("country", (64500, 64501)), ("network", (64500,)), ("network", (64501,))]
kinds = st.sampled_from([kind.value for kind in EventKind])
starts = st.integers(0, 8).map(lambda n: n * 900.0)


@st.composite
def invented_events(draw):
    start, length = draw(starts), draw(st.integers(1, 4)) * 900.0
    level, asns = draw(st.sampled_from(PLACES))
    same = {"kind": draw(kinds), "level": level, "asns": asns, "cc": draw(st.sampled_from(["XA", "XB"]))}
    chain = [version(start + 400, onset=bounds(start - 60, start + 30), **same)]
    if draw(st.booleans()):
        chain.append(closed(start + length + 400, start, start + length, **same))
    if draw(st.booleans()):
        chain.append(chain[-1].model_copy(update={"status": "retracted", "published_at": at(UNTIL - 1)}))
    return chain


@st.composite
def invented_truths(draw):
    level, asns = draw(st.sampled_from(PLACES))
    start = draw(starts)
    spans = [(start + n * 2400, start + n * 2400 + 1200) for n in range(draw(st.integers(1, 3)))]
    return truth(draw(kinds), spans=spans, level=level, asns=asns, cc=draw(st.sampled_from(["XA", "XB"])))


many_truths = st.lists(invented_truths(), max_size=3)
many_events = st.lists(invented_events(), max_size=6).map(
    lambda chains: [event(*chain, number=number) for number, chain in enumerate(chains)]
)


@given(many_truths, many_events, st.randoms(use_true_random=False))
def test_a_score_does_not_depend_on_the_order_of_events(truths, events, chance):
    shuffled = chance.sample(events, len(events))
    assert score(run(truths, shuffled)) == score(run(truths, events))


@given(many_truths, many_events, st.data())
def test_taking_an_event_away_never_finds_more(truths, events, data):
    def found(some):
        return total([score(run(truths, some))]).found.n

    for_removal = data.draw(st.integers(0, max(0, len(events) - 1)))
    assert found(events[:for_removal] + events[for_removal + 1 :]) <= found(events)


@given(many_truths, many_events)
def test_every_published_event_is_accounted_for_once(truths, events):
    scored = score(run(truths, events))
    times = [one for each in scored.truths for one in each.occurrences]
    named = [name for one in times for name in (*one.split, *one.withdrawn, *([one.event] if one.event else []))]
    named += [alarm.event for alarm in scored.false_alarms]
    assert sorted(named) == sorted(each.public_id for each in events)


@given(st.lists(st.tuples(kinds, st.integers(0, 3)), unique_by=lambda pair: pair[1], min_size=1, max_size=4))
def test_a_perfect_record_of_anything_is_right(happened):
    spans = [(kind, number * 2400 + 600, number * 2400 + 1800) for kind, number in happened]
    truths = [truth(kind, spans=((start, end),), backfill_from=at(end)) for kind, start, end in spans]
    events = [
        event(version(start + 500, kind=kind), closed(end + 300, start, end, kind=kind), number=number)
        for number, (kind, start, end) in enumerate(spans)
    ]
    scored = score(run(truths, events, played_until=at(12000)))
    assert scored.verdict is Verdict.RIGHT
    assert [one.verdict for one in scored.truths] == [Verdict.RIGHT] * len(truths)
