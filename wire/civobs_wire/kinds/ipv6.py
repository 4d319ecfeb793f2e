"""What IPv6 does here beside IPv4."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS
from civobs_wire.row import Check, FamilyState, MeasurementBase
from civobs_wire.scalars import Millis, Name


class Ipv6(MeasurementBase):
    """Absent, assigned but broken, or working; which family is preferred; translation to IPv4.

    ``ok`` where the state is known and nothing is broken, and so for a device without IPv6 as well.
    """

    kind: Literal["ipv6"] = "ipv6"
    state: FamilyState = FamilyState.UNKNOWN
    """``broken`` only if IPv4 answered at the same time; with both silent it is the line, and the state is unknown."""
    address_assigned: bool | None = None
    route_present: bool | None = None
    tunnel: Name | None = None
    """The kind of tunnel IPv6 leaves through, such as ``sit`` (6in4) or ``wireguard``."""
    preferred: Literal["4", "6"] | None = None
    """Which family RFC 6724 puts first here for a host that has both."""
    faster: Literal["4", "6"] | None = None
    """Which of two connects begun together ended first."""
    v4_ms: Millis | None = None
    v6_ms: Millis | None = None
    dns64: bool | None = None
    """The given resolver makes AAAA records for ``ipv4only.arpa`` (RFC 7050)."""
    nat64_prefix: Name | None = None
    """As the resolver uses it; ``refused:`` and a range's id where it may be a prefix of the home."""
    nat64_works: bool | None = None
    """A connect to an IPv4 server through that prefix came about."""
    checks: Annotated[tuple[Check, ...], Field(max_length=MAX_CHECKS)] = ()
