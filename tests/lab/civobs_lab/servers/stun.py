"""STUN (RFC 5389) with what RFC 5780 adds to find out how a NAT behaves: two addresses, two ports, CHANGE-REQUEST."""

import struct
from functools import partial

from aioice.stun import Class, Message, Method, parse_message

from civobs_lab.servers.datagrams import Client, Datagrams
from civobs_lab.servers.exchange import plain
from civobs_lab.servers.misbehaviour import LIE_ADDRESSES, Conduct, Does

PORTS = (3478, 3479)
"""RFC 5389 §9 and the one after it, as RFC 5780 §3 suggests."""
CHANGE_PORT, CHANGE_ADDRESS = 0x2, 0x4
"""RFC 5780 §7.2."""


class StunServer:
    """All sockets of one host and one family; a request to one may be answered from another."""

    def __init__(self, addresses: tuple[str, ...], conduct: Conduct) -> None:
        self._addresses = addresses
        """One, or two where the host has a second."""
        self._conduct = conduct
        self._ends: dict[tuple[int, int], Datagrams] = {}
        """By index of address and of port."""

    def end(self, address: int, port: int) -> Datagrams:
        """A protocol for the socket at one of the addresses and one of the ports."""
        at = (address, port)
        self._ends[at] = Datagrams(partial(self._respond, at=at))
        return self._ends[at]

    async def _respond(self, data: bytes, client: Client, at: tuple[int, int]) -> None:
        """Answer a binding request, from the end that it names."""
        try:
            request = parse_message(data)
        except (ValueError, struct.error):
            return
        if (request.message_method, request.message_class) == (Method.BINDING, Class.REQUEST):
            await self._conduct.hesitate()
            response, origin = self._response(request, client, at)
            self._ends[origin].send(bytes(response), client)

    def _response(self, request: Message, client: Client, at: tuple[int, int]) -> tuple[Message, tuple[int, int]]:
        change = request.attributes.get("CHANGE-REQUEST", 0)
        origin = (at[0] ^ bool(change & CHANGE_ADDRESS), at[1] ^ bool(change & CHANGE_PORT))
        response = Message(Method.BINDING, Class.RESPONSE, transaction_id=request.transaction_id)
        if self._conduct.now(Does.ERROR):
            response.message_class, origin = Class.ERROR, at
            response.attributes["ERROR-CODE"] = (500, "Server Error")
        elif origin[0] >= len(self._addresses):
            # RFC 5780 §6.1: a server without a second address does not know CHANGE-REQUEST.
            response.message_class, origin = Class.ERROR, at
            response.attributes["ERROR-CODE"] = (420, "Unknown Attribute")
        else:
            seen = plain(client[0])
            told = (LIE_ADDRESSES[":" in seen] if self._conduct.now(Does.LIE) else seen, client[1])
            response.attributes |= {"XOR-MAPPED-ADDRESS": told, "MAPPED-ADDRESS": told}
            response.attributes["RESPONSE-ORIGIN"] = (self._addresses[origin[0]], PORTS[origin[1]])
            if len(self._addresses) > 1:
                response.attributes["OTHER-ADDRESS"] = (self._addresses[1 - at[0]], PORTS[1 - at[1]])
        response.attributes["SOFTWARE"] = "lab"
        response.add_fingerprint()
        return response, origin
