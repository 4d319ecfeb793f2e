"""Blocking and throttling against a real database: from rows to votes, to events that are published or not."""

from operator import itemgetter

import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.db.events import list_events, read_versions
from civobs_collector.detect.record import EventRecord
from civobs_collector.detect_read import read_chains
from civobs_collector.detect_role import detect_once
from civobs_collector.rollups import roll_up
from civobs_collector.service_days import Memory
from tests.collector.fix_detect import at
from tests.collector.fix_said import told
from tests.collector.fix_service_rows import IPV6_BROKEN, NXDOMAIN, Rows, settings_for

pytestmark = pytest.mark.db

SITE, OTHER, THIRD = "site", "other", "third"
NORMAL, BLOCKED, AFTER = range(12), range(12, 18), range(18, 24)


@pytest.fixture
def world(plain_dsn):
    """Two networks of Kenya with three households, two in Tanzania, two in Uganda; all reach three sites each hour."""
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        rows = Rows(conn)
        kenya = [rows.probe("KE", asn) for asn in (101, 101, 102)]
        abroad = [rows.probe("TZ", 201), rows.probe("TZ", 201), rows.probe("UG", 301), rows.probe("UG", 301)]
        rows.all(abroad, (SITE, OTHER, THIRD), range(24), rows.works)
        rows.all(kenya, (OTHER, THIRD), range(24), rows.works)
        rows.all(kenya, (SITE,), NORMAL, rows.works)
        rows.all(kenya, (SITE,), AFTER, rows.works)
        yield rows, kenya, abroad, settings_for(plain_dsn)


def found(world, minute):
    rows, *_, settings = world
    rows.store()
    return [change.version.record for change in detect_once(rows.conn, settings, at(minute)).changes]


def tried(world):
    """What would be published, without writing it."""
    rows, *_, settings = world
    rows.conn.commit()
    return detect_once(rows.conn, settings, at(24 * 60), dry_run=True).changes


def test_resets_by_name_are_published_as_blocking_and_closed_when_they_end(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.reset_by_name)
    (new,) = found(world, 16 * 60)
    assert (new.kind, new.status, new.scope.level, new.scope.cc) == ("blocking", "open", "country", "KE")
    assert (new.scope.asns, new.scope.targets) == ((101, 102), (SITE,))
    assert (new.scope.layers, new.scope.mechanisms) == (("tls",), ("tls.reset.sni",))
    assert new.confidence.label == "probable"
    assert "the same addresses answered to another name" in new.confidence.reasons
    assert at(11 * 60) <= new.onset.earliest <= at(12 * 60) <= new.onset.latest <= at(12 * 60 + 40)
    (closed,) = found(world, 24 * 60)
    assert (closed.status, closed.provisional) == ("closed", False)
    assert at(17 * 60) <= closed.resolution.earliest <= at(18 * 60) <= closed.resolution.latest
    assert at(11 * 60) <= closed.dating.onset.earliest <= at(12 * 60) <= closed.dating.onset.latest <= at(13 * 60)
    assert closed.dating.resolution.earliest <= at(18 * 60) <= closed.dating.resolution.latest <= at(19 * 60)
    assert closed.cross_checks["cusum.nats"] > 7
    assert found(world, 24 * 60 + 1) == []
    versions = read_versions(rows.conn, "CIV-2026-KE-0001")
    assert [one.change_kind for one in versions] == ["new", "closed"]
    assert EventRecord.model_validate(versions[1].record) == closed
    grid = closed.grid
    assert [(row.asn, row.target) for row in grid.rows] == [
        *((None, ""), (101, ""), (102, "")),
        *((101, SITE), (102, SITE)),
    ]
    assert all(len(row.state) == len(row.up) == len(row.down) == len(row.unknown) for row in grid.rows)
    assert max(grid.rows[0].down) == 3
    assert {signal.signal for signal in closed.per_signal} == {"tls", "tls.AS101", "tls.AS102"}


