"""What a server's certificates say: whose they are, whom they are for, and which known root they end at.

Of a handshake that failed as well: whoever answered in a site's place is known by the certificate that did not verify.
OpenSSL keeps the chain, and Python hands it out by ``SSLObject._sslobj``. The public methods of the same names came
with 3.13 and give the bytes alone, for which a reader of certificates would have to be imported; those of ``_sslobj``
have been there since 3.10, and what they give can be read.
"""

import hashlib
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from civobs_agent.net import Context, clean
from civobs_agent.probes.scrub import scrub
from civobs_wire.limits import MAX_CHAIN, MAX_NAME, MAX_TEXT
from civobs_wire.measurement import Certificate
from civobs_wire.scalars import EARLIEST, LATEST

DER = 2
"""``ENCODING_DER`` of CPython's ``_ssl``."""
NOT_SAID = "-"
COMMON_NAME, ORGANISATION = "commonName", "organizationName"
_Parts = tuple[tuple[tuple[str, str], ...], ...]
"""A distinguished name as Python gives it."""


class _Raw(Protocol):
    """A certificate of CPython's ``_ssl``."""

    def public_bytes(self, encoding: int, /) -> bytes: ...
    def get_info(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """What a server sent; empty where it came to no certificate."""

    certificates: tuple[Certificate, ...] = ()
    """Leaf first."""
    signed_by: str | None = None
    """Organisation, or else name, that signed the leaf."""
    n_names: int | None = None
    """Names in the leaf; None where it could not be read."""
    covers: bool | None = None
    """One of them is the host's."""


def sent_chain(tls: ssl.SSLObject | None, host: str, context: Context) -> Chain:
    """Read the chain of a handshake, whether it ended well or not. ``host`` is a name or an address."""
    raw = [] if tls is None else _inner(tls, "get_unverified_chain")
    if not raw:
        return Chain()
    info = _info(raw[0])
    if info is None:
        return Chain(certificates=tuple(_certificate(one, None, context) for one in raw[:MAX_CHAIN]))
    names = cast("tuple[tuple[str, str], ...]", info.get("subjectAltName", ()))
    issuer = cast("_Parts", info.get("issuer", ()))
    following = (_certificate(one, _info(one), context) for one in raw[1:MAX_CHAIN])
    return Chain(
        certificates=(_certificate(raw[0], info, context), *following),
        signed_by=_name(issuer, (ORGANISATION, COMMON_NAME), context),
        n_names=len(names),
        covers=covers(names, host),
    )


def known_root(tls: ssl.SSLObject, context: Context) -> tuple[str, str] | None:
    """Subject and digest of the root that a chain that was verified ends at."""
    raw = _inner(tls, "get_verified_chain")
    if not raw:
        return None
    root = _certificate(raw[-1], _info(raw[-1]), context)
    return root.subject, root.sha256


def covers(names: Iterable[tuple[str, str]], host: str) -> bool:
    """Whether one of a certificate's names is the host's (RFC 9525 §6.3: a wildcard is one whole first label)."""
    wanted = host.lower().rstrip(".")
    address = _address(wanted)
    if address is not None:
        return any(kind == "IP Address" and _address(name) == address for kind, name in names)
    beyond = wanted.partition(".")[2]
    dns_names = (name.lower().rstrip(".") for kind, name in names if kind == "DNS")
    return any(name == wanted or (name.startswith("*.") and name[2:] == beyond and beyond) for name in dns_names)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _inner(tls: ssl.SSLObject, method: str) -> list[_Raw]:
    inner = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return list(getattr(inner, method)() or ())


def _info(raw: _Raw) -> dict[str, object] | None:
    """What Python reads of a certificate; None of one that is malformed."""
    try:
        return raw.get_info()
    except (ValueError, OSError):
        return None


def _certificate(raw: _Raw, info: dict[str, object] | None, context: Context) -> Certificate:
    info = info or {}
    order = (COMMON_NAME, ORGANISATION)
    return Certificate(
        sha256=hashlib.sha256(raw.public_bytes(DER)).hexdigest(),
        subject=_name(cast("_Parts", info.get("subject", ())), order, context),
        issuer=_name(cast("_Parts", info.get("issuer", ())), order, context),
        not_before=_time(info.get("notBefore")),
        not_after=_time(info.get("notAfter")),
    )


def _name(parts: _Parts, order: tuple[str, ...], context: Context) -> str:
    said = {kind: text for part in parts for kind, text in part}
    return shown(next((said[kind] for kind in order if said.get(kind)), NOT_SAID), context)


def shown(text: str, context: Context) -> str:
    """A name as rows may have it: a home router that answers in a site's place puts its address in its certificate."""
    return scrub(clean(text[:MAX_TEXT]), context.of_home).strip()[:MAX_NAME] or NOT_SAID


def _time(text: object) -> datetime | None:
    try:
        at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if EARLIEST <= at < LATEST else None
