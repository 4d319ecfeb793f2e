"""What the kernel does of a rule: one table of nftables for each, which goes with the rule and all it remembered.

``sort`` sends to the reader what it has to see; it runs just before the packet queues. ``act`` carries out what
concerns connections (``flows``) and ends (``ends``) that were noted, or, without names, everything selected.
"""

from collections.abc import Iterator

from civobs_lab.censor.orders import ANSWERS, BESIDE, DATAGRAM, IN_PATH, READ_PACKETS, Order, families
from civobs_lab.censor.rule import Direction, Layer, Method, Protocol, Rule
from civobs_lab.network import UPLINK

FIRST_BIT, BITS = 8, 24
"""Bits of the mark with which the reader names a rule."""
_TABLE = "inet civobs_censor_{}"
_SORT_PRIORITY = -160
"""Before iptables' mangle table (-150), which has the queues: nftables' own need a module that not every kernel has."""
_FORGET = "10m"
"""A connection that was silent for so long is over."""
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_WORD = {4: "ip", 6: "ip6"}
_LOSS_STEPS = 10_000


def table(order: Order) -> str:
    """The commands that put a rule into force."""
    leaving, arriving = _does(order.rule)
    lines = [f"table {_TABLE.format(order.number)} {{"]
    for version in families(order.rule):
        lines += _sets(version, order.rule)
    lines += ["chain sort {", f"type filter hook forward priority {_SORT_PRIORITY};", *_sort(order), "}"]
    lines += ["chain leaving {", *leaving, "}", "chain arriving {", *arriving, "}"]
    lines += ["chain act {", "type filter hook forward priority 0;", *_act(order), "}", "}"]
    return "\n".join(lines)


def removal(number: int) -> str:
    """The command that takes it out of force."""
    return f"delete table {_TABLE.format(number)}"


def _sets(version: int, rule: Rule) -> list[str]:
    address = _TYPE[version]
    flow = f"type {address} . inet_proto . inet_service . {address} . inet_service; flags dynamic,timeout;"
    return [
        f"set flows{version} {{ {flow} timeout {_FORGET}; }}",
        f"set ends{version} {{ type {address} . {address}; flags dynamic,timeout; timeout {_residual(rule)}; }}",
    ]


def _residual(rule: Rule) -> str:
    return f"{max(1, round(rule.residual * 1000))}ms"


def _does(rule: Rule) -> tuple[list[str], list[str]]:
    """What happens to packets that leave and to those that arrive."""
    if rule.method is Method.RESET:
        reset = "meta l4proto tcp reject with tcp reset"
        # The kernel answers who sent the packet: to reset a customer, what leaves is answered.
        return {
            Direction.BOTH: ([reset], [reset]),
            Direction.IN: ([reset], ["drop"]),
            Direction.OUT: ([], [reset]),
        }[rule.direction]
    does = list(_statements(rule))
    return (
        does if rule.direction is not Direction.IN else [],
        does if rule.direction is not Direction.OUT else [],
    )


def _statements(rule: Rule) -> Iterator[str]:
    match rule.method:
        case Method.DROP:
            yield "drop"
        case Method.REJECT:
            yield "reject with icmpx admin-prohibited"
        case Method.LOSS:
            steps = round((rule.loss_percent or 0) * _LOSS_STEPS / 100)
            yield f"numgen random mod {_LOSS_STEPS} < {steps} drop" if steps < _LOSS_STEPS else "drop"


def _sort(order: Order) -> Iterator[str]:
    # Whatever asks for the connection makes the kernel put fragments together before it reads ports.
    yield "ct state invalid counter"
    if order.bit is None:
        return
    rule, side = order.rule, BESIDE if order.rule.on_path else IN_PATH
    yield from (f"{candidate} meta mark set meta mark | {side:#x}" for candidate in _candidates(order))
    if not order.in_user_space:
        return
    late = f"ct bytes > {round((rule.after_kbyte or 0) * 1000)} " if rule.method is Method.SLOW_AFTER else ""
    choose = f"{late}meta mark set meta mark | {side | 1 << order.bit:#x}"
    if not order.layers:
        for version, out, selected in _selected(order, _directions(rule)):
            yield f"{selected} {_note_ends(rule, version, out=out)}{choose}"
    yield from (f"{noted} {choose}" for noted in _noted(rule))


