"""``civobs doctor``: each thing that can be wrong is found, and comes with what to do."""

import socket
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.config import BrokerSettings
from civobs_collector.db.migrate import migrate
from civobs_collector.doctor import State, check_archive, check_broker, disk_result
from civobs_collector.doctor_database import check_clock, check_edition
from tests.collector.test_enrolment import enrolled
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db


def _states(operator, code):
    said = operator.civobs("doctor", "--json")
    assert said.code == code
    assert said.json["ok"] is (code == 0)
    for result in said.json["results"]:
        assert (result["remedy"] is None) == (result["state"] in {"ok", "not_checked"}), result
    found: dict[str, list[str]] = {}
    for result in said.json["results"]:
        found.setdefault(result["check"], []).append(result["state"])
    return found


def _beat(conn, role, *, ok=True, age_s=0):
    conn.execute(
        "INSERT INTO collector_beat (at, role, instance, ok) VALUES (now() - make_interval(secs => %s), %s, 'a', %s)",
        (age_s, role, ok),
    )


@pytest.fixture
def with_broker(mosquitto, monkeypatch):
    monkeypatch.setenv("CIVOBS_BROKER__HOST", mosquitto.host)
    monkeypatch.setenv("CIVOBS_BROKER__PORT", str(mosquitto.port))


@pytest.mark.broker
def test_a_sound_observatory_passes_every_check(keyed, dsn, with_broker):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
        _beat(conn, "ingest")
        _beat(conn, "detect")
    (keyed.folder / "plan.toml").write_text("valid_days = 90\n")
    assert keyed.civobs("plan", "build", "plan.toml", "--publish").code == 0
    states = _states(keyed, 0)
    disk = states.pop("disk")
    assert set(disk) <= {"ok", "warning"}
    assert {state for each in states.values() for state in each} == {"ok"}
    text = keyed.civobs("doctor").out
    assert "PostgreSQL" in text
    assert "answers by MQTT v5" in text


def test_a_database_that_is_away_does_not_hide_the_rest(keyed, monkeypatch):
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", "host=/nonexistent dbname=civobs")
    monkeypatch.setenv("CIVOBS_BROKER__PORT", "1")
    states = _states(keyed, 1)
    assert states["database"] == ["failed"]
    assert states["migrations"] == ["not_checked"]
    assert states["broker"] == ["failed"]
    assert states["archive"] == ["ok"]


def test_settings_that_cannot_be_read_are_a_result_too(operator, monkeypatch):
    monkeypatch.setenv("CIVOBS_BROKER__PORT", "99999")
    assert _states(operator, 1) == {"settings": ["failed"]}
    assert "CIVOBS_BROKER__PORT" in operator.civobs("doctor").out


def test_missing_tables_are_found(keyed, empty_dsn, monkeypatch):
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", empty_dsn)
    states = _states(keyed, 1)
    assert states["migrations"] == ["failed"]
    assert states["beats"] == ["not_checked"]


def test_keys_that_others_can_read_are_found(keyed):
    (keyed.folder / "receipt.key").chmod(0o644)
    assert _states(keyed, 1)["receipt_key"] == ["failed"]


def test_a_role_without_a_fresh_sign_of_life_is_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        _beat(conn, "ingest", ok=False)
        _beat(conn, "detect", age_s=300)
    assert _states(keyed, 1)["beats"] == ["warning", "failed"]


def test_a_country_without_a_plan_for_long_is_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
    assert _states(keyed, 1)["plans"] == ["failed"]
    (keyed.folder / "plan.toml").write_text("valid_days = 3\n")
    keyed.civobs("plan", "build", "plan.toml", "--publish")
    assert _states(keyed, 1)["plans"] == ["warning"]
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE plan SET expires_at = now() - interval '1 minute'")
    assert _states(keyed, 1)["plans"] == ["failed"]


def test_buckets_that_pile_up_are_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO dirty_bucket SELECT now() - make_interval(mins => 10 * n), 1 FROM generate_series(1, 13) AS n"
        )
    assert _states(keyed, 1)["rollups"] == ["warning"]


def test_refused_batches_are_counted_with_their_reasons(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute("""
            INSERT INTO rejected_batch (received_at, last_at, n, topic, reason, detail, payload_sha256, receipted)
            VALUES (now(), now(), 7, 'civobs/v1/00/x/batch', 'wrong_signature', '', '\\x00', false)""")
    assert _states(keyed, 1)["quarantine"] == ["warning"]
    assert "wrong_signature 7; in the last day 7 refused, 0 committed" in keyed.civobs("doctor").out


def test_a_clock_that_differs_from_the_database_s_is_found(dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        now = datetime.now(UTC)
        assert check_clock(conn, now).state is State.OK
        assert check_clock(conn, now - timedelta(seconds=30)).state is State.FAILED


def test_clocks_of_probes_tell_when_both_of_ours_are_behind(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
        conn.execute("""
            INSERT INTO batch
            SELECT probe_key, 1, gen_random_uuid(), now() + interval '1 minute', now(), 1, 1, 1, 'synced', 0, 'agent',
                   NULL, sha256(''), 'file', 0
              FROM probe""")
        found = check_clock(conn, datetime.now(UTC))
    assert found.state is State.FAILED
    assert "60 s ahead" in found.text


def test_tables_made_without_an_extension_that_is_there_now_are_found(timescale_server):
    with fresh_database(timescale_server, template="template0") as dsn:
        migrate(dsn, plain=True)
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("CREATE EXTENSION timescaledb")
        with psycopg.connect(dsn, autocommit=True) as conn:
            assert check_edition(conn).state is State.WARNING


@pytest.mark.broker
def test_a_broker_that_refuses_is_told_from_one_that_is_away(mosquitto):
    assert check_broker(BrokerSettings(host=mosquitto.host, port=mosquitto.port)).state is State.OK
    mosquitto.kill()
    away = check_broker(BrokerSettings(host=mosquitto.host, port=mosquitto.port))
    assert away.remedy == "start the broker, or correct [broker]"


def test_a_port_that_accepts_and_says_nothing_is_no_broker():
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = check_broker(BrokerSettings(host="127.0.0.1", port=server.getsockname()[1]))
    assert silent.state is State.FAILED
    assert "does not answer" in silent.text


def test_credentials_that_cannot_be_read_are_found(tmp_path):
    without = check_broker(BrokerSettings(username="x", password_file=tmp_path / "none"))
    assert "password_file" in without.text
    without = check_broker(BrokerSettings(tls_ca=tmp_path / "none"))
    assert "tls_ca" in without.text


def test_an_archive_that_is_not_there_is_found(tmp_path):
    (result,) = check_archive(tmp_path / "none")
    assert result.state is State.FAILED
    (tmp_path / "file").write_text("")
    (result,) = check_archive(tmp_path / "file")
    assert result.state is State.FAILED


@pytest.mark.parametrize(("free", "state"), [(50, State.OK), (10, State.WARNING), (2, State.FAILED)])
def test_a_disk_that_fills_up_is_found_before_it_is_full(free, state):
    assert disk_result(free, 100).state is state
