"""One DNS question to one server, over UDP with TCP behind it where the answer was cut, or over TCP alone.

Not through the system's resolver: its cache, its retries and its silence about who answered would hide what a censor
does. The first answer that fits the question counts, as it does for every stub; who wants to hear all of them, listens
(``dns_listen.py``).
"""

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Literal

import dns.flags
import dns.message

from civobs_agent.faults import MeasurementError, fault_of
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes.dns_message import MAX_MESSAGE, Said, fits, question, read, said
from civobs_agent.probes.stream import Stream, numeric_socket
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure

TIMEOUTS = table(
    Timeout("dns.try", 3.0, "resolv.conf(5) waits 5 s, OONI 4 s; 3 s twice fits a ladder of one minute"),
    Timeout("dns.tcp", 6.0, "the same time as two tries over UDP"),
)
TRIES = 2
"""One lost packet is no finding."""
MAX_PACKETS = 16
"""Datagrams looked at for one question, twice what is kept: a flood of wrong ones must not keep a small processor from
anything else."""

Transport = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that fits the question, whatever it says."""

    said: Said
    message: dns.message.Message
    ms: float
    transport: Transport

    @property
    def rcode(self) -> int:
        return self.said.rcode

    @property
    def answers(self) -> tuple[str, ...]:
        """Records of the type asked for, as text."""
        return self.said.answers if self.said.of_type else ()


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask."""

    address: str
    port: int = 53

    @property
    def family(self) -> IpFamily:
        return 6 if ":" in self.address else 4


async def ask(server: Server, qname: str, qtype: str, context: Context) -> Reply:
    """The first answer to a plain question. Raises MeasurementError if no fitting answer came.

    The address has passed the refusal already.
    """
    return await exchange(server, question(qname, qtype, context.rng), context)


async def exchange(
    server: Server, query: dns.message.Message, context: Context, *, transport: Transport = "udp", tries: int = TRIES
) -> Reply:
    """The first answer to this question, asked over UDP as often as ``tries``, or once over TCP.

    Raises MeasurementError if no fitting answer came.
    """
    began = time.perf_counter()
    try:
        if transport == "tcp":
            response = await _over_tcp(server, query, context)
        else:
            response = await _over_udp(server, query, context, tries)
            if response.flags & dns.flags.TC:
                transport = "tcp"
                response = await _over_tcp(server, query, context)
    except (OSError, EOFError) as error:
        fault = fault_of(error)
        raise MeasurementError(fault.failure, fault.note) from None
    return Reply(said(query, response), response, (time.perf_counter() - began) * 1000, transport)


async def over_stream(stream: Stream, query: dns.message.Message) -> dns.message.Message:
    """Ask over a connection that is open (RFC 7766, RFC 7858). Raises MeasurementError, OSError, EOFError."""
    wire = query.to_wire()
    await stream.send(len(wire).to_bytes(2, "big") + wire)
    length = int.from_bytes(await stream.receive_exactly(2), "big")
    if length > MAX_MESSAGE:
        raise MeasurementError(Failure.DNS_SERVER_MISBEHAVING, f"an answer of {length} bytes")
    response, wrong = read_answer(await stream.receive_exactly(length), query)
    if response is None:
        raise MeasurementError(wrong or Failure.DNS_SERVER_MISBEHAVING)
    return response


def read_answer(data: bytes, query: dns.message.Message) -> tuple[dns.message.Message | None, Failure | None]:
    """The answer if it fits the question, else what is wrong with it."""
    response, wrong = read(data)
    if response is not None and not fits(query, response):
        return None, Failure.DNS_WRONG_QUERY_ID
    return response, wrong


async def _over_udp(server: Server, query: dns.message.Message, context: Context, tries: int) -> dns.message.Message:
    overhead = HEADER_BYTES[server.family] + UDP_BYTES
    wire = query.to_wire()
    wrong: Failure | None = None
    loop = asyncio.get_running_loop()
    handle, where = numeric_socket(server.address, server.port, socket.SOCK_DGRAM)
    with handle:
        handle.connect(where)
        for _ in range(tries):
            await loop.sock_sendall(handle, wire)
            context.spend(len(wire) + overhead)
            try:
                async with asyncio.timeout(context.timeout_s(TIMEOUTS["dns.try"])):
                    for _ in range(MAX_PACKETS):
                        data = await loop.sock_recv(handle, 65535)
                        context.spend(len(data) + overhead)
                        response, wrong = read_answer(data, query)
                        if response is not None:
                            return response
            except TimeoutError:
                continue
    raise MeasurementError(wrong or Failure.GENERIC_TIMEOUT_ERROR)


async def _over_tcp(server: Server, query: dns.message.Message, context: Context) -> dns.message.Message:
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["dns.tcp"])):
        async with await Stream.connect(server.address, server.port, context) as stream:
            return await over_stream(stream, query)
