"""Latency while the line is busy: round trips a minute (draft-ietf-ippm-responsiveness)."""

from typing import Literal

from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Count8, Millis, Name, Real8


class Responsiveness(MeasurementBase):
    """One direction under load."""

    kind: Literal["responsiveness"] = "responsiveness"
    server: Name = "-"
    direction: Literal["download", "upload"] = "download"
    rpm: Real8 | None = None
    rpm_foreign: Real8 | None = None
    rpm_loaded: Real8 | None = None
    confidence: Literal["low", "medium", "high"] | None = None
    idle_ms: Millis | None = None
    """Round trip before the load."""
    goodput_bps: Real8 | None = None
    flows: Count2 | None = None
    n_foreign: Count2 | None = None
    n_loaded: Count2 | None = None
    bytes: Count8 | None = None
    shrunk: bool | None = None
