"""Published events of services while the window that is looked at moves on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.record import EventKind, Level, Status, Transition
from civobs_collector.detect.services import START_UNKNOWN, Evidence, compute
from civobs_collector.detect.versions import PART_OF_LARGER, WITHDRAWN, plan
from tests.collector.fix_detect import PARAMS
from tests.collector.fix_services import BLOCKED_AT, blocking_record
from tests.collector.fix_votes import START, Network, hourly, votes
from tests.collector.fix_web import shutdown_record

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VOTED_AT = datetime.fromtimestamp(START, UTC)
OTHER_KEY = UUID("018bb2f0-0000-7000-8000-0000000000aa")


def chain(record, published_at=BLOCKED_AT):
    return Chain(record.event_key, "CIV-2023-KE-0001", 1, published_at, record)


def still_blocked(**changes):
    values = {"status": Status.OPEN, "resolution": None, "campaign": None}
    return blocking_record(**(values | changes))


def seen_from(moment, **changes):
    """The same, as a window shows it that begins when it had long been so."""
    return still_blocked(
        event_key=OTHER_KEY, onset=Transition(earliest=moment, latest=moment), limits=(START_UNKNOWN,), **changes
    )


def events_of(networks, losses):
    """What is found where every household of Kenya fails in the last twelve of 48 hours."""
    rows = hourly(networks, range(48), lambda one: one.cc == "KE" and one.hour >= 36)
    homes = sorted({(one.household, one.cc, one.asn) for one in rows})
    probes = tuple(ProbeInfo(home, f"{home:016d}", home, cc, asn, VOTED_AT - 90 * DAY) for home, cc, asn in homes)
    inputs = Inputs(since=VOTED_AT, now=VOTED_AT + 2 * DAY, probes=probes)
    return compute(Evidence(votes(rows)), inputs, losses, PARAMS)


@pytest.mark.parametrize("back", [DAY / 2, -DAY / 2])
def test_a_site_that_is_blocked_for_longer_than_is_looked_back_keeps_its_start(back):
    now = BLOCKED_AT + 70 * DAY
    since = now - 7 * DAY
    latest_chart = blocking_record().grid.model_copy(update={"start": now - DAY})
    stored = chain(still_blocked(grid=latest_chart), published_at=now - timedelta(minutes=5))
    assert plan([seen_from(since - back)], [stored], since, now, PARAMS) == []
    later = now + timedelta(hours=2)
    (version,) = plan([seen_from(since - back)], [stored], since, later, PARAMS)
    assert (version.event_key, version.change_kind) == (stored.event_key, "extended")
    assert version.record.onset == stored.record.onset
    assert START_UNKNOWN not in version.record.limits
    assert version.record.severity.hours > 60 * 24
    end = Transition(earliest=now - DAY, latest=now - DAY)
    (closed,) = plan([seen_from(since, status=Status.CLOSED, resolution=end)], [stored], since, now, PARAMS)
    assert (closed.change_kind, closed.record.onset, closed.record.resolution) == ("closed", stored.record.onset, end)


def test_two_long_blockings_that_can_no_longer_be_told_apart_are_one_and_neither_is_said_to_be_over():
    now = BLOCKED_AT + 70 * DAY
    since = now - 7 * DAY
    chart = blocking_record().grid.model_copy(update={"start": now - DAY})
    first = chain(still_blocked(grid=chart), published_at=now)
    later = Transition(earliest=BLOCKED_AT + 9 * DAY, latest=BLOCKED_AT + 9 * DAY)
    one = first.record.scope.model_copy(update={"targets": first.record.scope.targets[:1]})
    second = chain(still_blocked(grid=chart, event_key=OTHER_KEY, onset=later, scope=one))
    (version,) = plan(
        [seen_from(since).model_copy(update={"event_key": UUID(int=1)})], [first, second], since, now, PARAMS
    )
    assert (version.event_key, version.change_kind) == (OTHER_KEY, "retracted")
    assert version.record.limits[0] == PART_OF_LARGER


def test_late_rows_move_a_start_that_was_not_known_back():
    stored = chain(seen_from(BLOCKED_AT))
    earlier = seen_from(BLOCKED_AT - timedelta(hours=5))
    (version,) = plan([earlier], [stored], BLOCKED_AT - DAY, BLOCKED_AT + DAY, PARAMS)
    assert (version.change_kind, version.record.onset) == ("corrected", earlier.onset)


def test_an_event_is_not_taken_back_because_what_was_usual_before_it_leaves_the_window():
    stored = chain(blocking_record())
    near = BLOCKED_AT - DAY
    assert plan([], [stored], near, near + 7 * DAY, PARAMS) == []
    far = BLOCKED_AT - 5 * DAY
    (version,) = plan([], [stored], far, far + 7 * DAY, PARAMS)
    assert (version.change_kind, version.record.limits[0]) == ("retracted", WITHDRAWN)


def test_only_an_event_of_the_same_targets_is_the_larger_one():
    now = BLOCKED_AT + DAY
    stored = chain(blocking_record())
    scope = stored.record.scope
    there = blocking_record(event_key=OTHER_KEY, scope=scope.model_copy(update={"targets": ("else.example",)}))
    notes = {v.change_kind: v.record.limits[0] for v in plan([there], [stored], now - 6 * DAY, now, PARAMS)}
    assert notes["retracted"] == WITHDRAWN
    both = chain(blocking_record(event_key=OTHER_KEY))
    (version,) = plan([stored.record], [stored, both], now - 6 * DAY, now, PARAMS)
    assert (version.event_key, version.record.limits[0]) == (OTHER_KEY, PART_OF_LARGER)


def test_what_is_left_of_an_event_that_is_over_is_no_event_of_its_own():
    over = chain(blocking_record())
    since = BLOCKED_AT + timedelta(hours=2)
    end = {"status": Status.CLOSED, "resolution": over.record.resolution}
    scope = over.record.scope
    parts = [
        seen_from(since, scope=scope.model_copy(update={"asns": (asn,)}), **end).model_copy(
            update={"event_key": UUID(int=OTHER_KEY.int + asn)}
        )
        for asn in scope.asns
    ]
    assert plan(parts, [over], since, since + 7 * DAY, PARAMS) == []


def test_a_site_that_was_blocked_before_all_that_is_looked_at_is_published():
    (new,) = plan([seen_from(BLOCKED_AT - DAY)], [], BLOCKED_AT, BLOCKED_AT + 7 * DAY, PARAMS)
    assert (new.change_kind, new.record.status) == ("new", Status.OPEN)


def test_a_household_that_is_late_this_hour_is_no_news_of_an_open_event():
    now = BLOCKED_AT + timedelta(hours=3)
    stored = chain(still_blocked(provisional=False), published_at=now)
    assert plan([still_blocked(provisional=True)], [stored], BLOCKED_AT - DAY, now, PARAMS) == []


def test_the_chain_with_the_same_targets_is_continued():
    scope = blocking_record().scope
    wide, narrow = scope.model_copy(update={"targets": ("a", "b")}), scope.model_copy(update={"targets": ("b",)})
    keys = [UUID(int=OTHER_KEY.int + n) for n in range(4)]
    stored = [
        chain(still_blocked(event_key=keys[0], scope=wide)),
        chain(still_blocked(event_key=keys[1], scope=narrow)),
    ]
    found = [still_blocked(event_key=keys[2], scope=narrow), still_blocked(event_key=keys[3], scope=wide)]
    assert plan(found, stored, BLOCKED_AT - DAY, BLOCKED_AT + timedelta(minutes=1), PARAMS) == []


def test_households_of_no_known_network_make_no_second_one():
    networks = [Network(0, "KE"), Network(101, "KE"), Network(200, "TZ"), Network(201, "TZ")]
    (event,) = events_of(networks, [])
    assert (event.scope.asns, event.scope.level) == ((0, 101), Level.NETWORK)
    assert event.confidence.label == "unconfirmed"


def test_a_blocking_before_a_shutdown_stays_one_when_the_line_is_lost_as_well():
    networks = [Network(100, "KE"), Network(101, "KE"), Network(200, "TZ"), Network(201, "TZ")]

    def kinds(lost_hour):
        start = Transition(earliest=VOTED_AT + lost_hour * HOUR, latest=VOTED_AT + lost_hour * HOUR)
        loss = shutdown_record(status=Status.OPEN, onset=start, resolution=None)
        loss = loss.model_copy(update={"scope": loss.scope.model_copy(update={"cc": "KE", "level": Level.COUNTRY})})
        return [one.kind for one in events_of(networks, [loss])]

    assert kinds(35) == []
    assert kinds(38) == [EventKind.BLOCKING]
