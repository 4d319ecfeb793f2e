"""What is done with a packet, given the rules and what was seen before. Reads and forges; touches no queue.

A rule is triggered by a name that is read, or, without names, by every packet it selects. From then on the connection,
and with ``residual`` everything between its two ends, is remembered and suffers the same.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from scapy.packet import Packet as ScapyPacket

from civobs_lab.censor import forging
from civobs_lab.censor.buckets import Buckets
from civobs_lab.censor.conversations import READ_BYTES, Conversations
from civobs_lab.censor.names import Sighting
from civobs_lab.censor.orders import ANSWERS, DATAGRAM, DNS_PORT, Order
from civobs_lab.censor.packet import RST, TCP, Flow, Packet
from civobs_lab.censor.rule import Direction, Layer, Method

_MOST = 65536

Send = Callable[[ScapyPacket], None]
Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Decision:
    """What becomes of one packet."""

    mark: int = 0
    """Tells the kernel which rules were triggered: it remembers for itself, and does what is its own to do."""
    dropped: bool = False
    until: float = 0.0
    """Held until then."""
    orders: tuple[int, ...] = ()
    """By which orders it is held."""
    payload: bytes | None = None
    """Another whole packet to let go in its place."""
    after: list[ScapyPacket] = field(default_factory=list)
    """To be sent once it has gone."""


class Decider:
    """Rules with their memory."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._orders: tuple[Order, ...] = ()
        self._dns_ports = frozenset({DNS_PORT})
        self._conversations = Conversations()
        self._buckets = Buckets()
        self._flows: OrderedDict[tuple[int, Flow], float] = OrderedDict()
        self._ends: OrderedDict[tuple[int, object], float] = OrderedDict()

    def obey(self, orders: Iterable[Order]) -> None:
        """Take these orders and no others; those that stay keep their memory."""
        self._orders = tuple(orders)
        self._dns_ports = frozenset({DNS_PORT}).union(*(order.dns_ports for order in self._orders))
        numbers = {order.number for order in self._orders}
        for flow in [key for key in self._flows if key[0] not in numbers]:
            del self._flows[flow]
        for ends in [key for key in self._ends if key[0] not in numbers]:
            del self._ends[ends]

    def decide(self, packet: Packet, mark: int, now: float) -> Decision:
        """Look at one packet. ``mark`` has the bits of orders for which the kernel has chosen it, by all but names;
        ``now`` is of the clock that ``until`` is of.
        """
        decision = Decision()
        sightings = self._conversations.read(packet, self._dns_ports)
        for order in self._orders:
            legible = _legible(order, packet, sightings)
            wanted = [each for each in legible if order.wants(each.name)]
            chosen = order.bit is not None and bool(mark & 1 << order.bit)
            triggered = order.concerns(packet) if wanted else chosen and not order.layers
            if triggered:
                self._remember(order, packet, wanted, now)
            elif not order.in_user_space or not self._remembered(order, packet, legible, now):
                continue
            sighting = next(iter(wanted or legible), None)
            if sighting is not None:
                decision.mark |= _mark(order, packet, sighting)
            if order.rule.method is Method.RESET:
                self._reset(order, packet, decision)
            elif order.rule.method is not Method.SLOW_AFTER or chosen:
                self._act(order, packet, sighting, decision, now)
            if order.rule.truth_late_ms and not packet.outgoing and (order.number, packet.flow) in self._flows:
                _hold(order, decision, now + order.rule.truth_late_ms / 1000)
        return decision

    def _remember(self, order: Order, packet: Packet, wanted: list[Sighting], now: float) -> None:
        if wanted and not _is_alone(packet, wanted[0]):
            _note(self._flows, (order.number, packet.flow), 0.0)
        if order.rule.residual:
            _note(self._ends, (order.number, packet.ends), now + order.rule.residual)

    def _remembered(self, order: Order, packet: Packet, legible: list[Sighting], now: float) -> bool:
        # A question by UDP shows its own name, whatever was asked from the same port before.
        alone = bool(legible) and _is_alone(packet, legible[0])
        if not alone and (order.number, packet.flow) in self._flows:
            return True
        return self._ends.get((order.number, packet.ends), now) > now

    def _act(self, order: Order, packet: Packet, sighting: Sighting | None, decision: Decision, now: float) -> None:
        """What is not the kernel's to do."""
        rule = order.rule
        match rule.method:
            case Method.INJECT_DNS | Method.BLOCK_PAGE:
                self._answer(order, packet, sighting, decision, now)
            case Method.REWRITE if packet.payload and packet.outgoing:
                self._rewrite(packet, decision)
            case Method.DELAY if order.touches(packet):
                _hold(order, decision, now + (rule.delay_ms or 0) / 1000)
            case Method.SHAPE if order.touches(packet):
                turn = self._buckets.turn((order.number, packet.flow, packet.outgoing), len(packet.raw), rule, now)
                decision.dropped |= turn is None
                _hold(order, decision, turn or now)
            case Method.POLICE | Method.SLOW_AFTER if order.touches(packet):
                key = (order.number, packet.flow, packet.outgoing)
                decision.dropped |= not self._buckets.take(key, len(packet.raw), rule, now)

    def _reset(self, order: Order, packet: Packet, decision: Decision) -> None:
        if packet.protocol != TCP or packet.flags & RST:
            return
        beside = order.rule.on_path
        # In the path the kernel answers the customer itself when it takes the packet away, and all that follow.
        reset_customer = beside and order.rule.direction is not Direction.OUT
        reset_server = order.rule.direction is not Direction.IN
        if reset_customer if packet.outgoing else reset_server:
            self._send(forging.reset_of_sender(packet))
        if reset_server if packet.outgoing else reset_customer:
            forged = forging.reset_of_receiver(packet, seen=beside)
            if beside:
                # Before the packet it would find the connection closed, and answer it with a reset of its own.
                decision.after.append(forged)
            else:
                self._send(forged)

    def _answer(self, order: Order, packet: Packet, sighting: Sighting | None, decision: Decision, now: float) -> None:
        """Answer what was asked, and in the path let neither the question nor what follows it pass."""
        rule = order.rule
        if sighting is None:
            decision.dropped |= not rule.on_path and (order.number, packet.flow) in self._flows
            return
        if rule.truth_late_ms or not _is_alone(packet, sighting):
            _note(self._flows, (order.number, packet.flow), now)
        decision.dropped |= not rule.on_path
        if sighting.question is None:
            self._answer_tcp(order, packet, forging.block_page(rule))
            return
        answer = forging.dns_answer(sighting.question, rule)
        if packet.protocol == TCP:
            self._answer_tcp(order, packet, len(answer).to_bytes(2, "big") + answer)
        else:
            self._send(forging.udp_answer(packet, answer))

    def _answer_tcp(self, order: Order, packet: Packet, payload: bytes) -> None:
        for forged in forging.tcp_answer(packet, payload):
            self._send(forged)
        if not order.rule.on_path:
            self._send(forging.reset_of_receiver(packet, seen=False))

    def _rewrite(self, packet: Packet, decision: Decision) -> None:
        conversation = self._conversations.tcp(packet)
        at = conversation.offset(packet)
        if at > READ_BYTES:
            return
        said = bytes(conversation.said)
        if at + len(packet.payload) > len(said):
            # Out of its turn: the customer will send it again.
            decision.dropped = True
            return
        begin = conversation.begin_of_request(at)
        altered = forging.other_letters(said[begin:])[at - begin :][: len(packet.payload)]
        if altered != packet.payload:
            decision.payload = forging.with_payload(packet, altered)


def _legible(order: Order, packet: Packet, sightings: list[Sighting]) -> list[Sighting]:
    """What the order may react to, whatever the name."""
    # Answers carry the question too; to a rule for what goes out, or for questions, they are nothing.
    answers_count = order.rule.method not in ANSWERS and order.rule.direction is not Direction.OUT
    return [
        each
        for each in sightings
        if each.layer in order.layers
        and (each.layer is not Layer.DNS or packet.server_port in order.dns_ports)
        and (answers_count or (packet.outgoing and each.asks))
    ]


def _mark(order: Order, packet: Packet, sighting: Sighting) -> int:
    """Tells the kernel of it."""
    return (0 if order.bit is None else 1 << order.bit) | (DATAGRAM if _is_alone(packet, sighting) else 0)


def _is_alone(packet: Packet, sighting: Sighting) -> bool:
    return sighting.layer is Layer.DNS and packet.protocol != TCP


def _hold(order: Order, decision: Decision, until: float) -> None:
    decision.until = max(decision.until, until)
    decision.orders += (order.number,)


def _note(table: OrderedDict[Key, float], key: Key, value: float) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _MOST:
        table.popitem(last=False)
