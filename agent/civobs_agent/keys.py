"""Ed25519 keys by libsodium: what a probe signs with, and what it believes others by.

``cryptography`` would do it too, and brings an OpenSSL of its own: it takes 9 MiB of the 48 that a probe may use, and
is loaded only where a certificate request is made (``tls_request.py``).
"""

import base64
import binascii
import os
from typing import Self

from nacl.bindings import crypto_sign_BYTES, crypto_sign_SEEDBYTES
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from civobs_wire.errors import SignatureError

_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410 §7)."""


class PublicKey:
    """Verifies."""

    def __init__(self, raw: bytes) -> None:
        self._key = VerifyKey(raw)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read a key as the wire writes it: 32 bytes in hex. Raises ValueError."""
        return cls(bytes.fromhex(text))

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raises SignatureError."""
        if len(signature) != crypto_sign_BYTES:
            raise SignatureError("not a signature")
        try:
            self._key.verify(data, signature)
        except BadSignatureError:
            raise SignatureError("the signature does not fit the sender's key") from None

    def public_bytes_raw(self) -> bytes:
        return bytes(self._key)


class PrivateKey:
    """Signs."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(crypto_sign_SEEDBYTES))

    @classmethod
    def from_pem(cls, text: bytes) -> Self:
        """Read a key as ``openssl genpkey -algorithm ed25519`` writes it, without a password. Raises ValueError."""
        lines = text.decode("ascii").split()
        head, foot = _BEGIN.split(), _END.split()
        if lines[: len(head)] != head or lines[-len(foot) :] != foot:
            raise ValueError("not a private key in PEM")
        try:
            der = base64.b64decode("".join(lines[len(head) : -len(foot)]), validate=True)
        except binascii.Error:
            raise ValueError("not base64") from None
        if not der.startswith(_PKCS8) or len(der) != len(_PKCS8) + crypto_sign_SEEDBYTES:
            raise ValueError("not an Ed25519 key")
        return cls(der[len(_PKCS8) :])

    def pem(self) -> bytes:
        """As ``from_pem`` reads it."""
        body = base64.b64encode(_PKCS8 + bytes(self._key)).decode("ascii")
        return f"{_BEGIN}\n{body}\n{_END}\n".encode("ascii")

    def sign(self, data: bytes, /) -> bytes:
        return self._key.sign(data).signature

    def public_key(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))
