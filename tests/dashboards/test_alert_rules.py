"""Each alert rule by itself: what it is for makes it fire once, and no other rule with it."""

import json
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from civobs_collector.db.grafana_role import ROLE
from civobs_collector.grafana.rules import RULES
from tests.dashboards.grafana_sql import Window, run
from tests.dashboards.story import MINUTE, ZERO, play, read_story
from tests.dashboards.test_alerts_over_scenarios import told_by, values_of
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db

_EVENT, _KEY = "CIV-2026-XA-0001", "01900000-0000-7000-8000-000000000001"


def at(minutes: float) -> datetime:
    return ZERO + minutes * MINUTE


@pytest.fixture(scope="module")
def quiet(timescale_server):
    """Three hours in which all is well, after days of the same: the story and a connection to its database."""
    story = read_story("quiet-week")
    story = replace(story, scenario=story.scenario.model_copy(update={"length": 10_800.0, "settle": 0.0}))
    with fresh_database(timescale_server) as dsn, psycopg.connect(dsn) as conn:
        play(story, dsn)
        conn.execute("UPDATE presence SET received_at = received_at - interval '2 days'")
        conn.execute("INSERT INTO collector_beat SELECT at - interval '1 day', role, instance, ok FROM collector_beat")
        conn.commit()
        yield story, conn


def gauge(name, value, first, last):
    """A gauge says this between two minutes."""
    statement = "UPDATE gauge_sample SET value = %s WHERE name = %s AND at >= %s AND at < %s"
    return [(statement, (value, name, at(first), at(last)))]


def no_beats(role, first, last):
    return [("DELETE FROM collector_beat WHERE role = %s AND at >= %s AND at < %s", (role, at(first), at(last)))]


def offline(cc, n):
    """The broker misses some homes of a country from the sixtieth minute on."""
    statement = (
        "INSERT INTO presence SELECT probe_key, %s, 'offline', session, boot_id, %s, 0, 60, false FROM presence"
        " JOIN probe USING (probe_key) WHERE cc = %s ORDER BY probe_key LIMIT %s"
    )
    return [(statement, (at(60), at(60), cc, n))]


def refused(n):
    statement = (
        "INSERT INTO rejected_batch (received_at, last_at, topic, reason, detail, payload_sha256, receipted)"
        " SELECT %s, %s, 't', 'malformed', '', sha256(n::text::bytea), false FROM generate_series(1, %s) n"
    )
    return [(statement, (at(60), at(60), n))]


def versions(*told):
    """An event's versions, as (minute, change, reason, status, level, networks, label, held)."""
    statements = [("INSERT INTO event (event_key, public_id, cc) VALUES (%s, %s, 'XA')", (_KEY, _EVENT))]
    for number, (minute, change, reason, status, level, asns, label, held) in enumerate(told, start=1):
        record = {"scope": {"asns": list(range(asns))}, "confidence": {"label": label}, "held": held}
        values = (_KEY, number, at(minute), change, reason, status, level, at(50), at(50), json.dumps(record))
        insert = (
            "INSERT INTO event_version VALUES (%s, %s, %s, %s, %s, '1', %s, 'outage', %s, 'XA', NULL, %s, %s, NULL,"
            " NULL, %s)"
        )
        statements.append((insert, values))
    return statements


