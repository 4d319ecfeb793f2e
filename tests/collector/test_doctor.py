"""``civobs doctor``: each thing that can be wrong is found, and comes with what to do."""

import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from civobs_collector.config import BrokerSettings
from civobs_collector.db.migrate import migrate
from civobs_collector.doctor import OTHER_CHECKS, State, check_archive, check_broker, disk_result
from civobs_collector.doctor_database import DATABASE_CHECKS, check_clock, check_edition
from civobs_collector.doctor_evidence import check_durability
from civobs_collector.operate.manifest import stamp
from civobs_lab.postgres import Kind
from tests.collector.test_enrolment import enrolled
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db

DOCUMENT = Path(__file__).parents[2] / "docs" / "operating" / "doctor.md"


on_plain = pytest.mark.parametrize("database_server", [Kind.PLAIN], indirect=True)
"""What both kinds of server do alike is seen on the one that starts faster."""


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


@pytest.fixture
def well_kept(keyed, monkeypatch):
    """With all that is no part of a first start: names, a certificate, a backup, and programs to make one."""
    backup = keyed.folder / "backups" / stamp(datetime.now(UTC))
    backup.mkdir(parents=True)
    (backup / "manifest.json").write_text("{}")
    with_certificate(keyed.folder, days=90)
    with_programs(keyed.folder, 99)
    for name, value in {
        "API__PUBLIC_URL": "https://observatory.example",
        "ENROL__BROKERS": '[{"host": "broker.example", "port": 8883, "tls": true}]',
        "WATCH__BACKUP_DIR": keyed.folder / "backups",
        "WATCH__CERTIFICATES": f'["{keyed.folder}/certificate.pem"]',
        "WATCH__CRLS": f'["{keyed.folder}/revoked.pem"]',
        "BACKUP__PROGRAMS_DIR": keyed.folder / "programs",
    }.items():
        monkeypatch.setenv(f"CIVOBS_{name}", str(value))
    return keyed


