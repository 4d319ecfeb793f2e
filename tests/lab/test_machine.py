"""What the lab asks of a machine, what it measures of it, and that nothing of the lab stays on it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from civobs_lab import machine
from civobs_lab.load import Meter
from civobs_lab.processes import tied

BUSY = "import time\nwhile True: pass"
IDLE = "import time\ntime.sleep(60)"
BALLAST = "x = bytearray(b'1') * (64 << 20)\nimport time\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_the_switch_that_refuses_is_named_with_its_remedy(tmp_path, setting, value, words):
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    refused = machine.why_refused("unshare failed: Operation not permitted", tmp_path)
    assert setting.replace("/", ".") in refused.cause
    assert words in refused.remedy
    assert "\n" not in refused.cause + refused.remedy


def test_a_refusal_without_a_known_switch_says_what_was_tried(tmp_path):
    refused = machine.why_refused("unshare: unshare failed: Operation not permitted", tmp_path)
    assert "Operation not permitted" in refused.cause


@pytest.mark.netns
def test_programs_are_found_where_a_users_path_does_not_look(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere:/usr/bin:/bin")
    machine.require()
    assert [name for name in machine.PROGRAMS if shutil.which(name) is None] == []
    assert os.environ["PATH"].startswith("/nowhere:/usr/bin:/bin:")


@pytest.mark.netns
def test_this_machine_refuses_nothing():
    assert (machine.missing(), machine.namespaces_refused(), machine.translation_refused()) == (None, None, None)


def test_a_program_whose_parent_has_ended_before_it_starts_does_nothing(tmp_path):
    touched = tmp_path / "touched"
    command = tied(["touch", str(touched)])
    subprocess.run(command, check=True)
    touched.unlink()
    # Between this process and the program stands a shell, as init would after the parent's end.
    assert subprocess.run(["sh", "-c", '"$@"; exit $?', "between", *command], check=False).returncode == 1
    assert not touched.exists()


def test_a_program_dies_with_the_process_that_started_it(tmp_path):
    parent = (
        "import subprocess, time; from civobs_lab.processes import tied;"
        "print(subprocess.Popen(tied(['sleep', '60'])).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        child = int(started.stdout.readline())
        assert running(child)
        started.send_signal(signal.SIGKILL)
    end = time.monotonic() + 5
    while running(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not running(child)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_meter_tells_the_busy_from_the_idle():
    with child(BUSY) as busy, child(IDLE) as idle:
        meters = [Meter([busy.pid]), Meter([idle.pid]), Meter([busy.pid, idle.pid])]
        for meter in meters:
            meter.start()
        time.sleep(1.0)
        one, none, both = (meter.stop() for meter in meters)
        busy.kill()
        idle.kill()
    assert (one.agents, none.agents, both.agents) == (1, 1, 2)
    assert one.cpu_share > 0.2
    assert none.cpu_share < 0.05
    assert both.cpu_share == pytest.approx((one.cpu_share + none.cpu_share) / 2, abs=0.1)
    assert 0 < one.machine_cpu_share <= 1


def test_a_meter_sees_memory_and_leaves_out_who_ended():
    with child(BALLAST) as large, child(IDLE) as small:
        meter = Meter([large.pid, small.pid, 2**22])
        meter.start()
        time.sleep(0.5)
        small.kill()
        small.wait()
        load = meter.stop()
        large.kill()
    assert load.agents == 1
    assert load.rss_mib > 60


def child(program):
    return subprocess.Popen([sys.executable, "-c", program])
