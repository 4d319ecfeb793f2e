"""The observatory of a lab has two ways in, parts that die and come back, and probes that lose power or tell lies."""

import queue
import subprocess
import sys
from pathlib import Path

import maxminddb
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from civobs_lab import faults, power_on
from civobs_lab.lab import build
from civobs_lab.observatory import BROKER_PORT
from civobs_lab.scenario import Scenario
from civobs_lab.timeline import steps
from civobs_lab.topology import load
from civobs_wire.enrol import EnrolResponse
from civobs_wire.topics import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow]

HOME = "xa-64500-1"
WAIT_S = 60.0
"""A loaded machine needs some of it."""
SCENARIO = Scenario.model_validate(
    {
        "title": "A test",
        "resembles": "nothing",
        "time_scale": 60.0,
        "fault": [
            {"kind": "collector_blocked", "scope": "AS64500", "brokers": "first", "start": "0s", "end": "1h"},
            {
                "kind": "power_cut",
                "scope": HOME,
                "clock_error": "3h",
                "clock_known_after": "1h",
                "start": "0s",
                "end": "1h",
            },
            {"kind": "observatory_down", "scope": "observatory", "start": "0s", "end": "1h"},
            {"kind": "observatory_down", "scope": "relay", "parts": ["broker"], "start": "0s", "end": "1h"},
            {"kind": "forged_probes", "scope": "AS64500", "count": 12, "habit": "1h", "start": "1h", "end": "2h"},
        ],
    }
)
BLOCKED, POWER, DOWN, SECOND_DOWN, FORGED = range(5)


@pytest.fixture(scope="module")
def lab():
    topology = load(Path("two-countries")).with_probes({"AS64500": 1, "AS64501": 0, "AS64504": 0})
    with build(topology, time_scale=60.0) as built:
        built.start_observatory()
        built.start_probes()
        assert built.wait_until(lambda: stored(built) > 0, WAIT_S), built.probe(HOME).log_tail()
        yield built


def do(lab, fault, verb, item=None):
    """A step of the scenario, whenever that would be."""
    (step,) = [
        step
        for step in steps(SCENARIO, lab.network.topology)
        if (step.fault, step.verb) == (fault, verb) and item in {None, step.item}
    ]
    faults.perform(lab, SCENARIO, step)


def one(lab, query, **values):
    """The only value of a query."""
    (row,) = lab.observatory.query(query, values)
    return next(iter(row.values()))


def status(lab):
    told = lab.probe(HOME).status()
    assert told is not None
    return told


def enrolment(lab):
    """What the one honest probe has been told at enrolment, as it is on its card; None before that.

    Its status will not do for who it is: just after it starts, it has not read its card yet.
    """
    file = lab.folder / "homes" / HOME / "state" / "identity" / "enrolment.json"
    return EnrolResponse.model_validate_json(file.read_bytes()) if file.exists() else None


def stored(lab):
    """Rows of the one honest probe that have arrived."""
    told = enrolment(lab)
    if told is None:
        return 0
    query = "SELECT count(*) FROM measurement m JOIN probe p USING (probe_key) WHERE p.probe_id = %(id)s"
    return one(lab, query, id=told.probe_id)


def delivers(lab):
    """Whether everything that has been recorded by now arrives."""
    recorded = status(lab).rows
    return lab.wait_until(lambda: stored(lab) >= recorded + 10, WAIT_S)


def presences(lab):
    """What the broker has said of the one honest probe, oldest first: state and boot."""
    query = (
        "SELECT n.state::text AS state, n.boot_id FROM presence n JOIN probe p USING (probe_key)"
        " WHERE p.probe_id = %(id)s ORDER BY n.received_at"
    )
    return [(row["state"], row["boot_id"]) for row in lab.observatory.query(query, {"id": enrolment(lab).probe_id})]


def retained(lab, host, leaf):
    """A retained message of the one probe, as the broker at a host gives it to whoever asks; None if it has none."""
    found: queue.Queue[bytes] = queue.Queue()
    address = str(lab.network.topology.host(host)[2].address)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: found.put(bytes(message.payload)) if message.retain else None
    client.on_connect = lambda asking, *_: asking.subscribe(f"{ROOT}/+/{enrolment(lab).probe_id}/{leaf}", qos=1)
    lab.network[f"device-{HOME}"].namespace.run(lambda: client.connect(address, BROKER_PORT))
    client.loop_start()
    try:
        return found.get(timeout=5)
    except queue.Empty:
        return None
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_probe_is_told_of_both_brokers(lab):
    brokers = enrolment(lab).brokers
    addresses = [str(lab.network.topology.host(host)[2].address) for host in ("observatory", "relay")]
    assert [broker.host for broker in brokers] == addresses


