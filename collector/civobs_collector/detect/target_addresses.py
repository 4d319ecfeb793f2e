"""Which addresses that a target's name led to are its own, which are lies, and of which nothing can be said.

An address at which nobody has met the target and a connection fails may be a resolver's lie, or a dead machine of a
delivery network that one network is led to. It is called a lie only where the answers themselves show one: two of
them to one question, one that independent resolvers contradict for a name that leads everybody else to the same
place, or one address for names that have nothing in common.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from civobs_collector.detect.params import Params

Network = tuple[str, int]
"""Country and number."""


class Told(StrEnum):
    """What is known of an address from one row; the words are those of ``target_addresses.sql``."""

    VERIFIED = "verified"
    """The target was met there over verified TLS."""
    OPEN = "open"
    """Something answered a connect."""
    FAILED = "failed"
    GIVEN = "given"
    """A resolver that the household was given leads there."""
    INDEPENDENT = "independent"
    """Another resolver does, asked from the same household."""
    DOUBLED = "doubled"
    """It stood in one of two answers to one question that have no address in common."""


class AddressFact(NamedTuple):
    """Something that was said of an address, in a network."""

    target: int
    cc: str
    asn: int
    address: str
    told: Told


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a target's addresses."""

    verified: frozenset[str] = frozenset()
    """Where it was met over verified TLS."""
    open: frozenset[str] = frozenset()
    """Where something answered a connect."""
    lies: frozenset[str] = frozenset()
    """Where it was not met, and whose being told is a lie."""

    def is_strange(self, address: str | None) -> bool:
        """Whether nobody has met the target at an address, where it has been met elsewhere."""
        met = self.verified or self.open
        return bool(met) and address is not None and address not in met

    def is_lie(self, address: str | None) -> bool:
        """Whether an address was told that is none of the target's."""
        return address in self.lies


@dataclass(slots=True)
class _Site:
    """Facts of one target: in which networks what was said of an address."""

    by: dict[Told, dict[str, set[Network]]] = field(default_factory=lambda: {one: defaultdict(set) for one in Told})

    @property
    def met(self) -> Mapping[str, set[Network]]:
        return self.by[Told.VERIFIED] or self.by[Told.OPEN]

    def strange(self) -> frozenset[str]:
        """Where it failed and was never met."""
        met = self.met
        return frozenset(one for one in self.by[Told.FAILED] if met and one not in met)


def known_addresses(facts: Iterable[AddressFact], params: Params) -> dict[int, Known]:
    """By target what is known of its addresses; the order of the facts does not matter."""
    sites: dict[int, _Site] = defaultdict(_Site)
    for one in facts:
        sites[one.target].by[Told(one.told)][one.address].add((one.cc, one.asn))
    strange = {target: site.strange() for target, site in sites.items()}
    lies = {
        address
        for target, site in sites.items()
        for address in strange[target]
        if _is_told_falsely(address, site, params)
    }
    lies |= _sinks(sites, strange, params.count("target.sink"))
    return {
        target: Known(frozenset(site.by[Told.VERIFIED]), frozenset(site.by[Told.OPEN]), strange[target] & lies)
        for target, site in sites.items()
    }


def _is_told_falsely(address: str, site: _Site, params: Params) -> bool:
    """Whether the answers to the target's name themselves show that one of them was a lie."""
    if address in site.by[Told.DOUBLED]:
        return True
    if address in site.by[Told.INDEPENDENT] or not _is_fixed(address, site, params):
        return False
    contradicted = frozenset[Network]().union(
        *(networks for other, networks in site.by[Told.INDEPENDENT].items() if other in site.met)
    )
    return not contradicted.isdisjoint(site.by[Told.GIVEN].get(address, ()))


def _is_fixed(address: str, site: _Site, params: Params) -> bool:
    """Whether the name leads to the same place from several networks: then no delivery network moves it about."""
    places: dict[Network, set[str]] = defaultdict(set)
    for other, networks in site.met.items():
        if _family(other) == _family(address):
            for network in networks:
                places[network].add(other)
    distinct = sorted({frozenset(one) for one in places.values()}, key=sorted)
    return len(places) >= params["target.fixed"] and not any(
        one.isdisjoint(other) for number, one in enumerate(distinct) for other in distinct[:number]
    )


def _sinks(sites: Mapping[int, _Site], strange: Mapping[int, Collection[str]], least: int) -> set[str]:
    """Addresses at which so many targets failed that are met nowhere together."""
    failing: dict[str, list[int]] = defaultdict(list)
    for target in sorted(strange):
        for address in strange[target]:
            failing[address].append(target)
    return {
        address
        for address, targets in failing.items()
        if len(targets) >= least and _n_apart([frozenset(sites[one].met) for one in targets]) >= least
    }


def _n_apart(places: Sequence[frozenset[str]]) -> int:
    """How many groups are left where all that share an address are one."""
    groups: list[frozenset[str]] = []
    for one in places:
        near = [group for group in groups if not group.isdisjoint(one)]
        groups = [group for group in groups if group.isdisjoint(one)] + [one.union(*near)]
    return len(groups)


def _family(address: str) -> int:
    return 6 if ":" in address else 4
