"""Every slot has its row: played time, real probes, in a network namespace from which nothing can get out."""

import asyncio
import ctypes
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from civobs_agent.allowed import Household, QuietHours, span_of
from civobs_agent.budget import Meter
from civobs_agent.clock import Clock, Hands
from civobs_agent.host import Sources
from civobs_agent.kernel_time import Discipline
from civobs_agent.net import Net
from civobs_agent.schedule import Schedule
from civobs_agent.turns import task_series
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import AgentEvent
from civobs_wire.plan import Anchor, Budget, LadderPlan, Plan, Target, Task

pytestmark = pytest.mark.netns

START = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOST = Anchor(id="abroad", rung=4, address="9.9.9.9", family=4, method="tcp", port=443)
FTP = Target(id="page", url="ftp://example.org")
RISKY = Target(id="page", url="https://example.org", tier=2)
ROUTER = Target(id="page", url="http://192.168.1.1/")
SEX_EDUCATION = Target(id="page", url="https://example.org/", category="XED")
PAGE = Target(id="page", url="https://example.org/")


class Time:
    """Time that passes when somebody sleeps."""

    def __init__(self, folder):
        (folder / "boot_id").write_text(str(uuid4()))
        self.folder = folder
        self.seconds = 100.0
        self.wall = START
        self.at = {}

    def passes(self, seconds):
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)

    async def sleep(self, seconds):
        for _ in range(40):
            await asyncio.sleep(0)
        self.passes(max(seconds, 0.001))
        for moment in sorted(self.at):
            if moment <= self.seconds:
                self.at.pop(moment)()

    def net(self, **settings):
        hands = Hands(
            mono_ms=lambda: round(self.seconds * 1000),
            wall_s=self.wall_s,
            discipline=lambda: Discipline(synchronised=True, max_error_ms=5),
            boot_id_path=self.folder / "boot_id",
        )
        clock = Clock(self.folder, hands=hands)
        # The test's thread has a network of its own; /proc/self would show that of the process.
        return Net(clock, sources=Sources(proc=Path("/proc/thread-self")), **settings)

    def wall_s(self):
        return self.wall.timestamp()


@pytest.fixture
def time(tmp_path):
    return Time(tmp_path)


def apart(function):
    """Run in a thread with an empty network: whatever a probe sends gets nowhere."""
    ended = []

    def run():
        if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
            ended.append(OSError(ctypes.get_errno(), "unshare"))
            return
        try:
            ended.append(function())
        except BaseException as error:  # noqa: BLE001 - handed over to the test
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]


def plan(**fields):
    basis = {
        "plan_id": "p",
        "serial": 1,
        "cc": "ZZ",
        "issued_at": START,
        "expires_at": START + timedelta(days=30),
        "ladder": LadderPlan(interval_s=300.0, trouble_interval_s=60.0),
        "anchors": (HOST,),
        "targets": (PAGE,),
        "tasks": (Task(kind="tcp", targets=("page",), interval_s=600.0),),
    }
    return Plan(**{**basis, **fields})


def recorded(time, seconds, the_plan, net=None, **settings):
    """Rows of so many seconds."""
    rows = []
    net = net or time.net()
    source = the_plan if callable(the_plan) else lambda: the_plan
    schedule = Schedule(net, rows.extend, seed="probe", plan=source, rng=random.Random(7), sleep=time.sleep, **settings)

    async def run():
        task = asyncio.create_task(schedule.run())
        end = time.seconds + seconds
        while time.seconds < end:  # noqa: ASYNC110 - time passes in the schedule's own sleep
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    apart(lambda: asyncio.run(run()))
    return rows


def slots(rows, kind):
    return sorted({row.slot_at for row in rows if row.kind == kind})


def spacing(times):
    return {(later - earlier).total_seconds() for earlier, later in pairwise(times)}


def test_every_slot_of_a_task_has_its_row_at_its_interval(time):
    rows = recorded(time, 6 * 3600, plan())
    tcp = [row for row in rows if row.kind == "tcp"]
    assert 35 <= len(slots(tcp, "tcp")) <= 36
    assert spacing(slots(tcp, "tcp")) == {600.0}
    assert all(row.outcome is Outcome.NOT_RUN for row in tcp)


