"""Between the tables and the detector of general throttling: transfers to the observatory's own servers."""

from datetime import datetime, timedelta

from civobs_collector.db.connect import Connection
from civobs_collector.db.target_input import read_throughput
from civobs_collector.detect.general import Speed, find_general
from civobs_collector.detect.general_records import general_records
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord


def read_slow_networks(conn: Connection, inputs: Inputs, since: datetime, params: Params) -> tuple[EventRecord, ...]:
    """Networks that were slow at any time since then; the weeks before are read to know what is usual."""
    history = since - timedelta(seconds=params["general.history"])
    probes = {probe.probe_key: probe for probe in inputs.probes if _speaks(probe)}
    speeds = []
    for probe_key, at, bps, server, direction, shrunk, rtt_ms in read_throughput(conn, probes, history, inputs.now):
        probe = probes[probe_key]
        like = f"{server or '-'}/{direction or 'download'}/{bool(shrunk)}"
        speeds.append(Speed(at.timestamp(), probe.household, probe.asn, like, bps, rtt_ms, probe.cc))
    found = [one for one in find_general(speeds, params) if one.end[1] is None or one.end[1] >= since.timestamp()]
    return general_records(found, inputs, params)


def _speaks(probe: ProbeInfo) -> bool:
    """Whether it is of a household in a network that is known."""
    return probe.active and not probe.is_anchor and bool(probe.asn)
