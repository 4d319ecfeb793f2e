"""One-time codes (TOTP, RFC 6238): six digits, thirty seconds, one step early or late, each once.

The secrets lie in the database sealed with the desk's key, a file: a copy of the database makes no code.
"""

from datetime import datetime
from hmac import compare_digest

import pyotp
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from civobs_collector.errors import KeyFileError

ISSUER = "civobs"
_STEPS = (-1, 0, 1)
"""RFC 6238 §5.2: one step either way for clocks and for typing."""


def new_secret() -> str:
    """Make a secret: 160 bits, in base32."""
    return pyotp.random_base32()


def seal(key: bytes, secret: str) -> bytes:
    """Seal a secret for the database."""
    return bytes(SecretBox(key).encrypt(secret.encode("ascii")))


def unseal(key: bytes, sealed: bytes) -> str:
    """Open a secret. Raises KeyFileError when it was sealed with another key."""
    try:
        return SecretBox(key).decrypt(sealed).decode("ascii")
    except CryptoError:
        raise KeyFileError(
            "the desk's key is not the one that codes were sealed with",
            "put the right [keys] desk_key back, or give new codes: civobs staff reset LOGIN",
        ) from None


def uri(secret: str, login: str) -> str:
    """Write the secret as authenticator apps read it (``otpauth://``)."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def matching_step(secret: str, code: str, at: datetime) -> int | None:
    """Return the step that a code is of, or None. That it was not used before is for the database to say."""
    totp = pyotp.TOTP(secret)
    now = totp.timecode(at)
    typed = "".join(code.split()).encode()
    found = [now + by for by in _STEPS if compare_digest(totp.generate_otp(now + by).encode(), typed)]
    return max(found, default=None)
