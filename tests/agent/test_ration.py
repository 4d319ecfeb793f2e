"""What a run may take: budgets hold over days and months, and tests get smaller before they get rarer."""

from datetime import UTC, datetime, timedelta

import pytest

from civobs_agent.allowed import Household, QuietHours, span_of
from civobs_agent.budget import Meter, Tally
from civobs_agent.clock import Moment
from civobs_agent.probes import KINDS
from civobs_agent.ration import HEAVY_S_PER_HOUR, Ration
from civobs_wire.failure import Failure
from civobs_wire.measurement import ClockState
from civobs_wire.plan import Budget, Plan, Target, Task

MIDNIGHT = datetime(2026, 11, 30, tzinfo=UTC)
HTTP, TCP, THROUGHPUT = KINDS["http"], KINDS["tcp"], KINDS["throughput"]


def plan(*tasks, megabytes=25.0):
    pages = tuple(Target(id=f"page{n}", url="https://example.org/") for n in range(2))
    return Plan(
        plan_id="p",
        serial=1,
        cc="ZZ",
        issued_at=MIDNIGHT - timedelta(days=1),
        expires_at=MIDNIGHT + timedelta(days=100),
        targets=pages,
        tasks=tasks,
        budget=Budget(bytes_per_day=round(megabytes * 1e6)),
    )


class Day:
    """Runs that take all they may, at their intervals, while others are counted as well."""

    def __init__(self, the_plan, begins=MIDNIGHT, **household):
        self.now = begins
        self.plan = the_plan
        self.meter = Meter(lambda: self.now)
        self.ration = Ration(self.meter, Household(throughput_tests=True, **household))
        self.taken = {}

    def moment(self, state=ClockState.SYNCED):
        return Moment(self.now, round((self.now - MIDNIGHT).total_seconds() * 1000), state, 5)

    def passes(self, kinds, hours=24.0, step_s=600, always=0):
        """What each kind was let take, run by run; None where it was refused."""
        end = self.now + timedelta(hours=hours)
        while self.now < end:
            for kind in kinds:
                refused = self.ration.refuses(kind, self.plan, self.moment())
                took = None if refused else min(kind.usual_bytes, self.ration.left(kind, self.plan, self.now))
                self.taken.setdefault(kind.id, []).append(took)
                self.meter.spend(took or 0)
            self.meter.spend(always)
            self.now += timedelta(seconds=step_s)
        return self.taken


def task(kind, interval_s, n=2):
    return Task(kind=kind, targets=("page0", "page1")[:n], interval_s=interval_s)


def test_with_plenty_each_run_takes_what_it_usually_does():
    day = Day(plan(task("http", 3600, n=1)))
    assert set(day.passes([HTTP], step_s=3600)["http"]) == {HTTP.usual_bytes}


def test_short_of_bytes_runs_get_smaller_before_they_get_rarer_and_the_day_keeps_within_its_budget():
    day = Day(plan(task("http", 600, n=1), megabytes=10.0))
    taken = day.passes([HTTP], always=45_000)["http"]
    assert None not in taken
    assert HTTP.least_bytes <= min(taken) <= max(taken) < HTTP.least_bytes * 1.5
    assert day.meter.spent_before <= 10e6


def test_with_far_too_little_runs_are_left_out_and_say_so():
    day = Day(plan(task("http", 600, n=1), megabytes=1.0))
    taken = day.passes([HTTP])["http"]
    assert None in taken
    assert {took for took in taken if took is not None} == {HTTP.least_bytes}
    assert day.ration.refuses(HTTP, day.plan, day.moment()) is None  # the day after
    day.meter.spend(1_000_000)
    assert day.ration.refuses(HTTP, day.plan, day.moment()).failure is Failure.BUDGET_EXHAUSTED


def test_a_heavy_test_in_the_morning_starves_neither_light_kinds_nor_the_ladder_in_the_evening():
    day = Day(plan(task("tcp", 600), task("throughput", 86_400, n=0)))
    greedy = day.ration.left(THROUGHPUT, day.plan, day.now)
    assert THROUGHPUT.least_bytes <= greedy <= 25e6 * 0.4
    day.meter.spend(greedy)
    taken = day.passes([TCP], step_s=300, always=20_000)["tcp"]
    assert set(taken) == {TCP.usual_bytes}
    assert day.meter.spent + day.meter.spent_before <= 25e6 + 20_000


