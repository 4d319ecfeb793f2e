"""``civobs init`` makes what works, once; ``civobs upgrade`` can be taken back."""

import json
import os
import ssl
import subprocess
import tomllib
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from civobs_collector.config import load
from civobs_collector.db.migrate import migrate
from civobs_lab.broker import Broker, _free_port
from civobs_lab.postgres import Kind, PostgresServer
from tests.collector.fix_ingest import wait_for
from tests.collector.fix_operator import Operator, command_line
from tests.fix_db import fresh_database

WORDS = ("--url", "https://observatory.example", "--broker", "broker.example")


@pytest.fixture
def bare(tmp_path, capsys):
    return Operator(tmp_path, command_line(capsys))


def test_what_is_made_can_be_read_and_secrets_only_by_their_owner(bare):
    folder = bare.folder / "etc"
    made = bare.civobs("init", str(folder), *WORDS, "--json").json["files"]
    settings = load(folder / "collector.toml")
    assert settings.api.public_url == "https://observatory.example"
    assert settings.enrol.brokers[0].host == "broker.example"
    assert settings.keys.receipt_key == folder / "receipt.key"
    secret = {path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077 == 0}
    assert secret == {"broker.password", "passwords", "plan.key", "receipt.key", "desk.key"}
    assert len(made) == 8


def test_containers_get_secrets_of_their_own_and_no_two_are_alike(bare):
    folder = bare.folder / "etc"
    assert bare.civobs("init", str(folder), *WORDS, "--compose").code == 0
    settings = tomllib.loads((folder / "collector.toml").read_text())
    secrets = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert secrets.pop("grafana_smtp_password") == "", "the operator's"
    assert secrets["pgpass"] == f"database:5432:*:civobs:{secrets['database_password']}\n"
    assert secrets["database_grafana"] == secrets["grafana_db_password"]
    assert len({secrets[name] for name in ("database_password", "database_grafana", "grafana_admin_password")}) == 3
    assert all(len(text) >= 32 for text in secrets.values())
    if os.geteuid() == 0:
        assert (folder / "secrets" / "pgpass").stat().st_uid == (folder / "receipt.key").stat().st_uid == 10_001
        # What is backed up is read by the collector's user.
        kept = [*settings["keys"].values(), *settings["backup"]["also"], settings["broker"]["password_file"]]
        for path in (folder / Path(one).relative_to("/etc/civobs") for one in kept):
            assert path.stat().st_uid == 10_001 or path.stat().st_mode & 0o004, path


def test_nothing_is_overwritten_and_nothing_is_made_beside_what_is_there(bare):
    folder = bare.folder / "etc"
    folder.mkdir()
    (folder / "receipt.key").write_text("in use")
    said = bare.civobs("init", str(folder), *WORDS)
    assert (said.code, "is there already" in said.err) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["receipt.key"]


@pytest.mark.parametrize(
    "words",
    [
        ("--url", "http://observatory.example", "--broker", "b.example"),
        ("--url", "https://o.example/path", "--broker", "b.example"),
        ("--url", "https://o.example", "--broker", "mqtts://b"),
    ],
)
def test_addresses_that_would_not_do_are_refused(bare, words):
    assert bare.civobs("init", str(bare.folder / "etc"), *words).code == 2
    assert not (bare.folder / "etc").exists()


@pytest.mark.broker
def test_mosquitto_takes_its_settings_and_lets_strangers_do_little(bare):
    folder = bare.folder / "etc"
    assert bare.civobs("init", str(folder), *WORDS).code == 0
    broker, outside = started(folder)
    try:
        assert connected(broker.port, None) == "Not authorized"
        password = (folder / "broker.password").read_text().strip()
        assert connected(broker.port, ("collector", "wrong")) == "Not authorized"
        heard = []
        collector = client(broker.port, ("collector", password))
        collector.on_message = lambda _client, _data, message: heard.append(message.topic)
        collector.subscribe("civobs/v1/#", qos=1)
        stranger = client(outside, None, tls=folder / "cert.pem")
        for topic in ("civobs/v1/00/x/receipt", "civobs/v1/00/x/plan", "civobs/v1/00/x/batch"):
            stranger.publish(topic, b"x", qos=1).wait_for_publish(10)
        wait_for(lambda: heard)
        assert heard == ["civobs/v1/00/x/batch"]
        for one in (collector, stranger):
            one.disconnect()
            one.loop_stop()
    finally:
        broker.kill()