def test_a_blocking_of_weeks_stays_one_event_with_its_start(world):
    rows, kenya, abroad, _ = world
    rows.all(kenya, (SITE,), range(12, 16), rows.reset_by_name)
    (new,) = found(world, 16 * 60)
    rows.conn.execute("DELETE FROM measurement WHERE ts >= %s", (at(16 * 60),))
    last_day = range(19 * 24, 20 * 24)
    rows.all(kenya, (OTHER,), last_day, rows.works)
    rows.all(abroad, (SITE,), last_day, rows.works)
    rows.all(kenya, (SITE,), (*range(16, 24), *range(24, 19 * 24, 12), *last_day), rows.reset_by_name)
    rows.all(kenya, (OTHER,), (*range(16, 24), *range(24, 19 * 24, 12)), rows.works)
    (later,) = found(world, 20 * 24 * 60)
    assert (later.status, later.onset) == ("open", new.onset)
    assert [one.public_id for one in list_events(rows.conn, cc="KE")] == ["CIV-2026-KE-0001"]


def test_a_site_that_was_blocked_before_the_window_is_published_once(plain_dsn):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        rows = Rows(conn)
        kenya, abroad = [rows.probe("KE", 101) for _ in range(2)], [rows.probe("TZ", 201) for _ in range(2)]
        hours = range(0, 11 * 24, 4)
        rows.all(abroad, (SITE, OTHER), hours, rows.works)
        rows.all(kenya, (OTHER,), hours, rows.works)
        rows.all(kenya, (SITE,), hours, rows.reset_by_name)
        world = (rows, settings_for(plain_dsn))
        (new,) = found(world, 11 * 24 * 60)
        assert (new.status, new.onset.likely) == ("open", None)
        assert [found(world, 11 * 24 * 60 + minute) for minute in (0, 5, 10)] == [[], [], []]
        # Ladders are read no further back because of it.
        later = detect_once(conn, settings_for(plain_dsn), at(36 * 24 * 60), dry_run=True)
        assert later.since == at(6 * 24 * 60)


def test_what_the_roll_ups_hold_is_found_like_what_is_not_rolled_up_yet(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.reset_by_name)
    rows.store()
    before = tried(world)
    rows.conn.rollback()
    while roll_up(rows.conn, at(48 * 60)):
        pass
    assert rows.conn.execute("SELECT count(*) FROM dirty_bucket").fetchone() == (0,)
    assert tried(world) == before
    assert len(before) == 1


def test_an_address_that_is_swallowed_in_one_network_is_blocking_there_and_unconfirmed(world):
    rows, kenya, *_ = world
    rows.all(kenya[:2], (SITE,), BLOCKED, rows.silent)
    rows.all(kenya[2:], (SITE,), BLOCKED, rows.works)
    (event,) = found(world, 24 * 60)
    assert (event.scope.level, event.scope.asns, event.scope.mechanisms) == ("network", (101,), ("tcp.timeout",))
    assert event.confidence.label == "unconfirmed"


def test_a_lie_of_the_given_resolver_is_told_by_where_it_leads(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.lied_to)
    (event,) = found(world, 24 * 60)
    assert (event.scope.layers, event.scope.mechanisms) == (("dns",), ("dns.injection",))


def test_a_dead_machine_that_a_delivery_network_leads_one_network_to_is_no_lie_and_unconfirmed(world):
    rows, kenya, *_ = world
    rows.all(kenya[:2], (SITE,), BLOCKED, rows.dead_node)
    rows.all(kenya[2:], (SITE,), BLOCKED, rows.works)
    (event,) = found(world, 24 * 60)
    assert (event.scope.asns, event.scope.layers, event.scope.mechanisms) == ((101,), ("tcp",), ("tcp.timeout",))
    assert event.confidence.label == "unconfirmed"


def test_an_answer_that_wins_the_race_against_the_right_one_is_a_lie_wherever_it_leads(world):
    rows, kenya, *_ = world
    rows.all(kenya[:2], (SITE,), BLOCKED, rows.raced)
    rows.all(kenya[2:], (SITE,), BLOCKED, rows.works)
    (event,) = found(world, 24 * 60)
    assert (event.scope.asns, event.scope.layers, event.scope.mechanisms) == ((101,), ("dns",), ("dns.injection",))
    assert event.confidence.label == "probable"


