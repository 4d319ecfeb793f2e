"""Which hosts a name leads to, for whom: the truth that all authorities of the lab share.

A CDN leads resolvers of one country to its servers there; a name may move to another host while the lab runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from civobs_lab.servers.description import Description


@dataclass(frozen=True, slots=True)
class Lead:
    """One host of a name, and the countries whose resolvers are led there; none are named: everybody else."""

    host: str
    countries: tuple[str, ...] = ()


@dataclass(slots=True)
class Names:
    """Names, hosts and countries of one lab."""

    leads: Mapping[str, Sequence[Lead]]
    addresses: Mapping[str, Sequence[str]]
    """Of each host, both families."""
    prefixes: Sequence[tuple[IPv4Network | IPv6Network, str]]
    moves: dict[str, list[Lead]] = field(default_factory=dict)

    @classmethod
    def of(cls, lab: Description) -> "Names":
        """As a topology describes them."""
        return cls(
            {name: [Lead(lead.host, lead.countries) for lead in leads] for name, leads in lab.names.items()},
            lab.addresses,
            [(ip_network(prefix), cc) for prefix, cc in lab.prefixes],
        )

    def addresses_of(self, name: str, client: str) -> tuple[str, ...] | None:
        """Where a name leads somebody at this address; None if there is no such name."""
        leads = self.leads.get(name)
        if leads is None:
            return None
        cc = self._country(client)
        # The last move that concerns the country, else the hosts there, else those for everybody.
        for move in reversed(self.moves.get(name, [])):
            if not move.countries or cc in move.countries:
                return tuple(self.addresses[move.host])
        here = [lead for lead in leads if cc in lead.countries] or [lead for lead in leads if not lead.countries]
        return tuple(address for lead in here for address in self.addresses[lead.host])

    def moved_to(self, host: str) -> bool:
        """Whether a name has moved to a host that is not its own."""
        return any(move.host == host for moves in self.moves.values() for move in moves)

    def _country(self, client: str) -> str | None:
        address = ip_address(client)
        return next((cc for prefix, cc in self.prefixes if address in prefix), None)
