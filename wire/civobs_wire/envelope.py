r"""Signed bytes: the one form in which batches, presence, receipts, plans and enrolments travel.

::

    signature (64 bytes, Ed25519 over all that follows) | context | "\n" | body

The context says what the bytes are for (``civobs.batch/1``), so that a signature made for one purpose is worthless for
another. What was signed is exactly what travels and what is kept: nothing is re-serialised before it is verified.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from civobs_wire.errors import EnvelopeError, SignatureError

SIGNATURE_BYTES = 64
_CONTEXT_PREFIX = "civobs."


def seal(key: Ed25519PrivateKey, context: str, body: bytes) -> bytes:
    """Sign ``body`` for one purpose."""
    if not context.startswith(_CONTEXT_PREFIX) or "\n" in context:
        raise ValueError(f"not a context: {context!r}")
    signed = context.encode("ascii") + b"\n" + body
    return key.sign(signed) + signed


def open_sealed(key: Ed25519PublicKey, context: str, message: bytes) -> bytes:
    """Give the body back if ``key`` signed it for this purpose.

    Raises EnvelopeError if it is no envelope of this context, SignatureError if the key did not sign it.
    """
    body = peek(context, message)
    try:
        key.verify(message[:SIGNATURE_BYTES], message[SIGNATURE_BYTES:])
    except InvalidSignature:
        raise SignatureError("the signature does not fit the sender's key") from None
    return body


def peek(context: str, message: bytes) -> bytes:
    """The body without verifying it: only for what must be read to find the key."""
    head = context.encode("ascii") + b"\n"
    if not message.startswith(head, SIGNATURE_BYTES):
        raise EnvelopeError(f"not an envelope of {context}")
    return message[SIGNATURE_BYTES + len(head) :]


def public_key(hex_key: str) -> Ed25519PublicKey:
    """Read a key as the wire writes it: 32 bytes in hex. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(hex_key))


def key_hex(key: Ed25519PublicKey) -> str:
    """Write a key as the wire writes it."""
    return key.public_bytes_raw().hex()
