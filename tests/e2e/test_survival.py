"""Any part may die at any moment, any disk may fill: every recorded measurement is stored exactly once.

The seed of each run is printed; ``CIVOBS_E2E_SEED`` repeats it.
"""

import os
import random
import secrets
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.e2e.account import all_arrived, assert_exactly_once
from tests.e2e.station import Station

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(600)]

SCALE = 60.0
"""A minute of the plan in a second: four probes make about four batches a second."""
BATCHES = 200


@pytest.fixture
def chance():
    seed = int(os.environ.get("CIVOBS_E2E_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    return random.Random(seed)


@contextmanager
def running(folder, **options):
    station = Station(folder, **{"probes": 3, "time_scale": SCALE} | options)
    try:
        station.start()
        yield station
    finally:
        station.close()


def settle(station, timeout_s=120):
    """Wait until all that was recorded up to now has arrived; gives what that was."""
    time.sleep(3)  # the status file is written every two seconds
    recorded = station.recorded()
    station.wait(lambda: all_arrived(station, recorded), timeout_s, "all rows to arrive")
    return recorded


def batches(station):
    return station.query("SELECT count(*) FROM batch")[0][0]


@pytest.mark.parametrize("persistence", [True, False], ids=["broker keeps its queues", "broker forgets everything"])
def test_every_measurement_survives_kills_of_every_part(tmp_path, chance, persistence):
    with running(tmp_path, persistence=persistence) as station:
        killed = []
        while len(killed) < 12 or batches(station) < BATCHES:
            time.sleep(chance.uniform(0.2, 2.0))
            killed.append(station.kill_something(chance, down_s=chance.uniform(0.0, 1.5)))
        assert set(killed) == {"agent", "broker", "collector", "database"} or len(killed) > 12
        recorded = settle(station)
        print(f"killed {len(killed)} times, {batches(station)} batches, {sum(recorded.values())} measurements")
        assert batches(station) >= BATCHES
        assert_exactly_once(station, recorded)
        assert station.query("SELECT count(*) FROM rejected_batch") == [(0,)]


def test_a_full_disk_at_the_probe_loses_nothing_it_had_recorded(tmp_path):
    state = tmp_path / "home-0" / "state"
    state.mkdir(parents=True)
    with mounted(state, "8m"), running(tmp_path, probes=1) as station:
        with full_of_ballast(state):
            station.wait(lambda: station.status(0).disk != "ok", 30, "the agent to notice its full disk")
            waiting = station.status(0).rows_waiting
            time.sleep(5)
            assert station.status(0).rows_waiting > waiting, "it goes on measuring, in memory"
        station.wait(lambda: station.status(0).disk == "ok", 60, "the agent to notice that there is room again")
        assert_exactly_once(station, settle(station))


def test_a_full_disk_at_the_collector_loses_nothing(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    with mounted(archive, "8m"), running(tmp_path, probes=2) as station:
        stored = settle(station)
        with full_of_ballast(archive):
            time.sleep(4)  # a small batch may still fit into the rest of the last page
            before = batches(station)
            time.sleep(6)
            assert batches(station) == before, "nothing may be committed that is not in the archive"
            assert sum(station.recorded().values()) > sum(stored.values())
        assert_exactly_once(station, settle(station))


def test_a_full_database_disk_loses_nothing(tmp_path):
    data = tmp_path / "pg"
    data.mkdir()
    with mounted(data, "400m"), running(tmp_path, probes=2) as station:
        with full_of_ballast(data):
            time.sleep(10)
        station.database.kill()
        station.database.start()
        assert_exactly_once(station, settle(station))


def test_three_days_offline_are_delivered_without_a_gap(tmp_path):
    scale = 2880.0
    with running(tmp_path, probes=1, time_scale=scale, task_interval_s=600, seal_interval_s=3000) as station:
        settle(station)
        station.kill_broker()
        began = station.recorded()
        time.sleep(72 * 3600 / scale)
        station.start_broker()
        until = datetime.now(UTC)
        recorded = settle(station, 180)
        rows = sum(recorded.values()) - sum(began.values())
        print(f"72 h offline in {72 * 3600 / scale:g} s: {rows} rows, {station.status(0).resent} batches sent again")
        assert_exactly_once(station, recorded)
        assert gaps(station, 300 / scale, until) == []


def gaps(station, interval_s, until):
    """Neighbouring slots of the ladder with a slot missing between them."""
    return station.query(
        "SELECT before, slot_at FROM (SELECT slot_at, lag(slot_at) OVER (ORDER BY slot_at) AS before FROM measurement"
        " WHERE kind = (SELECT kind FROM kind WHERE name = 'ladder') AND slot_at < %s) AS slots"
        " WHERE slot_at - before > make_interval(secs => %s)",
        until,
        interval_s * 1.5,
    )


@contextmanager
def mounted(folder, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full_of_ballast(folder):
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:  # a buffer would fail once more when it is closed
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()