def test_the_first_climb_does_not_wait_and_trouble_shortens_the_interval(time):
    rows = recorded(time, 3600, plan())
    ladder = [row for row in rows if row.kind == "ladder"]
    assert ladder[0].at - START < timedelta(seconds=5)
    assert {row.rung for row in ladder} == {0, 1, 2, 3, 4, 5}
    assert Counter(row.outcome for row in ladder if row.rung == 4 and row.family == 4).keys() == {Outcome.FAILED}
    assert 60.0 in spacing(slots(ladder, "ladder"))
    assert len(slots(ladder, "ladder")) >= 55


def test_a_climb_asked_for_comes_at_the_next_look_and_at_most_once_in_a_trouble_interval(time):
    def climbs(asked):
        """When, in seconds from the start, the ladder ran in an hour without trouble of its own."""
        rows, net = [], time.net()
        schedule = Schedule(net, rows.extend, seed="probe", plan=lambda: calm, rng=random.Random(7), sleep=time.sleep)
        began, began_at = time.seconds, time.wall
        for second in asked:
            time.at[began + second] = schedule.climb_soon

        async def run():
            task = asyncio.create_task(schedule.run())
            while time.seconds < began + 3600:  # noqa: ASYNC110 - played time
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        apart(lambda: asyncio.run(run()))
        ladder = [row for row in rows if row.kind == "ladder" and row.rung == 0]
        assert len({row.slot_at for row in ladder}) == len(ladder)
        return [(row.at - began_at).total_seconds() for row in ladder]

    calm = plan(ladder=LadderPlan(interval_s=3600.0, trouble_interval_s=600.0), anchors=(), tasks=())
    assert len([at for at in climbs([]) if 700 < at < 3000]) <= 1
    found = [at for at in climbs([1500]) if 1490 < at < 1520]
    assert len(found) == 1
    assert len(climbs(range(10, 3600, 10))) <= 8


def test_a_slot_is_not_told_twice(time):
    rows = recorded(time, 4 * 3600, plan())
    keys = Counter((row.kind, row.target, row.family, row.slot_at) for row in rows)
    assert [key for key, n in keys.items() if n > 1] == []


@pytest.mark.parametrize(
    ("fields", "settings", "failure"),
    [
        ({}, {"household": Household(paused=lambda: True)}, Failure.PAUSED),
        ({"expires_at": START + timedelta(seconds=1)}, {}, Failure.PLAN_EXPIRED),
        ({"budget": Budget(bytes_per_day=0)}, {}, Failure.BUDGET_EXHAUSTED),
        ({}, {"household": Household(daily_bytes=0)}, Failure.BUDGET_EXHAUSTED),
        ({"targets": (FTP,)}, {}, Failure.NOTHING_TO_ASK),
        (
            {"targets": (RISKY,)},
            {"household": Household(tier=1)},
            Failure.TIER_NOT_AGREED,
        ),
        ({"targets": (ROUTER,)}, {}, Failure.TARGET_REFUSED),
        ({"targets": (SEX_EDUCATION,)}, {"household": Household(without=frozenset({"XED"}))}, Failure.SWITCHED_OFF),
    ],
)
def test_a_slot_that_cannot_be_used_says_why(fields, settings, failure, time):
    rows = [row for row in recorded(time, 1300, plan(**fields), **settings) if row.kind == "tcp" and row.family != 6]
    assert len(slots(rows, "tcp")) in {2, 3}
    assert {(row.outcome, row.failure) for row in rows} == {(Outcome.NOT_RUN, failure)}


ALL_DAY = QuietHours(spans=(span_of("00:00-24:00"),))


