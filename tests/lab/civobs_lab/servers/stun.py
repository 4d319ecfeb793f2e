"""STUN (RFC 5389) with what RFC 5780 adds to find out how a NAT behaves: two addresses, two ports, CHANGE-REQUEST."""

import asyncio
from typing import cast

from aioice.stun import Class, Message, Method, parse_message

from civobs_lab.servers.exchange import plain
from civobs_lab.servers.misbehaviour import LIE_ADDRESSES, Conduct, Does

PORTS = (3478, 3479)
"""RFC 5389 §9 and the one after it, as RFC 5780 §3 suggests."""
CHANGE_PORT, CHANGE_ADDRESS = 0x2, 0x4
"""RFC 5780 §7.2."""


class StunServer:
    """All sockets of one host and one family; a request to one may be answered from another."""

    def __init__(self, addresses: tuple[str, ...], conduct: Conduct) -> None:
        self.addresses = addresses
        """One, or two where the host has a second."""
        self._conduct = conduct
        self._ends: dict[tuple[int, int], asyncio.DatagramTransport] = {}
        """By index of address and of port."""
        self._tasks: set[asyncio.Task[None]] = set()

    def end(self, address: int, port: int) -> asyncio.DatagramProtocol:
        """A protocol for the socket at one of the addresses and one of the ports."""
        return _End(self, (address, port))

    def opened(self, at: tuple[int, int], transport: asyncio.DatagramTransport) -> None:
        """A socket is there."""
        self._ends[at] = transport

    def received(self, data: bytes, client: tuple[str, int], at: tuple[int, int]) -> None:
        """Answer what is a binding request."""
        try:
            request = parse_message(data)
        except (ValueError, KeyError):
            return
        if request.message_method is Method.BINDING and request.message_class is Class.REQUEST:
            task = asyncio.get_running_loop().create_task(self._respond(request, client, at), name="stun answer")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _respond(self, request: Message, client: tuple[str, int], at: tuple[int, int]) -> None:
        await self._conduct.hesitate()
        change = request.attributes.get("CHANGE-REQUEST", 0)
        origin = (at[0] ^ bool(change & CHANGE_ADDRESS), at[1] ^ bool(change & CHANGE_PORT))
        response = Message(Method.BINDING, Class.RESPONSE, transaction_id=request.transaction_id)
        if self._conduct.now(Does.ERROR):
            response.message_class = Class.ERROR
            response.attributes["ERROR-CODE"] = (500, "Server Error")
            origin = at
        elif origin[0] >= len(self.addresses):
            # RFC 5780 §6.1: a server without a second address does not know CHANGE-REQUEST.
            response.message_class = Class.ERROR
            response.attributes["ERROR-CODE"] = (420, "Unknown Attribute")
            origin = at
        else:
            seen = (self._told(plain(client[0])), client[1])
            response.attributes |= {"XOR-MAPPED-ADDRESS": seen, "MAPPED-ADDRESS": seen}
            response.attributes["RESPONSE-ORIGIN"] = (self.addresses[origin[0]], PORTS[origin[1]])
            if len(self.addresses) > 1:
                response.attributes["OTHER-ADDRESS"] = (self.addresses[1 - at[0]], PORTS[1 - at[1]])
        response.attributes["SOFTWARE"] = "lab"
        response.add_fingerprint()
        end = self._ends.get(origin)
        if end is not None and not end.is_closing():
            end.sendto(bytes(response), client)

    def _told(self, seen: str) -> str:
        return LIE_ADDRESSES[":" in seen] if self._conduct.now(Does.LIE) else seen


class _End(asyncio.DatagramProtocol):
    def __init__(self, server: StunServer, at: tuple[int, int]) -> None:
        self._server = server
        self._at = at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.opened(self._at, cast("asyncio.DatagramTransport", transport))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.received(data, addr, self._at)
