"""General throttling against a real database: from transfers to an event, and to its end."""

import math
from contextlib import contextmanager
from random import Random

import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect_role import detect_once
from tests.collector.fix_detect import at
from tests.collector.fix_service_rows import Rows, settings_for
from tests.collector.fix_web import served_at

pytestmark = pytest.mark.db

DAY = 24 * 60
SLOW_FROM, SLOW_UNTIL = 22 * DAY, 23 * DAY


@pytest.fixture
def rows(plain_dsn):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        yield Rows(conn)


def speeds(rows, probes, days, *, factor=1.0, rtt=1.0):
    """To two servers every three hours; slower by ``factor`` in the day that is asked about."""
    rng = Random(4)
    for minute in range(0, days * DAY, 180):
        slow = SLOW_FROM <= minute < SLOW_UNTIL
        for place, probe in enumerate(probes):
            for number, server in enumerate(("nairobi", "kisumu")):
                bps = 2e7 * math.exp(rng.gauss(0, 0.2)) * (factor if slow else 1)
                facts = {"server": server, "direction": "download", "rtt_ms": 40.0 * (rtt if slow else 1)}
                rows.row(probe, "throughput", server, minute + 2 * place + number, goodput_bps=bps, **facts)
    rows.store()


def found(rows, plain_dsn, minute):
    return [change.version.record for change in detect_once(rows.conn, settings_for(plain_dsn), at(minute)).changes]


def test_a_slow_network_is_published_as_unconfirmed_and_closed_when_it_is_as_usual(rows, plain_dsn):
    kenya = [rows.probe("KE", asn) for asn in (101, 101, 101)]
    speeds(rows, kenya, 24, factor=0.2)
    rows.conn.commit()
    (new,) = found(rows, plain_dsn, SLOW_FROM + DAY // 2)
    assert (new.kind, new.status, new.confidence.label) == ("throttling_general", "open", "unconfirmed")
    assert (new.scope.level, new.scope.cc, new.scope.asns, new.scope.targets) == ("network", "KE", (101,), ())
    assert new.onset.earliest < at(SLOW_FROM) <= new.onset.latest < at(SLOW_FROM + 180)
    (closed,) = found(rows, plain_dsn, 24 * DAY)
    assert (closed.status, closed.event_key) == ("closed", new.event_key)
    assert at(SLOW_UNTIL - 180) < closed.resolution.earliest <= at(SLOW_UNTIL) <= closed.resolution.latest
    assert (closed.affected.n_households, closed.affected.n_observed) == (3, 3)
    (row,) = closed.grid.rows
    assert "dddddd" in row.state
    assert len(row.state) == len(row.up) == len(row.down) == len(row.unknown)
    assert found(rows, plain_dsn, 24 * DAY + 1) == []


def test_its_page_and_its_json_say_what_was_slow(rows, plain_dsn, tmp_path):
    kenya = [rows.probe("KE", asn) for asn in (101, 101, 101)]
    speeds(rows, kenya, 24, factor=0.2)
    rows.conn.commit()
    found(rows, plain_dsn, 24 * DAY)
    with contextmanager(served_at)(plain_dsn, tmp_path) as site:
        page = site.client.get("/events/CIV-2026-KE-0001", headers={"Accept": "text/html"})
        record = site.client.get("/events/CIV-2026-KE-0001.json").json()
    assert page.status_code == 200
    assert "A way that is overloaded beyond the households" in page.text
    assert "against its own weeks" in page.text
    assert record["kind"] == "throttling_general"


def test_a_network_whose_round_trips_grow_is_left_alone(rows, plain_dsn):
    kenya = [rows.probe("KE", asn) for asn in (101, 101, 101)]
    speeds(rows, kenya, 23, factor=0.2, rtt=2.0)
    rows.conn.commit()
    assert found(rows, plain_dsn, 23 * DAY) == []
