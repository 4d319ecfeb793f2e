"""A run in a program of its own: its rows come back, and whatever it does wrong costs one row."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from civobs_agent import apart
from civobs_agent.apart import Program
from civobs_agent.line import Line
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target
from tests.agent.fix_net import plan_with

LOOPBACK = Line("/proc/net/dev", "lo")


def python(code):
    return Program(command=lambda: (sys.executable, "-c", code), start_s=1.0)


def page(sites, path="/"):
    return Target(id="page", url=f"http://127.0.0.1:{sites.http}{path}")


def test_a_run_apart_gives_the_rows_and_counts_the_bytes_of_a_run_in_the_agent(context, sites):
    (told, absent) = asyncio.run(apart.run("http", page(sites), replace(context, plan=plan_with(), line=LOOPBACK)))
    assert (told.outcome, told.status, told.address, told.slot_at) == (Outcome.OK, 200, "127.0.0.1", context.slot_at)
    assert told.clock_err_ms >= context.clock.moment().err_ms
    assert abs((told.at - context.clock.moment().at).total_seconds()) < 60
    assert told.validity.cross_bytes >= 0
    assert told.validity == context.validity.model_copy(update={"cross_bytes": told.validity.cross_bytes})
    assert absent.family == 6
    assert 500 < context.meter.spent < 10_000
    assert context.meter.cpu_s > 0
    assert 10_000 < context.meter.peak_kib < 200_000


def test_a_run_apart_verifies_with_the_agents_roots_and_resolves_as_the_agent_does(context, sites):
    target = Target(id="page", url=f"https://site.test:{sites.https}/")
    rows = asyncio.run(apart.run("http", target, context))
    assert {row.status for row in rows} == {200}


def test_a_run_apart_refuses_what_the_agent_refuses(context, sites):
    strict = replace(context, refusal=Refusal())
    rows = asyncio.run(apart.run("http", page(sites), strict))
    assert {row.failure for row in rows if row.family == 4} == {Failure.TARGET_REFUSED}


def test_what_is_known_goes_to_the_child_and_comes_back(context):
    context.known.mapped[4] = "9.9.9.9"
    context.known.tell("portal", True, 1)
    rows = asyncio.run(apart.run("tcp", Target(id="page", url="http://127.0.0.1:1/"), context))
    assert {row.failure for row in rows if row.family == 4} == {Failure.CONNECTION_REFUSED}
    assert context.known.mapped == {4: "9.9.9.9"}
    assert context.known.told()["found"] == [["portal", True, 1]]


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("import os; os.abort()", "ended with code -6"),
        ("", "ended with code 0"),
        ("print('{}')", "garbled output"),
        ("print('nonsense')", "garbled output"),
        ("print('[' * 100_000)", "garbled output"),
        ("print('{\"spent\": -5}')", "garbled output"),
        ('print(\'{"row": "{}"}\')', "garbled output"),
        ("print('{\"end\": true}')", "no row"),
        ("while True: print(end='x' * 100_000)", "too much output"),
    ],
)
def test_a_child_that_misbehaves_costs_one_failed_row(code, note, context):
    (row,) = asyncio.run(apart.run("throttling", Target(id="page", url="https://x.test/"), context, python(code)))
    assert (row.kind, row.target, row.outcome, row.failure) == (
        "throttling",
        "page",
        Outcome.FAILED,
        Failure.UNKNOWN_FAILURE,
    )
    assert row.note == f"the measuring program: {note}"


def test_a_child_cannot_speak_for_another_slot(context):
    row = context.row(apart.measurement.KINDS["ntp"], context.begin(), "ntp", {})
    later = row.model_copy(update={"slot_at": row.slot_at.replace(year=2030)})
    code = f"import json; print(json.dumps({{'row': {later.model_dump_json()!r}}}))"
    (made,) = asyncio.run(apart.run("ntp", Target(id="ntp", url=""), context, python(code)))
    assert made.note == "the measuring program: garbled output"


def test_a_child_cannot_speak_for_another_target(context):
    row = context.row(apart.measurement.KINDS["ntp"], context.begin(), "other", {})
    code = f"import json; print(json.dumps({{'row': {row.model_dump_json()!r}}}))"
    (made,) = asyncio.run(apart.run("ntp", Target(id="ntp", url=""), context, python(code)))
    assert made.note == "the measuring program: garbled output"


def test_a_child_cannot_spoil_the_validity_of_later_rows(context):
    later_ms = context.clock.moment().mono_ms + 3_600_000
    told = {
        "mapped": {"4": "2001:db8::1", "9": "9.9.9.9"},
        "found": [
            ["resolver", "x" * 100_000, 1],
            ["portal", "yes", 1],
            ["interception", True, later_ms],
            ["x", True, 1],
        ],
    }
    asyncio.run(apart.run("ntp", Target(id="ntp", url=""), context, python(f"print({json.dumps({'known': told})!r})")))
    assert context.known.told() == {"mapped": {}, "found": []}


def test_a_child_has_its_bound_of_memory(context):
    code = f"""
