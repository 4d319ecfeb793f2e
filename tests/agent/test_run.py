"""The whole agent as a process, paused, so that it sends nothing but its batches."""

import json
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from civobs_agent.run import broken
from civobs_wire.plan import Target, Task, pack_plan
from tests.agent.fix_agent import PROBE_ID, Receiver
from tests.agent.fix_net import plan_with

pytestmark = pytest.mark.broker

CONFIG = """
state_dir = "{state}"
paused = true
[observatory]
url = "{url}"
claim = "7K3M-9QXP-4"
[spool]
write_interval_s = 0
seal_interval_s = 10
[lab]
enabled = true
time_scale = 60
trust_system_clock = true
"""


def agent(config, *arguments):
    return [sys.executable, "-m", "civobs_agent", "--config", str(config), *arguments]


class Running:
    def __init__(self, config, log):
        with log.open("ab") as out:
            self.process = subprocess.Popen(agent(config, "run"), stdout=out, stderr=out)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def config(tmp_path, observatory):
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state", url=observatory.url))
    return path


@pytest.fixture
def start(config, tmp_path):
    started = []

    def one():
        started.append(Running(config, tmp_path / "log"))
        return started[-1]

    yield one
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def receiver_of(broker, observatory):
    made = []

    def one():
        while not observatory.requests:
            time.sleep(0.05)
        from civobs_wire.envelope import public_key

        class Known:
            def public_key(self):
                return public_key(observatory.requests[0].signing_key)

        made.append(Receiver(broker.port, Known()))
        made[-1].key = observatory.receipt_key
        return made[-1]

    yield one
    for receiver in made:
        receiver.close()


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_an_agent_enrols_delivers_and_takes_leave(start, receiver_of, config, tmp_path):
    running = start()
    receiver = receiver_of()
    wait_for(lambda: sum(row.kind == "ladder" for row in receiver.rows) >= 2)
    told = subprocess.run(agent(config, "status", "--json"), capture_output=True, check=True)
    status = json.loads(told.stdout)
    assert (status["state"], status["probe_id"], status["running"]) == ("paused", PROBE_ID, True)
    second = subprocess.run(agent(config, "run"), capture_output=True, check=False, text=True)
    assert second.returncode == 2
    assert "another agent is running" in second.stderr
    began = time.monotonic()
    assert running.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    wait_for(lambda: receiver.said[-1] == "stopped")
    events = [row.event for row in receiver.rows if row.kind == "agent"]
    assert (events[0], events[-1]) == ("start", "stop")
    assert [row.seq for row in receiver.rows] == list(range(1, len(receiver.rows) + 1))
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_killed_agent_accounts_for_every_slot_when_it_is_back(start, receiver_of, tmp_path, observatory):
    tasks = (Task(kind="tcp", targets=("page",), interval_s=240.0),)
    plan = plan_with(targets=(Target(id="page", url="https://page.example/"),), tasks=tasks)
    observatory.plan = pack_plan(plan, observatory.plan_key)
    running = start()
    receiver = receiver_of()
    wait_for(lambda: sum(row.kind == "ladder" for row in receiver.rows) >= 2)
    running.end(signal.SIGKILL)
    time.sleep(12)
    running = start()
    wait_for(lambda: [row.event for row in receiver.rows if row.kind == "agent"].count("start") == 2)
    wait_for(lambda: any(row.failure == "agent_down" for row in receiver.rows))
    time.sleep(6)
    running.end(signal.SIGTERM)
    wait_for(lambda: [row.event for row in receiver.rows if row.kind == "agent"][-1] == "stop")
    last = max(row.seq for row in receiver.rows)
    wait_for(lambda: len(receiver.rows) >= last)
    rows = receiver.rows
    assert sorted(row.seq for row in rows) == list(range(1, last + 1))
    for kind, interval_s in (("ladder", 5.0), ("tcp", 4.0)):
        slots = sorted({row.slot_at for row in rows if row.kind == kind})
        gaps = {round((later - earlier).total_seconds(), 1) for earlier, later in pairwise(slots)}
        assert gaps == {interval_s}, (kind, gaps)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_part_that_breaks_is_named_in_the_status_without_the_words_of_its_error():
    assert broken("uplink", OSError("cannot reach 192.168.1.1")) == "uplink broke: OSError"


def test_measuring_goes_on_without_an_observatory_and_the_rows_wait(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state", url="http://127.0.0.1:9"))
    running = Running(config, tmp_path / "log")
    try:
        file = tmp_path / "state/status.json"
        wait_for(file.exists)
        wait_for(lambda: json.loads(file.read_text())["rows_waiting"] >= 2)
        wait_for(lambda: json.loads(file.read_text())["enrolment"].startswith("not enrolled yet: cannot reach"))
    finally:
        assert running.end(signal.SIGTERM) == 0
    shown = subprocess.run(agent(config, "show"), capture_output=True, check=True, text=True)
    assert "paused" in shown.stdout
    asked = subprocess.run(agent(config, "status"), capture_output=True, check=False, text=True)
    assert asked.returncode == 1
    assert "not running" in asked.stdout


def fast(text):
    return text.replace("time_scale = 60", "time_scale = 600")


def test_a_probe_that_sends_nothing_keeps_what_it_sees_and_its_observatory_hears_no_word(tmp_path):
    config = tmp_path / "agent.toml"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config.write_text(fast(CONFIG.format(state=tmp_path / "state", url=url)) + "[uplink]\nsend = false\n")
        running = Running(config, tmp_path / "log")
        try:
            file = tmp_path / "state/status.json"
            wait_for(file.exists)
            wait_for(lambda: json.loads(file.read_text())["rows_waiting"] >= 4)
            asked = subprocess.run(agent(config, "status"), capture_output=True, check=True, text=True)
        finally:
            assert running.end(signal.SIGTERM) == 0
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert "nothing leaves this device" in asked.stdout
    shown = subprocess.run(agent(config, "show"), capture_output=True, check=True, text=True)
    assert "paused" in shown.stdout


def test_an_enrolled_probe_can_be_told_to_send_nothing_and_to_send_all_again(start, receiver_of, config):
    config.write_text(fast(config.read_text()))
    running = start()
    receiver = receiver_of()
    wait_for(lambda: any(row.kind == "ladder" for row in receiver.rows))
    running.end(signal.SIGTERM)
    wait_for(lambda: receiver.said[-1] == "stopped")
    said, rows = list(receiver.said), list(receiver.rows)
    sending = config.read_text()
    config.write_text(sending + "[uplink]\nsend = false\n")
    running = start()
    file = config.parent / "state/status.json"
    wait_for(lambda: json.loads(file.read_text())["state"] == "paused" and json.loads(file.read_text())["rows"] >= 4)
    running.end(signal.SIGTERM)
    assert (receiver.said, receiver.rows) == (said, rows)
    config.write_text(sending)
    running = start()
    wait_for(lambda: [row.event for row in receiver.rows if row.kind == "agent"].count("start") == 3)
    running.end(signal.SIGTERM)
    wait_for(lambda: receiver.said[-1] == "stopped")
    assert [row.seq for row in receiver.rows] == list(range(1, len(receiver.rows) + 1))
