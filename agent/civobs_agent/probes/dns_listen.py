"""One DNS question over UDP, and every datagram that comes back for some seconds: late, double and foreign ones too.

Who injects an answer cannot keep the true one from coming as well, and an answer that came twice to a question asked
once is the plainest sign of it (measurement.md §1.1). The socket is not connected, so that an answer from somewhere
else is heard; it sends to one address only.
"""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import dns.message

from civobs_agent.faults import Fault, fault_of
from civobs_agent.net import HEADER_BYTES, UDP_BYTES, Context
from civobs_agent.probes.dns_message import Said, fits, question, read, said
from civobs_agent.probes.error_queue import errors_of, listen_for_errors
from civobs_agent.probes.question import MAX_PACKETS, TIMEOUTS, Server
from civobs_agent.probes.stream import numeric_socket
from civobs_agent.tables import Timeout
from civobs_wire.failure import Failure

LISTEN = Timeout("dns.listen", 5.0, "resolv.conf(5) waits 5 s: what comes later no stub of a person hears")
IP_RECVTTL = 12
"""<linux/in.h>; Python has no name for it."""
ANCILLARY_BYTES = 256


@dataclass(frozen=True, slots=True)
class Heard:
    """One datagram."""

    ms: float
    """Since the question it answers; since the first one if it answers none."""
    ip_ttl: int | None
    said: Said | None
    failure: Failure | None
    """What is wrong with it as an answer."""
    source: str | None = None
    """Its address, if that is not the server's. Not yet fit to be written down."""


@dataclass(frozen=True, slots=True)
class Listened:
    """What came of one question."""

    first: Heard | None
    """The answer that counts."""
    others: tuple[Heard, ...]
    """The rest, in order."""
    fault: Fault | None
    """Why there is no first."""
    case_kept: bool | None
    """Whether it repeats letters of mixed case, or was only to be had without them. None where that was not tried."""
    sent: int
    waited_ms: float


async def listen(server: Server, qname: str, qtype: str, context: Context, *, mixed: bool) -> Listened:
    """Ask, once more in plain letters if no use came of it, and listen to the end.

    Raises MeasurementError if there can be no such name. The address has passed the refusal already.
    """
    queries = [question(qname, qtype, context.rng, mixed=case, nsid=True) for case in (mixed, False)]
    with _ear(server, context) as ear:
        for query in queries:
            if not ear.ask(query):
                break
            await ear.wait(context.timeout_s(TIMEOUTS["dns.try"]))
            if ear.satisfied(mixed=mixed):
                break
        await ear.listen_on(context.timeout_s(LISTEN))
        return ear.told(mixed=mixed)


@contextmanager
def _ear(server: Server, context: Context) -> Iterator["_Ear"]:
    handle, where = numeric_socket(server.address, server.port, socket.SOCK_DGRAM)
    with handle:
        ear = _Ear(handle, where, server, context)
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, ear.readable)
        try:
            yield ear
        finally:
            loop.remove_reader(handle)


