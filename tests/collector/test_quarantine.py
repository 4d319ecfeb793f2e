"""Everything that must not be stored: kept with its reason, counted, receipted where sending it again is useless.

Behind each bad message comes a good one: whatever happens to the first, the queue goes on.
"""

import json
import re
import secrets
import zlib
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from civobs_collector.ingest.reasons import BY_NAME, REASONS
from civobs_collector.ingest.retry import retry_rejected
from civobs_wire.batch import CONTEXT
from civobs_wire.envelope import seal
from civobs_wire.limits import MAX_PACKED_BYTES, MAX_UNPACKED_BYTES
from civobs_wire.measurement import KIND_CODES
from civobs_wire.scalars import INT4_MAX
from civobs_wire.topics import Leaf
from tests.collector.fix_ingest import Device, days_ago, open_site, row, wait_for

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def site(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        yield site


def sealed(device, text):
    return seal(device.key, CONTEXT, zlib.compress(text if isinstance(text, bytes) else text.encode()))


def changed(device, **fields):
    """A batch with the number 1 whose document differs; ``row`` changes its first measurement."""
    document = json.loads(device.batch(1).model_dump_json(exclude_none=True))
    document["measurements"][0] |= fields.pop("row", {})
    return sealed(device, json.dumps(document | fields))


def change(site, statement):
    with psycopg.connect(site.dsn) as conn:
        conn.execute(statement)


def wrong_signature(device):
    return Device(probe_id=device.probe_id).message(1)


def oversized(device):
    return seal(device.key, CONTEXT, secrets.token_bytes(MAX_PACKED_BYTES))


def zip_bomb(device):
    text = device.batch(1).model_dump_json(exclude_none=True)
    return sealed(device, text[:-1] + " " * (MAX_UNPACKED_BYTES * 20) + "}")


def cut_short(device):
    return seal(device.key, CONTEXT, zlib.compress(device.batch(1).model_dump_json().encode())[:-20])


def deep(device):
    return sealed(device, device.batch(1).model_dump_json()[:-1] + ',"x":' + "[" * 50_000 + "]" * 50_000 + "}")


def far_off(device, days):
    return device.message(1, row(1, days_ago(days)))


LATER = (datetime.now(UTC) + timedelta(hours=2)).isoformat()

BAD = [
    # name, message of a device, reason, receipted
    ("no bytes", lambda _: b"", "undecodable", False),
    ("noise", lambda _: secrets.token_bytes(500), "undecodable", False),
    ("another's signature", wrong_signature, "wrong_signature", False),
    ("one bit changed", lambda d: d.message(1)[:-1] + bytes([d.message(1)[-1] ^ 1]), "wrong_signature", False),
    ("too many bytes", oversized, "oversized", False),
    ("a zip bomb", zip_bomb, "oversized", True),
    ("a stream cut short", cut_short, "undecodable", True),
    ("no zlib stream", lambda d: seal(d.key, CONTEXT, b"plain"), "undecodable", False),
    ("no JSON", lambda d: sealed(d, '{"v":1,"batch_seq":1,'), "undecodable", True),
    ("a million brackets", deep, "undecodable", True),
    ("JSON that is no document", lambda d: sealed(d, "[1,2,3]"), "invalid", False),
    ("a version of tomorrow", lambda d: changed(d, v=2), "unknown_version", True),
    ("a kind of tomorrow", lambda d: changed(d, row={"kind": "smoke"}), "unknown_kind", True),
    ("a missing field", lambda d: changed(d, row={"sent": None}), "invalid", True),
    ("a word for a number", lambda d: changed(d, row={"sent": "four"}), "invalid", True),
    ("NUL in a text", lambda d: changed(d, row={"note": "a\x00b"}), "nul_in_text", True),
    ("NUL in a target", lambda d: changed(d, row={"target": "a\x00b"}), "nul_in_text", True),
    ("a number beyond int2", lambda d: changed(d, row={"sent": 70_000}), "out_of_range", True),
    ("a number beyond int4", lambda d: changed(d, row={"clock_err_ms": 2**31}), "out_of_range", True),
    ("a number beyond int8", lambda d: changed(d, row={"mono_ms": 2**70}), "out_of_range", True),
    ("a number beyond float4", lambda d: changed(d, row={"duration_ms": 1e300}), "out_of_range", True),
    ("not a number", lambda d: changed(d, row={"duration_ms": float("nan")}), "out_of_range", True),
    ("a negative count", lambda d: changed(d, row={"sent": -1}), "out_of_range", True),
    ("a time without offset", lambda d: changed(d, row={"at": "2026-11-22T06:00:00"}), "naive_time", True),
    ("a time in 1970", lambda d: changed(d, row={"at": "1970-01-01T00:00:00Z"}), "out_of_range", True),
    ("a time in 2500", lambda d: changed(d, row={"at": "2500-01-01T00:00:00Z"}), "out_of_range", True),
    ("a row of last month", lambda d: far_off(d, 20), "too_old", True),
    ("a row of tomorrow", lambda d: far_off(d, -1), "too_new", True),
    ("a slot in two hours", lambda d: changed(d, row={"slot_at": LATER}), "too_new", True),
    ("falling numbers", lambda d: changed(d, row={"seq": 10**6}), "invalid", True),
    ("another probe's name", lambda d: changed(d, probe_id=Device().probe_id), "wrong_topic", False),
    ("number nought", lambda d: changed(d, batch_seq=0), "out_of_range", False),
]


@pytest.mark.parametrize(("make", "reason", "receipted"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_a_bad_message_is_kept_with_its_reason_and_stops_nothing(site, make, reason, receipted):
    device = site.device()
    ingest = site.ingest().start()
    bad = make(device)
    site.send(device, bad)
    site.send(device, device.message(2))
    receipt = site.wait_for_receipt(device, 2)
    ((found, detail, payload, probe_id, said, n),) = site.query(
        "SELECT reason, detail, payload, probe_id, receipted, n FROM rejected_batch"
    )
    assert (found, payload, probe_id, n) == (reason, bad, device.probe_id, 1), detail
    assert detail
    assert said is receipted
    assert receipt.settles(1) is receipted
    assert receipt.committed == ((2, 2),)
    assert ingest.count("ingest_rejected_batches_total", reason=reason) == 1
    assert site.query("SELECT batch_seq FROM batch") == [(2,)]
    wait_for(lambda: ingest.writer._link.unacked == 0)


def test_strangers_and_revoked_probes_are_refused_without_a_word(site):
    stranger, revoked, device = Device(), site.device(status="revoked"), site.device()
    site.ingest().start()
    for one in (stranger, revoked, device):
        site.send(one, one.message(1))
    site.wait_for_receipt(device, 1)
    assert site.query("SELECT reason, receipted FROM rejected_batch ORDER BY reason") == [
        ("revoked", False),
        ("unknown_probe", False),
    ]
    assert site.receipt(stranger) is None
    assert site.receipt(revoked) is None


def test_a_probe_revoked_while_it_speaks_is_refused(site):
    device = site.device()
    site.ingest().start()
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    site.query("UPDATE probe SET status = 'revoked' RETURNING 1")
    numbers = iter(range(2, 1000))

    def refused():
        site.send(device, device.message(next(numbers)))
        return site.query("SELECT reason FROM rejected_batch WHERE reason = 'revoked'")

    wait_for(refused)


def test_a_message_under_another_probes_name_or_shard_is_refused(site):
    device, other = site.device(), site.device()
    site.ingest().start()
    message = device.message(1)
    shard = other.topic(Leaf.BATCH).split("/")[2]
    wrong = f"{(int(device.topic(Leaf.BATCH).split('/')[2], 16) + 1) % 64:02x}"
    site.wire.send(f"civobs/v1/{shard}/{other.probe_id}/batch", message)
    site.wire.send(f"civobs/v1/{wrong}/{device.probe_id}/batch", message)
    site.wire.send("civobs/v1/zz/nobody/batch", message)
    site.send(device, device.message(2))
    assert not site.wait_for_receipt(device, 2).settles(1)
    assert sorted(site.query("SELECT reason FROM rejected_batch")) == [
        ("wrong_signature",),
        ("wrong_topic",),
        ("wrong_topic",),
    ]


def test_other_bytes_under_a_committed_number_are_never_taken(site):
    device = site.device()
    site.ingest().start()
    first, second = device.message(1), device.message(1)
    site.send(device, first)
    site.wait_for_receipt(device, 1)
    site.send(device, second)
    site.send(device, device.message(2))
    assert site.wait_for_receipt(device, 2).committed == ((1, 2),)
    assert site.query("SELECT reason, payload, receipted FROM rejected_batch") == [("number_reused", second, False)]
    assert site.query("SELECT count(*) FROM measurement") == [(6,)]


def test_other_bytes_under_a_refused_number_are_never_taken(site):
    device = site.device()
    site.ingest().start()
    site.send(device, changed(device, v=2))
    site.wait_for_receipt(device, 1)
    site.send(device, device.message(1))
    site.send(device, device.message(2))
    receipt = site.wait_for_receipt(device, 2)
    assert (receipt.committed, receipt.rejected) == (((2, 2),), ((1, 1),))
    assert site.query("SELECT reason FROM rejected_batch ORDER BY 1") == [("number_reused",), ("unknown_version",)]


def test_a_wrong_clock_that_says_so_is_believed_within_its_bound(site):
    device = site.device()
    site.ingest().start()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    site.send(device, device.message(1, row(1, ahead, clock_err_ms=7_200_000)))
    assert site.wait_for_receipt(device, 1).committed == ((1, 1),)


def test_a_row_whose_clock_knows_no_bound_is_kept_under_its_arrival(site):
    device = site.device()
    site.ingest().start()
    before = datetime.now(UTC)
    then, next_month, lost = days_ago(300), before + timedelta(days=30), {"clock_err_ms": INT4_MAX}
    rows = [
        row(1, then, **lost),
        row(2, then, **lost),
        row(3, next_month, **lost),
        row(4, before, **lost),
        row(5, before),
    ]
    site.send(device, device.message(1, *rows))
    assert site.wait_for_receipt(device, 1).committed == ((1, 1),)
    stored = site.query("SELECT ts, slot_at, clock_err_ms, detail FROM measurement ORDER BY seq")
    ((received_at,),) = site.query("SELECT received_at FROM batch")
    assert [ts for ts, *_ in stored] == [received_at] * 3 + [before] * 2
    assert [slot_at for _, slot_at, *_ in stored] == [then, then, next_month, before, before]
    assert [error for *_, error, _ in stored] == [INT4_MAX] * 4 + [20]
    said = [datetime.fromisoformat(detail["at"]) for *_, detail in stored[:3]]
    assert said == [then, then, next_month]


def test_a_value_only_the_database_refuses_costs_one_batch(site):
    devices = [site.device() for _ in range(4)]
    with psycopg.connect(site.dsn) as conn:
        conn.execute("ALTER TABLE measurement ADD CONSTRAINT picky CHECK (seq <> 666)")
    site.ingest().start().stop()
    now = datetime.now(UTC)
    for device in devices:
        site.send(device, device.message(1, row(665, now), row(666 if device is devices[2] else 667, now)))
        site.send(device, device.message(2))
    site.ingest().start()
    for device in devices:
        receipt = site.wait_for_receipt(device, 2)
        assert receipt.settles(1)
        assert (receipt.rejected == ((1, 1),)) == (device is devices[2])
    ((reason, detail),) = site.query("SELECT reason, detail FROM rejected_batch")
    assert reason == "database_error"
    assert "23514" in detail
    assert site.query("SELECT count(*) FROM batch") == [(7,)]


def test_the_same_bytes_again_are_counted_not_kept_again(site):
    device = site.device()
    site.ingest().start()
    bad = wrong_signature(device)
    for _ in range(5):
        site.send(device, bad)
    wait_for(lambda: site.query("SELECT n FROM rejected_batch") == [(5,)])


def test_a_full_quarantine_counts_without_bytes_and_receipts_nothing(site):
    device = site.device()
    site.ingest(quarantine_bytes=10).start()
    site.send(device, changed(device, v=2))
    site.send(device, device.message(2))
    assert not site.wait_for_receipt(device, 2).settles(1)
    assert site.query("SELECT reason, payload, receipted FROM rejected_batch") == [("unknown_version", None, False)]


def test_strangers_cannot_use_up_the_room_of_probes(site):
    device, stranger = site.device(), Device()
    site.ingest(quarantine_bytes=18_000).start()
    for _ in range(10):
        site.send(stranger, secrets.token_bytes(900))
        site.send(device, secrets.token_bytes(900))
    site.send(device, wrong_signature(device))
    refused = changed(device, v=2)
    site.send(device, refused)
    assert site.wait_for_receipt(device, 1).rejected == ((1, 1),)
    assert site.query("SELECT count(*) FROM rejected_batch") == [(22,)]
    assert site.query("SELECT count(*) FROM rejected_batch WHERE payload IS NOT NULL AND NOT receipted") == [(2,)]
    assert site.query("SELECT payload FROM rejected_batch WHERE receipted") == [(refused,)]


def test_an_attempt_that_fails_uses_up_no_room(site):
    device = site.device()
    refused = changed(device, v=2)
    ingest = site.ingest(quarantine_bytes=len(refused) + 10).start()
    change(site, "ALTER TABLE receipt RENAME TO hidden")
    site.send(device, refused)
    wait_for(lambda: ingest.writer._failures >= 2)
    change(site, "ALTER TABLE hidden RENAME TO receipt")
    assert site.wait_for_receipt(device, 1).rejected == ((1, 1),)
    assert site.query("SELECT payload FROM rejected_batch") == [(refused,)]


def test_bytes_of_a_stranger_get_their_number_once_it_is_a_probe(site):
    device = Device()
    site.ingest().start()
    old = far_off(device, 20)
    site.send(device, old)
    wait_for(lambda: site.query("SELECT 1 FROM rejected_batch"))
    device.enrol(site.dsn)
    site.send(device, old)
    site.wait_for_receipt(device, 1)
    assert site.query("SELECT reason, batch_seq, n, receipted FROM rejected_batch") == [("too_old", 1, 2, True)]
    site.send(device, device.message(1))
    site.send(device, device.message(2))
    assert site.wait_for_receipt(device, 2).rejected == ((1, 1),), "other bytes under a settled number"


def test_refused_bytes_are_taken_in_after_the_rule_has_changed(site):
    device = site.device()
    site.ingest().start()
    site.send(device, far_off(device, 20))
    site.send(device, changed(device, batch_seq=2, v=2))
    assert site.wait_for_receipt(device, 2).rejected == ((1, 2),)
    assert retry_rejected(site.settings(), None).kept == 2
    report = retry_rejected(site.settings(oldest_d=30.0), "too_old")
    assert (report.stored, report.kept) == (1, 0)
    assert site.query("SELECT reason FROM rejected_batch") == [("unknown_version",)]
    assert site.query("SELECT count(*) FROM measurement") == [(1,)]
    site.send(device, device.message(3))
    receipt = site.wait_for_receipt(device, 3)
    assert (receipt.committed, receipt.rejected) == (((1, 1), (3, 3)), ((2, 2),))


def test_every_reason_the_wire_gives_is_in_the_table():
    from civobs_wire import batch, errors

    given = {value.reason for value in vars(errors).values() if isinstance(value, type)}
    given |= set(batch._REASONS.values()) | set(re.findall(r'return "(\w+)"', _source(batch._reason)))
    assert given <= set(BY_NAME)
    assert len(BY_NAME) == len(REASONS)


def test_every_kind_has_its_principal_number():
    from civobs_collector.ingest.rows import PRINCIPAL

    assert set(PRINCIPAL) == set(KIND_CODES)


def _source(function):
    import inspect

    return inspect.getsource(function)
