"""Name servers of the lab: authorities that know names, and providers' resolvers that ask them and remember.

A resolver has to go and ask, over the network it stands in, so a name from abroad stops resolving when the country
is cut off and its entry has expired, and a name from inside goes on.
"""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL_S = 20
"""Short, because the lab's hours are minutes."""
ASK_S = 1.0
"""How long a resolver waits for one authority (BIND's first try is 0.8 s)."""
ROOT_SERVERS = tuple(f"{letter}.root-servers.example." for letter in "abcdefghijklm")

Answer = Callable[[dns.message.Message], Awaitable[dns.message.Message]]
Names = Mapping[str, tuple[str, ...]]
"""Name without a final dot to its addresses of either family."""


class Authority:
    """Answers for names it knows, and for the root's name servers."""

    def __init__(self, names: Names) -> None:
        self._names = {dns.name.from_text(name): addresses for name, addresses in names.items()}

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        question = query.question[0]
        if question.name == dns.name.root and question.rdtype == dns.rdatatype.NS:
            reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", "NS", *ROOT_SERVERS))
        elif question.name in self._names:
            wanted = [a for a in self._names[question.name] if (":" in a) == (question.rdtype == dns.rdatatype.AAAA)]
            if wanted and question.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
                reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", question.rdtype, *wanted))
        elif question.name != dns.name.root:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply


@dataclass(slots=True)
class Resolver:
    """Asks the authority of a name's zone and keeps the answer for its time to live."""

    zones: Mapping[str, tuple[str, ...]]
    """Suffix (empty for the root) to the IPv4 addresses of its authorities."""
    socket: socket.socket
    """UDP, made in the resolver's own place."""
    _cache: dict[tuple[dns.name.Name, int], tuple[float, dns.message.Message]] = field(default_factory=dict)
    _waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        key = (question.name, int(question.rdtype))
        expires, known = self._cache.get(key, (0.0, None))
        if known is None or expires < time.monotonic():
            known = await self._ask(question.name, question.rdtype)
            if known is not None:
                self._cache[key] = (time.monotonic() + TTL_S, known)
        reply = dns.message.make_response(query, recursion_available=True)
        if known is None:
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            reply.set_rcode(known.rcode())
            reply.answer = known.answer
        return reply

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message | None:
        suffixes = (suffix for suffix in self.zones if name.is_subdomain(dns.name.from_text(suffix)))
        authorities = list(self.zones[max(suffixes, key=len)])
        random.shuffle(authorities)
        for address in authorities[:2]:
            query = dns.message.make_query(name, kind)
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting[query.id] = future
            try:
                self.socket.sendto(query.to_wire(), (address, 53))
                async with asyncio.timeout(ASK_S):
                    return dns.message.from_wire(await future)
            except (OSError, dns.exception.DNSException):
                # TimeoutError is an OSError: no answer and no way there are the same to whoever asked.
                continue
            finally:
                del self._waiting[query.id]
        return None

    def readable(self) -> None:
        """Hand an authority's answer to whoever waits for it."""
        try:
            data = self.socket.recv(4096)
        except OSError:
            return  # An ICMP error that the kernel reports here: the wait for the answer runs out.
        future = self._waiting.get(int.from_bytes(data[:2], "big"))
        if future is not None and not future.done():
            future.set_result(data)


async def serve(udp: socket.socket, tcp: socket.socket, answer: Answer) -> None:
    """Answer on both sockets until cancelled."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Datagrams(answer), sock=udp)

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = await _reply(await reader.readexactly(size), answer)
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (OSError, EOFError):
            pass  # The other side left or dawdled; asyncio's IncompleteReadError is an EOFError.
        finally:
            writer.close()

    await (await asyncio.start_server(stream, sock=tcp)).serve_forever()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own transport is not registered as what it is.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._respond(data, address), name="dns answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, data: bytes, address: tuple[str, int]) -> None:
        reply = await _reply(data, self._answer)
        if reply is not None:
            self._transport.sendto(reply, address)


async def _reply(data: bytes, answer: Answer) -> bytes | None:
    """The answer to a message, None to what is not a question."""
    try:
        query = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    return (await answer(query)).to_wire()
