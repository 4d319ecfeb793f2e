"""Published events of services while the window that is looked at moves on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.record import EventKind, Level, Status, Transition
from civobs_collector.detect.services import START_UNKNOWN, Evidence, compute
from civobs_collector.detect.versions import PART_OF_LARGER, WITHDRAWN, Chain, plan
from tests.collector.fix_detect import LONG_AGO, PARAMS
from tests.collector.fix_services import BLOCKED_AT, blocking_record
from tests.collector.fix_votes import START, Network, hourly, votes
from tests.collector.fix_web import shutdown_record

DAY = timedelta(days=1)
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


def test_a_blocking_before_a_shutdown_stays_one_when_the_line_is_lost_as_well():
    networks = [Network(100, "KE"), Network(101, "KE"), Network(200, "TZ"), Network(201, "TZ")]
    rows = hourly(networks, range(48), lambda one: one.cc == "KE" and one.hour >= 36)
    probes = {(one.household, one.asn, one.cc) for one in rows}
    now = datetime.fromtimestamp(START, UTC) + timedelta(hours=48)
    inputs = Inputs(
        since=now - 2 * DAY,
        now=now,
        probes=tuple(
            ProbeInfo(
                probe_key=home,
                probe_id=f"{home:016d}",
                household=home,
                cc=cc,
                asn=asn,
                admin1=None,
                is_anchor=False,
                active=True,
                enrolled_at=LONG_AGO - 3000 * DAY,
            )
            for home, asn, cc in sorted(probes)
        ),
    )

    def kinds(lost_hour):
        start = Transition(earliest=now - timedelta(hours=48 - lost_hour), latest=now - timedelta(hours=48 - lost_hour))
        loss = shutdown_record(status=Status.OPEN, onset=start, resolution=None)
        loss = loss.model_copy(update={"scope": loss.scope.model_copy(update={"cc": "KE", "level": Level.COUNTRY})})
        return [one.kind for one in compute(Evidence(votes(rows)), inputs, [loss], PARAMS)]

    assert kinds(35) == []
    assert kinds(38) == [EventKind.BLOCKING]
