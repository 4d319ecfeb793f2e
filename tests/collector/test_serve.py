"""``civobs serve`` and ``civobs ingest`` as a person runs them: clear words, graceful ends."""

import json
import os
import signal
import socket
import subprocess
import sys

import psycopg
import pytest

from civobs_collector.commands.serve import listen
from tests.collector.fix_ingest import open_site, wait_for

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def site(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        yield site


def configure(site, **changes):
    path = site.folder / "collector.toml"
    values = {
        "database.dsn": site.dsn,
        "broker.port": site.broker.port,
        "ingest.archive_dir": str(site.folder / "archive"),
        "keys.receipt_key": str(site.folder / "receipt.key"),
        "api.port": 1,
    } | {name.replace("__", "."): value for name, value in changes.items()}
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return path


def command(config, *words):
    return [sys.executable, "-m", "civobs_collector", "--config", str(config), *words]


def test_sigterm_commits_acknowledges_and_ends_with_success(site):
    device = site.device()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(site.folder / "notify"))
        systemd.settimeout(30)
        environment = os.environ | {"NOTIFY_SOCKET": str(site.folder / "notify")}
        with subprocess.Popen(command(configure(site), "ingest"), env=environment) as process:
            assert systemd.recv(100) == b"READY=1"
            wait_for(lambda: site.query("SELECT 1 FROM collector_beat"), 30)
            wait_for(lambda: _sent(site, device), 30)
            process.send_signal(signal.SIGTERM)
            assert systemd.recv(100) == b"STOPPING=1"
            assert process.wait(30) == 0
    assert site.query("SELECT count(*) FROM batch")[0][0] >= 1


def _sent(site, device):
    site.send(device, device.message(1))
    return site.receipt(device) is not None


@pytest.mark.parametrize(
    ("changes", "words", "cause"),
    [
        ({"keys__receipt_key": "/nonexistent/key"}, ["ingest"], "there is no key /nonexistent/key"),
        ({"ingest__archive_dir": "/proc/archive"}, ["ingest"], "cannot make the archive's folder /proc/archive"),
        ({"database__dsn": "nonsense"}, ["ingest"], "dsn"),
        ({"broker__tls_ca": "/nonexistent/ca"}, ["ingest"], "cannot use /nonexistent/ca"),
        ({}, ["serve", "--roles", "ingest,dance"], "no such role: dance"),
        ({}, ["ingest", "--retry-rejected", "dance"], "no such reason: dance"),
    ],
)
def test_what_a_person_must_correct_is_two_lines_and_exit_code_2(site, changes, words, cause):
    ended = subprocess.run(
        command(configure(site, **changes), *words), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if not line[:4].isdigit()]
    assert len(lines) == 2
    assert cause in lines[0]


def test_a_database_without_tables_is_said(site, plain_server):
    empty = configure(site, database__dsn=plain_server.database("postgres"))
    ended = subprocess.run(command(empty, "ingest"), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "civobs migrate" in ended.stderr


def test_a_key_that_others_can_read_is_not_used(site):
    (site.folder / "receipt.key").chmod(0o644)
    ended = subprocess.run(command(configure(site), "ingest"), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "others can read it" in ended.stderr


def test_a_database_that_is_missing_ends_all_roles_without_a_traceback(site):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configure(site, database__dsn=f"{site.dsn} dbname=nowhere", api__port=port)
    ended = subprocess.run(command(config, "serve"), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert 'database "nowhere" does not exist' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_role_that_may_only_read_is_told_what_it_lacks(site):
    with psycopg.connect(site.dsn, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS reader")
        conn.execute("CREATE ROLE reader LOGIN")
        conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    try:
        config = configure(site, database__dsn=f"{site.dsn} user=reader")
        ended = subprocess.run(command(config, "ingest"), capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 2
        assert "role reader lacks the right to write to batch" in ended.stderr
    finally:
        with psycopg.connect(site.dsn, autocommit=True) as conn:
            conn.execute("DROP OWNED BY reader")
            conn.execute("DROP ROLE reader")


def test_a_port_that_is_taken_ends_the_pages_and_says_which(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = configure(site, api__port=port)
        words = command(config, "serve", "--roles", "api,ingest")
        ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr


def test_a_database_that_is_away_is_waited_for(site):
    config = configure(site, database__dsn="host=127.0.0.1 port=1 user=nobody dbname=none")
    with subprocess.Popen(command(config, "ingest"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        wait_for(lambda: "away, waiting" in process.stderr.readline(), 30)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