def _candidates(order: Order) -> Iterator[str]:
    """Packets that may carry a name."""
    rule, ports = order.rule, "{ " + ", ".join(map(str, sorted(order.dns_ports))) + " }"
    asked = f"ct direction original ct original packets 1-{READ_PACKETS}"
    for _, _, selected in _selected(order, (True,), bare=True):
        if order.layers & {Layer.TLS, Layer.HTTP}:
            yield f"{selected} meta l4proto tcp {asked}"
        elif Layer.DNS in order.layers:
            yield f"{selected} tcp dport {ports} {asked}"
        if Layer.QUIC in order.layers:
            # Packets with a long header, which begin connections (RFC 9000 §17.2).
            yield f"{selected} meta l4proto udp @th,64,2 3"
        if Layer.DNS in order.layers and order.protocol is not Protocol.TCP:
            yield f"{selected} udp dport {ports}"
    answers_count = rule.method not in ANSWERS and rule.direction is not Direction.OUT
    if Layer.DNS in order.layers and order.protocol is not Protocol.TCP and (answers_count or rule.truth_late_ms):
        yield from (f"{selected} udp sport {ports}" for _, _, selected in _selected(order, (False,), bare=True))


def _act(order: Order) -> Iterator[str]:
    rule = order.rule
    if order.layers and order.bit is not None:
        mark, alone = f"meta mark & {1 << order.bit:#x} != 0", f"meta mark & {DATAGRAM:#x}"
        for version in families(rule):
            ip = _WORD[version]
            flow = f"{ip} saddr . meta l4proto . th sport . {ip} daddr . th dport"
            yield f'{mark} {alone} == 0 oifname "{UPLINK}" update @flows{version} {{ {flow} }}'
            if rule.residual:
                yield f'{mark} oifname "{UPLINK}" {_note_ends(rule, version, out=True)}'
                yield f'{mark} iifname "{UPLINK}" {_note_ends(rule, version, out=False)}'
        if rule.method is Method.RESET and rule.direction is Direction.OUT and not rule.on_path:
            yield f"{mark} drop"
        if not order.in_user_space:
            yield f'{mark} {alone} != 0 oifname "{UPLINK}" goto leaving'
            yield f'{mark} {alone} != 0 iifname "{UPLINK}" goto arriving'
    if order.in_user_space:
        return
    if not order.layers:
        for version, out, selected in _selected(order, _directions(rule)):
            yield f"{selected} {_note_ends(rule, version, out=out)}goto {'leaving' if out else 'arriving'}"
    for noted in _noted(rule):
        yield f"{noted} goto {'leaving' if noted.startswith('oif') else 'arriving'}"


def _directions(rule: Rule) -> tuple[bool, ...]:
    """True for what leaves, False for what arrives."""
    if rule.method is Method.RESET:
        # Its direction names who is reset, and a packet of either end can be the occasion.
        return (True, False)
    return {Direction.BOTH: (True, False), Direction.OUT: (True,), Direction.IN: (False,)}[rule.direction]


def _noted(rule: Rule) -> Iterator[str]:
    """Matches of packets between ends, and of connections, that were noted."""
    for version in families(rule):
        ip = _WORD[version]
        if rule.names or rule.method in ANSWERS:
            yield f'oifname "{UPLINK}" {ip} saddr . meta l4proto . th sport . {ip} daddr . th dport @flows{version}'
            yield f'iifname "{UPLINK}" {ip} daddr . meta l4proto . th dport . {ip} saddr . th sport @flows{version}'
        if rule.residual:
            yield f'oifname "{UPLINK}" {ip} saddr . {ip} daddr @ends{version}'
            yield f'iifname "{UPLINK}" {ip} daddr . {ip} saddr @ends{version}'


def _note_ends(rule: Rule, version: int, *, out: bool) -> str:
    """The statement that notes the two ends, the customer first."""
    if not rule.residual:
        return ""
    ip = _WORD[version]
    ends = f"{ip} saddr . {ip} daddr" if out else f"{ip} daddr . {ip} saddr"
    return f"update @ends{version} {{ {ends} timeout {_residual(rule)} }} "


def _selected(order: Order, directions: tuple[bool, ...], *, bare: bool = False) -> Iterator[tuple[int, bool, str]]:
    """IP version, whether it leaves, and the match of what the rule selects; ``bare`` of the protocol."""
    rule = order.rule
    for version in families(rule):
        ip = _WORD[version]
        for out in directions:
            server, customer, port = ("daddr", "saddr", "dport") if out else ("saddr", "daddr", "sport")
            parts = [f'oifname "{UPLINK}"' if out else f'iifname "{UPLINK}"', f"meta nfproto ipv{version}"]
            for which, prefixes in ((server, rule.addresses), (customer, rule.customers)):
                fitting = [str(prefix) for prefix in prefixes if prefix.version == version]
                parts += [f"{ip} {which} {{ {', '.join(fitting)} }}"] if fitting else []
            if order.protocol is not None and not bare:
                icmp = {4: "icmp", 6: "ipv6-icmp"}[version]
                parts.append(f"meta l4proto {icmp if order.protocol is Protocol.ICMP else order.protocol.value}")
            elif rule.ports and not bare:
                parts.append("meta l4proto { tcp, udp }")
            if rule.ports:
                parts.append(f"th {port} {{ {', '.join(map(str, sorted(set(rule.ports))))} }}")
            yield version, out, " ".join(parts)
