"""STUN (RFC 5389) with what RFC 5780 adds to find out how a NAT behaves: two addresses, two ports, CHANGE-REQUEST."""

import struct
from functools import partial

from aioice.stun import Class, Message, Method, parse_message

from civobs_anchor.datagrams import Client, Datagrams
from civobs_anchor.exchange import plain
from civobs_wire.anchor import STUN_PORTS

CHANGE_PORT, CHANGE_ADDRESS = 0x2, 0x4
"""RFC 5780 §7.2."""
RESPONSE_PORT = 0x0027
"""RFC 5780 §7.5; aioice does not know it."""

End = tuple[int, int]
"""Index of an address and of a port."""


class StunServer:
    """All sockets of one host and one family; a request to one may be answered from another."""

    def __init__(self, addresses: tuple[str, ...], ports: tuple[int, int] = STUN_PORTS) -> None:
        self._addresses = addresses
        """One, or two where the host has a second."""
        self._ports = ports
        self._ends: dict[End, Datagrams] = {}

    def end(self, address: int, port: int) -> Datagrams:
        """A protocol for the socket at one of the addresses and one of the ports."""
        at = (address, port)
        self._ends[at] = Datagrams(partial(self._respond, at=at))
        return self._ends[at]

    async def _respond(self, data: bytes, client: Client, at: End) -> None:
        """Answer a binding request, from the end that it names."""
        try:
            request = parse_message(data)
        except (ValueError, struct.error):
            return
        if (request.message_method, request.message_class) != (Method.BINDING, Class.REQUEST):
            return
        if await self.admits(client):
            response, origin = self.response(request, client, at)
            response.add_fingerprint()
            self._ends[origin].send(bytes(response), (client[0], response_port(data) or client[1], *client[2:]))

    async def admits(self, client: Client) -> bool:  # noqa: ARG002 - for those who refuse some
        """Whether it is to be answered now."""
        return True

    def response(self, request: Message, client: Client, at: End) -> tuple[Message, End]:
        """The answer, and the end it leaves from."""
        change = request.attributes.get("CHANGE-REQUEST", 0)
        origin = (at[0] ^ bool(change & CHANGE_ADDRESS), at[1] ^ bool(change & CHANGE_PORT))
        if origin[0] >= len(self._addresses):
            # RFC 5780 §6.1: a server without a second address does not know CHANGE-REQUEST.
            return refusal(request, 420, "Unknown Attribute"), at
        response = Message(Method.BINDING, Class.RESPONSE, transaction_id=request.transaction_id)
        seen = (plain(client[0]), client[1])
        response.attributes |= {"XOR-MAPPED-ADDRESS": seen, "MAPPED-ADDRESS": seen}
        response.attributes["RESPONSE-ORIGIN"] = (self._addresses[origin[0]], self._ports[origin[1]])
        if len(self._addresses) > 1:
            response.attributes["OTHER-ADDRESS"] = (self._addresses[1 - at[0]], self._ports[1 - at[1]])
        return response, origin


def response_port(data: bytes) -> int | None:
    """The port of the asking address that the answer is to go to: so a probe learns how long a mapping lasts."""
    at = 20
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        if kind == RESPONSE_PORT:
            return int.from_bytes(data[at + 4 : at + 6], "big")
        at += 4 + (length + 3 & ~3)
    return None


def refusal(request: Message, code: int, reason: str) -> Message:
    """An error response."""
    response = Message(Method.BINDING, Class.ERROR, transaction_id=request.transaction_id)
    response.attributes["ERROR-CODE"] = (code, reason)
    return response
