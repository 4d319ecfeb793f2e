import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from civobs_agent.errors import StorageError
from civobs_agent.sealing import Lane
from civobs_agent.spool import Spool, SpoolLimits
from civobs_wire.batch import unpack
from civobs_wire.measurement import AgentEvent, ClockState
from civobs_wire.receipt import Receipt
from civobs_wire.scalars import INT4_MAX
from tests.agent.fix_agent import BOOT, NOON, PROBE_ID, HandClock, ladder_row, tcp_row

OTHER_BOOT = UUID("0b5c4b3e-0000-4000-8000-000000000002")


@pytest.fixture
def make(tmp_path, hand_clock, probe_key):
    made = []

    def spool(limits=None, clock=hand_clock, probe_id=PROBE_ID):
        opened = Spool(tmp_path / "state", clock, probe_key, limits, monotonic=clock.monotonic)
        if probe_id is not None:
            opened.identify(probe_id)
        made.append(opened)
        return opened

    yield spool
    for opened in made:
        opened.close()


@pytest.fixture
def rows_of(probe_key):
    def unpacked(spool, limit=10_000):
        batches = [unpack(sealed.message, probe_key.public_key()) for sealed in spool.next_batches(limit)]
        return sorted((row for batch in batches for row in batch.measurements), key=lambda row: row.seq)

    return unpacked


def receipt(*ranges, rejected=()):
    return Receipt(probe_id=PROBE_ID, committed=ranges, rejected=rejected, at=datetime.now(UTC))


def hand_out(spool):
    spool.handed_out([sealed.batch_seq for sealed in spool.next_batches(10_000)])


def test_rows_are_numbered_without_gaps_in_the_order_recorded(make, hand_clock, rows_of):
    spool = make()
    for n in range(450):
        spool.record([tcp_row(hand_clock, f"t{n}")])
    spool.flush()
    rows = rows_of(spool)
    assert [row.seq for row in rows] == list(range(1, 451))
    assert [row.target for row in rows] == [f"t{n}" for n in range(450)]


def test_calm_rows_wait_in_memory_for_the_interval_and_no_longer(make, hand_clock):
    spool = make(SpoolLimits(write_interval_s=60, seal_interval_s=60))
    spool.record([tcp_row(hand_clock)])
    hand_clock.turn(59)
    spool.tick()
    assert spool.next_batches(8) == []
    hand_clock.turn(1)
    spool.tick()
    assert len(spool.next_batches(8)) == 1


def test_a_rung_that_changes_is_sealed_at_once(make, hand_clock):
    spool = make()
    spool.record([ladder_row(hand_clock), tcp_row(hand_clock)])
    assert spool.next_batches(8) == []
    spool.record([ladder_row(hand_clock, ok=False)])
    assert [sealed.lane for sealed in spool.next_batches(8)] == [Lane.LADDER, Lane.REST]


def test_ladder_batches_go_before_older_ones_of_the_rest(make, hand_clock):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.record([ladder_row(hand_clock)])
    spool.flush()
    assert [sealed.batch_seq for sealed in spool.next_batches(8)] == [2, 1]


def test_only_a_receipt_lets_go_and_numbers_go_on_after_a_restart(make, hand_clock):
    spool = make()
    for _ in range(3):
        spool.record([tcp_row(hand_clock)])
        spool.flush()
    hand_out(spool)
    assert spool.settle(receipt((1, 1), rejected=((3, 3),))) == 2
    assert [sealed.batch_seq for sealed in spool.next_batches(8)] == [2]
    spool.close()
    again = make()
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [(sealed.batch_seq, sealed.n) for sealed in again.next_batches(8)] == [(2, 1), (4, 1)]
    assert again.state().rows_sealed == 2


def test_a_batch_is_the_same_bytes_after_a_restart(make, hand_clock):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    before = spool.next_batches(1)[0].message
    spool.close()
    assert make().next_batches(1)[0].message == before


