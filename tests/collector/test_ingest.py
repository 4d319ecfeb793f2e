"""Batches from the broker to committed rows, receipts and acknowledgements, against real servers."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from civobs_collector.evidence.archive import Location, read
from civobs_collector.ingest.decode import Sender
from civobs_collector.ingest.plans import PlanDesk
from civobs_collector.ingest.store import CurrentPlan
from civobs_wire.batch import parse, unpacked
from civobs_wire.measurement import Dns, MeasurementBase
from civobs_wire.plan import Plan, pack_plan
from civobs_wire.topics import Leaf, all_shards
from tests.collector.fix_ingest import Device, failed_row, open_site, row, wait_for

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def site(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        yield site


def test_a_batch_is_stored_archived_and_receipted(mosquitto, dsn, tmp_path):
    with open_site(mosquitto, dsn, tmp_path) as site:
        device = site.device()
        ingest = site.ingest().start()
        now = datetime.now(UTC)
        message = device.message(1, row(1, now), failed_row(2, now), row(3, now - timedelta(days=2)))
        site.send(device, message)
        receipt = site.wait_for_receipt(device, 1)
        assert receipt.committed == ((1, 1),)
        rows = site.query(
            "SELECT seq, ts, slot_at, value, ms, clock_err_ms, kind, failure, outcome, family, validity, detail"
            " FROM measurement ORDER BY seq"
        )
        first, second, third = rows
        assert first[:11] == (1, now, now, 0.75, 20.0, 20, 2, None, 0, 4, 0 | 3 << 2 | 1 << 4)
        assert first[11]["rtt_avg_ms"] == 20.0, "the first row of an hour is kept whole"
        assert second[3:5] == (0.0, None)
        assert second[7:9] == (6, 1)
        assert second[11]["failure"] == "generic_timeout_error"
        assert third[1] == now - timedelta(days=2)
        ((digest, file, offset, first_seq, last_seq),) = site.query(
            "SELECT payload_sha256, archive_file, archive_offset, first_seq, last_seq FROM batch"
        )
        assert read(tmp_path / "archive", Location(file, offset), digest) == message
        assert (first_seq, last_seq) == (1, 3)
        assert len(site.query("SELECT bucket FROM dirty_bucket")) == 2
        wait_for(lambda: ingest.writer._link.unacked == 0)
        assert ingest.count("ingest_messages_total", result="stored") == 1
        assert ingest.count("ingest_results_total") == 3


def test_what_says_something_new_is_kept_whole_within_the_hour(site):
    device = site.device()
    site.ingest().start()
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    said = [("192.0.2.1", "192.0.2.2"), ("192.0.2.2", "192.0.2.1"), ("192.0.2.66",), ("192.0.2.1", "192.0.2.2")]
    asked = {"resolver": "resolver", "transport": "udp", "qname": "www.example.org", "qtype": "A"}
    rows = []
    for n, answers in enumerate(said, 1):
        shared = {name: getattr(row(n, start + timedelta(minutes=n)), name) for name in MeasurementBase.model_fields}
        rows.append(Dns(**shared, **asked, answers=answers))
    site.send(device, device.message(1, *rows))
    site.wait_for_receipt(device, 1)
    assert [n for (n,) in site.query("SELECT seq FROM measurement WHERE detail IS NOT NULL ORDER BY 1")] == [1, 3]


def test_a_row_that_ends_well_is_kept_whole_once_an_hour(site):
    device = site.device()
    site.ingest().start()
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    site.send(device, device.message(1, *(row(n + 1, hour + timedelta(minutes=20 * n)) for n in range(6))))
    site.wait_for_receipt(device, 1)
    assert [n for (n,) in site.query("SELECT seq FROM measurement WHERE detail IS NOT NULL ORDER BY 1")] == [1, 4]


def test_the_same_bytes_again_change_nothing_and_are_receipted_again(site):
    device = site.device()
    ingest = site.ingest().start()
    message = device.message(1)
    site.send(device, message)
    site.wait_for_receipt(device, 1)
    site.wire.retained.clear()
    site.send(device, message)
    site.wait_for_receipt(device, 1)
    assert site.query("SELECT count(*) FROM measurement") == [(3,)]
    assert ingest.count("ingest_messages_total", result="duplicate") == 1


def test_the_same_message_twice_in_one_flush_is_stored_once(site):
    device = site.device()
    message = device.message(1)
    site.ingest().start().stop()
    for _ in range(3):
        site.send(device, message)
    again = site.ingest().start()
    site.wait_for_receipt(device, 1)
    wait_for(lambda: again.count("ingest_messages_total", result="duplicate") == 2)
    assert site.query("SELECT count(*) FROM measurement") == [(3,)]


def test_a_hole_in_the_numbers_shows_in_the_receipt(site):
    device = site.device()
    site.ingest().start()
    for number in (1, 2, 4):
        site.send(device, device.message(number))
    assert site.wait_for_receipt(device, 4).committed == ((1, 2), (4, 4))
    site.send(device, device.message(3))
    assert site.wait_for_receipt(device, 3).committed == ((1, 4),)


def test_what_came_while_the_collector_was_away_is_taken_when_it_is_back(site):
    device = site.device()
    site.ingest().start().stop()
    for number in range(1, 6):
        site.send(device, device.message(number))
    site.ingest().start()
    assert site.wait_for_receipt(device, 5).committed == ((1, 5),)
    assert site.query("SELECT count(*) FROM measurement") == [(15,)]


def test_a_probe_enrolled_a_moment_ago_is_known(site):
    site.ingest().start()
    device = site.device()
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    assert site.query("SELECT count(*) FROM rejected_batch") == [(0,)]


def test_an_acknowledgement_of_a_former_connection_is_not_sent(site):
    ingest = site.ingest()
    device = site.device()
    taken = []
    link = ingest.writer._link
    link.tend()
    wait_for(lambda: link.live)
    site.send(device, device.message(1))
    taken.append(wait_for(lambda: None if link.queue.empty() else _next_batch(link)))
    former = link.generation
    link._drop()
    wait_for(lambda: link.tend() or link.generation > former)
    again = wait_for(lambda: None if link.queue.empty() else _next_batch(link))
    assert again.payload == taken[0].payload, "the broker sends it once more"
    assert not link.ack(taken[0])
    assert ingest.count("ingest_stale_acks_total") == 1
    assert link.ack(again)
    link.close()


def _next_batch(link):
    arrived = link.queue.get(timeout=5)
    return None if link.is_mark(arrived) else arrived


def test_the_broker_holds_back_what_is_beyond_the_window(site):
    device = site.device()
    ingest = site.ingest(receive_maximum=10)
    link = ingest.writer._link
    wait_for(lambda: link.tend() or link.live)
    for number in range(1, 31):
        site.send(device, device.message(number))
    wait_for(lambda: link.unacked == 10)
    assert not link.live, "what comes later says nothing about when it was sent"
    ingest.start()
    assert site.wait_for_receipt(device, 30).committed == ((1, 30),)
    wait_for(lambda: link.live)


def test_a_spare_waits_and_takes_over_the_session(site):
    device = site.device()
    first = site.ingest().start()
    spare = site.ingest().start(live=False)
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    assert not spare.writer.ready.is_set()
    first.stop()
    site.send(device, device.message(2))
    site.wait_for_receipt(device, 2)
    assert spare.writer.ready.is_set()
    assert site.query("SELECT count(*) FROM measurement") == [(6,)]


def test_the_broker_may_go_and_come_back(lasting_mosquitto, plain_dsn, tmp_path):
    with open_site(lasting_mosquitto, plain_dsn, tmp_path) as site:
        device = site.device()
        site.ingest().start()
        site.send(device, device.message(1))
        site.wait_for_receipt(device, 1)
        lasting_mosquitto.restart()
        wait_for(site.wire._client.is_connected)
        site.send(device, device.message(2))
        site.wire._client.subscribe("civobs/v1/+/+/receipt", 1)
        site.wait_for_receipt(device, 2)
        assert site.query("SELECT count(*) FROM measurement") == [(6,)]


def test_each_probe_gets_the_plan_of_its_country_or_of_all(site):
    kenyan, other = site.device(cc="KE"), site.device(cc="FR")
    now = datetime.now(UTC)

    def publish(cc, serial):
        plan = Plan(plan_id=f"{cc}-{serial}", serial=serial, cc=cc, issued_at=now, expires_at=now + timedelta(days=30))
        message = pack_plan(plan, site.receipt_key)
        site.query(
            "INSERT INTO plan VALUES (%s, %s, %s, %s, %s, %s) RETURNING 1",
            *(plan.plan_id, serial, cc, now, plan.expires_at, message),
        )
        return message

    general, local = publish("ZZ", 1), publish("KE", 1)
    site.ingest().start()
    wait_for(lambda: site.wire.retained.get(kenyan.topic(Leaf.PLAN)) == local)
    wait_for(lambda: site.wire.retained.get(other.topic(Leaf.PLAN)) == general)
    newer = publish("KE", 2)
    wait_for(lambda: site.wire.retained.get(kenyan.topic(Leaf.PLAN)) == newer)


def test_each_connection_sends_plans_anew_because_the_last_may_have_lost_them(site):
    link = site.ingest().writer._link
    device = site.device()
    sender = Sender(1, device.probe_id, "active", "KE", device.key.public_key())
    plans = {"KE": CurrentPlan("p-1", "KE", b"signed")}
    desk = PlanDesk(link, all_shards())
    wait_for(lambda: link.tend() or link.live)
    assert desk.publish([replace(sender, status="revoked")], plans) == 0
    assert desk.publish([sender], plans) == 1
    assert desk.publish([sender], plans) == 0
    former = link.generation
    link._drop()
    assert desk.publish([sender], plans) == 0, "there is no connection"
    wait_for(lambda: link.tend() or link.generation > former)
    assert desk.publish([sender], plans) == 1
    link.close()


def test_what_a_broker_does_not_confirm_is_bounded_in_bytes(site, monkeypatch):
    link = site.ingest().writer._link
    wait_for(lambda: link.tend() or link.live)
    monkeypatch.setattr("civobs_collector.ingest.link._MOST_BYTES_UNDER_WAY", 100_000)
    monkeypatch.setattr("civobs_collector.ingest.link._STUCK_S", 0.3)
    topic, plan = Device().topic(Leaf.PLAN), bytes(60_000)
    wait_for(lambda: link._session.sent == link._session.confirmed)
    site.broker.freeze()
    assert [link.publish(topic, plan) for _ in range(3)] == [True, True, False]
    site.broker.thaw()
    wait_for(lambda: link._session.sent_bytes == link._session.confirmed_bytes)
    assert link.publish(topic, plan)
    link.close()


def test_connections_that_come_and_go_do_not_fill_the_memory(site):
    link = site.ingest(receive_maximum=10).writer._link
    device = site.device()
    link.tend()
    wait_for(lambda: link.live)
    for number in range(1, 31):
        site.send(device, device.message(number))
    wait_for(lambda: link.unacked == 10)
    waiting = link.queue.qsize()
    link._session.client.disconnect()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        link.tend()
        time.sleep(0.05)
    assert (link.generation, link.queue.qsize()) == (0, waiting), "nobody has taken anything out"
    while not link.queue.empty():
        link.queue.get()
    wait_for(lambda: link.tend() or link.unacked == 10)
    link.close()


def test_what_is_archived_can_be_read_without_the_collector(site, tmp_path):
    device = site.device()
    site.ingest().start()
    site.send(device, device.message(7))
    site.wait_for_receipt(device, 7)
    ((file, offset, digest),) = site.query("SELECT archive_file, archive_offset, payload_sha256 FROM batch")
    message = read(tmp_path / "archive", Location(file, offset), digest)
    assert parse(unpacked(message, device.key.public_key())).batch_seq == 7


def test_only_the_shards_of_an_ingest_are_served(site):
    mine, other = site.device(), Device()
    while other.topic(Leaf.BATCH)[:13] == mine.topic(Leaf.BATCH)[:13]:
        other = Device()
    other.enrol(site.dsn)
    shard = mine.topic(Leaf.BATCH).split("/")[2]
    site.ingest(shards=(shard,)).start()
    site.send(other, other.message(1))
    site.send(mine, mine.message(1))
    site.wait_for_receipt(mine, 1)
    assert site.query("SELECT count(*) FROM batch") == [(1,)]
