"""The role as a process: what survives ``kill -9``, who tells when two run, and what a person reads."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from civobs_collector.__main__ import main
from civobs_collector.config import CollectorSettings, DatabaseSettings, load
from civobs_collector.detect.versions import NewVersion
from civobs_collector.detect_read import publish
from civobs_collector.errors import KeyFileError
from civobs_collector.notify import role
from civobs_collector.notify.settings import MailSettings
from tests.collector.fix_ingest import wait_for
from tests.collector.fix_notify import BASE, SECRET, opening, site_settings, subscriber
from tests.collector.fix_web import KEY

pytestmark = pytest.mark.db


@pytest.fixture
def config(plain_dsn, tmp_path, receiver):
    """Settings of one subscriber by webhook, tried ten times a second."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    file = tmp_path / "collector.toml"
    file.write_text(
        f'[database]\ndsn = "{plain_dsn}"\n[api]\npublic_url = "{BASE}"\n'
        "[notify]\nevery_s = 0.1\nretry_s = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]\n"
        f'[[notify.subscribers]]\nname = "hook"\nwebhook = "{receiver.url}"\nsecret_file = "{secret}"\n'
    )
    return file


def civobs(config, *words):
    return [sys.executable, "-m", "civobs_collector", "--config", str(config), *words]


@contextmanager
def serving(config, dsn):
    """The role in a process of its own, which has begun to look."""
    words = civobs(config, "serve", "--roles", "notify")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: ask(dsn, "SELECT 1 FROM notice_subscriber"), 30)
            yield process
        finally:
            process.kill()


def ask(dsn, query):
    with psycopg.connect(dsn) as conn:
        return conn.execute(query).fetchall()


def publish_one(dsn, key=KEY):
    record = opening(event_key=key)
    with psycopg.connect(dsn) as conn:
        publish(conn, NewVersion(record.event_key, 1, "new", "detected", record, public=True), datetime.now(UTC))


def test_what_waits_for_its_next_attempt_survives_kill_9_and_arrives_once(config, receiver, plain_dsn):
    receiver.answers = [503, 503]
    with serving(config, plain_dsn) as process:
        publish_one(plain_dsn)
        wait_for(lambda: receiver.taken, 30)
        process.send_signal(signal.SIGKILL)
    with serving(config, plain_dsn) as process:
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'sent'"), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        said = process.stderr.read()
    assert not receiver.answers
    assert len({one.headers["webhook-id"] for one in receiver.taken}) == 1
    assert len({one.body for one in receiver.taken}) == 1
    assert ask(plain_dsn, "SELECT count(*), count(sent_at) FROM notice") == [(1, 1)]
    assert "subscriber=hook sent" in said
    assert "sesame" not in said


def test_killed_between_sending_and_writing_it_down_it_repeats_itself_under_the_same_name(config, receiver, plain_dsn):
    receiver.may_answer.clear()
    with serving(config, plain_dsn) as process:
        publish_one(plain_dsn)
        wait_for(lambda: receiver.taken, 30)
        process.send_signal(signal.SIGKILL)
    receiver.may_answer.set()
    with serving(config, plain_dsn):
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'sent'"), 30)
    first, second = receiver.taken
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


@contextmanager
def telling(settings, times=1):
    """The role in this process, as often as is said, from when one has begun to look."""
    stops = []
    running = []
    for _ in range(times):
        began = threading.Event()

        async def work(began=began):
            stop = asyncio.Event()
            stops.append((asyncio.get_running_loop(), stop))
            began.set()
            await role.run(settings, stop)

        running.append(threading.Thread(target=asyncio.run, args=(work(),)))
        running[-1].start()
        assert began.wait(30)
    try:
        wait_for(lambda: ask(settings.database.dsn, "SELECT 1 FROM notice_subscriber"), 30)
        yield
    finally:
        for loop, stop in stops:
            loop.call_soon_threadsafe(stop.set)
        for thread in running:
            thread.join(30)


def test_of_two_processes_one_tells(config, plain_dsn, receiver):
    with telling(load(config), times=2):
        publish_one(plain_dsn)
        wait_for(lambda: receiver.taken, 30)
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'sent'"), 30)
        publish_one(plain_dsn, uuid4())
        wait_for(lambda: len(receiver.taken) == 2, 30)
    assert ask(plain_dsn, "SELECT count(*), max(attempts) FROM notice WHERE state = 'sent'") == [(2, 1)]


