"""Latency while the line is busy: round trips a minute (draft-ietf-ippm-responsiveness)."""

from typing import Literal

from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Count8, Millis, Name, Real8


class Responsiveness(MeasurementBase):
    """One direction under load."""

    kind: Literal["responsiveness"] = "responsiveness"
    server: Name = "-"
    address: Name | None = None
    direction: Literal["download", "upload"] = "download"
    stage: Literal["resolve", "idle", "load"] | None = None
    """Where it failed; None where it did not."""
    rpm: Real8 | None = None
    rpm_foreign: Real8 | None = None
    rpm_loaded: Real8 | None = None
    tcp_ms: Millis | None = None
    """Trimmed means under load, of a connect, a round trip of TLS, an exchange on a new connection, one on a busy one."""
    tls_ms: Millis | None = None
    http_ms: Millis | None = None
    loaded_ms: Millis | None = None
    confidence: Literal["low", "medium", "high"] | None = None
    idle_ms: Millis | None = None
    """Round trip before the load."""
    late_ms: Millis | None = None
    """How late the device's own timers were meanwhile, on average: what its processor adds to every figure here."""
    goodput_bps: Real8 | None = None
    flows: Count2 | None = None
    n_foreign: Count2 | None = None
    n_loaded: Count2 | None = None
    bytes: Count8 | None = None
    shrunk: bool | None = None
