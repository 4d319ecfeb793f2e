"""The database is lost under load: backup, archive and spools together still have every measurement once."""

import json
import shutil
import time

import pytest

from tests.e2e.account import all_arrived, assert_exactly_once
from tests.e2e.station import Station

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def station(tmp_path):
    one = Station(tmp_path, probes=2, time_scale=60.0)
    try:
        one.start()
        yield one
    finally:
        one.close()


def batches(station):
    return station.query("SELECT count(*) FROM batch")[0][0]


def more_batches(station, n):
    """Wait until so many more are stored."""
    wanted = batches(station) + n
    station.wait(lambda: batches(station) >= wanted, 60, f"{n} more batches")


def test_a_lost_database_comes_back_with_every_measurement_once(station, tmp_path):
    more_batches(station, 5)
    # Everything goes on while it is made.
    made = json.loads(station.civobs("backup", str(tmp_path / "backups"), "--json"))
    assert made["counts"]["batch"] >= 5
    assert list((tmp_path / "backups").glob("*/files/**/mosquitto.db")), "the broker's state"
    late = station.add_agent()
    more_batches(station, 8)
    station.kill_agent(0)  # away while the receipts of its last batches come
    more_batches(station, 3)

    station.kill_collector()
    lost = batches(station)
    station.database.kill()
    time.sleep(1)  # the other probes' batches of this time are in their spools and at the broker
    shutil.rmtree(station.database.folder / "data")
    (tmp_path / "keys" / "receipt.key").unlink()
    station.database.start()
    station.make_database()

    done = json.loads(station.civobs("restore", str(tmp_path / "backups"), "--json"))
    assert done["enrolled"] == 1, "the probe that enrolled after the backup"
    # What was on the archive's disk and not committed when the collector was killed comes in as well.
    assert batches(station) == made["counts"]["batch"] + done["replayed"] >= lost
    assert (done["refused"], done["unknown"], done["damaged"]) == (0, 0, [])
    assert done["receipts"] == 3

    station.start_collector()
    station.start_agent(0)
    time.sleep(3)  # the status file is written every two seconds
    recorded = station.recorded()
    assert station.status(late).probe_id in recorded
    station.wait(lambda: all_arrived(station, recorded), 60, "all rows to arrive")
    assert_exactly_once(station, recorded)
    assert station.query("SELECT count(*) FROM rejected_batch") == [(0,)]
    again = json.loads(station.civobs("archive", "replay", "--json"))
    assert (again["stored"], again["refused"], again["unknown"]) == (0, 0, 0)
    assert_exactly_once(station, recorded)