NEW = (60, "new", "detected", "open", "network", 1, "probable", None)
"""A network's outage, published in the sixtieth minute."""
OPENED = {("event-opened", _EVENT): 1}
CASES = {
    "nothing": ([], {}),
    "batches are old for half an hour": (gauge("batch_age_p99_s", 400, 60, 90), {("batch-age", ""): 1}),
    "batches are old for a moment": (gauge("batch_age_p99_s", 4000, 60, 66), {}),
    "six batches are refused": (refused(6), {("rejected-share", ""): 1}),
    "one batch is refused": (refused(1), {}),
    "the broker drops messages": (gauge("broker_dropped", 12, 60, 999), {("broker-drops", ""): 1}),
    "the broker is started anew and counts from nothing": (gauge("broker_dropped", 0, 60, 999), {}),
    "the disk fills": (gauge("disk_free_share", 0.1, 60, 120), {("disk-low", ""): 1}),
    "a certificate is about to expire": (
        gauge("certificate_left_s", 13 * 86_400, 60, 120),
        {("certificate-expiry", ""): 1},
    ),
    "a list of revoked certificates has expired": (gauge("crl_left_s", -60, 60, 120), {("crl-expiry", ""): 1}),
    "no backup was made for two days": (gauge("backup_age_s", 48 * 3600, 60, 120), {("backup-old", ""): 1}),
    "a notification was given up": (gauge("notices_dead", 1, 60, 120), {("notices-dead", ""): 1}),
    "the detector ends": (no_beats("detect", 60, 85), {("detector-stalled", ""): 1}),
    "services are not judged": (gauge("services_judged_age_s", 4000, 60, 90), {("detector-stalled", ""): 1}),
    "messages wait and none is committed": (
        [*gauge("queue_depth", 50, 60, 75), *gauge("last_commit_age_s", 600, 60, 75)],
        {("ingest-stalled", ""): 1},
    ),
    "ingest has no broker": (no_beats("ingest", 60, 75), {("ingest-stalled", ""): 1}),
    "ingest misses one minute": (no_beats("ingest", 60, 61), {}),
    "homes of several countries go at once": ([*offline("XA", 2), *offline("XB", 1)], {("probe-fleet-anomaly", ""): 1}),
    "a country goes and the detector says nothing": (offline("XB", 2), {("country-silent", "XB"): 1}),
    "one home of a country goes": (offline("XB", 1), {}),
    "an event is opened and closed": (versions(NEW, (70, "closed", *NEW[2:3], "closed", *NEW[4:])), OPENED),
    "an event was over when it was found": (versions((60, "new", "late_data", "closed", *NEW[4:])), OPENED),
    "an event is retracted": (versions(NEW, (65, "retracted", "late_data", "retracted", *NEW[4:])), OPENED),
    "an event grows in its first minutes": (
        versions(NEW, (65, "reclassified", "detected", "open", "country", 2, "probable", None)),
        OPENED,
    ),
    "an event becomes a country's": (
        versions(NEW, (90, "reclassified", "detected", "open", "country", 2, "probable", None)),
        OPENED | {("event-worsened", _EVENT): 1},
    ),
    "an event reaches another network": (
        versions(NEW, (90, "extended", "detected", "open", "network", 2, "probable", None)),
        OPENED | {("event-worsened", _EVENT): 1},
    ),
    "an event is published anew": (versions(NEW, (120, "extended", *NEW[2:])), OPENED),
    "an event is confirmed": (
        versions(NEW, (90, "corrected", "human_review", "open", "network", 1, "confirmed", None)),
        OPENED | {("event-confirmed", _EVENT): 1},
    ),
    "a confirmed event is annotated": (
        versions(
            NEW,
            (80, "corrected", "human_review", "open", "network", 1, "confirmed", None),
            (175, "corrected", "human_review", "open", "network", 1, "confirmed", None),
        ),
        OPENED | {("event-confirmed", _EVENT): 1},
    ),
    "an event has a version of a clock that ran ahead": (versions(NEW, (100, *NEW[1:]), (70, *NEW[1:])), OPENED),
    "an event is held for review": (versions((*NEW[:7], "review")), {}),
}


@pytest.mark.parametrize("what", CASES)
def test_a_rule_fires_for_what_it_is_for_and_no_other_does(quiet, what):
    story, conn = quiet
    statements, expected = CASES[what]
    try:
        for statement, values in statements:
            conn.execute(statement, values)
        conn.execute(f"SET LOCAL ROLE {ROLE}; SET LOCAL jit = off")
        assert told_by(conn, story) == expected
    finally:
        conn.rollback()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_gives_labels_and_one_number_and_a_row_for_every_minute(quiet, rule):
    story, conn = quiet
    try:
        conn.execute(f"SET LOCAL ROLE {ROLE}")
        *labels, value = run(conn, rule.sql, Window(ZERO, story.end)).types.items()
        assert value == ("value", "float8")
        assert {kind for _, kind in labels} <= {"text"}
        assert set(dict(labels)) <= {"cc", "event", "page", "instance", "folder", "file", "what"}
        minutes = (story.end - ZERO) // MINUTE + 1
        assert max(len(values) for _, values in values_of(conn, rule, story)) == minutes
    finally:
        conn.rollback()
