"""DNS messages: the questions that probes ask, and what an answer says, read within bounds.

A hostile answer may be long, lead round in its aliases, point at itself or be no DNS at all. It is read once, what is
kept of it is counted, and what is wrong with it is a word of the vocabulary.
"""

import random
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from civobs_agent.faults import MeasurementError
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_ALIASES, MAX_ANSWERS, MAX_NAME
from civobs_wire.scalars import INT4_MAX

PAYLOAD = 1232
"""EDNS buffer size that passes unfragmented (DNS flag day 2020)."""
MAX_MESSAGE = 16_384
"""Longest answer that is read, in bytes: ten times the root's keys with their signatures, and some milliseconds of a
small processor. A longer one is told as such and not looked into."""
MAX_RECORDS = 256
"""Records of an answer that is read. A thousand, each with a name of a hundred labels, keep a small processor busy for
a second; four times what is kept of addresses is no answer in use."""
_COUNTS = struct.Struct("!4H")
"""Of questions and records, in the header (RFC 1035 §4.1.1)."""
_ADDRESSES = {dns.rdatatype.A, dns.rdatatype.AAAA}


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, whatever that is worth."""

    rcode: int
    rcode_name: str
    answers: tuple[str, ...]
    """Records of the type asked for, as text; of the other address type if there are only such."""
    aliases: tuple[str, ...]
    """CNAMEs from the name asked for, in order."""
    ttl_s: int | None
    """Lowest time to live of the answers."""
    flags: str
    nsid: str | None
    edns: bool
    case_kept: bool
    """It repeats the question letter by letter."""
    of_type: bool
    """``answers`` are of the type asked for."""
    leads_round: bool
    """The aliases come back to where they have been."""


def question(  # noqa: PLR0913 - what a question may carry
    qname: str,
    qtype: str,
    rng: random.Random,
    *,
    mixed: bool = False,
    rdclass: str = "IN",
    nsid: bool = False,
    signed: bool = False,
) -> dns.message.QueryMessage:
    """A question that asks for recursion; ``mixed`` draws the case of its letters (draft-vixie-dnsext-dns0x20).

    ``nsid`` asks the server which of its machines answers (RFC 5001); ``signed`` for signatures, and that the server
    does not judge them for us (RFC 4035 §3.2.2). Raises MeasurementError if there can be no such name.
    """
    try:
        name = dns.name.from_text(_mixed(qname, rng) if mixed else qname)
        query = dns.message.make_query(
            name,
            qtype,
            rdclass,
            use_edns=0,
            want_dnssec=signed,
            payload=PAYLOAD,
            options=[dns.edns.NSIDOption(b"")] if nsid else [],
            id=rng.getrandbits(16),
        )
    except dns.exception.DNSException:
        raise MeasurementError(Failure.DNS_NON_RECOVERABLE_FAILURE, "not a name that can be asked for") from None
    if signed:
        query.flags |= dns.flags.CD
    return query


def read(data: bytes) -> tuple[dns.message.Message | None, Failure | None]:
    """The message, or what is wrong with the bytes. Whether it fits a question is not looked at here."""
    counts = data[4:12]
    if len(counts) < _COUNTS.size or len(data) > MAX_MESSAGE or sum(_COUNTS.unpack(counts)) > MAX_RECORDS:
        return None, Failure.DNS_SERVER_MISBEHAVING
    try:
        message = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError):
        return None, Failure.DNS_SERVER_MISBEHAVING
    # Of an update (RFC 2136) the sections mean something else, and a set of records may be empty.
    return (message, None) if isinstance(message, dns.message.QueryMessage) else (None, Failure.DNS_SERVER_MISBEHAVING)


def fits(query: dns.message.Message, response: dns.message.Message) -> bool:
    """Whether a stub would take it: same id, same name and type, letters of either case."""
    return query.is_response(response)


def said(query: dns.message.Message, response: dns.message.Message) -> Said:
    """What the message says in answer to this question."""
    asked = query.question[0]
    # What the type of a record means hangs on its class: an address of another one is no address of the Internet.
    of_class = [rrset for rrset in response.answer if rrset.rdclass == asked.rdclass]
    aliases, leads_round = _aliases(of_class, asked.name)
    found = [rrset for rrset in of_class if rrset.rdtype == asked.rdtype]
    of_type = bool(found) or asked.rdtype not in _ADDRESSES
    if not of_type:
        found = [rrset for rrset in of_class if rrset.rdtype in _ADDRESSES]
    records = (record.to_text() for rrset in found for record in rrset)
    answers = tuple(text[:MAX_NAME].replace("\x00", "") for text, _ in zip(records, range(MAX_ANSWERS), strict=False))
    rcode = response.rcode()
    return Said(
        rcode=int(rcode),
        rcode_name=dns.rcode.to_text(rcode),
        answers=answers,
        aliases=aliases,
        ttl_s=min((min(rrset.ttl, INT4_MAX) for rrset in found), default=None),
        flags=dns.flags.to_text(response.flags),
        nsid=_nsid(response.options),
        edns=response.edns >= 0,
        case_kept=[rrset.name.labels for rrset in response.question] == [asked.name.labels],
        of_type=of_type or not found,
        leads_round=leads_round,
    )


def printable(data: bytes) -> str | None:
    """Bytes that ought to be text, as they are or in hexadecimal; None for none."""
    if not data:
        return None
    text = data.decode("ascii", "replace")
    return (text if text.isprintable() and text.isascii() else data.hex())[:MAX_NAME]


def texts(response: dns.message.Message) -> Iterator[str]:
    """The texts of TXT records in the answer."""
    for rrset in response.answer:
        if rrset.rdtype == dns.rdatatype.TXT:
            for record in rrset:
                text = printable(b"".join(record.strings))
                if text is not None:
                    yield text


def _mixed(qname: str, rng: random.Random) -> str:
    return "".join(letter.upper() if rng.getrandbits(1) else letter.lower() for letter in qname)


def _aliases(found: Iterable[dns.rrset.RRset], name: dns.name.Name) -> tuple[tuple[str, ...], bool]:
    """The chain from this name, cut at the limit, and whether it comes back to a name it has passed."""
    steps = {rrset.name: rrset[0].target for rrset in found if rrset.rdtype == dns.rdatatype.CNAME}
    chain: list[str] = []
    passed = {name}
    while name in steps and len(chain) < MAX_ALIASES:
        name = steps[name]
        chain.append(name.to_text(omit_final_dot=True)[:MAX_NAME].lower())
        if name in passed:
            return tuple(chain), True
        passed.add(name)
    return tuple(chain), False


def _nsid(options: Iterable[dns.edns.Option]) -> str | None:
    for option in options:
        if isinstance(option, dns.edns.NSIDOption):
            return printable(option.nsid)
    return None
