"""A rule made ready for a box: where it reads names, who carries it out, and a refusal at once of what cannot act.

The kernel does what it can; the reader, a program beside it, reads names, forges and holds packets.
"""

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network

from civobs_lab.censor.errors import CensorError
from civobs_lab.censor.packet import TCP, UDP, Packet
from civobs_lab.censor.rule import Direction, Layer, Method, Protocol, Rule

EVERYWHERE = frozenset(Layer)
READS: dict[Method, frozenset[Layer]] = {
    Method.RESET: frozenset({Layer.DNS, Layer.TLS, Layer.HTTP}),
    Method.INJECT_DNS: frozenset({Layer.DNS}),
    Method.BLOCK_PAGE: frozenset({Layer.HTTP}),
    Method.REWRITE: frozenset({Layer.HTTP}),
}
"""Where a method can act on a name; the others can everywhere."""
CARRIED_BY: dict[Protocol, frozenset[Layer]] = {
    Protocol.TCP: frozenset({Layer.DNS, Layer.TLS, Layer.HTTP}),
    Protocol.UDP: frozenset({Layer.DNS, Layer.QUIC}),
    Protocol.ICMP: frozenset(),
}
IN_USER_SPACE = frozenset(
    {
        *(Method.DELAY, Method.SHAPE, Method.POLICE, Method.SLOW_AFTER),
        *(Method.INJECT_DNS, Method.BLOCK_PAGE, Method.REWRITE),
    }
)
"""A kernel without netem delays nothing, and forges nothing but its own refusals. nftables could police, with the
traffic of a whole second on top of every burst, and large packets of many segments at a time; a shaper of tc would
take the place of whatever another fault has put on the same link.
"""
ON_PATH = frozenset({Method.RESET, Method.INJECT_DNS, Method.BLOCK_PAGE})
ANSWERS = frozenset({Method.INJECT_DNS, Method.BLOCK_PAGE, Method.REWRITE})
"""They act on what customers ask; there is no other direction."""
BELONGS: dict[str, frozenset[Method]] = {
    "rate_kbit": frozenset({Method.POLICE, Method.SHAPE, Method.SLOW_AFTER}),
    "after_kbyte": frozenset({Method.SLOW_AFTER}),
    "loss_percent": frozenset({Method.LOSS}),
    "delay_ms": frozenset({Method.DELAY}),
    "answers": frozenset({Method.INJECT_DNS}),
    "redirect": frozenset({Method.BLOCK_PAGE}),
}
"""Parameter, methods that know it."""
DNS_PORT = 53
READ_PACKETS = 64
"""Packets of a customer in one connection that are looked at; the kernel counts them."""
IN_PATH, BESIDE = 1, 2
"""Marks of what goes to the reader, and its queues: held back if it is not there, or let pass."""
DATAGRAM = 1 << 7
"""Mark of a packet that is meant alone and not with its connection."""
ORDERS, ANSWER = "orders.json", "answer"
"""Files between the box and its reader."""
NUMBERS = {Protocol.TCP: (TCP,), Protocol.UDP: (UDP,), Protocol.ICMP: (1, 58)}
"""IANA's protocol numbers; ICMP has one for each family."""

Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Order:
    """A rule at work in a box."""

    number: int
    bit: int | None
    """Bit of the packet mark by which the reader tells the kernel; None where the reader has no part."""
    rule: Rule

    @cached_property
    def layers(self) -> frozenset[Layer]:
        """Where names are read."""
        return layers(self.rule)

    @cached_property
    def dns_ports(self) -> frozenset[int]:
        """Ports of servers on which questions are looked for."""
        return frozenset(self.rule.ports) if self.layers == {Layer.DNS} and self.rule.ports else frozenset({DNS_PORT})

    @property
    def protocol(self) -> Protocol | None:
        """What the packets it concerns are carried by; None is whatever it is."""
        return Protocol.TCP if self.rule.method is Method.RESET else self.rule.protocol

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(plain(name) for name in self.rule.names)

    @property
    def in_user_space(self) -> bool:
        """Whether the reader does it, and not only sees when the kernel has to."""
        return self.rule.on_path or self.rule.method in IN_USER_SPACE

    def wants(self, name: str) -> bool:
        """Whether a name is one of the rule's or below one; without names, every name is."""
        if not self.names:
            return True
        labels = name.split(".")
        return any(".".join(labels[start:]) in self.names for start in range(len(labels)))

    def concerns(self, packet: Packet) -> bool:
        """Whether the packet is between ends, and of a kind, that the rule selects, whatever its direction."""
        rule = self.rule
        return (
            packet.version in families(rule)
            and (self.protocol is None or packet.protocol in NUMBERS[self.protocol])
            and (not rule.ports or packet.server_port in rule.ports)
            and (not rule.addresses or any(packet.server in prefix for prefix in rule.addresses))
            and (not rule.customers or any(packet.customer in prefix for prefix in rule.customers))
        )

    def touches(self, packet: Packet) -> bool:
        """Whether the packet goes in a direction that the rule acts on."""
        return self.rule.direction in (Direction.BOTH, Direction.OUT if packet.outgoing else Direction.IN)


