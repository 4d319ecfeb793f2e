"""What IPv6 does here beside IPv4."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS
from civobs_wire.row import Check, FamilyState, MeasurementBase
from civobs_wire.scalars import Millis, Name


class Ipv6(MeasurementBase):
    """Absent, assigned but broken, or working; which family is preferred; translation to IPv4."""

    kind: Literal["ipv6"] = "ipv6"
    state: FamilyState = FamilyState.UNKNOWN
    address_assigned: bool | None = None
    route_present: bool | None = None
    preferred: Literal["4", "6"] | None = None
    """Which family RFC 6724 puts first here for a host that has both."""
    faster: Literal["4", "6"] | None = None
    """Which of two connects begun together ended first."""
    v4_ms: Millis | None = None
    v6_ms: Millis | None = None
    dns64: bool | None = None
    """The given resolver makes AAAA records for ``ipv4only.arpa`` (RFC 7050)."""
    nat64_prefix: Name | None = None
    nat64_works: bool | None = None
    checks: Annotated[tuple[Check, ...], Field(max_length=MAX_CHECKS)] = ()
