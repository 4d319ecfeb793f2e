"""The way to an address, hop by hop."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS, MAX_HOPS
from civobs_wire.row import Frozen, MeasurementBase, Port
from civobs_wire.scalars import Count2, Count4, Millis, Name


class Hop(Frozen):
    """One time to live."""

    ttl: Count2
    address: Name | None = None
    """Who answered; a hop in a private range by the range's id, a router of the home as ``gateway``. None: nobody, or
    a system before Linux 5.11 does not say who answered a SYN."""
    sent: Count2 = 0
    received: Count2 = 0
    rtt_ms: Annotated[tuple[Millis, ...], Field(max_length=MAX_CHECKS)] = ()
    answer: Name | None = None
    """What came, where it is no "time exceeded".

    ``reached``, ``unreachable``, ``prohibited``, ``reset`` or ``syn_ack``."""


class Path(MeasurementBase):
    """One trace with one flow id, so that load balancers send every packet the same way."""

    kind: Literal["path"] = "path"
    address: Name | None = None
    method: Literal["icmp", "udp", "tcp"] = "icmp"
    port: Port = 0
    flow: Count4 = 0
    """What is held constant: the ICMP identifier and checksum, or the source port."""
    hops: Annotated[tuple[Hop, ...], Field(max_length=MAX_HOPS)] = ()
    """Up to the last that answered."""
    reached: bool | None = None
    """Something answered in the target's name: a reply, a reset, or that its port is closed."""
    first_public_ttl: Count2 | None = None
    last_answer_ttl: Count2 | None = None
    mtu: Count4 | None = None
    """Largest IP packet, in bytes, that is known to pass without fragments as far as ``last_answer_ttl``, or that a
    router on the way says it has room for. None: not asked, or large packets are lost without a word."""
    why: Name | None = None
    """``ladder`` when it ran because a rung changed its state."""
