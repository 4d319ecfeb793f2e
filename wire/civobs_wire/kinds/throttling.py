"""One transfer of a pair: the same bytes from the same server, under the target's name or under a neutral one."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_SAMPLES
from civobs_wire.row import MeasurementBase, Port, Received
from civobs_wire.scalars import Count2, Count4, Count8, Millis, Name, Real8


class Throttling(MeasurementBase):
    """One arm. Rows of one ``test`` belong together; the collector compares them."""

    kind: Literal["throttling"] = "throttling"
    server: Name = "-"
    test: Name = "-"
    """The same in all transfers of one run."""
    replicate: Count2 = 0
    """Which pair, from 1."""
    place: Count2 = 0
    """Which transfer of the run, from 1: the order of the arms is drawn by lot."""
    arm: Literal["target", "neutral"] = "neutral"
    transport: Literal["tcp", "quic"] = "tcp"
    address: Name | None = None
    port: Port = 443
    sni: Name = "-"
    wanted_bytes: Count8 | None = None
    bytes: Count8 | None = None
    seconds: Millis | None = None
    goodput_bps: Real8 | None = None
    connect_ms: Millis | None = None
    handshake_ms: Millis | None = None
    first_byte_ms: Millis | None = None
    rtt_min_ms: Millis | None = None
    rtt_ms: Millis | None = None
    lost_packets: Count4 | None = None
    """Sent again or reordered, as the receiving socket's TCP_INFO counts; of QUIC, as aioquic does."""
    samples: Annotated[tuple[Received, ...], Field(max_length=MAX_SAMPLES)] = ()
    ended: Literal["done", "time", "failed"] | None = None
    stopped: Literal["pairs", "alike", "apart", "budget"] | None = None
    """On the last row of a run: why no more pairs followed."""
