"""What the rows of every kind share, and the parts that several kinds are made of.

An agent reports facts; no field of any kind says "blocked". Addresses of the home never appear: the gateway and the
given resolver are ``gateway`` and ``resolver``, not numbers.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from civobs_wire.failure import NOT_RUN_REASONS, Failure, Outcome
from civobs_wire.scalars import Count4, Count8, Millis, Name, Sequence, Text, UtcTime


class Frozen(BaseModel):
    """Wire models never change once made, and an old reader passes over fields of a newer writer."""

    # Built when first used: a probe never sees most of the kinds, and has little memory.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)


class ClockState(StrEnum):
    """What the wall time of a row is worth."""

    SYNCED = "synced"
    """The kernel's clock is disciplined, or an authenticated time was read in this boot."""
    HOLDOVER = "holdover"
    """It was synchronised in this boot and has drifted since; the error bound has grown with it."""
    UNKNOWN = "unknown"
    """Never known in this boot; the error bound spans all it could be."""


class FamilyState(StrEnum):
    """IPv4 or IPv6 at the moment of the measurement."""

    ABSENT = "absent"
    BROKEN = "broken"
    WORKING = "working"
    UNKNOWN = "unknown"


class LinkKind(StrEnum):
    """What the default route leaves by."""

    WIRED = "wired"
    WIFI = "wifi"
    CELLULAR = "cellular"


class Validity(Frozen):
    """The validity of the moment: what else was the case when the row was taken."""

    clock: ClockState
    ipv4: FamilyState = FamilyState.UNKNOWN
    ipv6: FamilyState = FamilyState.UNKNOWN
    portal: bool | None = None
    """A captive portal answers for the Internet; None where nobody has looked lately."""
    interception: bool | None = None
    """Somebody answers DNS questions that were sent to an address where no resolver is."""
    tunnel: bool | None = None
    """The default route leads into a tunnel or VPN: what is measured is another network."""
    link: LinkKind | None = None
    resolver: Name | None = None
    """Which network the given resolver asks from: a prefix, /24 or /48, never an address of the home."""
    cross_bytes: Count8 | None = None
    """Bytes that others moved over the device's own link during the run, both directions."""
    busy: bool | None = None
    """The processor had more work than cores."""
    hot: bool | None = None
    """The board has slowed itself down for heat."""
    undervoltage: bool | None = None
    """The board reports a supply below its limit."""


Family = Literal[0, 4, 6]
"""4 or 6; 0 where neither is meant."""


class MeasurementBase(Frozen):
    """What every kind shares."""

    seq: Sequence
    """Counts this probe's rows from 1; given when the row is recorded, never reused."""
    target: Name
    """The plan's id of what was measured against; a rung's name for the ladder."""
    slot_at: UtcTime
    """Start of the scheduled slot this row accounts for."""
    at: UtcTime
    """Wall time at the start of the run, re-anchored if the clock became known later in the same boot."""
    mono_ms: Count8
    """Monotonic clock of this boot at the start of the run, milliseconds."""
    clock_err_ms: Count4
    """Bound of the error of ``at``, milliseconds; INT4_MAX means 24.8 days or more."""
    duration_ms: Millis
    family: Family = 0
    outcome: Outcome
    failure: Failure | None = None
    validity: Validity
    note: Text | None = None
    """Free text for a person, such as the system's words behind ``unknown_failure``. Never parsed."""

    @model_validator(mode="after")
    def _failure_fits_outcome(self) -> Self:
        match self.outcome:
            case Outcome.OK:
                fits = self.failure is None
            case Outcome.NOT_RUN:
                fits = self.failure in NOT_RUN_REASONS
            case _:
                fits = self.failure is not None and self.failure not in NOT_RUN_REASONS
        if not fits:
            raise ValueError(f"failure {self.failure} does not go with outcome {self.outcome}")
        return self


class Check(Frozen):
    """One question of a rung: an anchor of the plan by its id, or ``gateway``, ``resolver``, ``carrier``."""

    id: Name
    outcome: Outcome
    failure: Failure | None = None
    ms: Millis | None = None


class Received(Frozen):
    """How many bytes of a transfer had come, or gone, at one instant."""

    ms: Millis
    """Since the transfer began."""
    bytes: Count8
    """In sum."""


Port = Annotated[int, Field(ge=0, le=65535)]
Named = Literal["target", "neutral", "none"]
"""Which name a handshake carried: the target's, one that nobody objects to (the plan's ``neutral_name``), or none."""
