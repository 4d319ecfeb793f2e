"""Samples of gauges: what roles say of themselves once a minute, beside real servers."""

import asyncio
import json
import logging
import math
import signal
import subprocess
import sys
from datetime import UTC, datetime

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from civobs_collector.config import CollectorSettings
from civobs_collector.gauges import GAUGES
from civobs_collector.metrics import BrokerDropped, DetectMetrics, IngestMetrics
from civobs_collector.sampling import _BEGAN, keep_sampling, sample_once, samples_of
from tests.collector.fix_ingest import open_site, wait_for


@pytest.fixture
def site(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        yield site


def stored(site):
    return dict(site.query("SELECT name, value FROM gauge_sample WHERE label = ''"))


@pytest.mark.db
@pytest.mark.broker
def test_ingest_says_everything_that_is_its_own_to_say(site):
    device = site.device()
    ingest = site.ingest().start()
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    site.query("INSERT INTO dirty_bucket VALUES (now() - interval '1 hour', 1) RETURNING 1")
    wait_for(lambda: ingest.count("ingest_broker_connected"))
    wait_for(lambda: 0 < ingest.count("ingest_batch_age_p99_seconds") < 60)
    sample_once(site.settings(), "ingest", datetime.now(UTC), ingest.registry)
    found = stored(site)
    assert found["broker_connected"] == 1
    assert found["last_commit_age_s"] < 60
    assert found["database_bytes"] > 1_000_000
    assert found["dirty_buckets"] == 1
    assert found["notices_waiting"] == found["notices_dead"] == 0
    # One of our own marks may be on its way.
    assert found["unacked"] <= 1
    assert site.query("SELECT count(*) FROM gauge_sample WHERE name = 'disk_free_share' AND instance = 'a'") == [(1,)]


@pytest.mark.db
@pytest.mark.broker
def test_a_spare_says_nothing_until_it_serves(site):
    first, spare = site.ingest().start(), site.ingest()
    spare.start(live=False)
    wait_for(lambda: first.count("ingest_serving"))
    assert sample_once(site.settings(), "ingest", datetime.now(UTC), spare.registry) == []
    assert stored(site) == {}
    first.stop()
    assert first.count("ingest_serving") == 0
    wait_for(lambda: spare.count("ingest_serving"))
    assert sample_once(site.settings(), "ingest", datetime.now(UTC), spare.registry)


@pytest.mark.db
def test_samples_are_kept_until_the_role_stops_and_a_database_that_is_away_is_said_once(plain_dsn, monkeypatch, caplog):
    monkeypatch.setattr("civobs_collector.sampling._SETTLE_S", 0.0)
    monkeypatch.setattr("civobs_collector.sampling.EVERY_S", 0.02)
    away = CollectorSettings(database={"dsn": "host=/nonexistent"})

    async def some_time(settings, until):
        stop = asyncio.Event()
        task = asyncio.create_task(keep_sampling(settings, "api", stop))
        while not until():  # noqa: ASYNC110 - it is a row of the database
            await asyncio.sleep(0.02)
        stop.set()
        await task

    with psycopg.connect(plain_dsn, autocommit=True) as conn:

        def rows():
            return conn.execute(
                "SELECT count(*) FROM gauge_sample WHERE role = 'api' AND name = 'rss_bytes'"
            ).fetchone()[0]

        asyncio.run(some_time(CollectorSettings(database={"dsn": plain_dsn}), lambda: rows() > 2))
    turns = iter(range(20))
    with caplog.at_level(logging.WARNING):
        asyncio.run(some_time(away, lambda: next(turns, None) is None))
    assert sum("samples of role=api" in one.message for one in caplog.records) == 1


def test_what_never_was_counts_from_when_the_process_began():
    metrics = {"civobs_ingest_last_commit_timestamp_seconds": 0.0}
    found = {one.name: one.value for one in samples_of("ingest", metrics, _BEGAN + 90)}
    assert found == {"last_commit_age_s": 90}
    metrics = {"civobs_detect_services_judged_timestamp_seconds": _BEGAN + 60}
    assert [one.value for one in samples_of("detect", metrics, _BEGAN + 90)] == [30]


def test_a_detector_that_has_not_run_says_no_duration():
    registry = CollectorRegistry()
    metrics = DetectMetrics(registry)
    name = "civobs_detect_run_seconds"
    assert math.isnan(registry.get_sample_value(name) or 0.0)
    metrics.run.set(1.5)
    assert registry.get_sample_value(name) == 1.5


def test_the_brokers_count_has_no_sample_before_the_broker_said_one():
    registry = CollectorRegistry()
    dropped = BrokerDropped(registry)
    assert registry.get_sample_value("civobs_broker_dropped_total") is None
    dropped.set(500)
    assert registry.get_sample_value("civobs_broker_dropped_total") == 500


def test_every_gauge_is_somebodys_to_say():
    registry = CollectorRegistry()
    IngestMetrics(registry).broker_dropped.set(0)
    DetectMetrics(registry).run.set(1)
    metrics = {one.name: one.value for family in registry.collect() for one in family.samples}
    metrics["process_resident_memory_bytes"] = 1.0
    said = {one.name: role for role in ("ingest", "detect", "api") for one in samples_of(role, metrics, 0.0)}
    surroundings = {
        *("disk_free_share", "certificate_left_s", "crl_left_s", "backup_age_s"),
        *("database_bytes", "notices_waiting", "notices_dead", "dirty_buckets"),
    }
    assert set(said) | surroundings == set(GAUGES)
    roles = {name: gauge.role for name, gauge in GAUGES.items()}
    assert {name: role for name, role in said.items() if roles[name] != "every"}.items() <= roles.items()


@pytest.mark.db
@pytest.mark.broker
def test_each_role_of_a_process_has_its_rows_soon_after_it_starts(site):
    file = site.folder / "collector.toml"
    values = {
        "database.dsn": site.dsn,
        "broker.port": site.broker.port,
        "ingest.archive_dir": str(site.folder / "archive"),
        "keys.receipt_key": str(site.folder / "receipt.key"),
        "watch.folders": [str(site.folder)],
        "watch.backup_dir": str(site.folder),
    }
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    words = [sys.executable, "-m", "civobs_collector", "--config", str(file), "serve", "--roles", "ingest,detect"]
    with subprocess.Popen(words) as process:
        try:
            wait_for(lambda: len(site.query("SELECT DISTINCT role FROM gauge_sample")) == 2, 60)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    found = {(role, name) for role, name in site.query("SELECT role, name FROM gauge_sample")}
    # The broker says what it dropped in its own time, and a first run may take longer than the first sample waits.
    assert found | {("ingest", "broker_dropped"), ("detect", "tick_s")} == {
        *((gauge.role, name) for name, gauge in GAUGES.items() if gauge.role != "every"),
        *(("ingest", "rss_bytes"), ("detect", "rss_bytes")),
    } - {("ingest", "certificate_left_s"), ("ingest", "crl_left_s")}
