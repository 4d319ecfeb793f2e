"""How addresses are translated on the way out (RFC 5780), and by whom."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS
from civobs_wire.row import Check, MeasurementBase
from civobs_wire.scalars import Count2, Count4, Name

NatBehaviour = Literal["none", "endpoint_independent", "address_dependent", "address_and_port_dependent"]


class Nat(MeasurementBase):
    """As seen by a STUN server of the observatory. No address is reported, neither mapped nor local."""

    kind: Literal["nat"] = "nat"
    server: Name = "-"
    translated: bool | None = None
    """The server sees another address than the device has."""
    port_kept: bool | None = None
    mapping: NatBehaviour | None = None
    """``none``: not translated."""
    filtering: NatBehaviour | None = None
    home_nat: bool | None = None
    """The device's own address is private."""
    carrier_nat: bool | None = None
    carrier_evidence: Annotated[tuple[Name, ...], Field(max_length=MAX_CHECKS)] = ()
    """What says so. ``own_address``, ``second_hop``: in 100.64.0.0/10. ``second_hop_private``: in RFC 1918's ranges.
    ``gateway_private``, ``gateway_differs``: what the gateway calls its address outside."""
    private_hops: Count2 | None = None
    """Hops from the first on whose addresses are private or carrier NAT."""
    inbound: bool | None = None
    """A datagram from an address that was never spoken to arrived."""
    lifetime_s: Count4 | None = None
    """A UDP mapping was still open after so many idle seconds…"""
    lifetime_below_s: Count4 | None = None
    """…and closed after so many."""
    checks: Annotated[tuple[Check, ...], Field(max_length=MAX_CHECKS)] = ()
