"""The requests that are sent to the echo server: one as a browser sends it, and some that proxies stumble over.

A transparent proxy reads a request, understands it and writes it anew. What it writes is not what came in: names in its
own spelling, one field where there were two, an error where it did not understand (OONI's
``http_header_field_manipulation`` and ``http_invalid_request_line``; Weaver et al., "Here be web proxies", PAM 2014).
"""

import random
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from civobs_agent.probes.http_answer import ACCEPT, ACCEPT_LANGUAGE, USER_AGENT
from civobs_wire.anchor import ECHO_PATH

LONG = 2_500
"""Characters: more than a buffer of 2 KiB, less than the 8 KiB that common servers take for all of a head."""

Field = tuple[str, str]
Fields = tuple[Field, ...]
Write = Callable[[Fields, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """One way to ask."""

    id: str
    write: Write
    source: str


def browser(host: str) -> Fields:
    """What a browser says of itself."""
    return (
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Accept", ACCEPT),
        ("Accept-Language", ACCEPT_LANGUAGE),
        ("Accept-Encoding", "gzip, deflate"),
        ("Connection", "keep-alive"),
        ("Upgrade-Insecure-Requests", "1"),
    )


def written(fields: Iterable[Field], *, method: str = "GET", path: str = ECHO_PATH, version: str = "HTTP/1.1") -> bytes:
    """A request without a body."""
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} {version}\r\n{head}\r\n".encode("ascii")


def _odd_case(fields: Fields, rng: random.Random) -> bytes:
    """Letters of names at random, never as they were."""
    return written(((_other_case(name, rng), value) for name, value in fields), method="GeT")


def _other_case(name: str, rng: random.Random) -> str:
    other = name
    while other == name:
        other = "".join(rng.choice((letter.lower(), letter.upper())) for letter in name)
    return other


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=4))


REQUESTS: tuple[Request, ...] = (
    Request("plain", lambda fields, _: written(fields), "a browser's, for all others to be compared with"),
    Request("odd_case", _odd_case, "OONI hhfm"),
    Request("odd_method", lambda fields, rng: written(fields, method=_word(rng)), "OONI hirl, random method"),
    Request("odd_version", lambda fields, rng: written(fields, version=f"{_word(rng)}/1.1"), "OONI hirl, version"),
    Request(
        "long_header",
        lambda fields, _: written((*fields, ("X-Long", ("abcdefghi " * (LONG // 10)).strip()))),
        "OONI hirl has a method of 1024 letters; servers refuse that themselves",
    ),
    Request(
        "twice",
        lambda fields, _: written((*fields, ("X-Twice", "first"), ("X-Twice", "second"))),
        "RFC 9110 §5.3: a proxy may join two fields of one name",
    ),
)
FEW = 2
"""So many of them are sent where bytes are short."""
