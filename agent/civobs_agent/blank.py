"""Rows for slots in which nothing was measured: they say so, and why. A slot without a row would look like silence."""

from datetime import datetime, timedelta

from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.net import clean
from civobs_agent.self_report import PLACEHOLDER_SEQ
from civobs_agent.turns import LADDER, Series
from civobs_wire.measurement import (
    KINDS,
    Agent,
    AgentEvent,
    AnyMeasurement,
    HttpStage,
    TlsStage,
    Validity,
)

LEAST_FIELDS: dict[str, dict[str, object]] = {
    LADDER: {"rung": 0, "n": 0, "n_ok": 0},
    "ping": {"sent": 0, "received": 0},
    "dns": {"resolver": "resolver", "transport": "udp", "qname": "-", "qtype": "A"},
    "tcp": {"port": 0},
    "tls": {"port": 0, "sni": "-", "stage": TlsStage.CONNECT},
    "http": {"url": "", "stage": HttpStage.RESOLVE},
}
"""What a kind needs besides the common fields, where there is nothing to tell. Newer kinds need nothing."""


def blank_row(series: Series, slot_at: datetime, now: Moment, fault: Fault) -> AnyMeasurement:
    """One row for one slot. A kind this version does not know is told by a row about the agent itself."""
    fields: dict[str, object] = {
        "seq": PLACEHOLDER_SEQ,
        "kind": series.kind,
        "target": "L0" if series.kind == LADDER else series.target,
        "slot_at": slot_at,
        "at": now.at,
        "mono_ms": now.mono_ms,
        "clock_err_ms": now.err_ms,
        "duration_ms": 0.0,
        "outcome": fault.outcome,
        "failure": fault.failure,
        "note": None if fault.note is None else clean(fault.note),
        "validity": Validity(clock=now.state),
    }
    if series.kind in KINDS and series.kind != "agent":
        row: AnyMeasurement = KINDS[series.kind].model_validate(fields | LEAST_FIELDS.get(series.kind, {}))  # type: ignore[assignment]
        return row
    ends_at = slot_at + timedelta(seconds=series.interval_s)
    about = {"kind": "agent", "event": AgentEvent.SLOTS_MISSED, "n_lost": 1, "from_at": slot_at, "to_at": ends_at}
    return Agent.model_validate(fields | about)
