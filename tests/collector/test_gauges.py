"""Gauges: one table of names, and what is stored of them."""

import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from civobs_collector.db.gauges import drop_old_samples, insert_samples
from civobs_collector.gauges import GAUGES, KEPT_D, Sample
from civobs_collector.metrics import DetectMetrics, IngestMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "operating" / "gauges.md").read_text()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_every_gauge_says_its_unit_its_role_and_what_it_means():
    assert all(name == one.name and one.unit and one.role and len(one.meaning) > 8 for name, one in GAUGES.items())


def test_the_page_of_gauges_is_their_table():
    rows = re.findall(r"^\| `(\w+)`(?: of each (\w+))? \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert rows == [(one.name, one.label, one.unit, one.role, one.meaning) for one in GAUGES.values()]


def test_the_page_lists_every_metric_with_what_it_says():
    registry = CollectorRegistry()
    IngestMetrics(registry)
    DetectMetrics(registry)
    made = {
        (f"{one.name}_total" if one.type == "counter" else one.name, one.documentation) for one in registry.collect()
    }
    assert set(re.findall(r"^\| `(civobs_\w+)(?:\{\w+\})?` \| (.+?) \|$", PAGE, re.MULTILINE)) == made


def test_the_metrics_that_dashboards_were_promised_are_there():
    names = """civobs_ingest_messages civobs_ingest_results civobs_ingest_batch_age_seconds civobs_ingest_commit_seconds
        civobs_ingest_unacked_messages civobs_ingest_queue_depth civobs_ingest_stale_acks civobs_broker_dropped
        civobs_ingest_rejected_batches civobs_ingest_clock_skew_seconds civobs_ingest_last_commit_timestamp_seconds"""
    registry = CollectorRegistry()
    IngestMetrics(registry)
    assert set(names.split()) <= {one.name for one in registry.collect()}


@pytest.mark.db
def test_the_first_sample_of_a_moment_stands_and_what_cannot_be_a_number_is_not_stored(dsn):
    with psycopg.connect(dsn) as conn:
        insert_samples(
            conn,
            NOW,
            "ingest",
            "a",
            [Sample("disk_free_share", 0.4, "/a"), Sample("disk_free_share", 0.9, "/b"), Sample("unacked", math.nan)],
        )
        insert_samples(conn, NOW, "ingest", "a", [Sample("disk_free_share", 0.3, "/a")])
        found = conn.execute(
            "SELECT at, role, instance, name, label, value FROM gauge_sample ORDER BY label"
        ).fetchall()
    assert found == [
        (NOW, "ingest", "a", "disk_free_share", "/a", 0.4),
        (NOW, "ingest", "a", "disk_free_share", "/b", 0.9),
    ]


@pytest.mark.db
def test_a_gauge_that_there_is_not_cannot_be_stored(plain_dsn):
    with psycopg.connect(plain_dsn) as conn, pytest.raises(KeyError, match="no_such"):
        insert_samples(conn, NOW, "ingest", "a", [Sample("no_such", 1.0)])


@pytest.mark.db
def test_samples_are_dropped_after_a_month(dsn):
    with psycopg.connect(dsn) as conn:
        for days in (0, KEPT_D - 1, KEPT_D + 1):
            insert_samples(conn, NOW - timedelta(days=days), "detect", "a", [Sample("tick_s", days)])
        assert drop_old_samples(conn, NOW) == 1
        assert conn.execute("SELECT value FROM gauge_sample ORDER BY at DESC").fetchall() == [(0.0,), (KEPT_D - 1.0,)]