@pytest.mark.parametrize(
    ("kind", "household", "failure"),
    [
        ("http", Household(quiet=ALL_DAY), Failure.QUIET_HOURS),
        ("throughput", Household(), Failure.SWITCHED_OFF),
        ("throughput", Household(throughput_tests=True, quiet=ALL_DAY), Failure.QUIET_HOURS),
        ("throttling", Household(tier=0), Failure.TIER_NOT_AGREED),
        ("throttling", Household(daily_bytes=500_000), Failure.BUDGET_EXHAUSTED),
        ("http", Household(monthly_bytes=300_000), Failure.BUDGET_EXHAUSTED),
    ],
)
def test_a_kind_that_is_not_for_this_household_or_hour_says_why_and_light_kinds_go_on(kind, household, failure, time):
    targets = () if kind == "throughput" else ("page",)
    heavy = Task(kind=kind, targets=targets, interval_s=600.0)
    tasks = (heavy, Task(kind="tcp", targets=("page",), interval_s=600.0))
    rows = recorded(time, 1300, plan(tasks=tasks), household=household)
    refused = [row for row in rows if row.kind == kind]
    assert len(slots(rows, kind)) in {2, 3}
    assert {(row.outcome, row.failure) for row in refused} == {(Outcome.NOT_RUN, failure)}
    assert {row.failure for row in rows if row.kind == "tcp"}.isdisjoint({failure})
    assert {row.failure for row in rows if row.kind == "ladder"}.isdisjoint({failure})


def test_the_household_may_pause_and_go_on_at_any_time(time):
    paused = [False]
    time.at[time.seconds + 1800] = lambda: paused.__setitem__(0, True)
    time.at[time.seconds + 3600] = lambda: paused.__setitem__(0, False)
    rows = recorded(time, 5400, plan(), household=Household(paused=lambda: paused[0]))
    tcp = {row.slot_at: row.failure is Failure.PAUSED for row in rows if row.kind == "tcp"}
    assert spacing(sorted(tcp)) == {600.0}
    assert {
        at: was for at, was in tcp.items() if START + timedelta(seconds=1900) < at < START + timedelta(seconds=3500)
    }
    assert [was for _, was in sorted(tcp.items())].count(True) in {2, 3, 4}
    during = [row for row in rows if timedelta(seconds=1810) < row.at - START < timedelta(seconds=3590)]
    assert {row.failure for row in during} == {Failure.PAUSED}


def test_a_kind_that_runs_apart_gives_its_rows_and_its_cost_is_known(time):
    rows, net = [], time.net()
    quic = plan(tasks=(Task(kind="quic", targets=("page",), interval_s=60.0),))
    schedule = Schedule(net, rows.extend, seed="probe", plan=lambda: quic, sleep=time.sleep)

    async def run():
        task = asyncio.create_task(schedule.run())
        while "quic" not in schedule.costs:  # noqa: ASYNC110 - a program is waited for in real time
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    apart(lambda: asyncio.run(run()))
    assert [row for row in rows if row.kind == "quic" and row.failure is not Failure.OVERRUN]
    cost = schedule.costs["quic"]
    assert cost.seconds > 0
    assert cost.peak_kib > 10_000


def test_a_pause_stops_the_ladder_too_and_the_record_says_so(time):
    rows = recorded(time, 1300, plan(), household=Household(paused=lambda: True))
    assert {(row.failure, row.n) for row in rows if row.kind == "ladder"} == {(Failure.PAUSED, 0)}


def test_a_kind_of_a_newer_plan_is_told_slot_by_slot(time):
    newer = plan(tasks=(Task(kind="smoke", targets=("page",), interval_s=600.0),))
    rows = [row for row in recorded(time, 1300, newer) if row.kind == "agent"]
    assert len(slots(rows, "agent")) in {2, 3}
    assert {(row.failure, row.event, row.target) for row in rows} == {
        (Failure.NOTHING_TO_ASK, AgentEvent.SLOTS_MISSED, "page")
    }
    assert "smoke" in rows[0].note


def test_without_any_plan_the_ladder_goes_on(time):
    rows = recorded(time, 700, None)
    assert {row.kind for row in rows} == {"ladder"}
    by_rung = {(row.rung, row.family): row for row in rows}
    assert by_rung[3, 4].failure is Failure.PLAN_MISSING
    assert by_rung[5, 0].failure is Failure.PLAN_MISSING
    assert by_rung[4, 4].n == 9


def test_slots_count_from_the_moment_a_plan_comes_and_not_from_the_next_look(time):
    came = START + timedelta(seconds=100.1)
    busy = plan(tasks=(Task(kind="tcp", targets=("page",), interval_s=3.0),))
    rows = recorded(time, 130, lambda: busy if time.wall >= came else None)
    assert slots(rows, "tcp")[0] < came + timedelta(seconds=3)
    assert spacing(slots(rows, "tcp")) == {3.0}


