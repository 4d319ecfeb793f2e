"""Trouble that passes: database, disk and broker go away under load; nothing is lost, doubled or acknowledged early."""

import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from civobs_collector.db.migrate import migrate
from civobs_lab.postgres import Kind, PostgresServer
from tests.collector.fix_ingest import open_site, wait_for

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def own_server():
    """A server that a test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="civobs-pg-"))
    server = PostgresServer(Kind.PLAIN, folder)
    server.start()
    migrate(server.dsn())
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture
def site(mosquitto, own_server, tmp_path):
    with open_site(mosquitto, own_server.dsn(), tmp_path) as site:
        yield site


def change(site, statement):
    with psycopg.connect(site.dsn) as conn:
        conn.execute(statement)


def complete(site, device, batches):
    site.wait_for_receipt(device, batches)
    wait_for(lambda: site.receipt(device).committed == ((1, batches),))
    assert site.query("SELECT count(*), count(DISTINCT seq) FROM measurement") == [(3 * batches, 3 * batches)]
    assert site.query("SELECT count(*) FROM rejected_batch") == [(0,)]


def test_a_database_killed_under_load_loses_and_doubles_nothing(site, own_server):
    device = site.device()
    ingest = site.ingest(receive_maximum=20).start()
    halt, sent = threading.Event(), []

    def send():
        while not halt.is_set() or len(sent) < 20:
            sent.append(device.message(len(sent) + 1))
            site.send(device, sent[-1])
            time.sleep(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            time.sleep(0.7)
            own_server.kill()
            time.sleep(0.5)
            assert ingest.writer._link.unacked <= 50, "memory is bounded by the window"
            # By this thread: the server dies with the one that started it.
            own_server.start()
    finally:
        halt.set()
        sender.join()
    complete(site, device, len(sent))


def test_nothing_is_acknowledged_while_the_database_is_away(site, own_server):
    device = site.device()
    ingest = site.ingest(receive_maximum=10).start()
    own_server.kill()
    for number in range(1, 31):
        site.send(device, device.message(number))
    wait_for(lambda: ingest.writer._link.unacked == 10)
    time.sleep(0.5)
    assert ingest.writer._link.unacked == 10
    assert site.receipt(device) is None
    own_server.start()
    complete(site, device, 30)


def test_a_collector_that_stops_without_a_database_leaves_all_to_the_next(site, own_server):
    device = site.device()
    first = site.ingest().start()
    own_server.kill()
    for number in range(1, 6):
        site.send(device, device.message(number))
    wait_for(lambda: first.writer._link.unacked >= 5)
    first.stop()
    own_server.start()
    site.ingest().start()
    complete(site, device, 5)


def test_a_broker_killed_under_load_loses_nothing_the_probe_still_has(site):
    device = site.device()
    ingest = site.ingest().start()
    messages = [device.message(number) for number in range(1, 21)]
    for message in messages[:10]:
        site.send(device, message)
    site.broker.kill()
    site.broker.start()
    wait_for(lambda: ingest.writer._link.live)
    wait_for(site.wire._client.is_connected)
    site.wire._client.subscribe("civobs/v1/+/+/receipt", 1)
    # A probe sends again whatever no receipt settles.
    for message in messages:
        site.send(device, message)
    complete(site, device, 20)


def test_a_full_disk_of_the_archive_is_waited_out(mosquitto, plain_dsn, tmp_path, small_disk):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        device = site.device()
        filler = small_disk / "filler"
        ingest = site.ingest(archive_dir=small_disk).start()
        site.send(device, device.message(1))
        site.wait_for_receipt(device, 1)
        _fill_up(filler)
        for number in range(2, 22):
            site.send(device, device.message(number))
        wait_for(lambda: ingest.writer._said)
        assert ingest.writer._link.unacked > 0
        assert not site.receipt(device).settles(21)
        wait_for(lambda: site.query("SELECT ok FROM collector_beat ORDER BY at DESC LIMIT 1") == [(False,)])
        filler.unlink()
        complete(site, device, 21)
        ingest.stop()


def test_a_missing_table_is_waited_for(site, own_server):
    device = site.device()
    ingest = site.ingest().start()
    change(site, "ALTER TABLE measurement RENAME TO hidden")
    site.send(device, device.message(1))
    wait_for(lambda: ingest.writer._said)
    change(site, "ALTER TABLE hidden RENAME TO measurement")
    complete(site, device, 1)


def test_a_partition_that_was_dropped_is_made_again(site, own_server):
    device = site.device()
    site.ingest().start()
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    for (name,) in site.query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'measurement'::regclass"
    ):
        change(site, f"DROP TABLE {name}")
    for number in (2, 3):
        site.send(device, device.message(number))
    site.wait_for_receipt(device, 3)
    assert site.receipt(device).committed == ((1, 3),)
    assert site.query("SELECT DISTINCT seq / 100 FROM measurement ORDER BY 1") == [(2,), (3,)]
    assert site.query("SELECT count(*) FROM rejected_batch") == [(0,)]


def test_keys_of_targets_are_asked_anew_of_a_server_that_was_restored(site, own_server):
    device = site.device()
    site.ingest().start()
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    change(site, "TRUNCATE target")
    change(site, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'civobs-ingest'")
    site.send(device, device.message(2))
    site.wait_for_receipt(device, 2)
    assert site.query("SELECT count(*) FROM measurement JOIN target USING (target_key) WHERE seq >= 200") == [(3,)]


def test_two_writers_of_the_same_batches_store_them_once(site):
    device = site.device()
    site.ingest().start()
    other = site.ingest(instance="b")
    # What no lock prevents when two collectors disagree about the database's sessions.
    other.writer._lock_shards = lambda _conn: True
    other.start()
    for number in range(1, 41):
        site.send(device, device.message(number))
    complete(site, device, 40)


def _fill_up(path):
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_backlog_does_not_make_reader_and_writer_wait_for_each_other(site, monkeypatch):
    monkeypatch.setattr("civobs_collector.ingest.link._MOST_UNDER_WAY", 4)
    device = site.device()
    site.ingest(receive_maximum=2, flush_batches=1).start().stop()
    for number in range(1, 201):
        site.send(device, device.message(number))
    site.ingest(receive_maximum=2, flush_batches=1).start()
    # Confirmations of receipts stand behind the backlog: a reader that held back would read one message a second.
    complete(site, device, 200)
