"""ICMP echo."""

from typing import Literal

from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Millis, Name


class Ping(MeasurementBase):
    """ICMP echo to an address."""

    kind: Literal["ping"] = "ping"
    address: Name | None = None
    sent: Count2
    received: Count2
    rtt_min_ms: Millis | None = None
    rtt_avg_ms: Millis | None = None
    rtt_max_ms: Millis | None = None
