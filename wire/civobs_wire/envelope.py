r"""Signed bytes: the one form in which batches, presence, receipts, plans and enrolments travel.

::

    signature (64 bytes, Ed25519 over all that follows) | context | "\n" | body

The context says what the bytes are for (``civobs.batch/1``), so that a signature made for one purpose is worthless for
another. What was signed is exactly what travels and what is kept: nothing is re-serialised before it is verified.
"""

from typing import TYPE_CHECKING, Protocol

from civobs_wire.errors import EnvelopeError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_BYTES = 64
_CONTEXT_PREFIX = "civobs."


class Signer(Protocol):
    """An Ed25519 private key: that of ``cryptography``, or the agent's own."""

    def sign(self, data: bytes, /) -> bytes:
        """64 bytes."""
        ...

    def public_key(self) -> "Verifier":
        """What verifies its signatures."""
        ...


class Verifier(Protocol):
    """An Ed25519 public key: that of ``cryptography``, or the agent's own."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raises SignatureError, or ``cryptography``'s InvalidSignature."""
        ...

    def public_bytes_raw(self) -> bytes:
        """32 bytes."""
        ...


def seal(key: Signer, context: str, body: bytes) -> bytes:
    """Sign ``body`` for one purpose."""
    if not context.startswith(_CONTEXT_PREFIX) or "\n" in context:
        raise ValueError(f"not a context: {context!r}")
    signed = context.encode("ascii") + b"\n" + body
    return key.sign(signed) + signed


def open_sealed(key: Verifier, context: str, message: bytes) -> bytes:
    """Give the body back if ``key`` signed it for this purpose.

    Raises EnvelopeError if it is no envelope of this context, SignatureError if the key did not sign it.
    """
    body = peek(context, message)
    try:
        key.verify(message[:SIGNATURE_BYTES], message[SIGNATURE_BYTES:])
    except SignatureError:
        raise
    except _invalid_signature():
        raise SignatureError("the signature does not fit the sender's key") from None
    return body


def peek(context: str, message: bytes) -> bytes:
    """The body without verifying it: only for what must be read to find the key."""
    head = context.encode("ascii") + b"\n"
    if not message.startswith(head, SIGNATURE_BYTES):
        raise EnvelopeError(f"not an envelope of {context}")
    return message[SIGNATURE_BYTES + len(head) :]


def _invalid_signature() -> type[Exception]:
    """What ``cryptography`` raises. Asked for only once something was raised: a probe never loads that library."""
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature


def public_key(hex_key: str) -> "Ed25519PublicKey":
    """Read a key as the wire writes it: 32 bytes in hex. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(hex_key))


def key_hex(key: Verifier) -> str:
    """Write a key as the wire writes it."""
    return key.public_bytes_raw().hex()
