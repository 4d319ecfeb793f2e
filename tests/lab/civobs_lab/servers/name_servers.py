"""Name servers of the lab: authorities that know names, and providers' resolvers that ask them and remember.

A resolver has to go and ask, over the network it stands in, so a name from abroad stops resolving when the country
is cut off and its entry has expired, and a name from inside goes on.
"""

import asyncio
import random
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from civobs_lab.servers.names import Names

ASK_S = 1.0
"""How long a resolver waits for one authority, in seconds of the clock (BIND's first try is 0.8 s)."""
ROOT_SERVERS = tuple(f"{letter}.root-servers.example." for letter in "abcdefghijklm")
_FAMILIES = {dns.rdatatype.A: ".", dns.rdatatype.AAAA: ":"}


@dataclass(frozen=True, slots=True)
class Authority:
    """Answers for the names of its zone, and for the root's name servers."""

    names: Names
    own: frozenset[str]
    """Those that it holds."""
    ttl_s: int

    async def answer(self, query: dns.message.Message, client: str) -> dns.message.Message:
        """The answer for somebody at this address."""
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if question.name == dns.name.root:
            if question.rdtype == dns.rdatatype.NS:
                reply.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", "NS", *ROOT_SERVERS))
            return reply
        found = self.names.addresses_of(name, client) if name in self.own else None
        if found is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype in _FAMILIES:
            wanted = [address for address in found if _FAMILIES[question.rdtype] in address]
            if wanted:
                reply.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", question.rdtype, *wanted))
        return reply


@dataclass(slots=True)
class Resolver:
    """Asks the authority of a name's zone and keeps the answer for its time to live."""

    zones: Mapping[str, Sequence[str]]
    """Suffix (empty for the root) to the IPv4 addresses of its authorities."""
    socket: socket.socket
    """UDP, made in the resolver's own place."""
    ttl_s: int
    _cache: dict[tuple[dns.name.Name, int], tuple[float, dns.message.Message]] = field(default_factory=dict)
    _waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)

    async def answer(self, query: dns.message.Message, _: str) -> dns.message.Message:
        """The answer, from memory or from an authority."""
        question = query.question[0]
        key = (question.name, int(question.rdtype))
        expires, known = self._cache.get(key, (0.0, None))
        if known is None or expires < time.monotonic():
            known = await self._ask(question.name, question.rdtype)
            if known is not None and known.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
                self._cache[key] = (time.monotonic() + self.ttl_s, known)
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
            while query.id in self._waiting:
                query.id = random.randrange(65_536)
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
