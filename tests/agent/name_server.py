"""A name server for tests, over UDP and TCP: the first label of the name asked for says how it is answered."""

import asyncio
import contextlib
import socket
from itertools import pairwise

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rrset
import dns.update

LIE = "1.2.3.4"
"""What a forged answer says: public, and nobody here speaks to it."""
NSID = b"node-1"
LATE_S = 0.1
RECORDS = {"A": "127.0.0.1", "AAAA": "::1", "NS": "a.root-servers.net."}
CODES = {
    "nx": dns.rcode.NXDOMAIN,
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "odd": dns.rcode.NOTIMP,
}
POINTS_AT_ITSELF = bytes.fromhex("8180 0001 0000 0000 0000 c00c 0001 0001".replace(" ", ""))
"""All of a message but its id: the question's name is a compression pointer to itself."""


class DnsServer(asyncio.DatagramProtocol):
    """UDP. ``tardy`` has a second answer late, ``foreign`` one from another port, ``lost`` one at the second try."""

    def __init__(self):
        self._lost = set()

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        how = first_label(data)
        if how == "lost" and peer not in self._lost:
            self._lost.add(peer)
            return
        first, *rest = answers(data, "udp") or [None]
        if first is None:
            return
        if how == "foreign":
            with socket.socket(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(first, peer)
            return
        self._transport.sendto(first, peer)
        for packet in rest:
            if how == "tardy":
                asyncio.get_running_loop().call_later(LATE_S, self._transport.sendto, packet, peer)
            else:
                self._transport.sendto(packet, peer)


def first_label(data):
    name = dns.message.from_wire(data).question[0].name
    return name.labels[0].decode().lower()


def answers(data, transport):
    """The messages a question is answered with."""
    query = dns.message.from_wire(data)
    how = first_label(data)
    reply = answer_to(query, how)
    if how == "cut" and transport == "udp":
        reply.answer.clear()
        reply.flags |= dns.flags.TC
    if how in SPOILT:
        return SPOILT[how](query, reply)
    return [reply.to_wire()]


def answer_to(query, how):
    """A proper answer, however bad its news."""
    question = query.question[0]
    rdtype = question.rdtype.name
    reply = dns.message.make_response(query, recursion_available=True)
    if any(isinstance(option, dns.edns.NSIDOption) for option in query.options):
        reply.use_edns(0, options=[dns.edns.NSIDOption(NSID)])
    record = RECORDS.get(rdtype)
    if how == "bogon" and rdtype == "A":
        record = "10.1.2.3"
    if how in {"v4only", "bogon"} and rdtype == "AAAA":
        record = None
    if record is not None and how != "empty":
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", rdtype, record))
    if how == "strict" and question.name.to_text() != question.name.to_text().lower():
        reply.set_rcode(dns.rcode.NXDOMAIN)
    if how in CODES or rdtype == "PTR":
        reply.set_rcode(CODES.get(how, dns.rcode.NXDOMAIN))
    if reply.rcode() != dns.rcode.NOERROR:
        reply.answer.clear()
    return reply


def _wrong_id(query, reply):
    reply.id ^= 1
    return [reply.to_wire()]


def _wrong_id_first(query, reply):
    wrong = dns.message.make_response(query)
    wrong.id ^= 1
    return [wrong.to_wire(), reply.to_wire()]


def _wrong_name(query, reply):
    other = dns.message.make_query("other.test", query.question[0].rdtype, id=query.id)
    return [dns.message.make_response(other).to_wire()]


def _lie_first(query, reply):
    if query.question[0].rdtype.name == "A":
        lie = dns.message.make_response(query)
        lie.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", LIE))
        return [lie.to_wire(), reply.to_wire()]
    return [reply.to_wire(), reply.to_wire()]


def _other_type(query, reply):
    reply.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", LIE)]
    return [reply.to_wire()]


def _other_class(query, reply):
    """A record that means an address only in the Internet's class."""
    name, rdtype = query.question[0].name, query.question[0].rdtype
    reply.answer = [dns.rrset.from_rdata(name, 60, dns.rdata.GenericRdata(dns.rdataclass.HS, rdtype, bytes(16)))]
    return [reply.to_wire()]


def _update(query, _):
    """A message of RFC 2136, whose sets of records are empty."""
    message = dns.update.UpdateMessage("test", id=query.id)
    message.flags |= dns.flags.QR
    message.absent(query.question[0].name, "CNAME")
    return [message.to_wire()]


def _lower(query, reply):
    plain = dns.message.make_query(query.question[0].name.to_text().lower(), query.question[0].rdtype, id=query.id)
    lowered = dns.message.make_response(plain)
    lowered.answer = reply.answer
    return [lowered.to_wire()]


def _aliases(*names):
    def answer(query, reply):
        rdtype = query.question[0].rdtype.name
        chain = [query.question[0].name, *map(dns.name.from_text, names)]
        reply.answer = [
            dns.rrset.from_text(here, 30, "IN", "CNAME", there.to_text()) for here, there in pairwise(chain)
        ]
        if len(set(chain)) == len(chain):
            reply.answer.append(dns.rrset.from_text(chain[-1], 60, "IN", rdtype, RECORDS[rdtype]))
        return [reply.to_wire()]

    return answer


def _giant(query, reply):
    texts = [" ".join([f'"{n:03}{"x" * 240}"'] * 4) for n in range(60)]
    reply.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", *texts)]
    return [reply.to_wire(max_size=65535)]


def _many(query, reply):
    addresses = [f"9.9.{n}.1" for n in range(200)]
    reply.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses)]
    return [reply.to_wire(max_size=65535)]


SPOILT = {
    "wrongid": _wrong_id,
    "late": _wrong_id_first,
    "othername": _wrong_name,
    "double": _lie_first,
    "tardy": _lie_first,
    "othertype": _other_type,
    "otherclass": _other_class,
    "update": _update,
    "lower": _lower,
    "traced": _aliases("cpe-93-184-216-34.dyn.test", "34.216.184.93.rev.test", "x.2a02-810-5--2.test", "cdn.test"),
    "chain": _aliases("edge.cdn.test", "pop.cdn.test"),
    "round": _aliases("b.test", "c.test", "b.test"),
    "long": _aliases(*(f"a{n}.test" for n in range(40))),
    "giant": _giant,
    "many": _many,
    "flood": lambda query, _: [_wrong_id(query, dns.message.make_response(query))[0]] * 300,
    "garbage": lambda *_: [b"\xff" * 40],
    "itself": lambda query, _: [query.id.to_bytes(2, "big") + POINTS_AT_ITSELF],
    "silent": lambda *_: [],
}


async def answer_over_tcp(reader, writer):
    """``drip`` announces more than it sends, ``endless`` never stops."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        how = first_label(data)
        if how == "drip":
            writer.write(b"\x10\x00x")
            await asyncio.sleep(3600)
        messages = answers(data, "tcp")
        while messages:
            for message in messages:
                writer.write(len(message).to_bytes(2, "big") + message)
            await writer.drain()
            if how != "endless":
                break
    writer.close()
