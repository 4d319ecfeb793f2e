"""Between the tables and the detector of general throttling: transfers to the observatory's own servers."""

from datetime import datetime, timedelta

from civobs_collector.db.connect import Connection
from civobs_collector.db.target_input import read_throughput
from civobs_collector.detect.general import Speed, find_general
from civobs_collector.detect.general_records import general_records
from civobs_collector.detect.inputs import Inputs
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord


def read_slow_networks(conn: Connection, inputs: Inputs, since: datetime, params: Params) -> tuple[EventRecord, ...]:
    """Networks that were slow at any time since then; the weeks before are read to know what is usual."""
    history = since - timedelta(seconds=params["general.history"])
    probes = {probe.probe_key: probe for probe in inputs.probes if probe.active and not probe.is_anchor}
    speeds = []
    for probe_key, at, bps, row in read_throughput(conn, history, inputs.now):
        probe = probes.get(probe_key)
        if probe is None or not probe.asn:
            continue
        like = f"{row.get('server', '-')}/{row.get('direction', 'download')}/{bool(row.get('shrunk'))}"
        speeds.append(Speed(at.timestamp(), probe.household, probe.asn, like, bps, row.get("rtt_ms"), probe.cc))
    found = [one for one in find_general(speeds, params) if one.end[1] is None or one.end[1] >= since.timestamp()]
    return general_records(found, inputs, params)