def test_a_name_that_a_countrys_resolvers_deny_is_blocked_at_the_name(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.unresolved, failure=NXDOMAIN)
    (event,) = found(world, 24 * 60)
    assert (event.scope.targets, event.scope.mechanisms) == ((SITE,), ("dns.nxdomain",))


def test_a_known_page_in_place_of_the_sites_is_blocking_with_an_artefact(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), (*NORMAL, *AFTER), rows.page)
    rows.all(kenya, (SITE,), BLOCKED, rows.forbidden)
    (event,) = found(world, 24 * 60)
    assert (event.scope.layers, event.scope.mechanisms) == (("http",), ("http.blockpage",))
    assert "a page that says that the request was forbidden came in its place" in event.confidence.reasons


def test_a_site_that_is_down_for_everybody_is_no_event(world):
    rows, kenya, abroad, _ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.silent)
    rows.store()
    rows.conn.execute(
        "DELETE FROM measurement m USING target t WHERE t.target_key = m.target_key AND t.name = %s"
        " AND probe_key = ANY(%s) AND ts >= %s AND ts < %s",
        (SITE, abroad, at(12 * 60), at(18 * 60)),
    )
    rows.all(abroad, (SITE,), BLOCKED, rows.silent)
    assert found(world, 24 * 60) == []


def test_a_dead_resolver_is_no_blocking_of_all_that_it_was_asked(plain_dsn):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        rows = Rows(conn)
        kenya, abroad = [rows.probe("KE", 101) for _ in range(3)], [rows.probe("TZ", 201) for _ in range(3)]
        rows.all(abroad, (SITE, OTHER), range(24), rows.works)
        rows.all(kenya, (SITE, OTHER), (*NORMAL, *AFTER), rows.works)
        rows.all(kenya, (SITE, OTHER), BLOCKED, rows.unresolved)
        assert found((rows, settings_for(plain_dsn)), 24 * 60) == []


def test_a_line_on_which_nothing_works_says_nothing_of_its_targets(plain_dsn):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        rows = Rows(conn)
        kenya, abroad = [rows.probe("KE", 101) for _ in range(3)], [rows.probe("TZ", 201) for _ in range(3)]
        rows.all(abroad, (SITE, OTHER), range(24), rows.works)
        rows.all(kenya, (SITE, OTHER), (*NORMAL, *AFTER), rows.works)
        rows.all(kenya, (SITE, OTHER), BLOCKED, rows.silent)
        assert found((rows, settings_for(plain_dsn)), 24 * 60) == []


@pytest.mark.parametrize(
    ("share", "targets"), [(0.9, (OTHER, SITE)), (0.9, (OTHER, SITE, THIRD)), (0.1, (OTHER, SITE))]
)
def test_all_that_is_measured_may_be_blocked_at_once_where_the_ladder_says_that_the_line_works(
    plain_dsn, share, targets
):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        rows = Rows(conn)
        kenya, abroad = [rows.probe("KE", 101 + n % 2) for n in range(3)], [rows.probe("TZ", 201) for _ in range(3)]
        rows.all(abroad, targets, range(24), rows.works)
        rows.all(kenya, targets, (*NORMAL, *AFTER), rows.works)
        rows.all(kenya, targets, BLOCKED, rows.silent)
        for probe in (*kenya, *abroad):
            for minute in range(0, 24 * 60, 5):
                rows.abroad(probe, minute, share=share)
        events = [one for one in found((rows, settings_for(plain_dsn)), 24 * 60) if one.kind == "blocking"]
        assert [(one.scope.targets, one.scope.mechanisms) for one in events] == (
            [(targets, ("tcp.timeout",))] if share > 0.5 else []
        )


def test_failures_of_a_family_that_does_not_work_say_nothing_of_the_target(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.works)
    rows.all(kenya, (SITE,), BLOCKED, rows.silent, family=6, validity=IPV6_BROKEN)
    assert found(world, 24 * 60) == []


def test_case_13_one_household_alone_publishes_nothing(world):
    rows, kenya, *_ = world
    rows.all(kenya[:1], (SITE,), BLOCKED, rows.reset_by_name)
    rows.all(kenya[1:], (SITE,), BLOCKED, rows.works)
    assert found(world, 24 * 60) == []