def test_nothing_is_sealed_before_the_probe_has_an_id(make, hand_clock):
    spool = make(probe_id=None)
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    assert spool.next_batches(8) == []
    assert spool.state().rows_waiting == 1
    spool.identify(PROBE_ID)
    spool.flush()
    assert [sealed.n for sealed in spool.next_batches(8)] == [1]


def test_rows_of_an_unknown_clock_are_anchored_once_it_is_known(make, hand_clock, rows_of):
    hand_clock.state = ClockState.UNKNOWN
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    hand_clock.turn(30)
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    assert spool.next_batches(8) == []
    hand_clock.become_known(NOON + timedelta(days=3))
    spool.flush()
    first, second, told = rows_of(spool)
    assert first.at == first.slot_at == NOON + timedelta(days=3, seconds=1)
    assert second.at - first.at == timedelta(seconds=30)
    assert {first.clock_err_ms, second.clock_err_ms} == {5}
    assert told.event is AgentEvent.CLOCK_SET
    assert (told.n, told.step_ms) == (2, timedelta(days=3).total_seconds() * 1000)


def test_rows_of_a_boot_that_is_over_are_sealed_with_the_error_they_have(make, hand_clock, rows_of):
    hand_clock.state = ClockState.UNKNOWN
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.close()
    later = make(clock=HandClock(boot_id=OTHER_BOOT))
    later.flush()
    (row,) = rows_of(later)
    assert row.clock_err_ms == INT4_MAX
    assert later.last_life is not None
    assert later.last_life.boot_id == str(BOOT)


def test_rows_whose_clock_is_never_known_are_sealed_after_a_day(make, hand_clock):
    hand_clock.state = ClockState.UNKNOWN
    spool = make()
    spool.record([tcp_row(hand_clock)])
    hand_clock.turn(86_400)
    spool.tick()
    assert len(spool.next_batches(8)) == 1


def test_batches_hold_rows_of_one_boot_only(make, hand_clock, probe_key):
    spool = make(probe_id=None)
    spool.record([tcp_row(hand_clock)])
    spool.close()
    clock = HandClock(boot_id=OTHER_BOOT)
    later = make(clock=clock)
    later.record([tcp_row(clock)])
    later.flush()
    boots = [unpack(sealed.message, probe_key.public_key()).boot_id for sealed in later.next_batches(8)]
    assert boots == [BOOT, OTHER_BOOT]


def test_a_full_spool_gives_up_routine_and_says_what_went(make, hand_clock, rows_of):
    spool = make(SpoolLimits(max_bytes=60_000, around_change_s=30))
    for n in range(60):
        hand_clock.turn(60)
        spool.record([tcp_row(hand_clock, f"t{n}-{k}") for k in range(40)])
        spool.record([ladder_row(hand_clock, ok=n not in {20, 21})])
        spool.flush()
    rows = rows_of(spool)
    told = [row for row in rows if row.kind == "agent"]
    assert told
    assert all(row.event is AgentEvent.SPOOL_EVICTED for row in told)
    kept = {row.seq for row in rows}
    gone = set(range(1, max(kept) + 1)) - kept
    assert sum(row.n_lost for row in told) == len(gone)
    assert all(row.from_at is not None and row.note and row.note.startswith("batch_seq ") for row in told)
    ladder = [row for row in rows if row.kind == "ladder"]
    assert len([row for row in ladder if row.outcome == "failed"]) == 2
    # Rows within half a minute of the change of the rung outlive older and younger routine.
    assert {row.target.split("-")[0] for row in rows if row.kind == "tcp"} >= {"t20"}
    assert spool.state().bytes <= 60_000


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
def test_a_damaged_spool_is_set_aside_and_numbers_never_come_back(make, tmp_path, hand_clock, rows_of, damage):
    spool = make()
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
    again = make()
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
def test_a_row_that_can_be_read_but_not_understood_costs_that_row_alone(make, tmp_path, hand_clock, rows_of, body):
    spool = make(probe_id=None)
    spool.record([tcp_row(hand_clock, f"t{n}") for n in range(5)])
    spool.close()
    with closing(sqlite3.connect(tmp_path / "state" / "spool.db")) as file, file:
        file.execute("UPDATE row SET body = CAST(? AS TEXT) WHERE seq = 3", (body,))
    again = make()
    again.flush()
    rows = rows_of(again)
    assert [row.target for row in rows if row.kind == "tcp"] == ["t0", "t1", "t3", "t4"]
    told = [row for row in rows if row.kind == "agent"]
    assert [(row.event, row.n, row.n_lost) for row in told] == [(AgentEvent.SPOOL_RESET, 4, 1)]
    assert again.state().disk == "ok"