def with_certificate(folder, *, days):
    """One that ends in so many days, and a list of revoked ones that does too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    begin, end = now - timedelta(days=90), now + timedelta(days=days, hours=1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end).sign(key, hashes.SHA256())
    revoked = x509.CertificateRevocationListBuilder(name, begin, end).sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "revoked.pem").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))


def with_programs(folder, major):
    """Programs that say they are of this version."""
    (folder / "programs").mkdir(exist_ok=True)
    for name in ("pg_dump", "pg_restore"):
        program = folder / "programs" / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.1'\n")
        program.chmod(0o755)


def listed():
    """The checks of the document, in its order."""
    return re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), flags=re.MULTILINE)


def test_every_check_is_in_the_document_and_in_a_test():
    assert set(listed()) == {*DATABASE_CHECKS, *OTHER_CHECKS}
    assert len(listed()) == len(set(listed())) >= 20
    here = Path(__file__)
    text = here.read_text() + here.with_name("test_publisher.py").read_text()
    # Called by itself, or asked for among what the command said.
    tested = re.findall(r'states[^\n\[]*\["(\w+)"\]|check_(\w+)\(|(disk)_result\(|"(settings)"', text)
    assert {name for names in tested for name in names} >= set(listed())


@pytest.mark.broker
def test_a_sound_observatory_passes_every_check(well_kept, dsn, with_broker):
    keyed = well_kept
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
        _beat(conn, "ingest")
        _beat(conn, "detect")
    (keyed.folder / "plan.toml").write_text("valid_days = 90\n")
    assert keyed.civobs("plan", "build", "plan.toml", "--publish").code == 0
    states = _states(keyed, 0)
    assert set(states) == set(listed())
    disk = states.pop("disk")
    assert set(disk) <= {"ok", "warning"}
    assert states.pop("durability") == ["warning"], "the servers of the tests forgo it"
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
    assert _states(operator, 1)["settings"] == ["failed"]
    assert "CIVOBS_BROKER__PORT" in operator.civobs("doctor").out


def test_missing_tables_are_found(keyed, empty_dsn, monkeypatch):
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", empty_dsn)
    states = _states(keyed, 1)
    assert states["migrations"] == ["failed"]
    assert states["beats"] == ["not_checked"]


def test_keys_that_others_can_read_are_found(keyed):
    for name in ("receipt.key", "plan.key"):
        (keyed.folder / name).chmod(0o644)
    states = _states(keyed, 1)
    assert states["receipt_key"] == ["failed"]
    assert states["plan_key"] == ["failed"]


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


def test_a_database_that_may_lose_what_it_committed_is_found(plain_dsn):
    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        assert "fsync" in check_durability(conn).text


@on_plain
def test_programs_that_are_missing_or_older_than_the_server_are_found(well_kept):
    with_programs(well_kept.folder, 9)
    states = _states(well_kept, 1)
    assert states["pg_programs"] == ["failed"]
    (well_kept.folder / "programs" / "pg_dump").unlink()
    assert _states(well_kept, 1)["pg_programs"] == ["failed"]


@on_plain
def test_batches_without_their_bytes_are_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
        conn.execute("""
            INSERT INTO batch
            SELECT probe_key, 1, gen_random_uuid(), now(), now(), 1, 1, 1, 'synced', 0, 'agent', NULL, sha256(''),
                   '2026/01/01.a-1.pack', 0
              FROM probe""")
    states = _states(keyed, 1)
    assert states["records"] == ["failed"]
    assert states["silence"] == ["ok"]


@on_plain
def test_probes_of_which_nothing_is_heard_are_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
        conn.execute("UPDATE probe SET enrolled_at = now() - interval '2 hours'")
    assert _states(keyed, 1)["silence"] == ["failed"]


@on_plain
def test_what_the_broker_dropped_is_found_also_after_its_restart(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute("""
            INSERT INTO gauge_sample (at, role, instance, name, value)
            SELECT now() - make_interval(mins => 10 - n::int), 'ingest', 'a', 'broker_dropped', value
              FROM unnest(ARRAY[5, 7, 0, 1]) WITH ORDINALITY said (value, n)""")
    assert _states(keyed, 1)["dropped"] == ["warning"]
    assert "dropped 3 messages" in keyed.civobs("doctor").out


@on_plain
def test_messages_to_subscribers_that_were_given_up_are_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        key, version = a_version(conn)
        conn.execute(
            "INSERT INTO notice (subscriber, event_key, version, change, made_at, not_before, state)"
            " VALUES ('press', %s, %s, 'opened', now(), now(), 'dead')",
            (key, version),
        )
    assert _states(keyed, 1)["notices"] == ["warning"]


@on_plain
def test_published_versions_that_nobody_looks_at_are_found_where_somebody_wants_to_be_told(keyed, dsn, monkeypatch):
    with psycopg.connect(dsn) as conn:
        a_version(conn, ago="10 minutes")
    assert _states(keyed, 1)["notices"] == ["ok"]
    monkeypatch.setenv("CIVOBS_NOTIFY__SUBSCRIBERS", '[{"name": "press", "mail": "press@example.org"}]')
    assert _states(keyed, 1)["notices"] == ["warning"]


def a_version(conn, ago="0 minutes"):
    return conn.execute(
        """
        WITH one AS (INSERT INTO event (event_key, cc) VALUES (gen_random_uuid(), 'KE') RETURNING event_key)
        INSERT INTO event_version (event_key, version, published_at, change_kind, reason, detector_version, status,
                                   kind, level, cc, onset_earliest, onset_latest, record)
        SELECT event_key, 1, now() - %s::interval, 'new', 'detected', 'test', 'open', 'shutdown', 'network', 'KE',
               now(), now(), '{}'
          FROM one RETURNING event_key, version""",
        (ago,),
    ).fetchone()


@on_plain
def test_staff_without_the_key_of_the_desk_is_found(keyed, dsn, monkeypatch):
    monkeypatch.setenv("CIVOBS_KEYS__DESK_KEY", str(keyed.folder / "desk.key"))
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO staff (login, name, role, password_hash, totp_sealed) VALUES ('amina', 'A', 'admin', 'x', 'x')"
        )
    assert _states(keyed, 1)["desk_key"] == ["failed"]


@on_plain
def test_links_and_brokers_that_lead_nowhere_from_elsewhere_are_found(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        enrolled(conn, keyed.settings)
    states = _states(keyed, 1)
    assert states["public_url"] == ["warning"]
    assert states["brokers"] == ["warning"]


@on_plain
def test_secrets_that_others_can_read_or_that_stand_in_the_settings_are_found(keyed, dsn, monkeypatch):
    password = keyed.folder / "password"
    password.write_text("secret")
    password.chmod(0o644)
    monkeypatch.setenv("CIVOBS_BROKER__PASSWORD_FILE", str(password))
    assert _states(keyed, 1)["secrets"] == ["failed"]
    password.chmod(0o600)
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", f"{dsn} password=secret")
    assert _states(keyed, 1)["secrets"] == ["warning"]
    password.unlink()
    assert _states(keyed, 1)["secrets"] == ["failed", "warning"]
    assert "password=secret" not in keyed.civobs("doctor").out


@on_plain
def test_what_expires_is_found_before_it_does(well_kept):
    with_certificate(well_kept.folder, days=3)
    states = _states(well_kept, 1)
    assert states["certificates"] == ["warning"]
    assert states["crls"] == ["warning"]
    (well_kept.folder / "certificate.pem").write_text("no certificate")
    (well_kept.folder / "revoked.pem").unlink()
    states = _states(well_kept, 1)
    assert states["certificates"] == ["failed"]
    assert states["crls"] == ["failed"]


@on_plain
def test_a_backup_that_is_old_or_was_never_made_is_found(well_kept, monkeypatch):
    folder = well_kept.folder / "backups"
    (made,) = folder.iterdir()
    made.rename(folder / stamp(datetime.now(UTC) - timedelta(days=3)))
    assert _states(well_kept, 1)["backup"] == ["failed"]
    made_ahead = folder / stamp(datetime.now(UTC) + timedelta(days=365))
    made_ahead.mkdir()
    (made_ahead / "manifest.json").write_text("{}")
    assert _states(well_kept, 1)["backup"] == ["failed"], "by a clock that ran ahead"
    monkeypatch.setenv("CIVOBS_WATCH__BACKUP_DIR", str(well_kept.folder))
    assert _states(well_kept, 1)["backup"] == ["failed"]
    monkeypatch.delenv("CIVOBS_WATCH__BACKUP_DIR")
    assert _states(well_kept, 1)["backup"] == ["warning"]
