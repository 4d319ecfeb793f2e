"""What can be broken, and how: each kind of fault is one row that says what it does to the network and undoes it.

A fault changes links and routes only; the servers, the probes and the collector learn of it by what they measure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from civobs_lab.network import UPLINK, LabNetwork, Place


class FaultKind(StrEnum):
    """Kinds of fault."""

    NATIONAL_SHUTDOWN = "national_shutdown"
    """Customers of every provider of a country lose everything beyond their provider, without an answer."""
    INTERNATIONAL_CUT = "international_cut"
    """The line between a country's gateway and the world is down; routers say so."""
    NETWORK_DOWN = "network_down"
    """One network loses its line to the exchange."""
    HOME_DOWN = "home_down"
    """One home router loses its line to the provider."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a scenario's timeline."""

    kind: FaultKind
    scope: str
    """A country's code, an AS number, or a household's name."""
    start_s: float = 0.0
    """Lab seconds from the start of the scenario."""
    end_s: float | None = None


class UnknownScopeError(ValueError):
    """The topology has no such country, network or household."""


def begin(network: LabNetwork, fault: Fault) -> None:
    """Break it. Raises UnknownScopeError."""
    _TABLE[fault.kind][0](network, fault.scope)


def end(network: LabNetwork, fault: Fault) -> None:
    """Mend it. Raises UnknownScopeError."""
    _TABLE[fault.kind][1](network, fault.scope)


def _providers(network: LabNetwork, cc: str) -> Iterator[Place]:
    """Routers of a country's networks with households."""
    found = [each for each in network.topology.networks if each.cc == cc and each.households]
    if not found:
        raise UnknownScopeError(f"no network with households in {cc}")
    return (network[f"as{each.asn}"] for each in found)


def _swallow(network: LabNetwork, cc: str) -> None:
    for router in _providers(network, cc):
        router.blackhole("add")


def _pass_again(network: LabNetwork, cc: str) -> None:
    for router in _providers(network, cc):
        router.blackhole("del")


def _named(network: LabNetwork, name: str) -> Place:
    try:
        return network[name]
    except KeyError:
        raise UnknownScopeError(f"the lab has no place {name}") from None


def _down(place_of: str) -> Callable[[LabNetwork, str], None]:
    def act(network: LabNetwork, scope: str) -> None:
        _named(network, place_of.format(scope)).set_link(UPLINK, "down")

    return act


def _up(place_of: str) -> Callable[[LabNetwork, str], None]:
    def act(network: LabNetwork, scope: str) -> None:
        # Not the link alone: routes and IPv6 addresses went with it.
        place = _named(network, place_of.format(scope))
        place.configure()
        place.wait_until_ready()

    return act


_TABLE: dict[FaultKind, tuple[Callable[[LabNetwork, str], None], Callable[[LabNetwork, str], None]]] = {
    FaultKind.NATIONAL_SHUTDOWN: (_swallow, _pass_again),
    FaultKind.INTERNATIONAL_CUT: (_down("gateway-{}"), _up("gateway-{}")),
    FaultKind.NETWORK_DOWN: (_down("as{}"), _up("as{}")),
    FaultKind.HOME_DOWN: (_down("home-{}"), _up("home-{}")),
}
"""Kind of fault, what begins it, what ends it."""