def test_a_new_plan_is_followed_at_once(time):
    current = [None]
    time.at[time.seconds + 900] = lambda: current.__setitem__(0, plan())
    rows = recorded(time, 3600, lambda: current[0])
    tcp = [row for row in rows if row.kind == "tcp"]
    assert START + timedelta(seconds=900) < tcp[0].slot_at <= START + timedelta(seconds=1510)


def test_a_slot_that_has_begun_has_its_row_though_plans_change_every_second(time):
    """Each plan asks for another target, and none is in force for as long as a slot waits for its turn."""
    plans = [
        plan(
            plan_id=name,
            targets=(Target(id=name, url=PAGE.url),),
            tasks=(Task(kind="tcp", targets=(name,), interval_s=10.0),),
        )
        for name in ("first", "second")
    ]
    rows = recorded(time, 600, lambda: plans[round(time.seconds) % 2])
    told = [row for row in rows if row.kind == "tcp"]
    assert len(told) >= 30, "some half of all slots are of the plan that is in force when they begin"
    assert {row.failure for row in told} >= {Failure.NOTHING_TO_ASK}


def test_a_new_interval_is_followed_though_a_slot_of_the_old_one_has_begun(time):
    current = [plan(tasks=(Task(kind="tcp", targets=("page",), interval_s=3600.0),))]
    often = plan(plan_id="q", serial=2, tasks=(Task(kind="tcp", targets=("page",), interval_s=60.0),))
    began = next(iter(task_series(current[0], "probe", 1.0))).slot_after(START)
    change = (began - START).total_seconds() + 2
    time.at[time.seconds + change] = lambda: current.__setitem__(0, often)
    rows = recorded(time, change + 1200, lambda: current[0])
    told = slots(rows, "tcp")
    assert began in told
    assert len([at for at in told if at > began]) >= 18


