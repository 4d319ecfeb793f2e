"""One DNS question to one resolver, with every answer that came."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_ALIASES, MAX_ANSWERS, MAX_REPLIES
from civobs_wire.row import Frozen, MeasurementBase
from civobs_wire.scalars import Count2, Count4, Millis, Name


class DnsReply(Frozen):
    """One answer beside the first: a second one to a question asked once is a sign of injection."""

    ms: Millis
    """Since the question."""
    rcode: Name | None = None
    answers: Annotated[tuple[Name, ...], Field(max_length=MAX_ANSWERS)] = ()
    ttl_s: Count4 | None = None
    ip_ttl: Count2 | None = None
    flags: Name | None = None
    failure: Failure | None = None
    """What is wrong with it as an answer to this question: ``dns_reply_with_wrong_query_id`` also for another name,
    ``unexpected_answer`` where it came from elsewhere."""
    source: Name | None = None
    """Where it came from, if not from the server that was asked; ``home`` or ``refused:`` and a range where that may be
    of this home."""


class Dns(MeasurementBase):
    """One question to one resolver."""

    kind: Literal["dns"] = "dns"
    resolver: Name
    """``resolver`` for the one the host was given, ``resolver.2`` for its second; otherwise its id in the plan."""
    transport: Literal["udp", "tcp"]
    qname: Name
    qtype: Name
    rcode: Name | None = None
    answers: Annotated[tuple[Name, ...], Field(max_length=MAX_ANSWERS)] = ()
    """Of the first fitting answer; an address that is refused by its range's id."""
    aliases: Annotated[tuple[Name, ...], Field(max_length=MAX_ALIASES)] = ()
    """CNAMEs on the way, in order."""
    ttl_s: Count4 | None = None
    """Lowest time to live of the answers."""
    flags: Name | None = None
    """Header flags as dnspython writes them, such as ``QR RD RA``."""
    case_kept: bool | None = None
    """The answer repeats the question's letters in the case they were sent in (0x20). None where none were mixed."""
    ip_ttl: Count2 | None = None
    """Time to live of the packet of the first answer: an injector stands nearer than the resolver."""
    nsid: Name | None = None
    """Which machine of the server answered (RFC 5001), by its own account."""
    edns: bool | None = None
    """The answer speaks EDNS (RFC 6891); one that is forged often does not."""
    sent: Count2 | None = None
    """Questions sent, if more than one: the first was not answered in time, or with an error to mixed letters."""
    others: Annotated[tuple[DnsReply, ...], Field(max_length=MAX_REPLIES)] = ()
    """What else came within the waiting time, in order: late, double or foreign answers."""
    waited_ms: Millis | None = None
    """For how long was listened after the question."""
