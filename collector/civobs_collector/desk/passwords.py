"""Passwords: argon2id by RFC 9106's second choice, and a refusal of those that are guessed first.

Length is what counts (NIST SP 800-63B §5.1.1.2): no rule asks for signs or capitals. What is refused is short, is made
of the login or of what is on every list of common passwords, or repeats itself.
"""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from civobs_collector.errors import ConfigError

LEAST, MOST = 12, 200
"""Characters. More than ``MOST`` would be hashed for nothing."""
_LEAST_DIFFERENT = 6
_REMEDY = f"choose {LEAST} characters or more, such as five words that have nothing to do with each other"

_COMMON_WORDS = """
    abc abcd abcdef abcdefg abcdefgh abcdefghijkl access admin administrator asdf asdfgh asdfghjkl baseball changeme
    civobs computer dragon football hello iloveyou internet letmein login master monkey myspace observatory opensesame
    passphrase passw password passwort princess qwer qwert qwerty qwertyuiop qwertyuiopasdf qwertz qwertzuiop secret
    shadow staff starwars sunshine superman superuser test trustno welcome whatever zaq zxcvbn zxcvbnm
    """
_COMMON = frozenset(_COMMON_WORDS.split())
"""Roots of the passwords that are tried first, without the digits and signs that are hung on to them."""

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("of nobody: takes the time that a member's takes")


def require_good(password: str, login: str, name: str) -> None:
    """Raise ConfigError, with the reason, for a password that is guessed first."""
    plain = password.casefold()
    root = "".join(sign for sign in plain if sign.isalpha())
    if len(password) < LEAST:
        raise ConfigError(f"the password has fewer than {LEAST} characters", _REMEDY)
    if len(password) > MOST:
        raise ConfigError(f"the password has more than {MOST} characters", "choose a shorter one")
    if len(set(plain)) < _LEAST_DIFFERENT or not root or _repeats(root, _COMMON):
        raise ConfigError("the password is one of those that are tried first", _REMEDY)
    own = {part for part in (login, *name.casefold().split()) if len(part) > 2}
    if _repeats(root, own):
        raise ConfigError("the password is made of the login or the name", _REMEDY)


def _repeats(text: str, words: "frozenset[str] | set[str]") -> bool:
    """Tell whether a text is made of a few of these words and nothing else."""
    reached = {0}
    for end in range(1, len(text) + 1):
        if any(start in reached and text[start:end] in words for start in range(end)):
            reached.add(end)
    return len(text) in reached


def hash_password(password: str) -> str:
    """Hash a password for storage."""
    return _HASHER.hash(password)


def matches(password: str, password_hash: str | None) -> bool:
    """Compare; without a hash the answer is no, after the same time."""
    try:
        right = _HASHER.verify(password_hash or _NOBODY, password[: MOST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return right and password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Tell whether it was hashed at another cost than today's."""
    return _HASHER.check_needs_rehash(password_hash)
