"""The anchor's STUN, and what it says when it is told to be late, out of order, or a liar."""

from aioice.stun import Message

from civobs_anchor.datagrams import Client
from civobs_anchor.stun import End, StunServer, refusal
from civobs_lab.servers.misbehaviour import LIE_ADDRESSES, Conduct, Does


class LabStun(StunServer):
    """All sockets of one host and one family."""

    def __init__(self, addresses: tuple[str, ...], conduct: Conduct) -> None:
        super().__init__(addresses)
        self._conduct = conduct

    async def admits(self, client: Client) -> bool:
        await self._conduct.hesitate()
        return await super().admits(client)

    def response(self, request: Message, client: Client, at: End) -> tuple[Message, End]:
        if self._conduct.now(Does.ERROR):
            return refusal(request, 500, "Server Error"), at
        response, origin = super().response(request, client, at)
        if self._conduct.now(Does.LIE) and "XOR-MAPPED-ADDRESS" in response.attributes:
            seen, port = response.attributes["XOR-MAPPED-ADDRESS"]
            told = (LIE_ADDRESSES[":" in seen], port)
            response.attributes |= {"XOR-MAPPED-ADDRESS": told, "MAPPED-ADDRESS": told}
        return response, origin
