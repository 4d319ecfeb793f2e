"""What differs between a head as it was sent and as it arrived, and how much of that may be written down.

Some networks add a field that names their customer to every site (``X-MSISDN``, ``X-UIDH``): that it is there is a
fact, what it says belongs to the home. So of a field that was added the value is kept only where the name is one of a
table, and everything is scrubbed besides.
"""

from collections.abc import Iterable

from civobs_agent.probes.echo_requests import Field
from civobs_agent.probes.scrub import scrub
from civobs_wire.limits import MAX_NAME
from civobs_wire.measurement import Alteration

MOST_OF_A_VALUE = 200
"""Characters kept of one value."""
REQUEST_LINE = "request line"
PROXY_FIELDS = frozenset(
    {
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
        "client-ip",
        "x-client-ip",
        "x-cache",
        "x-cache-lookup",
        "x-cache-hits",
        "x-squid-error",
        "x-proxy-id",
        "x-bluecoat-via",
        "x-imforwards",
        "x-wap-profile",
        "proxy-connection",
        "proxy-agent",
        "max-forwards",
        "age",
    }
)
"""Fields that proxies add: RFC 9110 §7.6, RFC 7239, RFC 9111 §5.1, and what Squid, WebSense and Blue Coat add."""
VALUES_KEPT = frozenset(
    {"via", "x-cache", "x-cache-lookup", "age", "connection", "proxy-connection", "keep-alive", "cache-control"}
    | {"transfer-encoding", "content-encoding", "content-length", "accept-encoding", "max-forwards", "server"}
)
"""Fields whose value speaks of a program and of no customer."""


def request_differences(where: str, sent: bytes, got: bytes, home: Iterable[str]) -> list[Alteration]:
    """Between a request and its echo; none if they are the same to the byte."""
    if sent == got:
        return []
    sent_line, sent_fields, _ = taken_apart(sent)
    got_line, got_fields, body = taken_apart(got)
    found = field_differences(where, sent_fields, got_fields, home)
    if sent_line != got_line:
        found.insert(0, _alteration(where, REQUEST_LINE, sent_line, _scrubbed(got_line, home)))
    if body:
        found.append(_alteration(where, "body", "", f"({len(body)} bytes)"))
    return found or [_alteration(where, "spacing", None, None)]


def field_differences(where: str, sent: list[Field], got: list[Field], home: Iterable[str]) -> list[Alteration]:
    """Fields that were added, removed, changed, spelled otherwise or put in another order."""
    left = list(got)
    missing = [field for field in sent if not _take(left, field)]
    found = [_of_one(where, field, left, home) for field in missing]
    for name, value in left:
        shown = _scrubbed(value, home) if name.lower() in VALUES_KEPT else f"({len(value)} characters)"
        found.append(_alteration(where, name, None, shown))
    if not found and sent != got:
        found = [_alteration(where, "order", None, None)]
    return found


def added(sent: Iterable[Field], got: Iterable[Field]) -> set[str]:
    """Names, in small letters, that were not among those sent."""
    return {name.lower() for name, _ in got} - {name.lower() for name, _ in sent}


def taken_apart(message: bytes) -> tuple[str, list[Field], bytes]:
    """First line, fields and body of what may be no HTTP at all."""
    head, _, body = message.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    split = (one.partition(":") for one in lines)
    return line, [(name, value.strip()) for name, _, value in split], body


def _of_one(where: str, field: Field, left: list[Field], home: Iterable[str]) -> Alteration:
    """What became of a field that did not arrive as it was; what it became is taken from those left."""
    name, value = field
    others = [one for one in left if one[0].lower() == name.lower()]
    same_value = next((one for one in others if one[1] == value), None)
    if same_value is not None:
        left.remove(same_value)
        return _alteration(where, name, name, same_value[0])
    if others:
        left.remove(others[0])
        # Both alike, or a number that is in every browser's name would look like a difference.
        return _alteration(where, name, _scrubbed(value, home), _scrubbed(others[0][1], home))
    return _alteration(where, name, value, None)


def _take(left: list[Field], field: Field) -> bool:
    if field in left:
        left.remove(field)
        return True
    return False


def _scrubbed(text: str, home: Iterable[str]) -> str:
    return scrub(text[: 2 * MOST_OF_A_VALUE], home)


def _alteration(where: str, what: str, sent: str | None, got: str | None) -> Alteration:
    cut = [None if text is None else text.replace("\0", "")[:MOST_OF_A_VALUE] for text in (sent, got)]
    return Alteration(where=where, what=scrub(what)[:MAX_NAME] or "-", sent=cut[0], got=cut[1])
