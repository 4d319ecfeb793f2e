"""Takes out of a page's text what could name a person or a home, before it is put anywhere.

Block pages and portals greet their visitor: "your address is 203.0.113.7", a customer's number, the hardware address
of the router. None of that is needed to recognise the page, so whatever looks like it goes, and what only looks like
it goes with it: a version written like an address is no loss. Every pattern takes time in proportion to the text.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from civobs_wire.limits import MAX_TEXT

_CONTROL = re.compile(r"[^\S\n ]+|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff]+")
_ENTITY = re.compile(r"&#(?:x([0-9a-f]{1,6})|([0-9]{1,7}));?", re.IGNORECASE)
_ESCAPE = re.compile(r"%(2[DEdest]|3[Aa]|40)")
_MAIL = re.compile(r"[^\s@<>\"'(),;:=]{1,64}(?:@|\[at\]|\(at\))[^\s@<>\"'(),;]{1,255}", re.IGNORECASE)
_MAC = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{2}(?:[:_-][0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2})(?![0-9a-z])", re.IGNORECASE
)
_IPV4 = re.compile(r"(?<!\d)\d{1,3}(?:\[?[._-]\]?\d{1,3}){3}(?!\d)")
_IPV6 = re.compile(r"(?<![0-9a-z:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,8}(?![0-9a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){8,}|\d{6,}")
_UUID = re.compile(r"(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])", re.IGNORECASE)
_HEX = re.compile(r"(?<![0-9a-z])(?=[a-f]*[0-9])[0-9a-f]{12,}(?![0-9a-z])", re.IGNORECASE)
_QUERY = re.compile(r"((?:[?&]|&amp;)[\w.~%\[\]-]{1,64}=)[^\s&\"'<>#…]{1,512}")
_TOKEN = re.compile(r"[A-Za-z0-9_+-]{16,}={0,2}|[A-Za-z0-9+/]{40,}={0,2}")
FEW_DIGITS = 4
"""A word that long with as many digits is a key or a number, not a name of a file or a class."""


def scrub(text: str, home: Iterable[str] = ()) -> str:
    """The text on which nothing of the visitor is left; ``home`` are addresses that go in every spelling."""
    text = _CONTROL.sub(lambda found: " " if found[0].isspace() else "", text)
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), _ENTITY.sub(_character, text))
    text = _QUERY.sub(r"\1…", text)
    for spelling in _spellings(home):
        text = re.sub(re.escape(spelling), "[ip]", text, flags=re.IGNORECASE)
    text = _MAC.sub("[mac]", _MAIL.sub("[mail]", text))
    text = _UUID.sub("[id]", _IPV4.sub("[ip]", _IPV6.sub(_address6, text)))
    text = _HEX.sub("[id]", text)
    return _NUMBER.sub("[number]", _TOKEN.sub(_token, text))


def scrub_url(url: str, host: str, home: Iterable[str] = ()) -> str:
    """Where a redirect leads: scheme, ``host`` and path scrubbed, names of the query's parameters.

    Values of a query are what a portal tells itself about its visitor; a name and password before the host go too.
    """
    home = tuple(home)
    parts = urlsplit(url)
    port = "" if parts.port is None else f":{parts.port}"
    names = "&".join(name + "=…" for name in (part.partition("=")[0] for part in parts.query.split("&")) if name)
    rest = scrub(parts.path + (f"?{names}" if names else ""), home)
    host = f"[{host}]" if ":" in host else _host(host, home)
    return f"{parts.scheme}://{host}{port}{rest}"[:MAX_TEXT]


def _host(host: str, home: Iterable[str]) -> str:
    """An address as it is, but not a name: a portal may put its visitor's address in front of its own."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return scrub(host, home)
    return host


def tells_of(text: str, home: Iterable[str]) -> bool:
    """Whether a name holds one of these addresses, as names of lines do: forwards or backwards, by dots or dashes."""
    addresses = tuple(home)
    lower = text.lower()
    if any(spelling.lower() in lower for spelling in _spellings(addresses)):
        return True
    parts = [address.split(".") for address in addresses if address.count(".") == 3]
    orders = [one for octets in parts for one in (octets, octets[::-1])]
    return any(re.search(r"(?<!\d)0*" + r"[._-]0*".join(octets) + r"(?!\d)", lower) for octets in orders)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16) if found[1] else int(found[2])
    return chr(number) if 32 <= number < 127 else " "


def _address6(found: re.Match[str]) -> str:
    """An address of IPv6, but not a time of day or a pair of colons."""
    text = found[0]
    if text.count(":") >= 4 and any(character != ":" for character in text):
        return "[ip]"
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return text
    return "[ip]" if text != "::" else text


def _token(found: re.Match[str]) -> str:
    text = found[0]
    n_digits = sum(character.isdigit() for character in text)
    mixed = n_digits and any(map(str.isupper, text)) and any(map(str.islower, text))
    return "[id]" if mixed or n_digits >= FEW_DIGITS else text


def _spellings(home: Iterable[str]) -> set[str]:
    """How a page might write an address of the home so that no pattern above knows it for one."""
    found: set[str] = set()
    for text in home:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if int(address) < 2**24:  # the device itself (0.0.0.0/8, ::1), and as a number found in any text
            continue
        digits = f"{int(address):x}".zfill(address.max_prefixlen // 4)
        found |= {text, address.exploded, digits, str(int(address))}
        if address.version == 6:
            found |= {spelling.replace(":", "-") for spelling in (address.compressed, address.exploded)}
            found.add(".".join(reversed(digits)))
    return found
