"""What of a web page is looked at: its title, the text a reader sees, and where it leads by itself.

Pages come from whoever stands on the line, so nothing here may take more time than in proportion to the text, which is
cut at a bound first. Expressions are RE2's, which has no others, or have nothing to go back to.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import re2

MOST = 65_536
"""Characters looked at; agents send 1,024 (``probes/http_answer.py``), people check whole pages."""
MOST_PLACES = 64
"""Addresses taken from one page, of each kind."""
_LONGEST_PLACE = 512

_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1\s{0,9}>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(r"charset\s{0,4}=\s{0,4}[\"']?\s{0,4}([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_SHOWN = re2.compile(r"""(?i)\s(?:alt|title|content)\s*=\s*["']([^"'<>]{3,300})["']""")
_LETTERS = str.maketrans(
    {"æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "ı": "i", "ə": "e", "ي": "ی", "ك": "ک", "ى": "ی", "ة": "ه"}
    | dict.fromkeys("ـ\u200c\u200d\u00ad")
)
"""Letters that Unicode does not take apart, spellings of Arabic and Persian that readers do not tell apart."""
_NO_WORD = re.compile(r"[\W_]+")
_LEADS = (
    re2.compile(r"""(?is)<meta[^<>]{0,200}refresh[^<>]{0,200}?url\s*=\s*["']?\s*([^"'<>\s;]{3,512})"""),
    re2.compile(r"""(?is)<i?frame[^<>]{0,300}?src\s*=\s*["']?\s*([^"'<>]{3,512})"""),
    re2.compile(
        r"""(?is)location(?:\.href)?(?:\.replace|\.assign)?\s*[=(]\s*(?:unescape\()?["']\s*([^"'<>\s]{3,512})"""
    ),
)
_LINK = re2.compile(r"""(?i)\s(?:href|src|action|background)\s*=\s*["']?\s*([^"'<>\s]{3,512})""")
_BARE = re2.compile(r"""(?i)\bhttps?://[^"'<>\s]{3,512}""")
_ARTICLE = re2.compile(r"(?i)<article\b|article:published|og:type[^<>]{0,40}article|schema\.org[^<>]{0,200}article")


@dataclass(frozen=True, slots=True)
class Page:
    """A page, ready to be judged. Texts are normalised."""

    title: str
    text: str
    """The title, what a reader sees, and descriptions of pictures."""
    n_visible: int
    """Characters a reader sees."""
    leads: tuple[str, ...]
    """Addresses the reader is taken to without asking: redirects, frames, scripts."""
    links: tuple[str, ...]
    """All others."""
    is_article: bool
    """It says of itself that it is an article."""


def read_page(title: str | None, sample: str | None, location: str | None) -> Page:
    """Take a page apart."""
    source = (sample or "")[:MOST]
    inside = _TITLE.search(source)
    given = title if title is not None else (inside[1] if inside else "")
    shown = html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", source)))
    visible = " ".join(shown.split())
    described = " ".join(html.unescape(one) for one in _SHOWN.findall(source)[:MOST_PLACES])
    leads = [location] if location else []
    for pattern in _LEADS:
        leads += pattern.findall(source)[:MOST_PLACES]
    # Of a page that is nothing but an address, that is where it leads.
    links = _LINK.findall(source)[:MOST_PLACES] + _BARE.findall(source)[:MOST_PLACES]
    if not leads:
        leads = [one for one in links if "://" in one][:1] if not visible else _alone(visible)
    return Page(
        normalised(html.unescape(given)),
        normalised(f"{html.unescape(given)} {visible} {described}"),
        len(visible),
        _tidy(leads),
        tuple(one for one in _tidy(links) if one not in leads),
        _ARTICLE.search(source) is not None,
    )


def mended(text: str, sample: str, content_type: str) -> str:
    """A text that was read as Latin-1 and is not, read as the page says itself; else as windows-1251 if all is high.

    Agents do so with whatever is no UTF-8 (``probes/http_answer.py``), and patterns and words are in Unicode.
    """
    high = sum("\x80" <= one <= "\xff" for one in text)
    if not high or any(one > "\xff" for one in text):
        return text
    said = _CHARSET.search(content_type) or _CHARSET.search(sample[:MOST])
    others = sum(one.isalpha() and one < "\x80" for one in _TAG.sub("", _HIDDEN.sub(" ", text)))
    name = said[1] if said else "windows-1251" if high > others else "latin-1"
    try:
        return text if name.lower().replace("-", "") == "utf8" else text.encode("latin-1").decode(name, "replace")
    except LookupError:
        return text


def normalised(text: str) -> str:
    """Small letters and digits only, without accents and vowel signs, two blanks about every word.

    Two, so that neighbours do not share one and an expression finds both.
    """
    plain = unicodedata.normalize("NFKD", text[:MOST].casefold()).translate(_LETTERS)
    letters = "".join(one for one in plain if unicodedata.category(one)[0] != "M")
    return "  " + _NO_WORD.sub("  ", letters).strip() + "  "


def places(address: str) -> frozenset[str]:
    """Words between dots, dashes and slashes of an address's host and path, small."""
    parts = _split(address)
    return frozenset(re.split(r"[^a-z0-9]+", unquote(parts[0] + "/" + parts[1]).lower())) - {""}


def parameters(address: str) -> frozenset[str]:
    """Names of a query's parameters, small."""
    query = _split(address)[2]
    return frozenset(one.partition("=")[0].lower() for one in query.split("&")) - {""}


def host_of(address: str) -> str:
    """The host's name, small; empty for a path."""
    return _split(address)[0].lower()


def is_private(address: str) -> bool:
    """Whether an address leads into a private network or to the reader's own machine."""
    try:
        found = ip_address(host_of(address).strip("[]"))
    except ValueError:
        return False
    return not found.is_global


def same_site(host: str, other: str) -> bool:
    """One is the other or a part of it, a leading ``www`` apart."""
    one, two = host.lower().removeprefix("www."), other.lower().removeprefix("www.")
    return bool(one) and (one == two or one.endswith("." + two) or two.endswith("." + one))


def _split(address: str) -> tuple[str, str, str]:
    """Host, path and query. An address that cannot be taken apart is all path."""
    # Agents write [ip] in the place of an address (civobs_agent/probes/scrub.py).
    text = html.unescape(address[:_LONGEST_PLACE]).strip().replace("[ip]", "ip.invalid")
    try:
        parts = urlsplit(text)
    except ValueError:
        return "", text, ""
    return parts.hostname or "", parts.path, parts.query


def _alone(visible: str) -> list[str]:
    """The address that is all that a page says."""
    if " " in visible or "." not in visible or "/" not in visible:
        return []
    return [visible if "//" in visible else f"//{visible}"]


def _tidy(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip()[:_LONGEST_PLACE] for one in found if one.strip()))
