from datetime import timedelta
from uuid import UUID

from civobs_agent.sealing import Lane
from civobs_agent.spool import SpoolLimits
from civobs_wire.batch import unpack
from civobs_wire.measurement import AgentEvent, ClockState
from civobs_wire.scalars import INT4_MAX
from tests.agent.fix_agent import BOOT, NOON, PROBE_ID, HandClock, ladder_row, tcp_row
from tests.agent.fix_spool import hand_out, receipt

OTHER_BOOT = UUID("0b5c4b3e-0000-4000-8000-000000000002")


def test_rows_are_numbered_without_gaps_in_the_order_recorded(make_spool, hand_clock, rows_of):
    spool = make_spool()
    for n in range(450):
        spool.record([tcp_row(hand_clock, f"t{n}")])
    spool.flush()
    rows = rows_of(spool)
    assert [row.seq for row in rows] == list(range(1, 451))
    assert [row.target for row in rows] == [f"t{n}" for n in range(450)]


def test_calm_rows_wait_in_memory_for_the_interval_and_no_longer(make_spool, hand_clock):
    spool = make_spool(SpoolLimits(write_interval_s=60, seal_interval_s=60))
    spool.record([tcp_row(hand_clock)])
    hand_clock.turn(59)
    spool.tick()
    assert spool.next_batches(8) == []
    hand_clock.turn(1)
    spool.tick()
    assert len(spool.next_batches(8)) == 1


def test_a_rung_that_changes_is_sealed_at_once(make_spool, hand_clock):
    spool = make_spool()
    spool.record([ladder_row(hand_clock), tcp_row(hand_clock)])
    assert spool.next_batches(8) == []
    spool.record([ladder_row(hand_clock, ok=False)])
    assert [sealed.lane for sealed in spool.next_batches(8)] == [Lane.LADDER, Lane.REST]


def test_ladder_batches_go_before_older_ones_of_the_rest(make_spool, hand_clock):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    spool.record([ladder_row(hand_clock)])
    spool.flush()
    assert [sealed.batch_seq for sealed in spool.next_batches(8)] == [2, 1]


def test_only_a_receipt_lets_go_and_numbers_go_on_after_a_restart(make_spool, hand_clock):
    spool = make_spool()
    for _ in range(3):
        spool.record([tcp_row(hand_clock)])
        spool.flush()
    hand_out(spool)
    assert spool.settle(receipt((1, 1), rejected=((3, 3),))) == 2
    assert [sealed.batch_seq for sealed in spool.next_batches(8)] == [2]
    spool.close()
    again = make_spool()
    again.record([tcp_row(hand_clock)])
    again.flush()
    assert [(sealed.batch_seq, sealed.n) for sealed in again.next_batches(8)] == [(2, 1), (4, 1)]
    assert again.state().rows_sealed == 2


def test_a_batch_is_the_same_bytes_after_a_restart(make_spool, hand_clock):
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    before = spool.next_batches(1)[0].message
    spool.close()
    assert make_spool().next_batches(1)[0].message == before


def test_nothing_is_sealed_before_the_probe_has_an_id(make_spool, hand_clock):
    spool = make_spool(probe_id=None)
    spool.record([tcp_row(hand_clock)])
    spool.flush()
    assert spool.next_batches(8) == []
    assert spool.state().rows_waiting == 1
    spool.identify(PROBE_ID)
    spool.flush()
    assert [sealed.n for sealed in spool.next_batches(8)] == [1]


def test_rows_of_an_unknown_clock_are_anchored_once_it_is_known(make_spool, hand_clock, rows_of):
    hand_clock.state = ClockState.UNKNOWN
    spool = make_spool()
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


def test_rows_of_a_boot_that_is_over_are_sealed_with_the_error_they_have(make_spool, hand_clock, rows_of):
    hand_clock.state = ClockState.UNKNOWN
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    spool.close()
    later = make_spool(clock=HandClock(boot_id=OTHER_BOOT))
    later.flush()
    (row,) = rows_of(later)
    assert row.clock_err_ms == INT4_MAX
    assert later.last_life is not None
    assert later.last_life.boot_id == str(BOOT)


def test_rows_whose_clock_is_never_known_are_sealed_after_a_day(make_spool, hand_clock):
    hand_clock.state = ClockState.UNKNOWN
    spool = make_spool()
    spool.record([tcp_row(hand_clock)])
    hand_clock.turn(86_400)
    spool.tick()
    assert len(spool.next_batches(8)) == 1


def test_batches_hold_rows_of_one_boot_only(make_spool, hand_clock, probe_key):
    spool = make_spool(probe_id=None)
    spool.record([tcp_row(hand_clock)])
    spool.close()
    clock = HandClock(boot_id=OTHER_BOOT)
    later = make_spool(clock=clock)
    later.record([tcp_row(clock)])
    later.flush()
    boots = [unpack(sealed.message, probe_key.public_key()).boot_id for sealed in later.next_batches(8)]
    assert boots == [BOOT, OTHER_BOOT]


def test_a_full_spool_gives_up_routine_and_says_what_went(make_spool, hand_clock, rows_of):
    spool = make_spool(SpoolLimits(max_bytes=60_000, around_change_s=30))
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