import sys
from civobs_agent import apart_program
async def measure(target, context): bytearray(200 * 2**20)
apart_program.measure_of = lambda kind: measure
sys.argv[1:] = ["{os.getpid()}"]
sys.exit(apart_program.main())
"""
    (row,) = asyncio.run(apart.run("ntp", Target(id="ntp", url=""), context, replace(python(code), start_s=20.0)))
    assert row.note == "the measuring program: ended with code 1"


def test_a_program_that_cannot_be_started_costs_one_failed_row(context):
    missing = Program(command=lambda: ("/no/such/program",))
    (row,) = asyncio.run(apart.run("quic", Target(id="page", url="https://x.test/"), context, missing))
    assert row.note == "the measuring program did not start: No such file or directory"


def test_a_child_that_hangs_is_ended_at_its_limit(context, tmp_path):
    hanging = python(f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}'); time.sleep(99)")
    fast = replace(context, time_scale=10_000.0)
    (row,) = asyncio.run(apart.run("quic", Target(id="page", url="https://x.test/"), fast, hanging))
    assert (row.failure, row.note) == (Failure.INTERRUPTED, "the measuring program reached its time limit")
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_run_that_is_cancelled_ends_its_child(context, sites):
    async def begin_and_cancel():
        task = asyncio.create_task(apart.run("http", page(sites, "/stall"), replace(context, time_scale=1.0)))
        children = await first(lambda: children_of(os.getpid()))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return children

    before = children_of(os.getpid())
    started = asyncio.run(begin_and_cancel())
    assert not [pid for pid in started - before if alive(pid)]


def test_a_child_ends_with_an_agent_that_is_killed(tmp_path, sites):
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path), f"http://127.0.0.1:{sites.http}/stall"])
    try:
        (child,) = asyncio.run(first(lambda: children_of(agent.pid)))
        asyncio.run(first(lambda: dies_with_its_parent(child)))
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        asyncio.run(first(lambda: not alive(child)))
    finally:
        agent.kill()
        agent.wait()


AGENT = """
import asyncio, sys
from pathlib import Path
from civobs_agent import apart
from civobs_agent.clock import Clock
from civobs_agent.net import Net
from civobs_agent.line import Line
from civobs_agent.refusal import Refusal
from civobs_wire.plan import Target
folder, url = sys.argv[1:]
net = Net(Clock(Path(folder)), refusal=Refusal(allowed=frozenset({"127.0.0.1"})))
context = net.context(net.clock.moment().at, None)
asyncio.run(apart.run("http", Target(id="page", url=url), context))
"""


async def first(found):
    """What is found, as soon as it is."""
    deadline = time.monotonic() + 30
    while not (what := found()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return what


def children_of(pid):
    with contextlib.suppress(OSError):
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return {int(child) for children in lists for child in children.split()}
    return set()


def dies_with_its_parent(pid):
    """The child has begun to listen to its parent's end: it has gone first in line for the memory killer after it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    return False


def alive(pid):
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False
