"""Presence: a probe says that it is connected, and leaves a will that says it is gone.

Both are retained and signed. The will is signed before the connection is made, so it cannot know when it will be
published: the broker sends it at most one and a half keepalives after the last packet (MQTT v5 §3.1.2.10).
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from civobs_wire.envelope import Signer, Verifier, open_sealed, seal
from civobs_wire.errors import ContentError
from civobs_wire.limits import MAX_BROKERS
from civobs_wire.measurement import Frozen
from civobs_wire.scalars import BootId, Count2, Count4, Name, Nonce, ProbeId, UtcTime

CONTEXT = "civobs.presence/1"


class PresenceState(StrEnum):
    """What the probe, or the broker on its behalf, says."""

    ONLINE = "online"
    OFFLINE = "offline"
    """The will: the broker lost the probe."""
    STOPPED = "stopped"
    """The agent took leave: stopped, paused or updating. Not evidence of an outage."""


class Presence(Frozen):
    """One statement of presence."""

    v: Literal[1] = 1
    probe_id: ProbeId
    state: PresenceState
    boot_id: BootId
    session: Nonce
    """Random, one for each connection: a will belongs to the greeting with the same session."""
    at: UtcTime
    """The probe's clock when it signed: for a will, when it connected."""
    clock_err_ms: Count4
    keepalive_s: Count2
    agent: Name
    broker: Annotated[int, Field(ge=0, lt=MAX_BROKERS)] | None = None
    """Which of the brokers that the enrolment names carries this, counted from 0; null where the probe does not say."""


def pack_presence(presence: Presence, key: Signer) -> bytes:
    """Serialise and sign."""
    return seal(key, CONTEXT, presence.model_dump_json().encode())


def unpack_presence(message: bytes, key: Verifier) -> Presence:
    """Verify and validate. Raises a WireError."""
    try:
        return Presence.model_validate_json(open_sealed(key, CONTEXT, message))
    except ValidationError as error:
        raise ContentError(str(error.errors(include_url=False)[0]["msg"])) from None
