"""Runs against targets read a day at a time: what is remembered, cut or put together changes no vote."""

import random
from dataclasses import fields
from datetime import timedelta

import numpy as np
import psycopg
import pytest
from prometheus_client import REGISTRY

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect.params import Params
from civobs_collector.detect_read import read_inputs
from civobs_collector.detect_role import detect_once
from civobs_collector.errors import ServicesError
from civobs_collector.rollups import roll_up
from civobs_collector.service_days import Memory
from civobs_collector.service_read import block_pages, read_votes
from tests.collector.fix_detect import at
from tests.collector.fix_service_rows import IPV6_BROKEN, Rows, settings_for

pytestmark = pytest.mark.db

PARAMS = Params()
SITES = ("site", "other", "third")
DAY = 24 * 60

TOO_MANY = """
CREATE FUNCTION looked() RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
  n int4 := coalesce(nullif(current_setting('looked.n', true), ''), '0')::int4 + 1;
BEGIN
  IF current_setting('looked.statement', true) IS DISTINCT FROM statement_timestamp()::text THEN
    PERFORM set_config('looked.statement', statement_timestamp()::text, false);
    n := 1;
  END IF;
  PERFORM set_config('looked.n', n::text, false);
  IF n > {most} THEN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
  END IF;
  RETURN true;
END $$;
CREATE POLICY looked ON measurement USING (kind = 1 OR looked());
ALTER TABLE measurement ENABLE ROW LEVEL SECURITY;
"""
"""A statement that looks at so many rows of targets takes too long, on a machine of any speed."""


@pytest.fixture
def rows(plain_dsn):
    with connect(DatabaseSettings(dsn=plain_dsn), "test") as conn:
        yield Rows(conn)


def votes(rows, minute, memory=None, days=3.0):
    """All votes of some days before a minute."""
    now = at(minute)
    since = now - timedelta(days=days)
    with rows.conn.transaction():
        inputs = read_inputs(rows.conn, since, now, PARAMS)
        found = read_votes(rows.conn, inputs, since, PARAMS, block_pages(rows.conn, PARAMS), memory=memory)
    return None if found is None else [np.asarray(getattr(found, one.name)).tolist() for one in fields(found)]


def random_hours(rows, probes, hours, seed):
    """Each of the sites in each of these hours, reached or not for any reason, at times over IPv6."""
    dice = random.Random(seed)
    for hour in hours:
        for number, probe in enumerate(probes):
            for site in SITES:
                ways = [rows.works] * 4 + [
                    rows.reset_by_name,
                    rows.silent,
                    rows.lied_to,
                    rows.unresolved,
                    rows.forbidden,
                ]
                what = rows.reset_by_name if site == SITES[0] and hour % 20 < 6 and number < 2 else dice.choice(ways)
                more = dice.choice([{}, {}, {"family": 6}, {"family": 6, "validity": IPV6_BROKEN}])
                what(probe, site, 60 * hour + dice.uniform(0, 58), **more)


@pytest.fixture
def world(rows):
    """Three households of Kenya and two of Tanzania, each of which asks every third hour of two days."""
    probes = [rows.probe("KE", asn) for asn in (101, 101, 102)] + [rows.probe("TZ", 201), rows.probe("TZ", 201)]
    random_hours(rows, probes, range(0, 48, 3), seed=1)
    rows.store()
    return rows, probes


def test_what_is_remembered_of_days_gives_the_votes_of_a_new_reading(world):
    rows, probes = world
    memory = Memory()
    told = []
    times = (2 * DAY, 2 * DAY + 5, 2 * DAY + 190, 2 * DAY + 195, 3 * DAY, 3 * DAY + 5, 3 * DAY + 10, 3 * DAY + 15)
    for number, minute in enumerate(times):
        if number == 2:
            random_hours(rows, probes, range(48, 51), seed=2)
        if number in {3, 5}:
            # Late rows of a day that is remembered, of one probe; the second time all are rolled up at once.
            random_hours(rows, probes[:1], range(1, 48, 6), seed=number)
        rows.store()
        if number in {1, 4, 5}:
            while roll_up(rows.conn, at(10 * DAY), limit=10_000):
                pass
        # What failed earlier than all that is looked at makes no target worth reading.
        days = 1.1 if number == 6 else 3
        told.append(votes(rows, minute, memory, days))
        assert told[-1] == votes(rows, minute, days=days), f"reading {number}"
    assert len({str(one) for one in told}) > 4


def test_a_day_that_is_remembered_is_not_read_again(world):
    rows, _ = world
    while roll_up(rows.conn, at(10 * DAY), limit=10_000):
        pass
    memory = Memory()
    before = votes(rows, 2 * DAY, memory)
    rows.conn.execute("UPDATE measurement SET outcome = 0 WHERE ts >= %s AND ts < %s", (at(DAY), at(2 * DAY)))
    assert votes(rows, 2 * DAY, memory) == before
    rows.conn.execute("UPDATE probe SET asn = 103 WHERE asn = 102")
    assert votes(rows, 2 * DAY, memory) == votes(rows, 2 * DAY) != before


def test_of_a_day_that_is_remembered_no_more_counts_than_lies_about_what_still_fails(rows):
    probes = [rows.probe("KE", 101), rows.probe("KE", 101), rows.probe("TZ", 201)]
    for hour in range(0, 72, 2):
        for probe in probes:
            # Of the second day its morning lies about the first failure, and its evening about the second.
            failing = hour in {10, 68} and probe in probes[:2]
            (rows.reset_by_name if failing else rows.works)(probe, SITES[0], 60 * hour)
            rows.works(probe, SITES[1], 60 * hour + 1)
    rows.store()
    while roll_up(rows.conn, at(10 * DAY), limit=10_000):
        pass
    memory = Memory()
    both, later = votes(rows, 3 * DAY, memory), votes(rows, 3 * DAY, memory, days=2.4)
    assert later == votes(rows, 3 * DAY, days=2.4) != both == votes(rows, 3 * DAY)


def test_a_run_on_both_sides_of_midnight_is_one_run(world):
    rows, probes = world
    for probe in probes[:3]:
        rows.reset_by_name(probe, SITES[0], DAY - 0.5)
        # The handshake under another name comes a minute later, on the next day, in the same slot.
        last = rows.waiting[-2]
        rows.waiting[-2] = (last[0] + timedelta(minutes=1), *last[1:])
    rows.store()
    found = votes(rows, 2 * DAY)
    assert "tls.reset.sni" in str(found)
    halves = votes(rows, 2 * DAY, Memory())
    assert halves == found


def test_what_takes_too_long_at_once_is_read_in_halves_and_says_the_same(world, plain_dsn):
    rows, _ = world
    before, halved = votes(rows, 2 * DAY), halves()
    with psycopg.connect(plain_dsn) as conn:
        conn.execute(TOO_MANY.format(most=300))
    assert votes(rows, 2 * DAY) == before
    assert halves() > halved


def test_where_an_hour_takes_too_long_losses_of_the_line_are_judged_all_the_same(world, plain_dsn):
    rows, _ = world
    with psycopg.connect(plain_dsn) as conn:
        conn.execute(TOO_MANY.format(most=3))
    with pytest.raises(ServicesError) as raised:
        detect_once(rows.conn, settings_for(plain_dsn), at(2 * DAY))
    assert isinstance(raised.value.__cause__, psycopg.errors.QueryCanceled)
    assert rows.conn.execute("SELECT count(*) FROM collector_beat WHERE role = 'detect'").fetchone() == (1,)


def halves():
    return REGISTRY.get_sample_value("civobs_detect_services_halved_total") or 0
