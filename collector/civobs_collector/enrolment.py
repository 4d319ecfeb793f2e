"""Enrolment: a claim code and a device's own keys make a probe.

The device proves that it holds the key by signing the request with it. The same request again, after a line that
dropped before the answer, gives the same probe: nobody is locked out by a bad connection, and no second vote comes of
it. A claim is locked while it is looked at, so two devices with one code cannot both win.
"""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from pydantic import ValidationError

from civobs_collector import crockford
from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection
from civobs_collector.db.plans import plan_for_country
from civobs_collector.db.probes import Claim, Device, Probe, ProbeStatus, find_probe_by_key, lock_claim, make_probe
from civobs_collector.errors import (
    ClaimExpiredError,
    ClaimUnknownError,
    ClaimUsedError,
    ForgedError,
    KeyRegisteredError,
    MalformedError,
    ProbeRevokedError,
)
from civobs_collector.keys import read_private, read_public
from civobs_wire.enrol import CONTEXT, TIME_CONTEXT, EnrolRequest, EnrolResponse, TimeResponse
from civobs_wire.envelope import key_hex, open_sealed, peek, public_key, seal
from civobs_wire.errors import EnvelopeError, SignatureError

MAX_REQUEST_BYTES = 16 * 1024
"""An enrolment is a key, a certificate request of about 500 bytes and a few names."""

_NEW_CLAIM = "ask the observatory for a new claim code"


def enrol(conn: Connection, message: bytes, settings: CollectorSettings) -> EnrolResponse:
    """Make a probe of the device that signed ``message``, or find the one it has become. Raises EnrolmentError."""
    request = _verified(message)
    if not crockford.check_character_fits(request.claim):
        raise ClaimUnknownError("the claim code has a typing error", "compare it with the one you were given")
    key = bytes.fromhex(request.signing_key)
    try:
        with conn.transaction():
            probe = _probe_for(conn, request, key)
            plan = plan_for_country(conn, probe.cc)
    except psycopg.errors.UniqueViolation:
        # The same device at the same moment with two claims: the other one was first.
        raise _registered() from None
    return EnrolResponse(
        probe_id=probe.probe_id,
        plan_key=key_hex(read_public(settings.keys.plan_key)),
        receipt_key=key_hex(read_public(settings.keys.receipt_key)),
        brokers=settings.enrol.brokers,
        plan=base64.b64encode(plan.message).decode("ascii") if plan else None,
    )


def claim_digest(code: str) -> bytes:
    """What is kept of a claim code."""
    return hashlib.sha256(code.encode("ascii")).digest()


def signed_time(nonce: str, settings: CollectorSettings, *, now: Callable[[], datetime] | None = None) -> bytes:
    """The time, with the asker's nonce (32 hex digits), signed with the receipt key. Raises MalformedError."""
    at = now() if now else datetime.now(UTC)
    try:
        answer = TimeResponse(nonce=nonce, at=at)
    except ValidationError:
        raise MalformedError("the nonce is not 32 hex digits", "ask with ?nonce= and 16 random bytes in hex") from None
    return seal(read_private(settings.keys.receipt_key), TIME_CONTEXT, answer.model_dump_json().encode())


def _verified(message: bytes) -> EnrolRequest:
    """The request, if it is one and the key in it signed it."""
    if len(message) > MAX_REQUEST_BYTES:
        raise MalformedError(f"the request is over {MAX_REQUEST_BYTES} bytes", "update the agent")
    try:
        request = EnrolRequest.model_validate_json(peek(CONTEXT, message))
        open_sealed(public_key(request.signing_key), CONTEXT, message)
    except SignatureError:
        raise ForgedError("the request is not signed by the key it names", "start the enrolment again") from None
    except EnvelopeError as error:
        raise MalformedError(str(error), "update the agent") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedError(f"{where}: {first['msg']}", "check the claim code, and update the agent") from None
    _require_certificate_request(request.csr_pem)
    return request


def _require_certificate_request(text: str) -> None:
    """A request for a P-256 key, signed by that key (RFC 2986): anything else could never get a certificate."""
    try:
        csr = x509.load_pem_x509_csr(text.encode())
        key = csr.public_key()
        fits = csr.is_signature_valid and isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    except (ValueError, UnsupportedAlgorithm):
        fits = False
    if not fits:
        raise MalformedError("csr_pem is not a certificate request for a P-256 key", "update the agent")


def _probe_for(conn: Connection, request: EnrolRequest, key: bytes) -> Probe:
    """Within a transaction: the probe that this claim and this key belong to, made if the claim is free."""
    digest = claim_digest(request.claim)
    claim = lock_claim(conn, digest)
    if claim is None:
        raise ClaimUnknownError("this claim code was never given out", "compare it with the one you were given")
    probe = find_probe_by_key(conn, key)
    if claim.probe_key is not None:
        if probe is None or probe.probe_key != claim.probe_key:
            raise ClaimUsedError("another device has used this claim code", _NEW_CLAIM)
        if probe.status == ProbeStatus.REVOKED:
            raise ProbeRevokedError("this probe has been revoked", "talk to the observatory")
        return probe
    if probe is not None:
        raise _registered()
    if claim.expired:
        raise ClaimExpiredError("this claim code has expired", _NEW_CLAIM)
    return _made(conn, digest, claim, request, key)


def _made(conn: Connection, digest: bytes, claim: Claim, request: EnrolRequest, key: bytes) -> Probe:
    tier = request.consent.tier if request.consent else 0
    device = Device(key, request.csr_pem, request.agent, request.board, tier)
    make_probe(conn, crockford.new_probe_id(), digest, claim, device)
    probe = find_probe_by_key(conn, key)
    if probe is None:
        raise AssertionError("the probe was inserted in this transaction")
    return probe


def _registered() -> KeyRegisteredError:
    return KeyRegisteredError(
        "this device is a probe already, by another claim code", "use that one, or let the device make a new identity"
    )
