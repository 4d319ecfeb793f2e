"""Does what a scenario's timeline says: each kind of fault is made of breakages, which it begins and mends.

A fault changes links, routes, filters, servers and power only; the probes and the collector learn of it by what they
measure. What has begun is kept in ``lab.broken``, where each entry mends it when it is called.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import singledispatch
from ipaddress import ip_network

from civobs_lab.breakages import (
    Adversary,
    Breakage,
    Censored,
    Congested,
    FalseOutage,
    Filtered,
    LinkDown,
    Misbehaving,
    Moved,
    PartDown,
    PowerOff,
    Swallowed,
)
from civobs_lab.fault_kinds import (
    CaptivePortal,
    Censor,
    CollectorBlocked,
    Congestion,
    Fault,
    Flapping,
    ForgedProbes,
    HomeDown,
    InternationalCut,
    Ipv6Broken,
    NameMoves,
    NationalShutdown,
    NetworkDown,
    ObservatoryDown,
    PowerCut,
    ResolverDead,
    RouterDead,
    Server,
    Whitelist,
)
from civobs_lab.lab import Lab
from civobs_lab.network import UPLINK
from civobs_lab.observatory import API_PORT, BROKER_PORT, PARTS, SECOND_BROKER
from civobs_lab.scenario import Scenario
from civobs_lab.timeline import CLOCK, HABIT, Step
from civobs_lab.topology import Network


class FaultError(RuntimeError):
    """The topology lacks what a fault needs; the text says what."""


Key = tuple[int, str]
"""Index of the fault, and the item of its step."""


@dataclass(eq=False)
class Broken:
    """What one step has broken; call it to mend it. A second call is harmless."""

    lab: Lab
    key: Key
    breakages: Sequence[Breakage]
    mended: bool = False

    def begin(self) -> None:
        """Break it, but for what is broken already."""
        others = list(_broken(self.lab))
        self.lab.broken[self.key] = self
        try:
            for each in self.breakages:
                if each not in others:
                    each.begin(self.lab)
        except BaseException:
            with suppress(Exception):
                self()
            raise

    def __call__(self) -> None:
        self.lab.broken.pop(self.key, None)
        if self.mended:
            return
        self.mended = True
        others = list(_broken(self.lab))
        failed: Exception | None = None
        for each in reversed(self.breakages):
            try:
                if each not in others:
                    each.mend(self.lab, others)
            except Exception as error:  # noqa: BLE001 - the rest has to be mended whatever it was; it is raised below
                failed = failed or error
        if failed is not None:
            raise failed


def prepare(lab: Lab, scenario: Scenario, steps: Iterable[Step]) -> None:
    """Refuse what no censor can do, and start the programs that read for one: it has to act the moment it is told to.

    Raises CensorError, and FaultError where the topology lacks something.
    """
    for step in steps:
        fault = scenario.fault[step.fault]
        if step.verb == "begin" and isinstance(fault, Censor):
            for each in _breakages(fault, lab, step):
                if isinstance(each, Censored):
                    lab.censor_at(each.place).prepare(each.rule)


def perform(lab: Lab, scenario: Scenario, step: Step) -> None:
    """Do one step. What is broken already, or whole already, is left so.

    Raises FaultError where the topology lacks something, and what the lab's parts raise.
    """
    fault, key = scenario.fault[step.fault], (step.fault, step.item)
    if step.verb == "begin":
        if key not in lab.broken:
            Broken(lab, key, list(_breakages(fault, lab, step))).begin()
        return
    if isinstance(fault, PowerCut) and fault.clock_known_after and not step.item.startswith(CLOCK):
        # Before the probe comes back: it would ask for the time at once.
        withheld = _time_withheld(lab, step)
        Broken(lab, (step.fault, CLOCK + step.item), [withheld]).begin()
    mend = lab.broken.get(key)
    if mend is not None:
        mend()


def _broken(lab: Lab) -> Iterator[Breakage]:
    for each in lab.broken.values():
        if isinstance(each, Broken):
            yield from each.breakages


@singledispatch
def _breakages(fault: Fault, lab: Lab, step: Step) -> Iterable[Breakage]:
    """What a fault is made of, in the order of breaking."""
    raise TypeError(f"nothing breaks for {fault.kind}")


@_breakages.register
def _(fault: NationalShutdown, lab: Lab, step: Step) -> Iterable[Breakage]:
    del step
    return [Swallowed(place.namespace.name) for place in lab.network.providers(fault.scope, fault.access)]


@_breakages.register
def _(fault: InternationalCut, lab: Lab, step: Step) -> Iterable[Breakage]:
    del lab, step
    return [LinkDown(f"gateway-{fault.scope}")]


@_breakages.register
def _(fault: Whitelist, lab: Lab, step: Step) -> Iterable[Breakage]:
    allowed = [address for host in fault.allowed for address in _addresses(lab, host)]
    chains = f"""
    chain forward {{
      type filter hook forward priority filter;
      {_each("oifname", "daddr", allowed, "accept")}
      {_each("iifname", "saddr", allowed, "accept")}
      oifname "{UPLINK}" drop
      iifname "{UPLINK}" drop
    }}"""
    return [Filtered(f"gateway-{fault.scope}", _table(step), chains)]


@_breakages.register
def _(fault: NetworkDown, lab: Lab, step: Step) -> Iterable[Breakage]:
    del step
    return [LinkDown(_router(_network(lab, fault.scope)))]


@_breakages.register(HomeDown)
@_breakages.register(Flapping)
def _(fault: HomeDown | Flapping, lab: Lab, step: Step) -> Iterable[Breakage]:
    del lab, step
    return [LinkDown(f"home-{fault.scope}")]


@_breakages.register
def _(fault: RouterDead, lab: Lab, step: Step) -> Iterable[Breakage]:
    del lab, step
    return _router_off(fault.scope)


@_breakages.register
def _(fault: Ipv6Broken, lab: Lab, step: Step) -> Iterable[Breakage]:
    chains = "chain forward { type filter hook forward priority filter; meta nfproto ipv6 drop; }"
    return [Filtered(_router(_network(lab, fault.scope)), _table(step), chains)]


@_breakages.register
def _(fault: CaptivePortal, lab: Lab, step: Step) -> Iterable[Breakage]:
    portal = next((host.name for _, host, _ in lab.network.topology.hosts() if "portal" in host.serves), None)
    if portal is None:
        raise FaultError(f"{lab.network.topology.name} has no host that serves portal")
    address = next(one for one in _addresses(lab, portal) if ":" not in one)
    chains = f"""
    chain prerouting {{
      type nat hook prerouting priority dstnat;
      iifname "lan" meta nfproto ipv4 tcp dport 80 dnat ip to {address}
    }}
    chain forward {{
      type filter hook forward priority filter;
      ct status dnat accept
      meta nfproto ipv4 meta l4proto {{ tcp, udp }} th dport 53 accept
      meta nfproto ipv4 meta l4proto {{ tcp, udp }} th sport 53 accept
      drop
    }}"""
    return [Filtered(f"home-{fault.scope}", _table(step), chains)]


@_breakages.register
def _(fault: PowerCut, lab: Lab, step: Step) -> Iterable[Breakage]:
    off = PowerOff(step.item, clock_error_s=fault.clock_error / lab.time_scale)
    # Lines first: a device without power says no good-bye. Homes that come back together do not wait for each other.
    return [*_router_off(step.item, waits=False), off]


@_breakages.register
def _(fault: CollectorBlocked, lab: Lab, step: Step) -> Iterable[Breakage]:
    topology = lab.network.topology
    second = topology.second_broker()
    hosts = [topology.observatory()[1].name]
    if second is not None and fault.brokers == "all":
        hosts.append(second[1].name)
    addresses = [address for host in hosts for address in _addresses(lab, host)]
    ports = f"tcp dport {{ {BROKER_PORT}, {API_PORT} }} " if fault.by == "port" else ""
    chains = f"""
    chain forward {{
      type filter hook forward priority filter;
      {_each("", "daddr", addresses, f"{ports}drop")}
      {_each("", "saddr", addresses, f"{ports.replace('dport', 'sport')}drop")}
    }}"""
    return [Filtered(place, _table(step), chains) for place in _providers(lab, fault.scope)]


@_breakages.register
def _(fault: ObservatoryDown, lab: Lab, step: Step) -> Iterable[Breakage]:
    del step
    second = lab.network.topology.second_broker()
    if second is not None and fault.scope == second[1].name:
        if fault.parts not in {("broker",), PARTS}:
            raise FaultError(f"at {fault.scope} there is a broker only")
        return [PartDown(SECOND_BROKER)]
    # Mended in the opposite order: the collector finds the others when it starts.
    return [PartDown(part) for part in reversed(PARTS) if part in fault.parts]


@_breakages.register
def _(fault: ForgedProbes, lab: Lab, step: Step) -> Iterable[Breakage]:
    if step.item == HABIT:
        return [Adversary(_network(lab, fault.scope), fault.count)]
    known = lab.broken.get((step.fault, HABIT))
    if not isinstance(known, Broken):
        raise FaultError(f"nobody has enrolled identities in {fault.scope}")
    return [FalseOutage(each) for each in known.breakages if isinstance(each, Adversary)]


@_breakages.register
def _(fault: Server, lab: Lab, step: Step) -> Iterable[Breakage]:
    del lab, step
    return [Misbehaving(fault.scope, fault.does)]


@_breakages.register
def _(fault: ResolverDead, lab: Lab, step: Step) -> Iterable[Breakage]:
    network = _network(lab, fault.scope)
    resolver = next((host.name for host in network.hosts if "resolver" in host.serves), None)
    if resolver is None:
        raise FaultError(f"{fault.scope} has no resolver")
    chains = """
    chain input {
      type filter hook input priority filter;
      meta l4proto { tcp, udp } th dport { 53, 443, 853 } drop
    }"""
    return [Filtered(resolver, _table(step), chains)]


@_breakages.register
def _(fault: Congestion, lab: Lab, step: Step) -> Iterable[Breakage]:
    del step
    network = _network(lab, fault.scope)
    above = f"exchange-{network.cc}" if lab.network.topology.country(network.cc) else "core"
    ends = ((_router(network), UPLINK), (above, f"to-{_router(network)}"[:15]))
    return [Congested(place, device, fault.rate_kbit, fault.queue_ms) for place, device in ends]


@_breakages.register
def _(fault: NameMoves, lab: Lab, step: Step) -> Iterable[Breakage]:
    del lab, step
    return [Moved(fault.name, fault.scope, fault.countries)]


@_breakages.register
def _(fault: Censor, lab: Lab, step: Step) -> Iterable[Breakage]:
    del step
    topology = lab.network.topology
    hosts = [address for host in fault.hosts for address in _addresses(lab, host)]
    seen_as = [prefix for name in fault.households for home in topology.households_of(name) for prefix in home.seen_as]
    rule = fault.rule(
        addresses=tuple(map(ip_network, (*fault.addresses, *hosts))),
        customers=tuple(seen_as),
        residual=f"{round(1000 * fault.residual / lab.time_scale)}ms",
    )
    places = [f"gateway-{fault.scope}"] if fault.at == "gateway" else _providers(lab, fault.scope)
    return [Censored(place, rule) for place in places]


def _time_withheld(lab: Lab, step: Step) -> Breakage:
    """The only word that a probe without a clock would believe: the observatory's."""
    observatory = lab.network.topology.observatory()[1].name
    chains = f"""
    chain forward {{
      type filter hook forward priority filter;
      {_each("", "daddr", _addresses(lab, observatory), f"tcp dport {API_PORT} reject with tcp reset")}
    }}"""
    return Filtered(f"home-{step.item}", f"{_table(step)}_clock", chains)


