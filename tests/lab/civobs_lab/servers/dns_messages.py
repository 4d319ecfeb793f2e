"""DNS over whatever carries it: messages in, messages out; what the answer is, others know."""

import asyncio
from collections.abc import Awaitable, Callable

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from civobs_anchor.exchange import plain
from civobs_lab.servers.misbehaviour import LIE_ADDRESSES, Conduct, Does

IDLE_S = 10.0
"""RFC 7766 §6.2.3: a few seconds; unbound waits 30, BIND 30."""
LIE_TTL_S = 5

Answer = Callable[[dns.message.Message, str], Awaitable[dns.message.Message]]
"""From a question and the address that asks."""


def mannered(answer: Answer, conduct: Conduct) -> Answer:
    """The same answers, as far as the host's conduct leaves them true."""

    async def answer_as_told(query: dns.message.Message, client: str) -> dns.message.Message:
        if conduct.now(Does.SERVFAIL):
            return _bare(query, dns.rcode.SERVFAIL)
        if conduct.now(Does.NXDOMAIN):
            return _bare(query, dns.rcode.NXDOMAIN)
        if conduct.now(Does.LIE):
            return _lie(query)
        return await answer(query, client)

    return answer_as_told


def in_time(answer: Answer, conduct: Conduct) -> Answer:
    """The same answers, when the host's conduct has them come."""

    async def answer_in_time(query: dns.message.Message, client: str) -> dns.message.Message:
        await conduct.hesitate()
        return await answer(query, client)

    return answer_in_time


async def respond(data: bytes, client: str, answer: Answer) -> bytes | None:
    """The answer to a message, None to what is not a question."""
    try:
        query = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
        return None
    return (await answer(query, client)).to_wire()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Questions and answers over one connection, each with its length before it. Raises OSError, EOFError."""
    client = plain(writer.get_extra_info("peername")[0])
    while True:
        async with asyncio.timeout(IDLE_S):
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = await respond(await reader.readexactly(size), client, answer)
        if reply is None:
            return
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()


def _bare(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(code)
    return reply


def _lie(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    for kind, address in zip((dns.rdatatype.A, dns.rdatatype.AAAA), LIE_ADDRESSES, strict=True):
        if question.rdtype == kind:
            reply.answer.append(dns.rrset.from_text(question.name, LIE_TTL_S, "IN", kind, address))
    return reply