def test_the_map_knows_where_a_probe_is(lab):
    with maxminddb.open_database(lab.observatory.map_file) as found:
        record = found.get(str(next(lab.network.topology.households()).link.address))
    assert record["autonomous_system_number"] == 64500
    assert record["country"]["iso_code"] == "XA"


def test_a_probe_that_only_reaches_the_second_broker_delivers_and_gets_receipts(lab):
    relay = str(lab.network.topology.host("relay")[2].address)
    do(lab, BLOCKED, "begin")
    try:
        assert lab.wait_until(lambda: status(lab).broker == f"{relay}:{BROKER_PORT}", WAIT_S)
        settled = status(lab).settled
        assert delivers(lab)
        assert lab.wait_until(lambda: status(lab).settled > settled, WAIT_S)
        for leaf in ("receipt", "plan"):
            assert retained(lab, "relay", leaf) is not None
        # The will of the connection that was blocked.
        assert lab.wait_until(lambda: "offline" in dict(presences(lab)), WAIT_S)
    finally:
        do(lab, BLOCKED, "mend")


def test_a_power_cut_seen_by_the_second_broker_ends_in_a_new_boot_with_an_unknown_time(lab):
    boot = presences(lab)[-1][1]
    before = len(presences(lab))
    pid = lab.probe(HOME).pid
    do(lab, POWER, "begin")
    lab.check()
    assert not Path(f"/proc/{pid}").exists()
    # The broker alone can tell: it waits for one and a half keepalives.
    assert lab.wait_until(lambda: len(presences(lab)) > before, WAIT_S)
    assert presences(lab)[-1] == ("offline", boot)
    do(lab, POWER, "mend", HOME)
    assert lab.wait_until(lambda: status(lab).clock == "unknown", WAIT_S)
    assert lab.wait_until(lambda: presences(lab)[-1][0] == "online", WAIT_S)
    assert presences(lab)[-1][1] != boot
    assert status(lab).clock == "unknown"
    do(lab, POWER, "mend", f"clock of {HOME}")
    assert lab.wait_until(lambda: status(lab).clock == "synced", WAIT_S)
    assert delivers(lab)
    assert not lab.broken


def test_a_device_that_was_just_switched_on_has_no_uptime():
    command = [sys.executable, "-I", "-S", power_on.__file__, "/bin/cat", "/proc/uptime"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(said.split()[0]) < 5


def test_parts_of_the_observatory_die_without_breaking_the_run_and_come_back(lab):
    do(lab, DOWN, "begin")
    do(lab, SECOND_DOWN, "begin")
    lab.check()
    do(lab, SECOND_DOWN, "mend")
    do(lab, DOWN, "mend")
    lab.check()
    assert delivers(lab)


def test_forged_probes_are_enrolled_vanish_together_and_tell_of_it_later(lab):
    rows = (
        "SELECT count(*) FROM measurement m JOIN probe p USING (probe_key)"
        " WHERE p.probe_id <> %(id)s AND (m.failure IS NOT NULL) = %(failed)s"
    )
    said = (
        "SELECT count(*) FROM presence n JOIN probe p USING (probe_key)"
        " WHERE p.probe_id <> %(id)s AND n.state = %(state)s"
    )
    honest = enrolment(lab).probe_id

    def count(query, **values):
        return one(lab, query, id=honest, **values)

    do(lab, FORGED, "begin", "habit")
    assert lab.wait_until(lambda: count(rows, failed=False) >= 120, WAIT_S)
    do(lab, FORGED, "begin", "AS64500")
    assert lab.wait_until(lambda: count(said, state="offline") == 12, WAIT_S)
    assert count(rows, failed=True) == 0
    do(lab, FORGED, "mend", "AS64500")
    assert lab.wait_until(lambda: count(rows, failed=True) >= 12 * 7, WAIT_S)
    lab.mend()
    assert lab.wait_until(lambda: count(said, state="stopped") == 12, WAIT_S)