def test_a_pause_holds_back_runs_that_wait_for_another(time):
    """Of heavy kinds one runs at a time; what waits behind it asks again when its turn has come."""
    pages = tuple(Target(id=f"page{n}", url=PAGE.url) for n in range(4))
    heavy = plan(targets=pages, tasks=(Task(kind="http", targets=tuple(p.id for p in pages), interval_s=600.0),))
    paused, begun = [False], []

    class Watched(Schedule):
        async def _probe(self, turn):
            begun.append(turn)
            return await super()._probe(turn)

    rows = []
    schedule = Watched(
        time.net(),
        rows.extend,
        seed="probe",
        plan=lambda: heavy,
        sleep=time.sleep,
        household=Household(paused=lambda: paused[0]),
    )

    async def run():
        async with schedule._heavy:
            task = asyncio.create_task(schedule.run())
            while len(begun) < 2:  # noqa: ASYNC110 - time passes in the schedule's own sleep
                await asyncio.sleep(0)
            paused[0] = True
        while not [row for row in rows if row.kind == "http"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    apart(lambda: asyncio.run(run()))
    assert {row.failure for row in rows if row.kind == "http"} <= {Failure.PAUSED, Failure.SHUTTING_DOWN}


def test_a_step_of_the_wall_clock_invents_no_missed_slots(time):
    def step():
        time.wall += timedelta(hours=3)

    time.at[time.seconds + 900] = step
    rows = recorded(time, 3600, plan())
    assert Failure.AGENT_DOWN not in {row.failure for row in rows}


@pytest.mark.parametrize("step_s", [1.5, -1.5])
def test_a_small_step_of_the_clock_drops_no_slot_that_has_begun(step_s, time):
    def step():
        time.wall += timedelta(seconds=step_s)

    for moment in range(20, 7200, 20):
        time.at[time.seconds + moment] = step
    rows = recorded(time, 7200, plan())
    assert spacing(slots(rows, "tcp")) == {600.0}


def test_a_slot_that_a_large_step_makes_void_has_its_row(time):
    slot_at = next(iter(slots(recorded(time, 1300, plan()), "tcp"))) + timedelta(seconds=1200)
    time.at[time.seconds + (slot_at - time.wall).total_seconds() + 6.0] = lambda: setattr(
        time, "wall", time.wall + timedelta(hours=3)
    )
    rows = recorded(time, 1300, plan())
    assert slot_at in slots(rows, "tcp")
    assert max(slots(rows, "tcp")) - slot_at > timedelta(hours=3)


def test_slots_slept_through_are_told_one_by_one(time):
    time.at[time.seconds + 900] = lambda: time.passes(3600)
    rows = recorded(time, 6000, plan())
    down = [row for row in rows if row.failure is Failure.AGENT_DOWN and row.kind == "tcp"]
    assert 5 <= len(down) <= 7
    assert spacing(slots(rows, "tcp")) == {600.0}


@pytest.mark.parametrize("step_s", [-10_800, -2, 2, 10_800])
def test_slots_slept_through_are_told_though_the_clock_was_set_on_waking(step_s, time):
    def sleep_and_set():
        time.passes(3600)
        time.wall += timedelta(seconds=step_s)

    time.at[time.seconds + 900] = sleep_and_set
    rows = recorded(time, 6000, plan())
    down = [row for row in rows if row.failure is Failure.AGENT_DOWN and row.kind == "tcp"]
    assert 5 <= len(down) <= 7
    assert down[-1].slot_at - down[0].slot_at <= timedelta(seconds=3600)


def test_a_run_that_is_cut_off_by_the_end_is_told(time):
    slow = plan(tasks=(Task(kind="tcp", targets=("page",), interval_s=3600.0),))
    rows, net = [], time.net()
    schedule = Schedule(net, rows.extend, seed="probe", plan=lambda: slow, sleep=time.sleep)

    async def run():
        task = asyncio.create_task(schedule.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    apart(lambda: asyncio.run(run()))
    assert [(row.kind, row.failure) for row in rows] == [("ladder", Failure.SHUTTING_DOWN)]


def test_the_slots_of_a_gap_are_told_exactly_once_and_those_recorded_are_left_out(time):
    net = time.net()
    the_plan = plan()
    schedule = Schedule(net, lambda _rows: None, seed="probe", plan=lambda: the_plan)
    since = START - timedelta(hours=2)
    rows = list(schedule.missed_slots(since))
    assert {row.failure for row in rows} == {Failure.AGENT_DOWN}
    assert [row.slot_at for row in rows] == sorted(row.slot_at for row in rows)
    assert len(slots(rows, "tcp")) == 12
    assert 23 <= len(slots(rows, "ladder")) <= 24
    kept = {(row.kind, "ladder" if row.kind == "ladder" else row.target, row.slot_at) for row in rows[:10]}
    fewer = list(schedule.missed_slots(since, recorded=lambda *key: key in kept))
    assert len(fewer) == len(rows) - 10


def test_a_gap_of_months_is_told_in_bounded_rows(time):
    the_plan = plan()
    schedule = Schedule(time.net(), lambda _rows: None, seed="probe", plan=lambda: the_plan)
    rows = list(schedule.missed_slots(START - timedelta(days=90)))
    assert rows[0].event is AgentEvent.SLOTS_MISSED
    assert rows[0].n_lost == pytest.approx(76 * (288 + 144), abs=3)
    assert len(rows) - 1 == pytest.approx(14 * (288 + 144), abs=3)


def test_slots_do_not_depend_on_when_the_agent_was_started(time):
    the_plan = plan()
    since = START - timedelta(hours=1)
    one = list(Schedule(time.net(), lambda _r: None, seed="probe", plan=lambda: the_plan).missed_slots(since))
    time.passes(7.5)
    two = list(Schedule(time.net(), lambda _r: None, seed="probe", plan=lambda: the_plan).missed_slots(since))
    assert slots(two, "tcp")[: len(slots(one, "tcp"))] == slots(one, "tcp")
    other = list(Schedule(time.net(), lambda _r: None, seed="another", plan=lambda: the_plan).missed_slots(since))
    assert slots(other, "tcp") != slots(one, "tcp")


def test_the_bytes_of_a_day_are_counted_anew_at_midnight_and_survive_a_restart(tmp_path):
    now = [START]
    meter = Meter(lambda: now[0], tmp_path)
    meter.spend(700)
    meter.save()
    assert Meter(lambda: now[0], tmp_path).spent == 700
    now[0] += timedelta(days=1)
    assert meter.spent == 0