def test_kinds_that_the_household_has_off_take_nothing_from_the_others():
    tasks = (task("http", 3600, n=1), task("throughput", 3600, n=0))
    with_all, without = Day(plan(*tasks)), Day(plan(*tasks))
    without.ration = Ration(without.meter, Household(throughput_tests=False))
    assert without.ration.left(HTTP, without.plan, MIDNIGHT) >= HTTP.usual_bytes
    assert with_all.ration.left(HTTP, with_all.plan, MIDNIGHT) < HTTP.usual_bytes


def test_the_lower_of_the_plans_and_the_households_limit_counts():
    for megabytes, daily in ((4.0, 100e6), (100.0, 4e6)):
        day = Day(plan(task("http", 600, n=1), megabytes=megabytes), daily_bytes=round(daily))
        assert sum(took or 0 for took in day.passes([HTTP])["http"]) <= 4e6


def test_the_limit_of_a_month_is_spread_over_its_days():
    begins = datetime(2026, 11, 1, tzinfo=UTC)
    day = Day(plan(task("http", 600, n=1)), begins, monthly_bytes=120_000_000)
    first = sum(took or 0 for took in day.passes([HTTP])["http"])
    assert first <= 4e6
    day.meter.spend(60_000_000)
    day.taken.clear()
    rest = day.passes([HTTP], hours=28 * 24)["http"]
    assert None not in rest[-144:] or min(took for took in rest if took) == HTTP.least_bytes
    assert day.meter.spent + day.meter.spent_before <= 120e6
    before = day.meter.spent_before
    day.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert before > 60e6
    assert day.meter.spent_before == 0


def test_heavy_tests_have_so_many_seconds_of_an_hour():
    day = Day(plan(task("http", 600)))
    day.ration.took(HTTP, HEAVY_S_PER_HOUR, day.moment().mono_ms)
    day.ration.took(TCP, 10_000, day.moment().mono_ms)
    fault = day.ration.refuses(HTTP, day.plan, day.moment())
    assert (fault.failure, "600 s" in fault.note) == (Failure.BUDGET_EXHAUSTED, True)
    assert day.ration.refuses(TCP, day.plan, day.moment()) is None
    day.now += timedelta(minutes=61)
    assert day.ration.refuses(HTTP, day.plan, day.moment()) is None


def test_bytes_of_a_day_and_a_month_outlive_a_restart(tmp_path):
    now = [datetime(2026, 11, 29, 12, tzinfo=UTC)]
    meter = Meter(lambda: now[0], tmp_path)
    Tally(meter).spend(700)
    meter.save()
    now[0] += timedelta(days=1)
    meter = Meter(lambda: now[0], tmp_path)
    meter.spend(50)
    assert (meter.spent, meter.spent_before, meter.total) == (50, 700, 50)
    meter.save()
    now[0] += timedelta(days=1)
    assert (Meter(lambda: now[0], tmp_path).spent, Meter(lambda: now[0], tmp_path).spent_before) == (0, 0)
    assert (meter.spent, meter.spent_before) == (0, 0)
    (tmp_path / "bytes.json").write_text("nonsense")
    assert Meter(lambda: now[0], tmp_path).spent == 0


@pytest.mark.parametrize(
    ("hour", "quiet"), [(17.9, False), (18.0, True), (22.9, True), (23.0, False), (2.0, True), (5.0, False)]
)
def test_quiet_hours_are_those_of_the_households_time_zone_and_may_go_over_midnight(hour, quiet):
    from zoneinfo import ZoneInfo

    hours = QuietHours(spans=(span_of("18:00-23:00"), span_of("23:30-05:00")), zone=ZoneInfo("Africa/Nairobi"))
    at = datetime(2026, 11, 22, tzinfo=ZoneInfo("Africa/Nairobi")) + timedelta(hours=hour)
    assert hours.at(Moment(at.astimezone(UTC), 0, ClockState.SYNCED, 5)) is quiet


def test_while_nobody_knows_the_time_it_may_be_a_quiet_hour():
    unknown = Moment(MIDNIGHT, 0, ClockState.UNKNOWN, 5)
    assert QuietHours(spans=(span_of("18:00-23:00"),)).at(unknown)
    assert not QuietHours().at(unknown)
    assert QuietHours(spans=(span_of("00:00-24:00"),)).at(Moment(MIDNIGHT, 0, ClockState.SYNCED, 5))
