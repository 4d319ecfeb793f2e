"""What alert rules say of events that have been open for longer than anything was published of them."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.grafana.rules import RULES
from tests.dashboards.grafana_sql import Window, as_grafana, run

pytestmark = pytest.mark.db

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=40)
LOST = NOW - timedelta(days=5)
EVENT = "CIV-2026-XA-0001"


@pytest.fixture
def arland_is_dark(timescale_dsn):
    """Two homes of XA lost five days ago, two of XB online, and an event of XA that was published then."""

    def of(kind):
        with psycopg.connect(timescale_dsn) as conn:
            conn.execute("INSERT INTO country VALUES ('XA', 'Arland'), ('XB', 'Borland')")
            for at in (NOW - timedelta(days=7), NOW):
                conn.execute("INSERT INTO collector_beat VALUES (%s, 'ingest', 'a', true)", (at,))
            for number, cc in enumerate(("XA", "XA", "XB", "XB"), start=1):
                home(conn, number, cc)
            conn.execute("INSERT INTO event VALUES ('01900000-0000-7000-8000-000000000001', %s, 'XA')", (EVENT,))
            conn.execute(
                "INSERT INTO event_version VALUES ('01900000-0000-7000-8000-000000000001', 1, %s, 'new', 'detected',"
                " '1', 'open', %s, 'country', 'XA', NULL, %s, %s, NULL, NULL, '{}')",
                (LOST, kind, LOST, LOST),
            )
        return timescale_dsn

    return of


def home(conn, number, cc):
    conn.execute(
        "WITH home AS (INSERT INTO household DEFAULT VALUES RETURNING household_key)"
        " INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, agent, enrolled_at)"
        " SELECT %s, household_key, %s, '', %s, 'test', %s FROM home",
        (str(number), number.to_bytes(32), cc, LONG_AGO),
    )
    said = [(LONG_AGO, "online"), *([(LOST, "offline")] if cc == "XA" else [])]
    for at, state in said:
        conn.execute(
            "INSERT INTO presence SELECT probe_key, %s, %s, 's', gen_random_uuid(), %s, 0, 60, false FROM probe"
            " WHERE probe_id = %s",
            (at, state, at, str(number)),
        )


def value_of(dsn, rule_id, **labels):
    """The number of the row that has these labels."""
    (rule,) = [one for one in RULES if one.id == rule_id]
    with as_grafana(dsn) as conn:
        answer = run(conn, rule.sql, Window(NOW - timedelta(minutes=10), NOW))
    rows = [dict(zip(answer.types, row, strict=True)) for row in answer.rows]
    (found,) = [row["value"] for row in rows if labels.items() <= row.items()]
    return found


def test_an_event_is_told_for_as_long_as_it_is_open(arland_is_dark):
    # One that fell silent after some days would be told a second time with its next version.
    assert value_of(arland_is_dark("shutdown_suspected"), "event-opened", event=EVENT) == 1


def test_a_country_whose_lines_are_known_to_be_lost_is_not_called_silent(arland_is_dark):
    assert value_of(arland_is_dark("shutdown_suspected"), "country-silent", cc="XA") == 0


def test_a_blocked_site_does_not_say_why_a_country_is_silent(arland_is_dark):
    assert value_of(arland_is_dark("blocking"), "country-silent", cc="XA") == 1
