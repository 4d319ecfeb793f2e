"""Whether a fault can have an effect in a topology: what cannot do anything is a mistake, and is told as one.

Its scope is there and of the right sort; this is about what stands in it.
"""

from collections.abc import Iterator
from functools import singledispatch

from pydantic import ValidationError

from civobs_lab import strict_toml
from civobs_lab.censor.rule import Rule
from civobs_lab.fault_kinds import (
    CaptivePortal,
    Censor,
    CollectorBlocked,
    Fault,
    ForgedProbes,
    Ipv6Broken,
    NationalShutdown,
    ObservatoryDown,
    PowerCut,
    ResolverDead,
    Server,
    Whitelist,
)
from civobs_lab.strict_toml import Problem, nearest
from civobs_lab.toml_lines import Where
from civobs_lab.topology import Host, Network, Topology


def problems(fault: Fault, topology: Topology, where: Where) -> Iterator[Problem]:
    """What is missing for it; ``where`` is the fault's place in the file."""
    for key, cause, remedy in _missing(fault, topology):
        yield Problem((*where, key) if key else where, cause, remedy)
    if isinstance(fault, Censor):
        yield from _censor(fault, topology, where)


Missing = Iterator[tuple[str, str, str]]
"""Key, cause and remedy."""


@singledispatch
def _missing(fault: Fault, topology: Topology) -> Missing:
    del fault, topology
    yield from ()


@_missing.register
def _(fault: NationalShutdown, topology: Topology) -> Missing:
    if not topology.providers(fault.scope, fault.access):
        yield "access", f"{fault.scope} has no {fault.access} provider", "write 'both', or leave it out"


@_missing.register
def _(fault: Whitelist, topology: Topology) -> Missing:
    for name in fault.allowed:
        if any(host.name == name and network.cc == fault.scope for network, host, _ in topology.hosts()):
            yield "allowed", f"{name} is not abroad, so the gateway is not on the way to it", "leave it out"


@_missing.register
def _(fault: PowerCut, topology: Topology) -> Missing:
    if not topology.households_of(fault.scope):
        yield "scope", f"there is no probe in {fault.scope}", "put some there with `probes`"


@_missing.register(CollectorBlocked)
@_missing.register(Ipv6Broken)
@_missing.register(ResolverDead)
@_missing.register(ForgedProbes)
def _(
    fault: CollectorBlocked | Ipv6Broken | ResolverDead | ForgedProbes,
    topology: Topology,
) -> Missing:
    network = _network(fault.scope, topology)
    if network is None:
        return
    if not network.is_provider:
        remedy = nearest("", (f"AS{one.asn}" for one in topology.networks if one.is_provider), otherwise="write one of")
        yield "scope", f"{fault.scope} has no customers", remedy
    elif isinstance(fault, Ipv6Broken) and network.ipv6 != "working":
        yield "scope", f"IPv6 of {fault.scope} is {network.ipv6} as it is", "name a network where it works"


@_missing.register
def _(fault: CaptivePortal, topology: Topology) -> Missing:
    del fault
    if not any("portal" in host.serves for _, host, _ in topology.hosts()):
        yield "kind", f"{topology.name} has no host that serves portal", "name a topology with one"


@_missing.register
def _(fault: ObservatoryDown, topology: Topology) -> Missing:
    host = _host(fault.scope, topology)
    if not (host.observatory or host.broker):
        ours = (host.name for _, host, _ in topology.hosts() if host.observatory or host.broker)
        yield "scope", f"{fault.scope} is not the observatory", nearest("", ours, otherwise="write one of")
    elif host.broker and fault.parts not in {("broker",), ObservatoryDown.model_fields["parts"].default}:
        yield "parts", f"at {fault.scope} there is a broker only", "write ['broker'], or leave it out"


@_missing.register
def _(fault: Server, topology: Topology) -> Missing:
    from civobs_lab.servers.misbehaviour import able

    can = able(_host(fault.scope, topology).serves)
    if fault.does not in can:
        yield "does", f"{fault.scope} serves nothing that can do {fault.does!r}", f"it can do: {', '.join(can) or '-'}"


def _censor(fault: Censor, topology: Topology, where: Where) -> Iterator[Problem]:
    network = _network(fault.scope, topology)
    if fault.at == "gateway" and network is not None:
        yield Problem((*where, "at"), "a network has no gateway", "leave `at` out, or name a country as the scope")
    if fault.at == "providers" and network is not None and not network.is_provider:
        yield Problem((*where, "scope"), f"{fault.scope} has no customers", "name a network that has some")
    yield from _beyond(fault, topology, where)
    # It reads packets with scapy, which takes its time to load.
    from civobs_lab.censor.errors import CensorError
    from civobs_lab.censor.orders import refuse_what_cannot_act

    try:
        refuse_what_cannot_act(fault.rule(addresses=fault.addresses))
    except ValidationError as error:
        yield from strict_toml.problems(error, Rule, where)
    except CensorError as error:
        cause, _, remedy = str(error).partition("; ")
        yield Problem((*where, error.key or "method"), cause, remedy or "docs/lab.md says what goes with what")


def _beyond(fault: Censor, topology: Topology, where: Where) -> Iterator[Problem]:
    """Customers and servers that the censor never sees."""
    ours = {home.name for home in topology.households_of(fault.scope)}
    everybody = {home.name for home in topology.households()}
    for index, home in enumerate(fault.households):
        if home in everybody - ours:
            cause = f"{home} is not in {fault.scope}, so this censor never sees it"
            yield Problem((*where, "households", index), cause, nearest("", ours, otherwise="write of"))
    for index, name in enumerate(fault.hosts if fault.at == "gateway" else ()):
        if any(host.name == name and network.cc == fault.scope for network, host, _ in topology.hosts()):
            cause = f"{name} is not abroad, so the gateway is not on the way to it"
            yield Problem((*where, "hosts", index), cause, "leave it out, or leave `at` out")


def _network(scope: str, topology: Topology) -> Network | None:
    return next((one for one in topology.networks if f"AS{one.asn}" == scope), None)


def _host(name: str, topology: Topology) -> Host:
    return topology.host(name)[1]