def needs_reader(rule: Rule) -> bool:
    """Whether the kernel alone cannot do it."""
    return bool(rule.names) or rule.on_path or rule.method in IN_USER_SPACE


def plain(name: str) -> str:
    """A name as names are compared: without case and final dot."""
    return name.rstrip(".").lower()


def families(rule: Rule) -> tuple[int, ...]:
    """4, 6 or both: what the addresses, the customers and the family leave."""
    left = {4, 6}
    for prefixes in (rule.addresses, rule.customers):
        if prefixes:
            left &= {prefix.version for prefix in prefixes}
    if rule.family is not None:
        left &= {rule.family}
    return tuple(sorted(left))


def layers(rule: Rule) -> frozenset[Layer]:
    """Where names are read; nothing for a rule without names that does not read at all."""
    if not rule.names and rule.method not in ANSWERS:
        return frozenset()
    able = READS.get(rule.method, EVERYWHERE)
    if rule.protocol is not None:
        able &= CARRIED_BY[rule.protocol]
    return able & frozenset(rule.layers) if rule.layers else able


def refuse_what_cannot_act(rule: Rule) -> None:
    """Raise CensorError for a combination that has no effect, with what would have."""
    for refusal in (_misplaced(rule), _unreadable(rule), _unselectable(rule), _powerless(rule)):
        if refusal is not None:
            key, why = refusal
            raise CensorError(f"a censor's rule with method {rule.method} cannot act: {why}", key=key)


Refusal = tuple[str, str] | None
"""The key that is at odds with the rest, and why."""


def _misplaced(rule: Rule) -> Refusal:
    """A parameter that the method does not know."""
    for parameter, methods in BELONGS.items():
        if getattr(rule, parameter) and rule.method not in methods:
            why = f"{parameter} belongs to method {' or '.join(sorted(methods))}; leave {parameter} out"
            return parameter, why
    if rule.truth_late_ms and not rule.on_path:
        return "truth_late_ms", "truth_late_ms is for a censor beside the path; set on_path, or leave it out"
    return None


def _unreadable(rule: Rule) -> Refusal:
    """Names or layers that this method or protocol never shows."""
    reads = bool(rule.names) or rule.method in ANSWERS
    if rule.layers and not reads:
        why = "layers say where names are read, and there are no names; add names, or select by protocol and ports"
        return "layers", why
    if not reads:
        return None
    if rule.protocol is Protocol.ICMP:
        return "protocol", "ICMP carries no names; leave protocol out"
    if not layers(rule):
        able = READS.get(rule.method, EVERYWHERE)
        if rule.protocol is not None:
            able &= CARRIED_BY[rule.protocol]
        if not able:
            return "protocol", f"it reads no names in what {rule.protocol} carries; leave protocol out"
        reads_in = ", ".join(sorted(able))
        return "layers", f"it reads names in {reads_in}; write of these, or leave layers out"
    return None


def _unselectable(rule: Rule) -> Refusal:
    """Selectors that exclude each other."""
    if rule.family == 5:
        return "family", "there is no IP version 5; family is 4 or 6"
    if not families(rule):
        key = "family" if rule.family else "addresses"
        return key, "addresses, customers and family have no IP version in common; leave one out"
    if rule.ports and rule.protocol is Protocol.ICMP:
        return "ports", "ICMP has no ports; leave ports or protocol out"
    if rule.method is Method.RESET and rule.protocol not in (None, Protocol.TCP):
        return "protocol", "only TCP knows resets; use drop or reject"
    return None


def _powerless(rule: Rule) -> Refusal:
    """What cannot be done from that side or in that direction."""
    if rule.on_path and rule.method not in ON_PATH:
        return "on_path", f"beside the path only {', '.join(sorted(ON_PATH))} can be done; leave on_path out"
    if rule.method in ANSWERS and rule.direction is Direction.IN:
        return "direction", "it acts on what customers ask, which goes out; leave direction out"
    return None
