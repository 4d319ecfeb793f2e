"""Full disks, damaged files, kills and restored cards."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from civobs_agent.errors import StorageError
from civobs_agent.spool import Spool, SpoolLimits
from civobs_wire.batch import unpack
from civobs_wire.measurement import AgentEvent
from tests.agent.fix_agent import PROBE_ID, ladder_row, tcp_row
from tests.agent.fix_spool import hand_out, receipt


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], check=True)

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
        return folder

    yield resize
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_keeps_rows_in_memory_and_nothing_is_lost(small_disk, hand_clock, probe_key, rows_of):
    folder = small_disk("512k")
    spool = Spool(folder, hand_clock, probe_key, SpoolLimits(write_interval_s=0), monotonic=hand_clock.monotonic)
    spool.identify(PROBE_ID)
    spool.record([tcp_row(hand_clock, "before")])
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))
    for n in range(300):
        spool.record([tcp_row(hand_clock, f"during-{n}")])
    spool.flush()
    assert spool.state().disk != "ok"
    ballast.unlink()
    spool.record([tcp_row(hand_clock, "after")])
    spool.flush()
    assert spool.state().disk == "ok"
    rows = rows_of(spool)
    spool.close()
    assert [row.seq for row in rows] == list(range(1, 303))
    assert rows[-1].target == "after"


def test_memory_is_bounded_while_the_disk_cannot_be_written(small_disk, hand_clock, probe_key, rows_of):
    folder = small_disk("4k")
    spool = Spool(folder, hand_clock, probe_key, SpoolLimits(memory_rows=100), monotonic=hand_clock.monotonic)
    spool.identify(PROBE_ID)
    assert spool.state().disk != "ok"
    for n in range(300):
        hand_clock.turn(1)
        spool.record([tcp_row(hand_clock, f"t{n}")])
    assert spool.state().rows_waiting == 100
    small_disk("1m")
    spool.flush()
    rows = rows_of(spool)
    spool.close()
    assert (rows[-1].event, rows[-1].n_lost) == (AgentEvent.SPOOL_EVICTED, 200)
    assert [row.target for row in rows[:-1]] == [f"t{n}" for n in range(200, 300)]


@pytest.mark.parametrize("damage", ["header", "middle", "empty", "garbage"])
def test_a_damaged_spool_is_set_aside_and_numbers_never_come_back(make_spool, tmp_path, hand_clock, rows_of, damage):
    spool = make_spool()
    for n in range(40):
        spool.record([tcp_row(hand_clock, f"t{n}-{k}") for k in range(50)])
        spool.flush()
    spool.close()
    path = tmp_path / "state" / "spool.db"
    content = bytearray(path.read_bytes())
    match damage:
        case "header":
            content[:100] = b"\xff" * 100
        case "middle":
            content[len(content) // 2 : len(content) // 2 + 8192] = os.urandom(8192)
        case "empty":
            content.clear()
        case "garbage":
            content[:] = os.urandom(len(content))
    path.write_bytes(content)
    again = make_spool()
    again.record([tcp_row(hand_clock, "after")])
    again.flush()
    sealed = again.next_batches(1000)
    assert max(batch.batch_seq for batch in sealed) > 40
    rows = rows_of(again)
    told = next(row for row in rows if row.kind == "agent")
    assert told.event is AgentEvent.SPOOL_RESET
    assert told.seq > 2000
    carried = [row for row in rows if row.kind == "tcp" and row.target != "after"]
    assert told.n == len(carried)
    if damage == "middle":
        assert 0 < len(carried) < 2000
    assert len(list((tmp_path / "state").glob("spool-damaged-*.db"))) == (0 if damage == "empty" else 1)


@pytest.mark.parametrize("body", [b'{"kind": "one of a newer agent"}', b'{"kind": "\xff"}'])
def test_a_row_that_cannot_be_understood_costs_that_row_alone(make_spool, tmp_path, hand_clock, rows_of, body):
    spool = make_spool(probe_id=None)
    spool.record([tcp_row(hand_clock, f"t{n}") for n in range(5)])
    spool.close()
    with closing(sqlite3.connect(tmp_path / "state" / "spool.db")) as file, file:
        file.execute("UPDATE row SET body = CAST(? AS TEXT) WHERE seq = 3", (body,))
    again = make_spool()
    again.flush()
    rows = rows_of(again)
    assert [row.target for row in rows if row.kind == "tcp"] == ["t0", "t1", "t3", "t4"]
    told = [row for row in rows if row.kind == "agent"]
    assert [(row.event, row.n, row.n_lost) for row in told] == [(AgentEvent.SPOOL_RESET, 4, 1)]
    assert again.state().disk == "ok"


def test_a_full_spool_counts_what_a_receipt_has_just_freed(make_spool, hand_clock, rows_of):
    spool = make_spool(SpoolLimits(max_bytes=30_000))
    for _ in range(50):
        spool.record([tcp_row(hand_clock) for _ in range(5)])
        spool.flush()
    assert 15_000 < spool.state().bytes < 27_000, "nearly full"
    hand_out(spool)
    spool.settle(receipt((1, 49)))
    spool.record([tcp_row(hand_clock) for _ in range(30)])
    spool.flush()
    assert len(rows_of(spool)) == 5 + 30, "nothing had to go, and nothing says that it went"


def test_a_spool_damaged_while_in_use_is_replaced_without_an_exception(make_spool, tmp_path, hand_clock):
    spool = make_spool(SpoolLimits(write_interval_s=0))
    spool.record([tcp_row(hand_clock) for _ in range(2000)])
    spool.flush()
    spool.close()
    again = make_spool()
    path = tmp_path / "state" / "spool.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    for _ in range(5):
        again.record([tcp_row(hand_clock)])
        again.flush()
        again.next_batches(8)
    assert again.state().disk == "ok"
    assert any(sealed.batch_seq > 10 for sealed in again.next_batches(100))


def test_a_card_restored_from_a_copy_does_not_use_numbers_the_collector_has_seen(make_spool, tmp_path, hand_clock):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "copy", tmp_path / "state")
    again = make_spool()
    hand_out(again)
    again.settle(receipt((1, 77)))
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [sealed.batch_seq for sealed in again.next_batches(8)] == [78, 79]


def test_what_was_never_sent_survives_a_receipt_for_its_numbers_and_is_sealed_anew(make_spool, hand_clock, probe_key):
    spool = make_spool()
    for n in range(4):
        spool.record([tcp_row(hand_clock, f"t{n}")])
        spool.flush()
    spool.close()
    again = make_spool()
    again.handed_out([2])
    assert again.settle(receipt((1, 3), (70, 77))) == 1
    again.flush()
    batches = [unpack(sealed.message, probe_key.public_key()) for sealed in again.next_batches(8)]
    told = batches[0].measurements[0]
    assert (told.event, told.n, told.n_lost) == (AgentEvent.SPOOL_RESET, 3, 0)
    assert told.note == "batch numbers went back: never sent batch_seq 1,3-4 sealed anew below 81"
    assert [(batch.batch_seq, batch.measurements[0].target) for batch in batches[1:]] == [
        (78, "t0"),
        (79, "t2"),
        (80, "t3"),
    ]
    assert again.state().batches == 4
    assert again.settle(receipt((1, 3), (70, 77))) == 0
    hand_out(again)
    assert again.settle(receipt((1, 81))) == 4


def test_a_receipt_for_the_ladder_does_not_touch_the_rest_that_waits(make_spool, hand_clock):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.record([ladder_row(hand_clock)])
    spool.flush()
    before = spool.next_batches(8)[1].message
    spool.handed_out([2])
    assert spool.settle(receipt((2, 2))) == 1
    assert [(sealed.batch_seq, sealed.message) for sealed in spool.next_batches(8)] == [(1, before)]


def test_a_batch_that_was_handed_out_is_settled_after_kill_9_too(make_spool, tmp_path, hand_clock):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    hand_out(spool)
    spool._store.close()
    spool._lock.release()
    again = make_spool()
    assert again.settle(receipt((1, 1))) == 1
    assert again.next_batches(8) == []


def test_what_is_remembered_is_there_after_a_restart(make_spool, hand_clock):
    spool = make_spool()
    spool.remember("last_slot", "2026-11-22T12:00:00Z")
    assert spool.recall("last_slot") == "2026-11-22T12:00:00Z"
    spool.close()
    assert make_spool().recall("last_slot") == "2026-11-22T12:00:00Z"


KILLED = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from civobs_agent.spool import Spool, SpoolLimits
from tests.agent.fix_agent import HandClock, PROBE_ID, tcp_row, ladder_row
clock = HandClock()
key = load_pem_private_key(Path(sys.argv[2]).read_bytes(), None)
limits = SpoolLimits(write_interval_s=0, seal_interval_s=3)
spool = Spool(Path(sys.argv[1]), clock, key, limits, monotonic=clock.monotonic)
spool.identify(PROBE_ID)
n = int(sys.argv[4])
while True:
    clock.turn(1)
    spool.record([tcp_row(clock, f"r{n}")])
    print(n, flush=True)
    n += 1
    spool.tick()
    for sealed in spool.next_batches(1):
        print("sent", sealed.batch_seq, sealed.message.hex()[:200], flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_written_row_and_changes_no_sent_byte(tmp_path, probe_key, rows_of, hand_clock):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key_file = tmp_path / "key"
    key_file.write_bytes(probe_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    recorded: list[int] = []
    sent: dict[int, set[str]] = {}
    for round_no in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path / "state", key_file, Path.cwd(), str(len(recorded))],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            word, *rest = line.split()
            if word == "sent":
                sent.setdefault(int(rest[0]), set()).add(rest[1])
            else:
                recorded.append(int(word))
            if count > 40 + 23 * round_no:
                process.send_signal(signal.SIGKILL)
                break
        tail = process.stdout.read()
        process.wait()
        process.stdout.close()
        for line in tail.splitlines():
            word, *rest = line.split()
            if word == "sent" and len(rest) == 2 and len(rest[1]) == 200:
                sent.setdefault(int(rest[0]), set()).add(rest[1])
            elif word.isdigit():
                recorded.append(int(word))
    spool = Spool(tmp_path / "state", hand_clock, probe_key)
    spool.identify(PROBE_ID)
    spool.flush()
    rows = rows_of(spool)
    targets = [row.target for row in rows]
    # A row may be written and its line not printed: then the next round records it again under another number.
    assert set(targets) >= {f"r{n}" for n in recorded}
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert all(len(forms) == 1 for forms in sent.values())
    kept = {sealed.batch_seq: sealed.message.hex()[:200] for sealed in spool.next_batches(10_000)}
    assert all(kept[number] == next(iter(forms)) for number, forms in sent.items())
    spool.close()


def test_a_spool_that_was_removed_begins_above_every_number_used(make_spool, tmp_path, hand_clock, rows_of):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.close()
    for file in (tmp_path / "state").glob("spool.db*"):
        file.unlink()
    again = make_spool()
    again.flush()
    (told,) = rows_of(again)
    assert told.event is AgentEvent.SPOOL_RESET
    assert told.seq > 1
    assert again.next_batches(1)[0].batch_seq > 1


def test_two_processes_cannot_write_to_one_spool(make_spool):
    make_spool()
    with pytest.raises(StorageError, match="another agent is running"):
        make_spool()


def test_an_empty_write_before_a_kill_is_not_taken_for_a_loss(make_spool, hand_clock, rows_of):
    spool = make_spool()
    spool.flush()
    spool._store.close()
    spool._lock.release()
    again = make_spool()
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [row.seq for row in rows_of(again)] == [1]
