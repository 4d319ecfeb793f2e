"""The lab as an ordinary user has it: built in a user namespace, or refused in one line that says by what."""

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

WHOLE_LAB = """
import json, os
from civobs_lab import machine
started_as = os.getuid()
machine.require()
from civobs_lab.lab import build
from civobs_lab.collect import recorded_rows
from civobs_lab.topology import TOPOLOGIES, load

with build(load(TOPOLOGIES / "two-countries.toml"), time_scale=30.0) as lab:
    lab.start_observatory()
    household = next(lab.network.topology.households())
    lab.start_probe(household, 30.0)
    lab.wait_until(lambda: sum(recorded_rows(lab).values()) > 0, 30)
    rows = lab.observatory.query("SELECT count(*) AS n FROM probe")
    print(json.dumps({"recorded": sum(recorded_rows(lab).values()), "probes": rows[0]["n"]}))
"""

ASK = "from civobs_lab import machine; print(machine.namespaces_refused())"


@pytest.mark.slow
@pytest.mark.db
@pytest.mark.broker
def test_an_ordinary_user_runs_network_servers_database_broker_collector_and_probe(ordinary_user):
    shared_memory = Path("/proc/sysvipc/shm").read_text()
    done = ordinary_user.run(sys.executable, "-c", WHOLE_LAB, timeout_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["probes"] == 1
    assert found["recorded"] > 0
    assert list(ordinary_user.folder.glob("civobs-lab-*")) == []
    # The database server is killed, and this is what a killed one does not take with it by itself.
    assert Path("/proc/sysvipc/shm").read_text() == shared_memory


def test_an_ordinary_user_becomes_root_of_a_user_namespace_and_of_nothing_else(ordinary_user):
    program = (
        "import os; from civobs_lab import machine; machine.require();"
        "print(os.getuid(), open('/proc/self/uid_map').read().split()[2])"
    )
    done = ordinary_user.run(sys.executable, "-c", program)
    assert done.stdout.split() == ["0", "1"], done.stderr


def test_a_machine_that_has_no_namespace_left_is_said_to_refuse(ordinary_user):
    # The kernel counts a user's namespaces at every level above, so one level with a limit stands for a machine.
    limited = "echo 1 >/proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 --map-group=1000 "
    done = ordinary_user.run("unshare", "--user", "--map-root-user", "sh", "-c", limited + '"$@"', "limited",
                             sys.executable, "-c", ASK)  # fmt: skip
    assert "may have no more of them" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1
