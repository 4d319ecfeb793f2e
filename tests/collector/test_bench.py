"""The benches of detection and pages run, on very little, and find what they filled in."""

from io import StringIO

import psycopg
import pytest
from rich.console import Console

from civobs_collector.gauges import GAUGES
from tests.bench import bench_detect, bench_pages, dashboard_cost, minute_cost
from tests.bench.country_year import Size, fill

pytestmark = pytest.mark.db


def test_the_bench_of_detection_finds_the_cut_it_filled_in(plain_dsn):
    size = Size(probes=8, targets=6, days=12)
    fill(plain_dsn, size)
    with psycopg.connect(plain_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM measurement").fetchone() == (size.rows,)
    costs = bench_detect.anew(bench_detect.Task(plain_dsn, size))
    assert [(one.events, one.versions) for one in costs] == [(1, 1)]
    said = StringIO()
    bench_detect.show(costs, Console(file=said, width=120))
    assert f"{size.rows:,}" in said.getvalue()


def test_the_bench_of_services_that_stay_blocked_changes_nothing_and_looks_at_less_again(plain_dsn):
    size = Size(probes=8, targets=6, days=6, blocked=3)
    fill(plain_dsn, size)
    first, again, line = bench_detect.live(bench_detect.Task(plain_dsn, size))
    assert [one.versions for one in (first, again, line)] == [0, 0, 0]
    assert first.events == again.events > 0
    assert first.touched > again.touched > line.touched


def test_the_bench_of_a_minute_takes_up_what_it_stores(plain_dsn):
    size = Size(probes=4, targets=0, days=2)
    fill(plain_dsn, size)
    ticks = minute_cost.ticked(plain_dsn, size)
    assert [(one.what, one.touched) for one in ticks] == [
        ("first", 8),
        ("minute", 8),
        ("late", 24),
        ("job", 40),
        ("idle", 0),
    ]
    with psycopg.connect(plain_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM dirty_bucket").fetchone() == (0,)
    said = StringIO()
    minute_cost.show(ticks, Console(file=said, width=120))
    assert "4,608" in said.getvalue()


def test_the_bench_of_pages_asks_for_pages_that_are_there(plain_dsn):
    size = Size(probes=4, targets=1, days=1)
    fill(plain_dsn, size)
    with psycopg.connect(plain_dsn) as conn:
        bench_pages.publish(conn, size.days)
    pages = ("/countries/KE?period=24h", "/events/CIV-2026-KE-0002")
    said = StringIO()
    found = {path: bench_pages.measured(plain_dsn, path, cold=2, warm=2) for path in pages}
    bench_pages.show(size, found, Console(file=said, width=120))
    assert all(path in said.getvalue() for path in pages)


def test_the_bench_of_dashboards_asks_every_statement_over_rows_that_are_there(plain_dsn):
    size = Size(probes=4, targets=1, days=1)
    fill(plain_dsn, size)
    dashboard_cost.fill_beside(plain_dsn, size)
    with psycopg.connect(plain_dsn) as conn:
        bench_pages.publish(conn, size.days)
        counts = "SELECT (SELECT count(*) FROM batch), (SELECT count(DISTINCT name) FROM gauge_sample)"
        assert conn.execute(counts).fetchone() == (9 * 1440, len(GAUGES))
    costs = dashboard_cost.measure(plain_dsn, again=1)
    titles = set(dashboard_cost.read_dashboards())
    assert {(one.query.dashboard, one.range) for one in costs} == {
        *((title, name) for title in titles for name in dashboard_cost.WINDOWS),
        (dashboard_cost.ALERTS, "1d"),
    }
    said = StringIO()
    dashboard_cost.show(costs, Console(file=said, width=160))
    assert all(title in said.getvalue() for title in titles)