class _Ear:
    """The socket of one question and what has come to it."""

    def __init__(self, handle: socket.socket, where: tuple[object, ...], server: Server, context: Context) -> None:
        self._handle = handle
        self._where = where
        self._server = server
        self._context = context
        self._overhead = HEADER_BYTES[server.family] + UDP_BYTES
        self._asked: list[tuple[dns.message.Message, float]] = []
        self._first: dict[int, Heard] = {}
        """To each question, the first answer that fits."""
        self._others: list[Heard] = []
        self._fault: Fault | None = None
        self._packets = 0
        self._stirred = asyncio.Event()
        # Without this an ICMP message does not reach a socket that is not connected.
        listen_for_errors(handle, server.family)
        if server.family == 6:
            handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            handle.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)

    def ask(self, query: dns.message.Message) -> bool:
        """Send it. False if the system does not let it out."""
        wire = query.to_wire()
        self._stirred.clear()
        try:
            self._handle.sendto(wire, self._where)
        except OSError as error:
            self._fault = fault_of(error)
            return False
        self._asked.append((query, time.perf_counter()))
        self._context.spend(len(wire) + self._overhead)
        return True

    async def wait(self, timeout_s: float) -> None:
        """Until something came of the last question."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stirred.wait()

    async def listen_on(self, timeout_s: float) -> None:
        """Until so long after the last question."""
        if self._asked:
            await asyncio.sleep(max(0.0, self._asked[-1][1] + timeout_s - time.perf_counter()))

    def satisfied(self, *, mixed: bool) -> bool:
        """Whether no second question is needed: an error to mixed letters may be the letters' fault."""
        first = self._first.get(0)
        return first is not None and first.said is not None and not (mixed and first.said.rcode)

    def told(self, *, mixed: bool) -> Listened:
        """All of it, when the listening is over."""
        began = self._asked[0][1] if self._asked else time.perf_counter()
        counts = max(self._first, default=0)
        if len(self._first) == 2 and _rcode(self._first[0]) == _rcode(self._first[1]):
            counts = 0
        first = self._first.get(counts)
        wrong = next((heard.failure for heard in self._others if heard.failure and heard.source is None), None)
        fault = Fault(wrong) if wrong else self._fault or Fault(Failure.GENERIC_TIMEOUT_ERROR)
        return Listened(
            first=first,
            others=tuple(self._others),
            fault=None if first else fault,
            case_kept=self._case_kept(counts) if mixed else None,
            sent=len(self._asked),
            waited_ms=(time.perf_counter() - began) * 1000,
        )

    def _case_kept(self, counts: int) -> bool | None:
        mixed_one = self._first.get(0)
        if mixed_one is None or mixed_one.said is None:
            return None
        return counts == 0 and mixed_one.said.case_kept

    def readable(self) -> None:
        """Take what has come. Called by the event loop; a flood is cut off after some packets."""
        try:
            data, ancillary, _, peer = self._handle.recvmsg(65535, ANCILLARY_BYTES)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self._fault = fault_of(error)
                for _ in errors_of(self._handle, self._server.family):
                    pass  # Left in its queue, it would keep the socket readable for ever.
                self._stirred.set()
            return
        self._context.spend(len(data) + self._overhead)
        self._packets += 1
        if self._packets >= MAX_PACKETS:
            asyncio.get_running_loop().remove_reader(self._handle)
        self._sort_in(data, _hops(ancillary), _foreign(peer, self._where))

    def _sort_in(self, data: bytes, ip_ttl: int | None, source: str | None) -> None:
        if not self._asked:
            return
        now = time.perf_counter()
        message, failure = read(data)
        number = next((n for n, (query, _) in enumerate(self._asked) if message and fits(query, message)), None)
        query, asked_at = self._asked[number or 0]
        what = None if message is None else said(query, message)
        if message is not None and number is None:
            failure = Failure.DNS_WRONG_QUERY_ID
        elif source is not None:
            failure = Failure.UNEXPECTED_ANSWER
        heard = Heard((now - asked_at) * 1000, ip_ttl, what, failure, source)
        if failure is not None or number is None or number in self._first:
            self._others.append(heard)
            return
        self._first[number] = heard
        if number == len(self._asked) - 1:
            self._stirred.set()


def _rcode(heard: Heard) -> int | None:
    return None if heard.said is None else heard.said.rcode


def _hops(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Time to live, or hop limit, with which the packet arrived."""
    for level, kind, data in ancillary:
        if (level, kind) in {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}:
            return int.from_bytes(data[:4], sys.byteorder)
    return None


def _foreign(peer: tuple[object, ...], asked: tuple[object, ...]) -> str | None:
    """The sender's address if it is another one, or another port, than was asked."""
    address = str(peer[0]).partition("%")[0]
    same = (address, peer[1]) == (str(asked[0]).partition("%")[0], asked[1])
    return None if same else address
