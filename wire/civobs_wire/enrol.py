"""Enrolment over HTTPS, and the authenticated time: what a probe asks before it can speak MQTT.

The request is an envelope signed with the very key it registers, which proves possession. Asking again with the same
claim and the same key gives the same answer, so a probe whose line dropped between request and answer is not lost.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from civobs_wire.limits import MAX_BROKERS
from civobs_wire.measurement import Frozen
from civobs_wire.plan import Tier
from civobs_wire.scalars import Document, Name, Nonce, ProbeId, PublicKey, UtcTime

CONTEXT = "civobs.enrol/1"
TIME_CONTEXT = "civobs.time/1"

ClaimCode = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z*~$=U]$")
]
"""``XXXX-XXXX-C`` in Crockford's base32 with its check character: single use, valid for seven days."""


class Consent(Frozen):
    """What the household agreed to."""

    version: Name
    tier: Tier
    accepted_at: UtcTime


class EnrolRequest(Frozen):
    """Body of ``POST /enrol/v1``, inside an envelope of context ``civobs.enrol/1``."""

    v: Literal[1] = 1
    claim: ClaimCode
    signing_key: PublicKey
    csr_pem: Document
    """Certificate request for the P-256 key; answered with a certificate where the observatory runs mutual TLS."""
    agent: Name
    board: Name | None = None
    consent: Consent | None = None


class BrokerEndpoint(Frozen):
    """Where to reach a broker."""

    host: Name
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool


class EnrolResponse(Frozen):
    """What makes a device a probe."""

    v: Literal[1] = 1
    probe_id: ProbeId
    plan_key: PublicKey
    """Verifies plans."""
    receipt_key: PublicKey
    """Verifies receipts and the authenticated time."""
    brokers: Annotated[tuple[BrokerEndpoint, ...], Field(min_length=1, max_length=MAX_BROKERS)]
    cert_chain: Document | None = None
    plan: Document | None = None
    """The signed plan, base64, so that measuring can begin before the broker is reached."""


class TimeResponse(Frozen):
    """Answer of ``GET /time/v1?nonce=…``, in an envelope of context ``civobs.time/1`` signed with the receipt key."""

    v: Literal[1] = 1
    nonce: Nonce
    at: UtcTime
