"""Crockford's base32: claim codes that can be read out over a telephone, and probe ids.

https://www.crockford.com/base32.html: no I, L, O or U, and a check character modulo 37, which finds every single
wrong character and every swap of two neighbours.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECKS = ALPHABET + "*~$=U"
_BITS = 5

CLAIM_BITS = 40
"""Eight characters. Guessing is held off by the rate limit of enrolment, a code's seven days and its single use."""
PROBE_ID_BITS = 80
"""Sixteen characters: a random pseudonym that tells nothing and never collides."""


def encode(number: int, bits: int) -> str:
    """``bits`` of a number, five a character, upper case."""
    return "".join(ALPHABET[number >> shift & 31] for shift in range(bits - _BITS, -1, -_BITS))


def decode(text: str) -> int:
    """The number behind upper-case characters of the alphabet. Raises ValueError."""
    number = 0
    for character in text:
        number = number << _BITS | ALPHABET.index(character)
    return number


def new_claim_code() -> str:
    """A fresh ``XXXX-XXXX-C``."""
    number = secrets.randbits(CLAIM_BITS)
    text = encode(number, CLAIM_BITS)
    return f"{text[:4]}-{text[4:]}-{_CHECKS[number % 37]}"


def check_character_fits(code: str) -> bool:
    """Whether a code of the form ``XXXX-XXXX-C`` was typed as it was given out."""
    text, _, check = code.rpartition("-")
    return _CHECKS[decode(text.replace("-", "")) % 37] == check


def new_probe_id() -> str:
    """A fresh probe id, lower case."""
    return encode(secrets.randbits(PROBE_ID_BITS), PROBE_ID_BITS).lower()
