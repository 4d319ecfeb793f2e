"""The ladder: whether it is the device, the home, the line, the country, the world, or one service."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS
from civobs_wire.row import Check, MeasurementBase
from civobs_wire.scalars import Count2, Real8


class Ladder(MeasurementBase):
    """One rung of the ladder (detection.md §3.1), in one address family.

    L0 power, L1 link, L2 access, L3 domestic, L4 international, L5 services. ``target`` is ``L0`` to ``L5``.
    ``ok`` means that at least the rung's quorum of checks succeeded.
    """

    kind: Literal["ladder"] = "ladder"
    rung: Annotated[int, Field(ge=0, le=5)]
    n: Count2
    """Checks that were made."""
    n_ok: Count2
    """Checks that succeeded."""
    checks: Annotated[tuple[Check, ...], Field(max_length=MAX_CHECKS)] = ()
    uptime_s: Real8 | None = None
    """L0: seconds since the device started."""
    dark_s: Real8 | None = None
    """L0, first row of a boot: seconds from the last sign of life of the boot before to this start."""
    undervoltage: bool | None = None
    """L0: the board reports a supply below its limit; None where it cannot tell."""