def test_a_name_slowed_beside_a_neutral_one_is_targeted_throttling(world):
    rows, kenya, abroad, _ = world
    for hour in range(4, 22, 2):
        for probe in (*kenya, *abroad[1:3]):
            slow = hour in BLOCKED and probe in kenya
            rows.pairs(probe, SITE, 60 * hour, slow_bps=140e3 if slow else 7.9e6)
    rows.all(kenya, (SITE,), BLOCKED, rows.works)
    (event,) = found(world, 24 * 60)
    assert (event.kind, event.scope.cc, event.scope.asns) == ("throttling_targeted", "KE", (101, 102))
    assert (event.scope.targets, event.scope.mechanisms) == ((SITE,), ("tls.throttle.sni",))
    assert at(10 * 60) <= event.onset.earliest <= at(12 * 60) <= event.onset.latest <= at(12 * 60 + 1)


def test_the_order_in_which_rows_came_changes_nothing(world):
    rows, kenya, *_ = world
    rows.all(kenya, (SITE,), BLOCKED, rows.reset_by_name)
    rows.store()
    before = tried(world)
    rows.conn.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM measurement")
    rows.conn.execute("DELETE FROM measurement")
    rows.conn.execute("INSERT INTO measurement SELECT * FROM kept ORDER BY md5(seq::text)")
    assert tried(world) == before


def test_case_3_rows_that_come_in_pieces_in_any_order_end_in_what_all_of_them_give_at_once(world):
    rows, kenya, abroad, settings = world
    rows.all(kenya, (SITE,), BLOCKED, rows.reset_by_name)
    for probe in (*kenya, *abroad[1:3]):
        for hour in range(4, 22, 2):
            slow = hour in BLOCKED and probe in kenya
            rows.pairs(probe, THIRD, 60 * hour, slow_bps=140e3 if slow else 7.9e6)
    rows.store()
    at_once = [told(change.version.record) for change in tried(world)]
    assert {kind for kind, *_ in at_once} == {"blocking", "throttling_targeted"}
    rows.conn.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM measurement")
    for table in ("measurement", "dirty_bucket"):
        rows.conn.execute(f"DELETE FROM {table}")
    memory = Memory()
    for part in range(4):
        # Each probe delivers some hours now and others later.
        rows.conn.execute(
            "INSERT INTO measurement SELECT * FROM kept WHERE mod(abs(hashtext(probe_key || ' ' || "
            " extract(hour FROM ts))), 4) = %s ORDER BY md5(seq::text)",
            (part,),
        )
        rows.conn.execute(
            "INSERT INTO dirty_bucket SELECT DISTINCT date_bin('5 minutes', ts, '2000-01-01'), probe_key"
            " FROM measurement ON CONFLICT DO NOTHING"
        )
        rows.conn.commit()
        while part % 2 and roll_up(rows.conn, at(48 * 60)):
            pass
        detect_once(rows.conn, settings, at(24 * 60 + part), services=memory)
        assert detect_once(rows.conn, settings, at(24 * 60 + part), services=memory).changes == ()
    chains, _ = read_chains(rows.conn, at(0))
    live = [told(one.record) for one in chains if one.record.status != "retracted"]
    assert sorted(live, key=itemgetter(0)) == sorted(at_once, key=itemgetter(0))


def test_case_2_late_rows_of_another_network_revise_what_was_published(world):
    rows, kenya, *_ = world
    rows.all(kenya[:2], (SITE,), BLOCKED, rows.reset_by_name)
    (first,) = found(world, 24 * 60)
    rows.all(kenya[2:], (SITE,), BLOCKED, rows.reset_by_name)
    (second,) = found(world, 24 * 60)
    assert (first.scope.asns, second.scope.asns) == ((101,), (101, 102))
    versions = read_versions(rows.conn, "CIV-2026-KE-0001")
    assert [(one.change_kind, one.reason) for one in versions] == [("new", "detected"), ("reclassified", "late_data")]
    assert len(list_events(rows.conn, cc="KE")) == 1
