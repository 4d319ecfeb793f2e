"""A target's name, asked of the resolvers the device was given and of the plan's own, side by side, by UDP and TCP.

The difference between them, seen from several networks, is what shows tampering; the agent only writes down what each
said (measurement.md §1.1).
"""

import asyncio
from collections.abc import Sequence
from itertools import islice, product

from civobs_agent.faults import Fault, MeasurementError, rcode_fault
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.dns_listen import Heard, Listened, listen
from civobs_agent.probes.dns_message import Said, question
from civobs_agent.probes.dns_servers import (
    GIVEN,
    MOST_EXAMINED,
    Listed,
    drawn,
    given,
    identity,
    independent,
    name_shown,
    shown,
)
from civobs_agent.probes.place import RECORD_TYPES, place_of
from civobs_agent.probes.question import Reply, Transport, exchange
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_NAME, MAX_REPLIES
from civobs_wire.measurement import AnyMeasurement, Dns, DnsReply
from civobs_wire.plan import Target

TRANSPORTS: tuple[Transport, Transport] = ("udp", "tcp")
UDP_COST = 350
"""Bytes of a question over UDP and its answer, headers included."""
TCP_COST = 1_000
"""The same over TCP, with its opening and closing."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each resolver, transport and record type; ``family`` is that of the resolver's address.

    Of the two types one, drawn anew each time, is asked over UDP in letters of mixed case: a forger who does not see
    the question cannot repeat them, and one who looks for the exact name is met by the other type.
    """
    host = place_of(target.url)
    listed: Sequence[Listed] = (*islice(given(context), MOST_EXAMINED), *independent(context))
    if host.literal is not None or not listed:
        said = "the target is an address" if listed else "no resolver, neither given nor in the plan"
        fields = _fields(GIVEN[0], "udp", host.host, "A")
        return [context.row(Dns, context.begin(), target.id, fields, fault=Fault(Failure.NOTHING_TO_ASK, said))]
    mixed: IpFamily = FAMILIES[context.rng.getrandbits(1)]
    wanted = len(listed) * len(FAMILIES) * (UDP_COST + TCP_COST)
    allowed = context.afford(wanted, 0) or 0
    transports = TRANSPORTS if allowed == wanted else TRANSPORTS[:1]
    listed = drawn(listed, allowed // (len(FAMILIES) * UDP_COST), context)
    return list(
        await asyncio.gather(
            *(
                _over_udp(one, host.host, family, context, target=target.id, mixed=family == mixed)
                if transport == "udp"
                else _over_tcp(one, host.host, family, context, target=target.id)
                for one, transport, family in product(listed, transports, FAMILIES)
            )
        )
    )


async def _over_udp(one: Listed, host: str, wanted: IpFamily, context: Context, *, target: str, mixed: bool) -> Dns:
    run, heard, fault = context.begin(), None, one.fault
    if fault is None:
        try:
            heard = await listen(one.server, host, RECORD_TYPES[wanted], context, mixed=mixed)
            fault = heard.fault
        except MeasurementError as error:
            fault = error.fault
    fields = _fields(one.id, "udp", host, RECORD_TYPES[wanted])
    took_ms = None
    if heard is not None:
        fields |= _heard(heard, one, context)
    if heard is not None and heard.first is not None and heard.first.said is not None:
        fault = _judge(heard.first.said, context, cut="TC" in heard.first.said.flags)
        took_ms = heard.first.ms
    return context.row(Dns, run, target, fields, family=one.server.family, fault=fault, duration_ms=took_ms)


async def _over_tcp(one: Listed, host: str, wanted: IpFamily, context: Context, *, target: str) -> Dns:
    run, fault = context.begin(), one.fault
    reply: Reply | None = None
    if fault is None:
        try:
            query = question(host, RECORD_TYPES[wanted], context.rng, nsid=True)
            reply = await exchange(one.server, query, context, transport="tcp")
            fault = _judge(reply.said, context, cut=False)
        except MeasurementError as error:
            fault = error.fault
    fields = _fields(one.id, "tcp", host, RECORD_TYPES[wanted])
    took_ms = None
    if reply is not None:
        fields |= _said(reply.said, one, context)
        took_ms = reply.ms
    return context.row(Dns, run, target, fields, family=one.server.family, fault=fault, duration_ms=took_ms)


def _judge(said: Said, context: Context, *, cut: bool) -> Fault | None:
    """What the answer itself says: an error code, nothing, or an address that cannot be on the public Internet."""
    fault = rcode_fault(said.rcode)
    if fault is not None or cut:
        return fault
    if not said.answers:
        return Fault(Failure.DNS_NO_ANSWER, "the aliases lead round" if said.leads_round else None)
    bogon = next((ranges for ranges in map(context.refusal.refuses, said.answers) if ranges), None)
    if bogon is not None:
        return Fault(Failure.DNS_BOGON_ERROR, bogon)
    return None if said.of_type else Fault(Failure.UNEXPECTED_ANSWER, "addresses of the other family")


def _fields(resolver: str, transport: Transport, qname: str, qtype: str) -> dict[str, object]:
    return {"resolver": resolver, "transport": transport, "qname": qname[:MAX_NAME], "qtype": qtype}


def _said(said: Said, one: Listed, context: Context) -> dict[str, object]:
    return {
        "rcode": said.rcode_name,
        "answers": tuple(shown(address, context) for address in said.answers),
        "aliases": tuple(name_shown(alias, context) for alias in said.aliases),
        "ttl_s": said.ttl_s,
        "flags": said.flags or None,
        "nsid": identity(said.nsid, one, context),
        "edns": said.edns,
    }


def _heard(heard: Listened, one: Listed, context: Context) -> dict[str, object]:
    first = heard.first
    fields = {} if first is None or first.said is None else _said(first.said, one, context) | {"ip_ttl": first.ip_ttl}
    return fields | {
        "case_kept": heard.case_kept,
        "sent": heard.sent if heard.sent > 1 else None,
        "others": tuple(_other(other, context) for other in heard.others[:MAX_REPLIES]),
        "waited_ms": heard.waited_ms,
    }


def _other(other: Heard, context: Context) -> DnsReply:
    said = other.said
    return DnsReply(
        ms=other.ms,
        rcode=None if said is None else said.rcode_name,
        answers=() if said is None else tuple(shown(address, context) for address in said.answers),
        ttl_s=None if said is None else said.ttl_s,
        ip_ttl=other.ip_ttl,
        flags=(said.flags or None) if said is not None else None,
        failure=other.failure,
        source=None if other.source is None else shown(other.source, context),
    )
