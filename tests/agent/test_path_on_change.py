"""When a rung changes, the way out is traced: once, under the budget, and not while the probe is paused."""

import subprocess
from datetime import UTC, datetime

import pytest

from civobs_agent.allowed import Household
from civobs_agent.path_on_change import PathOnChange
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import ClockState, Ladder, Validity
from civobs_wire.plan import Anchor, Budget, LadderPlan
from tests.agent.test_schedule import plan, recorded, time

__all__ = ["time"]

NOW = datetime(2026, 12, 1, tzinfo=UTC)
ABROAD = Anchor(id="abroad", rung=4, address="9.9.9.9", family=4, method="icmp")
HOME = Anchor(id="domestic", rung=3, address="9.9.9.10", family=4, method="icmp")
OTHER = Anchor(id="other", rung=4, address="9.9.9.11", family=4, method="icmp")
PLAN = plan(ladder=LadderPlan(interval_s=300.0, trouble_interval_s=60.0), anchors=(HOME, ABROAD, OTHER), tasks=())


def climb(**rungs):
    """Rows of a climb: ``L4="failed"``."""
    return [
        Ladder(
            seq=1,
            target=name,
            slot_at=NOW,
            at=NOW,
            mono_ms=0,
            clock_err_ms=1,
            duration_ms=1.0,
            family=4,
            outcome=Outcome(outcome),
            failure={"failed": Failure.TOO_FEW_ANSWERS, "not_run": Failure.NOTHING_TO_ASK}.get(outcome),
            validity=Validity(clock=ClockState.SYNCED),
            rung=int(name[1]),
            n=1,
            n_ok=int(outcome == "ok"),
        )
        for name, outcome in rungs.items()
    ]


def told(*climbs, every_s=60, time_scale=1.0):
    """After which of the climbs there is a trace."""
    changes = PathOnChange(time_scale)
    return [changes.due(rows, PLAN, number * every_s * 1000) for number, rows in enumerate(climbs)]


def test_the_first_climb_and_one_that_finds_the_same_are_no_change():
    assert told(climb(L3="ok", L4="ok"), climb(L3="ok", L4="ok"), climb(L3="ok", L4="failed")) == [False, False, True]
    assert told(climb(L4="failed"), climb(L4="failed"), climb(L4="ok")) == [False, False, True]


def test_rungs_that_were_not_tried_or_are_none_of_the_network_do_not_count():
    assert told(climb(L3="ok"), climb(L3="not_run"), climb(L3="ok")) == [False] * 3
    assert told(climb(L5="ok"), climb(L5="failed")) == [False] * 2


def test_a_line_that_comes_and_goes_is_traced_once_in_an_interval():
    ups_and_downs = [climb(L4="ok"), climb(L4="failed")] * 4
    assert told(*ups_and_downs, every_s=20) == [False, True, False, False, True, False, False, True]
    assert told(*ups_and_downs, every_s=20, time_scale=3.0) == [False] + [True] * 7
    # What changed within the interval is traced when it is over, changed again or not.
    assert told(climb(L4="ok"), climb(L4="failed"), climb(L4="ok"), *[climb(L4="ok")] * 3, every_s=30) == [
        *(False, True, False, True),
        *(False, False),
    ]


def change_lo(state):
    """The thread's own network comes or goes: addresses that stand for the world."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)
    if state == "up":
        for anchor in (ABROAD, HOME, OTHER):
            subprocess.run(["ip", "addr", "replace", f"{anchor.address}/32", "dev", "lo"], check=True)


def paths(rows):
    return [row for row in rows if row.kind == "path"]


@pytest.mark.netns
def test_a_change_traces_the_way_to_the_first_anchor_abroad_and_at_home(time):
    time.at[1_000] = lambda: change_lo("up")
    rows = paths(recorded(time, 3_600, PLAN))
    assert [(row.target, row.method, row.why) for row in rows] == [
        ("abroad", "icmp", "ladder"),
        ("domestic", "icmp", "ladder"),
    ]
    assert [(row.reached, row.last_answer_ttl) for row in rows] == [(True, 1)] * 2
    assert rows[0].slot_at == rows[1].slot_at


@pytest.mark.netns
def test_a_pause_and_an_empty_budget_keep_the_way_from_being_traced(time):
    paused = []
    time.at[1_000] = lambda: (change_lo("up"), paused.append(True))
    assert paths(recorded(time, 2_400, PLAN, household=Household(paused=lambda: bool(paused)))) == []


@pytest.mark.netns
def test_without_bytes_the_row_says_so(time):
    time.at[1_000] = lambda: change_lo("up")
    (row,) = paths(recorded(time, 3_600, PLAN.model_copy(update={"budget": Budget(bytes_per_day=100)})))
    assert (row.target, row.failure) == ("ladder", Failure.BUDGET_EXHAUSTED)
