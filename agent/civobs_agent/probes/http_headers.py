"""Which header fields of an answer are kept: those that tell who answered and why so, each with its reason.

No field that carries a cookie, a token or a person is in the table; what is kept is scrubbed besides.
"""

from collections.abc import Iterable

from civobs_agent.probes.scrub import scrub
from civobs_wire.limits import MAX_HEADERS
from civobs_wire.measurement import Header

MOST_OF_A_VALUE = 256
"""Characters kept of one value."""

KEPT: dict[str, str] = {
    "server": "the program that answered: a block page often comes from another one than the site",
    "via": "proxies on the way (RFC 9110 §7.6.3)",
    "x-powered-by": "the program behind the server",
    "x-squid-error": "Squid's own refusals",
    "x-cache": "a cache answered, not the site",
    "x-served-by": "which cache of a delivery network",
    "x-amz-cf-pop": "which place of CloudFront",
    "cf-ray": "which place of Cloudflare; the rest of its value is scrubbed",
    "cf-mitigated": "Cloudflare asks for a proof of being human: the vendor's refusal, not the network's",
    "x-amzn-waf-action": "the same of AWS",
    "x-datadome": "the same of DataDome",
    "x-iinfo": "Imperva answered",
    "x-sucuri-id": "Sucuri answered",
    "x-vercel-mitigated": "the same of Vercel",
    "retry-after": "the site is too busy or asks to wait (429, 503)",
    "link": "RFC 7725 §4: rel=blocked-by names who demanded a 451",
    "content-type": "a page, or something else",
    "content-encoding": "packed although it was asked not to be: the size and digest are of the packed bytes",
    "transfer-encoding": "beside Content-Length: one of the two is a mistake or an attack (RFC 9112 §6.3)",
    "age": "how long a cache has had it",
    "alt-svc": "the site says that it speaks HTTP/3 (RFC 7838)",
    "refresh": "a redirect that is none: block pages use it",
    "www-authenticate": "a login is asked for: a portal, or a page that is not public",
    "proxy-authenticate": "a proxy asks for a login",
}
"""In the order in which they are written down; not more than the wire holds."""


def kept(fields: Iterable[tuple[bytes, bytes]], home: Iterable[str]) -> tuple[Header, ...]:
    """Those of the table, values of one name joined as RFC 9110 §5.3 has it, scrubbed."""
    found: dict[str, list[str]] = {}
    for raw, value in fields:
        name = raw.decode("ascii", "replace").lower()
        if name in KEPT:
            found.setdefault(name, []).append(value[:MOST_OF_A_VALUE].decode("utf-8", "replace"))
    own = tuple(home)
    return tuple(
        Header(name=name, value=scrub(", ".join(found[name])[:MOST_OF_A_VALUE], own)[:MOST_OF_A_VALUE])
        for name in KEPT
        if name in found
    )[:MAX_HEADERS]
