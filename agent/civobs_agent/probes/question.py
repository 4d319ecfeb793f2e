"""One DNS question to one server, over UDP with TCP behind it where the answer was cut, or over TCP alone.

Not through the system's resolver: its cache, its retries and its silence about who answered would hide what a censor
does. The first answer that fits the question counts, as it does for every stub.
"""

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype

from civobs_agent.faults import MeasurementError, fault_of
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context, IpFamily
from civobs_agent.probes.stream import Stream, numeric_socket
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_ANSWERS, MAX_NAME

TIMEOUTS = table(
    Timeout("dns.try", 3.0, "resolv.conf(5) waits 5 s, OONI 4 s; 3 s twice fits a ladder of one minute"),
    Timeout("dns.tcp", 6.0, "the same time as two tries over UDP"),
)
TRIES = 2
"""One lost packet is no finding."""
PAYLOAD = 1232
"""EDNS buffer size that passes unfragmented (DNS flag day 2020)."""

Transport = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that fits the question, whatever it says."""

    rcode: int
    rcode_name: str
    answers: tuple[str, ...]
    """Records of the type asked for, as text."""
    ms: float
    transport: Transport


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask."""

    address: str
    port: int = 53

    @property
    def family(self) -> IpFamily:
        return 6 if ":" in self.address else 4


async def ask(
    server: Server, qname: str, qtype: str, context: Context, *, transport: Transport = "udp", tries: int = TRIES
) -> Reply:
    """Ask once, or over UDP as often as ``tries``. Raises MeasurementError if no fitting answer came.

    The address has passed the refusal already.
    """
    try:
        query = dns.message.make_query(qname, qtype, use_edns=0, payload=PAYLOAD)
    except dns.exception.DNSException:
        raise MeasurementError(Failure.DNS_NON_RECOVERABLE_FAILURE, "not a name that can be asked for") from None
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
    rcode = response.rcode()
    answers = _answers(response, query.question[0].rdtype)
    return Reply(int(rcode), rcode.name, answers, (time.perf_counter() - began) * 1000, transport)


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
                    while True:
                        data = await loop.sock_recv(handle, 65535)
                        context.spend(len(data) + overhead)
                        response, wrong = _read(data, query)
                        if response is not None:
                            return response
            except TimeoutError:
                continue
    raise MeasurementError(wrong or Failure.GENERIC_TIMEOUT_ERROR)


async def _over_tcp(server: Server, query: dns.message.Message, context: Context) -> dns.message.Message:
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["dns.tcp"])):
        async with await Stream.connect(server.address, server.port, context) as stream:
            wire = query.to_wire()
            await stream.send(len(wire).to_bytes(2, "big") + wire)
            length = int.from_bytes(await stream.receive_exactly(2), "big")
            response, wrong = _read(await stream.receive_exactly(length), query)
    if response is None:
        raise MeasurementError(wrong or Failure.DNS_SERVER_MISBEHAVING)
    return response


def _read(data: bytes, query: dns.message.Message) -> tuple[dns.message.Message | None, Failure | None]:
    """The answer if it fits the question, else what is wrong with it."""
    try:
        response = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError):
        return None, Failure.DNS_SERVER_MISBEHAVING
    if query.is_response(response):
        return response, None
    return None, Failure.DNS_WRONG_QUERY_ID


def _answers(response: dns.message.Message, rdtype: dns.rdatatype.RdataType) -> tuple[str, ...]:
    found = (record.to_text() for rrset in response.answer if rrset.rdtype == rdtype for record in rrset)
    return tuple(text[:MAX_NAME] for text, _ in zip(found, range(MAX_ANSWERS), strict=False))