def _router_off(household: str, *, waits: bool = True) -> list[Breakage]:
    return [LinkDown(f"home-{household}", device, waits=waits) for device in (UPLINK, "lan")]


def _table(step: Step) -> str:
    return f"fault_{step.fault}"


def _network(lab: Lab, scope: str) -> Network:
    return next(each for each in lab.network.topology.networks if f"AS{each.asn}" == scope)


def _router(network: Network) -> str:
    return f"as{network.asn}"


def _providers(lab: Lab, scope: str) -> list[str]:
    """Routers of all providers of a country, or of one network."""
    if lab.network.topology.country(scope) is None:
        return [_router(_network(lab, scope))]
    return [place.namespace.name for place in lab.network.providers(scope)]


def _addresses(lab: Lab, host: str) -> list[str]:
    """All addresses of a host, of both families."""
    return [str(address) for device, address, _ in lab.network[host].addresses if device == UPLINK]


def _each(interface: str, field: str, addresses: Iterable[str], verdict: str) -> str:
    """A rule of nft for each address; ``interface`` is ``oifname``, ``iifname`` or nothing."""
    where = f'{interface} "{UPLINK}" ' if interface else ""
    return "\n      ".join(
        f"{where}{'ip6' if ':' in address else 'ip'} {field} {address} {verdict}" for address in addresses
    )
