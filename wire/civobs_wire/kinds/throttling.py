"""One transfer of a pair: the same bytes from the same server, under the target's name or under a neutral one."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_SAMPLES
from civobs_wire.row import MeasurementBase, Port, Received
from civobs_wire.scalars import Count2, Count4, Count8, Millis, Name, Real8, Seconds


class Throttling(MeasurementBase):
    """One arm. Rows of one ``test`` belong together; the collector compares them."""

    kind: Literal["throttling"] = "throttling"
    server: Name = "-"
    test: Name = "-"
    """The same in all transfers of one run."""
    replicate: Count2 = 0
    """Which pair over this transport, from 1."""
    place: Count2 = 0
    """Which transfer of the run, from 1: the order of the arms is drawn by lot."""
    arm: Literal["target", "neutral"] = "neutral"
    transport: Literal["tcp", "quic"] = "tcp"
    address: Name | None = None
    port: Port = 443
    sni: Name = "-"
    wanted_bytes: Count8 | None = None
    bytes: Count8 | None = None
    """Of the body; where the time ended it, with a record of TLS that had not come whole."""
    seconds: Seconds | None = None
    """Seconds from the request to the last byte, or to the limit."""
    goodput_bps: Real8 | None = None
    connect_ms: Millis | None = None
    handshake_ms: Millis | None = None
    first_byte_ms: Millis | None = None
    rtt_min_ms: Millis | None = None
    """Of what the device sent: the handshake, the request and some acknowledgements."""
    rtt_ms: Millis | None = None
    rtt_receiver_ms: Millis | None = None
    """The receiving kernel's own estimate from timestamps (``tcpi_rcv_rtt``): a queue that the bytes wait in lengthens
    it, a policer does not. Of TCP alone."""
    lost_packets: Count4 | None = None
    """Over TCP, segments that came out of order or were sent again by the device, as the receiving socket's TCP_INFO
    counts; over QUIC, packet numbers that never came."""
    samples: Annotated[tuple[Received, ...], Field(max_length=MAX_SAMPLES)] = ()
    """What had arrived on the connection since the request, TLS and all; of QUIC, datagrams."""
    ended: Literal["done", "time", "failed"] | None = None
    """``time``: as much as came until the limit; slow, and not failed unless nothing came."""
    stopped: Literal["pairs", "alike", "apart", "budget", "failed", "time"] | None = None
    """On the last row of a transport: why no more pairs followed. A matter of bytes saved, and no finding."""
