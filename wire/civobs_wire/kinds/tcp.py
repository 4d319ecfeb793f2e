"""A TCP connect."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_RESOLVERS
from civobs_wire.row import MeasurementBase, Port
from civobs_wire.scalars import Count2, Name


class Tcp(MeasurementBase):
    """A TCP connect to one address and port. ``duration_ms`` is the time to the handshake's end or its failure."""

    kind: Literal["tcp"] = "tcp"
    address: Name | None = None
    port: Port
    resolvers: Annotated[tuple[Name, ...], Field(max_length=MAX_RESOLVERS)] = ()
    """Who gave this address: ids of resolvers of the plan, ``resolver`` for the given one. Empty for a literal."""
    icmp_type: Count2 | None = None
    """Type and code of the ICMP message that ended it (ICMPv6's in family 6); None where none did."""
    icmp_code: Count2 | None = None