def test_a_letter_goes_from_a_published_version_to_the_mail_server(plain_dsn, post_office, tmp_path):
    password = tmp_path / "password"
    password.write_text("sesame")
    password.chmod(0o600)
    mail = MailSettings(
        host="localhost",
        port=post_office.port,
        tls="starttls",
        tls_ca=post_office.ca_file,
        username="civobs",
        password_file=password,
    )
    post_office.answers = ["451 later"]
    with telling(site_settings(plain_dsn, subscriber(), mail=mail)):
        publish_one(plain_dsn)
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'sent'"), 30)
    (letter,) = post_office.letters
    assert letter["to"] == "desk@example.org"
    assert ask(plain_dsn, "SELECT attempts, state, last_error FROM notice") == [(2, "sent", None)]


def said_by(capsys, config, *words):
    """What a command prints and how it ends."""
    code = main(["--config", str(config), *words])
    ended = capsys.readouterr()
    return code, ended.out, ended.err


def test_a_trial_arrives_and_says_what_it_is(config, receiver, capsys):
    assert said_by(capsys, config, "notify", "test", "hook") == (0, "hook took it\n", "")
    (taken,) = receiver.taken
    assert taken.document["type"] == "test.ping"
    receiver.answers = [404]
    code, _, error = said_by(capsys, config, "notify", "test", "hook")
    assert (code, error.splitlines()) == (
        1,
        [
            "civobs: hook: answered with HTTP 404",
            "        check webhook and secret_file of this subscriber, and the receiver",
        ],
    )
    code, _, error = said_by(capsys, config, "notify", "test", "nobody")
    assert (code, error.splitlines()[1].strip()) == (1, "subscribers in [notify]: hook")


def test_what_was_given_up_is_listed_and_tried_again_when_asked(config, receiver, plain_dsn, capsys):
    assert said_by(capsys, config, "notify", "list")[1] == "nothing waits and nothing was given up\n"
    receiver.answers = [410]
    with telling(load(config)):
        publish_one(plain_dsn)
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'dead'"), 30)
        (listed,) = json.loads(said_by(capsys, config, "notify", "list", "--json")[1])
        assert (listed["public_id"], listed["change"], listed["state"], listed["last_error"]) == (
            *("CIV-2026-KE-0001", "opened", "dead"),
            "answered with HTTP 410",
        )
        assert "answered with HTTP 410" in said_by(capsys, config, "notify", "list", "--state", "dead")[1]
        _, out, _ = said_by(capsys, config, "notify", "retry", str(listed["notice_key"]))
        assert out == "1 will be tried again by: civobs serve\n"
        wait_for(lambda: ask(plain_dsn, "SELECT 1 FROM notice WHERE state = 'sent'"), 30)
    first, second = receiver.taken
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert said_by(capsys, config, "notify", "drop", "--subscriber", "hook")[0] == 1
    with psycopg.connect(plain_dsn) as conn:
        conn.execute("UPDATE notice SET state = 'dead'")
    assert said_by(capsys, config, "notify", "drop", "--all")[:2] == (0, "1 forgotten\n")
    code, _, error = said_by(capsys, config, "notify", "retry", "--all")
    assert (code, error.splitlines()[0]) == (1, "civobs: no notice of these was given up")


def test_a_secret_that_is_missing_ends_the_role_with_what_to_do(config, tmp_path):
    (tmp_path / "secret").unlink()
    with pytest.raises(KeyFileError, match="there is no") as caught:
        asyncio.run(role.run(load(config), asyncio.Event()))
    assert "mode 0600" in caught.value.remedy


def test_nobody_to_tell_and_a_database_that_is_away_end_nothing(caplog):
    settings = CollectorSettings(database=DatabaseSettings(dsn="host=127.0.0.1 port=1 user=nobody dbname=none"))

    async def briefly():
        stop = asyncio.Event()
        running = asyncio.create_task(role.run(settings, stop), name="notify")
        await asyncio.to_thread(wait_for, lambda: "notify failed" in caplog.text, 30)
        stop.set()
        await running

    asyncio.run(briefly())
