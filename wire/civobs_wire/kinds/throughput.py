"""How much goes through, and what the way costs in time meanwhile."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_SAMPLES
from civobs_wire.row import MeasurementBase, Received
from civobs_wire.scalars import Count8, Millis, Name, Real8, Seconds


class Throughput(MeasurementBase):
    """One transfer of ndt7, in one direction."""

    kind: Literal["throughput"] = "throughput"
    server: Name = "-"
    """Of the plan, or the machine that M-Lab named."""
    direction: Literal["download", "upload"] = "download"
    address: Name | None = None
    stage: Literal["locate", "resolve", "connect", "tls", "upgrade", "transfer"] | None = None
    """Where it failed; None where it did not."""
    bytes: Count8 | None = None
    """Payload moved."""
    seconds: Seconds | None = None
    """From the beginning of the transfer to its end."""
    goodput_bps: Real8 | None = None
    """Payload in bits a second, over the whole transfer."""
    rtt_min_ms: Millis | None = None
    rtt_ms: Millis | None = None
    """Smoothed, at the end."""
    lost_bytes: Count8 | None = None
    """Sent again, as the sender's kernel counts."""
    samples: Annotated[tuple[Received, ...], Field(max_length=MAX_SAMPLES)] = ()
    shrunk: bool | None = None
    """The byte budget allowed less than the whole test."""
    ended: Literal["done", "budget", "time"] | None = None
