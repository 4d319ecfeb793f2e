"""A TCP connect."""

from typing import Literal

from civobs_wire.row import MeasurementBase, Port
from civobs_wire.scalars import Name


class Tcp(MeasurementBase):
    """A TCP connect to one address and port. ``duration_ms`` is the time to the handshake's end or its failure."""

    kind: Literal["tcp"] = "tcp"
    address: Name | None = None
    port: Port
