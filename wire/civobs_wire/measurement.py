"""One measurement, one row: what every kind shares, and the kinds themselves.

An agent reports facts; no field here says "blocked". The kinds are a union told apart by ``kind``. Addresses of the
home never appear: the gateway and the given resolver are ``gateway`` and ``resolver``, not numbers.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from civobs_wire.failure import NOT_RUN_REASONS, Failure, Outcome
from civobs_wire.limits import MAX_ANSWERS, MAX_CHECKS, MAX_REDIRECTS
from civobs_wire.scalars import (
    Count2,
    Count4,
    Count8,
    Millis,
    Name,
    Real8,
    Sequence,
    Sha256,
    Text,
    UtcTime,
)


class Frozen(BaseModel):
    """Wire models never change once made, and an old reader passes over fields of a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


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


class Validity(Frozen):
    """The validity of the moment: what else was the case when the row was taken."""

    clock: ClockState
    ipv4: FamilyState = FamilyState.UNKNOWN
    ipv6: FamilyState = FamilyState.UNKNOWN


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


class Ping(MeasurementBase):
    """ICMP echo to an address."""

    kind: Literal["ping"] = "ping"
    address: Name | None = None
    sent: Count2
    received: Count2
    rtt_min_ms: Millis | None = None
    rtt_avg_ms: Millis | None = None
    rtt_max_ms: Millis | None = None


class Dns(MeasurementBase):
    """One question to one resolver."""

    kind: Literal["dns"] = "dns"
    resolver: Name
    """``resolver`` for the one the host was given, otherwise its id in the plan."""
    transport: Literal["udp", "tcp"]
    qname: Name
    qtype: Name
    rcode: Name | None = None
    answers: Annotated[tuple[Name, ...], Field(max_length=MAX_ANSWERS)] = ()


class Tcp(MeasurementBase):
    """A TCP connect to one address and port. ``duration_ms`` is the time to the handshake's end or its failure."""

    kind: Literal["tcp"] = "tcp"
    address: Name | None = None
    port: Annotated[int, Field(ge=0, le=65535)]


class TlsStage(StrEnum):
    """How far a TLS connection came."""

    CONNECT = "connect"
    HANDSHAKE = "handshake"
    VERIFY = "verify"
    DONE = "done"


class Tls(MeasurementBase):
    """A TLS handshake with one name at one address and port."""

    kind: Literal["tls"] = "tls"
    address: Name | None = None
    port: Annotated[int, Field(ge=0, le=65535)]
    sni: Name
    stage: TlsStage
    """The stage it ended in; ``done`` when it verified."""
    connect_ms: Millis | None = None
    handshake_ms: Millis | None = None
    version: Name | None = None
    cipher: Name | None = None
    alpn: Name | None = None
    cert_sha256: Sha256 | None = None
    """Digest of the leaf certificate in DER."""


class HttpStage(StrEnum):
    """How far an HTTP exchange came."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    REQUEST = "request"
    HEADERS = "headers"
    BODY = "body"
    DONE = "done"


class Http(MeasurementBase):
    """One HTTP exchange with its redirects, at one address."""

    kind: Literal["http"] = "http"
    url: Text
    address: Name | None = None
    stage: HttpStage
    status: Annotated[int, Field(ge=0, le=999)] | None = None
    resolve_ms: Millis | None = None
    connect_ms: Millis | None = None
    tls_ms: Millis | None = None
    first_byte_ms: Millis | None = None
    body_bytes: Count8 | None = None
    body_sha256: Sha256 | None = None
    redirects: Annotated[tuple[Text, ...], Field(max_length=MAX_REDIRECTS)] = ()


class AgentEvent(StrEnum):
    """What an agent has to say of itself: everything that explains a hole or a jump in its record."""

    START = "start"
    STOP = "stop"
    SPOOL_RESET = "spool_reset"
    """A damaged spool was set aside; ``n`` rows could be carried over, ``n_lost`` could not be read.
    Or batch numbers went back, as on a card restored from a copy: ``n`` rows never sent were sealed anew."""
    SPOOL_EVICTED = "spool_evicted"
    """The spool was full; ``n_lost`` routine rows between ``from_at`` and ``to_at`` went."""
    SLOTS_MISSED = "slots_missed"
    """More slots were missed than single rows are written for; ``n_lost`` of them in the interval."""
    CLOCK_SET = "clock_set"
    """The wall clock was stepped by ``step_ms`` and earlier rows of this boot were re-anchored."""
    PLAN_ADOPTED = "plan_adopted"
    PLAN_REFUSED = "plan_refused"


class Agent(MeasurementBase):
    """A row about the agent itself, in the same sequence as the measurements it explains."""

    kind: Literal["agent"] = "agent"
    event: AgentEvent
    n: Count8 = 0
    n_lost: Count8 = 0
    from_at: UtcTime | None = None
    to_at: UtcTime | None = None
    step_ms: Real8 | None = None


AnyMeasurement = Ladder | Ping | Dns | Tcp | Tls | Http | Agent
Measurement = Annotated[AnyMeasurement, Field(discriminator="kind")]
MEASUREMENT: TypeAdapter[AnyMeasurement] = TypeAdapter(Measurement)

KIND_CODES: dict[str, int] = {"ladder": 1, "ping": 2, "dns": 3, "tcp": 4, "tls": 5, "http": 6, "agent": 100}
"""What the database stores for a kind: never reuse or renumber one."""

KINDS: dict[str, type[MeasurementBase]] = {
    model.model_fields["kind"].default: model for model in get_args(AnyMeasurement)
}