def started(folder):
    """A real Mosquitto with the file that was made, its paths and ports those of the test."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    subprocess.run(["openssl", *words.split(), *names, *files], check=True, capture_output=True)
    outside = _free_port("127.0.0.1")
    text = (folder / "mosquitto" / "mosquitto.conf").read_text()
    for old, new in {
        "/etc/mosquitto/civobs.passwords": folder / "mosquitto" / "passwords",
        "/etc/mosquitto/civobs.acl": folder / "mosquitto" / "probes.acl",
        "/etc/mosquitto/certs/broker.example/fullchain.pem": folder / "cert.pem",
        "/etc/mosquitto/certs/broker.example/privkey.pem": folder / "key.pem",
        "/var/lib/mosquitto/": f"{folder}/",
        "listener 8883": f"listener {outside} 127.0.0.1",
    }.items():
        assert old in text
        text = text.replace(old, str(new))
    broker = GivenBroker(folder / "broker")
    broker.text = text.replace("listener 1883 ", f"listener {broker.port} ")
    broker.start()
    return broker, outside


class GivenBroker(Broker):
    """One with settings of a file's text."""

    text = ""

    def _lines(self):
        return [self.text, *(["user root"] if os.geteuid() == 0 else [])]


def client(port, login, tls=None):
    one = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    if login:
        one.username_pw_set(*login)
    if tls:
        one.tls_set_context(ssl.create_default_context(cafile=str(tls)))
    one.connect("localhost" if tls else "127.0.0.1", port)
    one.loop_start()
    wait_for(one.is_connected)
    return one


def connected(port, login):
    """What a broker says to who comes."""
    said = []
    one = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False)
    one.on_connect = lambda _client, _data, _flags, code, _properties: said.append(str(code))
    if login:
        one.username_pw_set(*login)
    one.connect("127.0.0.1", port)
    one.loop_start()
    wait_for(lambda: said)
    one.disconnect()
    one.loop_stop()
    return said[0]


@pytest.fixture
def older(plain_server, tmp_path, monkeypatch, capsys):
    """An observatory with the tables of some versions ago."""
    (tmp_path / "archive").mkdir()
    programs = PostgresServer(Kind.PLAIN, tmp_path / "pg").client_programs(tmp_path / "programs")
    with fresh_database(plain_server, template="template0") as dsn:
        migrate(dsn, up_to=12)
        for name, value in {
            "DATABASE__DSN": dsn,
            "KEYS__PLAN_KEY": tmp_path / "plan.key",
            "KEYS__RECEIPT_KEY": tmp_path / "receipt.key",
            "INGEST__ARCHIVE_DIR": tmp_path / "archive",
            "BACKUP__PROGRAMS_DIR": programs,
        }.items():
            monkeypatch.setenv(f"CIVOBS_{name}", str(value))
        one = Operator(tmp_path, command_line(capsys))
        assert one.civobs("plan", "keygen").code == 0
        yield one


@pytest.mark.db
def test_an_upgrade_backs_up_first_says_how_to_go_back_and_is_done_once(older, monkeypatch):
    assert older.civobs("upgrade").code == 2, "no folder for the backup"
    monkeypatch.setenv("CIVOBS_WATCH__BACKUP_DIR", str(older.folder / "backups"))
    said = older.civobs("upgrade")
    assert said.code == 0, said.err
    assert "applied 0013_reviews.sql" in said.out
    assert "--replace" in said.out
    assert older.civobs("restore", str(older.folder / "backups"), "--check").code == 0
    assert json.loads(older.civobs("upgrade", "--json").out) == {"applied": [], "backup": None}


@pytest.mark.db
def test_an_upgrade_whose_backup_fails_changes_nothing(older, monkeypatch):
    monkeypatch.setenv("CIVOBS_INGEST__ARCHIVE_DIR", "/nonexistent")
    assert older.civobs("upgrade", "--backup", str(older.folder / "backups")).code == 2
    with psycopg.connect(older.settings.database.dsn) as conn:
        assert conn.execute("SELECT max(number) FROM migration").fetchone() == (12,)
