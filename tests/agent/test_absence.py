"""What was not running is told to the end, whatever interrupts the telling."""

import asyncio
from datetime import timedelta

import pytest

from civobs_agent.absence import Absence, look_back_s
from civobs_agent.blank import blank_row
from civobs_agent.faults import Fault
from civobs_agent.recent_slots import SPAN_S
from civobs_agent.spool import Spool, SpoolLimits
from civobs_agent.turns import Series
from civobs_wire.failure import Failure
from civobs_wire.measurement import ClockState
from tests.agent.fix_agent import NOON, HandClock, tcp_row

SERIES = Series("tcp", "page", 10.0, 0.0)
FAR = timedelta(hours=6)


@pytest.fixture
def boot(tmp_path, probe_key):
    """A run of the agent that begins so long after noon."""
    running = []

    def one(after, state=ClockState.SYNCED):
        for spool in running:
            spool._store.close()
            spool._lock.release()
        running.clear()
        clock = HandClock(started_at=NOON + after, state=state)
        running.append(Spool(tmp_path / "state", clock, probe_key, SpoolLimits(), monotonic=clock.monotonic))
        absence = Absence(running[0], 0.0)
        absence.begin()
        running[0].record([tcp_row(clock)])
        running[0].flush()
        return running[0], clock, absence

    yield one
    for spool in running:
        spool.close()


def missed(clock, told):
    def slots(since, until, recorded):
        for slot_at in SERIES.slots(since, until):
            if not recorded("tcp", "page", slot_at):
                told.append(slot_at)
                yield blank_row(SERIES, slot_at, clock.moment(), Fault(Failure.AGENT_DOWN))

    return slots


def slots_of(spool):
    entries = spool._guarded(lambda store: store.rows(str(spool._clock.boot_id), after=0, limit=100_000))
    return [entry.row.slot_at for entry in entries if entry.row.failure is Failure.AGENT_DOWN]


def test_a_kill_in_the_middle_of_the_missed_rows_loses_none_and_repeats_none(boot):
    boot(timedelta(0))
    spool, clock, absence = boot(FAR)

    async def killed():
        task = asyncio.create_task(absence.tell(clock.moment().at, missed(clock, [])))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(killed())
    before = len(slots_of(spool))
    assert 500 <= before < 2000
    spool, clock, absence = boot(2 * FAR)
    asyncio.run(absence.tell(clock.moment().at, missed(clock, [])))
    spool.flush()
    found = slots_of(spool)
    assert len(found) == len(set(found)) == 2 * 6 * 360, "both absences, each slot once"
    again: list[object] = []
    spool, clock, absence = boot(2 * FAR + timedelta(seconds=1))
    asyncio.run(absence.tell(clock.moment().at, missed(clock, again)))
    assert again == []


def test_a_boot_whose_clock_was_never_known_does_not_hide_the_absence_before_it(boot):
    boot(timedelta(0))
    boot(timedelta(seconds=1), ClockState.UNKNOWN)
    spool, clock, absence = boot(FAR)
    told: list[object] = []
    asyncio.run(absence.tell(clock.moment().at, missed(clock, told)))
    assert len(told) == 6 * 360
    assert spool.recall("unaccounted") == "[]"


def test_a_slot_of_a_wrong_clock_does_not_pass_for_one_of_the_absence(boot):
    boot(timedelta(0))
    spool, clock, absence = boot(timedelta(minutes=10), ClockState.UNKNOWN)
    wrong = NOON + timedelta(minutes=5)
    spool.record([tcp_row(clock).model_copy(update={"target": "page", "slot_at": wrong})])
    told: list[object] = []
    asyncio.run(absence.tell(NOON + timedelta(minutes=10), missed(clock, told)))
    assert wrong in told


def test_slots_are_looked_for_no_further_back_than_they_are_remembered_and_long_enough_in_a_fast_lab():
    assert look_back_s(1) == SPAN_S
    assert SPAN_S > look_back_s(150) > 15
