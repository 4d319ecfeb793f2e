"""A question to a time server."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_REPLIES
from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Millis, Name, Real8


class Ntp(MeasurementBase):
    """NTP (RFC 5905), mode 3 to mode 4. ``ok`` means that an answer came, also one that refuses (``kiss``)."""

    kind: Literal["ntp"] = "ntp"
    server: Name = "-"
    address: Name | None = None
    stratum: Count2 | None = None
    leap: Count2 | None = None
    offset_ms: Real8 | None = None
    """Its time minus this device's, whose own error is ``clock_err_ms``."""
    delay_ms: Real8 | None = None
    ref_id: Name | None = None
    root_delay_ms: Millis | None = None
    root_dispersion_ms: Millis | None = None
    kiss: Name | None = None
    """Code of a kiss of death, such as ``DENY``."""
    other_offsets_ms: Annotated[tuple[Real8, ...], Field(max_length=MAX_REPLIES)] = ()
    """Of further answers to the same question."""
    strays: Count2 | None = None
    """Datagrams from the server's address that answer no question: of another mode, or with a made-up origin."""
