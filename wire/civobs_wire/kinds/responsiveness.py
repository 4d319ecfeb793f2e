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
    """Round trips a minute: the mean of the next two."""
    rpm_foreign: Real8 | None = None
    """On new connections."""
    rpm_loaded: Real8 | None = None
    """On the busy ones."""
    tcp_ms: Millis | None = None
    """Trimmed mean under load, as the next three: of a connect…"""
    tls_ms: Millis | None = None
    """…of a round trip of TLS…"""
    http_ms: Millis | None = None
    """…of an exchange on a new connection…"""
    loaded_ms: Millis | None = None
    """…and of one on a busy connection."""
    confidence: Literal["low", "medium", "high"] | None = None
    idle_ms: Millis | None = None
    """Round trip before the load."""
    late_ms: Millis | None = None
    """How late the device's own timers were meanwhile, on average: what its processor adds to every figure here."""
    goodput_bps: Real8 | None = None
    """Of the load, in bits a second: the highest mean of four intervals."""
    flows: Count2 | None = None
    """Connections that the line was filled with."""
    n_foreign: Count2 | None = None
    """Probes that came back, on new connections…"""
    n_loaded: Count2 | None = None
    """…and on busy ones."""
    bytes: Count8 | None = None
    """That the load moved."""
    shrunk: bool | None = None
    """The byte budget allowed less than the whole test."""