def test_a_full_spool_counts_what_a_receipt_has_just_freed(make, hand_clock, rows_of):
    spool = make(SpoolLimits(max_bytes=30_000))
    for _ in range(50):
        spool.record([tcp_row(hand_clock) for _ in range(5)])
        spool.flush()
    assert 15_000 < spool.state().bytes < 27_000, "nearly full"
    hand_out(spool)
    spool.settle(receipt((1, 49)))
    spool.record([tcp_row(hand_clock) for _ in range(30)])
    spool.flush()
    assert len(rows_of(spool)) == 5 + 30, "nothing had to go, and nothing says that it went"


def test_a_spool_damaged_while_in_use_is_replaced_without_an_exception(make, tmp_path, hand_clock):
    spool = make(SpoolLimits(write_interval_s=0))
    spool.record([tcp_row(hand_clock) for _ in range(2000)])
    spool.flush()
    spool.close()
    again = make()
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


def test_a_card_restored_from_a_copy_does_not_use_numbers_the_collector_has_seen(make, tmp_path, hand_clock):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "copy", tmp_path / "state")
    again = make()
    hand_out(again)
    again.settle(receipt((1, 77)))
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [sealed.batch_seq for sealed in again.next_batches(8)] == [78, 79]


def test_what_was_never_sent_survives_a_receipt_for_its_numbers_and_is_sealed_anew(make, hand_clock, probe_key):
    spool = make()
    for n in range(4):
        spool.record([tcp_row(hand_clock, f"t{n}")])
        spool.flush()
    spool.close()
    again = make()
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


def test_a_receipt_for_the_ladder_does_not_touch_the_rest_that_waits(make, hand_clock):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.record([ladder_row(hand_clock)])
    spool.flush()
    before = spool.next_batches(8)[1].message
    spool.handed_out([2])
    assert spool.settle(receipt((2, 2))) == 1
    assert [(sealed.batch_seq, sealed.message) for sealed in spool.next_batches(8)] == [(1, before)]


def test_a_batch_that_was_handed_out_is_settled_after_kill_9_too(make, tmp_path, hand_clock):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    hand_out(spool)
    spool._store.close()
    spool._lock.release()
    again = make()
    assert again.settle(receipt((1, 1))) == 1
    assert again.next_batches(8) == []


def test_what_is_remembered_is_there_after_a_restart(make, hand_clock):
    spool = make()
    spool.remember("last_slot", "2026-11-22T12:00:00Z")
    assert spool.recall("last_slot") == "2026-11-22T12:00:00Z"
    spool.close()
    assert make().recall("last_slot") == "2026-11-22T12:00:00Z"


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


def test_a_spool_that_was_removed_begins_above_every_number_used(make, tmp_path, hand_clock, rows_of):
    spool = make()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.close()
    for file in (tmp_path / "state").glob("spool.db*"):
        file.unlink()
    again = make()
    again.flush()
    (told,) = rows_of(again)
    assert told.event is AgentEvent.SPOOL_RESET
    assert told.seq > 1
    assert again.next_batches(1)[0].batch_seq > 1


def test_two_processes_cannot_write_to_one_spool(make):
    make()
    with pytest.raises(StorageError, match="another agent is running"):
        make()


def test_an_empty_write_before_a_kill_is_not_taken_for_a_loss(make, hand_clock, rows_of):
    spool = make()
    spool.flush()
    spool._store.close()
    spool._lock.release()
    again = make()
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [row.seq for row in rows_of(again)] == [1]
