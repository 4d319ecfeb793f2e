"""What a customer said so far in each connection, so that names are also read when they are spread over packets.

TCP is put in order from the first byte on; what arrives before its turn waits. The box holds nothing meanwhile: the
packets before the one that completes a name have passed. After a limit a connection is not read any more, as with
real boxes; overlapping pieces keep what came first.
"""

from collections import OrderedDict
from typing import TypeVar

from civobs_lab.censor.names import IncompleteError, QuicHello, Sighting, dns_question, http_host, tls_name
from civobs_lab.censor.packet import SYN, TCP, Flow, Packet
from civobs_lab.censor.rule import Layer

READ_BYTES = 32768
"""Bytes of a customer in one connection that are looked at."""
_MOST = 4096
"""Connections remembered; the one that was silent longest goes first."""
_TLS_RECORD = 0x16
Kind = TypeVar("Kind")


class TcpConversation:
    """The customer's bytes of one TCP connection."""

    def __init__(self) -> None:
        self.said = bytearray()
        self._start: int | None = None
        self._early: dict[int, bytes] = {}
        self._read_to = 0
        self._begins = [0]
        self._finished = False

    def add(self, packet: Packet) -> None:
        """Take in a packet of the customer, in whatever order they come."""
        if packet.flags & SYN:
            self._start = (packet.sequence + 1) & 0xFFFFFFFF
        if not packet.payload:
            return
        if self._start is None:
            self._start = packet.sequence
        offset = self.offset(packet)
        if offset > READ_BYTES:
            return
        self._early.setdefault(offset, packet.payload)
        for at in sorted(self._early):
            if at > len(self.said):
                break
            self.said += self._early.pop(at)[len(self.said) - at :]

    def offset(self, packet: Packet) -> int:
        """Where in what the customer said the packet's payload stands."""
        return (packet.sequence - (self._start or 0)) & 0xFFFFFFFF

    def begin_of_request(self, at: int) -> int:
        """Where the request begins that a byte belongs to."""
        return max(begin for begin in self._begins if begin <= at)

    def sightings(self, *, dns: bool) -> list[Sighting]:
        """Names that have become readable since the last call."""
        found: list[Sighting] = []
        while not self._finished and self._read_to < len(self.said) <= READ_BYTES:
            rest = bytes(self.said[self._read_to :])
            try:
                sighting, length = _dns(rest) if dns else _tls_or_http(rest)
            except IncompleteError:
                break
            self._begins.append(self._read_to)
            self._read_to += length
            # Whatever is neither, and everything after a ClientHello, is not for reading.
            self._finished = sighting is None or sighting.layer is Layer.TLS
            if sighting is not None:
                found.append(sighting)
        return found


def _dns(rest: bytes) -> tuple[Sighting | None, int]:
    length = int.from_bytes(rest[:2], "big")
    if len(rest) < 2 + length:
        raise IncompleteError
    return dns_question(rest[2 : 2 + length]), 2 + length


def _tls_or_http(rest: bytes) -> tuple[Sighting | None, int]:
    if rest[0] == _TLS_RECORD:
        name = tls_name(rest)
        return (Sighting(Layer.TLS, name) if name else None), len(rest)
    host, length = http_host(rest) if rest[:1].isalpha() else (None, len(rest))
    return (Sighting(Layer.HTTP, host) if host is not None else None), length


class Conversations:
    """All connections that are being read."""

    def __init__(self) -> None:
        self._tcp: OrderedDict[Flow, TcpConversation] = OrderedDict()
        self._quic: OrderedDict[Flow, QuicHello] = OrderedDict()

    def read(self, packet: Packet, dns_ports: frozenset[int]) -> list[Sighting]:
        """Names that this packet shows, alone or with those before it."""
        if packet.protocol == TCP:
            if not packet.outgoing:
                return []
            conversation = self.tcp(packet)
            conversation.add(packet)
            return conversation.sightings(dns=packet.server_port in dns_ports)
        if packet.server_port in dns_ports:
            sighting = dns_question(packet.payload)
            return [sighting] if sighting is not None else []
        return self._read_quic(packet) if packet.outgoing and packet.payload[:1] >= b"\xc0" else []

    def tcp(self, packet: Packet) -> TcpConversation:
        """The packet's connection; a SYN begins a new one."""
        begins = packet.outgoing and bool(packet.flags & SYN)
        return _remembered(self._tcp, packet.flow, None if begins else self._tcp.get(packet.flow), TcpConversation)

    def _read_quic(self, packet: Packet) -> list[Sighting]:
        hello = _remembered(self._quic, packet.flow, self._quic.get(packet.flow), QuicHello)
        try:
            name = hello.add(packet.payload)
        except IncompleteError:
            return []
        return [Sighting(Layer.QUIC, name)] if name else []


def _remembered(table: OrderedDict[Flow, Kind], flow: Flow, known: Kind | None, make: type[Kind]) -> Kind:
    conversation = make() if known is None else known
    table[flow] = conversation
    table.move_to_end(flow)
    if len(table) > _MOST:
        table.popitem(last=False)
    return conversation
