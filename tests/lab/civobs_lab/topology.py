"""Which small Internet to build, as data: countries, networks with their households, and servers.

The shape is always the same: a core, a gateway and an exchange per country, a router per network, and behind it
hosts and homes. A TOML file says how many of each, under which names and prefixes. Networks of a country that is not
listed hang off the core: they are the world outside.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

LAB_RANGES = tuple(
    # RFC 5737 and RFC 2544: nothing on the real Internet answers there; RFC 6598 for carrier NAT.
    IPv4Network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "100.64.0.0/10")
)
LAB_RANGE6 = IPv6Network("2001:db8::/32")
"""RFC 3849."""
CORE_PREFIX = IPv4Network("198.18.0.0/24")
CORE_PREFIX6 = IPv6Network("2001:db8::/48")
"""Links between the core, the gateways, the exchanges and the networks' routers."""
TOPOLOGIES = Path(__file__).parent / "topologies"


class TopologyError(ValueError):
    """A topology file is unreadable or contradicts itself."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Host(_Part):
    """A server in a network."""

    name: str
    serves: tuple[Literal["tcp", "authority", "resolver", "web"], ...] = ()
    """``tcp`` accepts and closes on port 443; ``authority`` answers for the zones of the file; ``resolver`` asks
    the authorities; ``web`` answers HTTP and, under the lab's CA, HTTPS. All answer echo requests."""
    names: tuple[str, ...] = ()
    """DNS names that lead here."""
    anchor: Literal["icmp", "tcp", "dns"] | None = None
    """How probes ask it when it stands in a plan as an anchor."""
    observatory: bool = False


class Network(_Part):
    """One autonomous system: a router, hosts, households."""

    asn: Annotated[int, Field(ge=1, le=4294967295)]
    name: str
    cc: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    prefix: IPv4Network
    prefix6: IPv6Network
    households: Annotated[int, Field(ge=0, le=32)] = 0
    user_share: Annotated[float, Field(ge=0, le=1)] | None = None
    hosts: tuple[Host, ...] = ()

    @model_validator(mode="after")
    def _stays_in_the_lab(self) -> Self:
        if not any(self.prefix.subnet_of(known) for known in LAB_RANGES) or self.prefix.overlaps(CORE_PREFIX):
            raise ValueError(f"AS{self.asn}: {self.prefix} is not a free lab range")
        if not self.prefix6.subnet_of(LAB_RANGE6) or self.prefix6.overlaps(CORE_PREFIX6):
            raise ValueError(f"AS{self.asn}: {self.prefix6} is not a free lab range")
        if 4 * (self.households + len(self.hosts)) > self.prefix.num_addresses:
            raise ValueError(f"AS{self.asn}: {self.prefix} is too small for its links")
        return self


class Country(_Part):
    """A country with a gateway and an exchange of its own."""

    cc: Annotated[str, Field(pattern="^X[A-Z]$")]
    """From ISO 3166-1's user-assigned codes, so that no real country is ever named."""
    name: str
    regions: tuple[str, ...]
    """Households are spread over them in turn."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A link from a network's router to a host or a home: a /30 and a /64, router first."""

    network: Network
    index: int

    @property
    def router(self) -> IPv4Address:
        return self.network.prefix[4 * self.index + 1]

    @property
    def address(self) -> IPv4Address:
        return self.network.prefix[4 * self.index + 2]

    @property
    def prefix6(self) -> IPv6Network:
        return _subnet64(self.network.prefix6, self.index)

    @property
    def router6(self) -> IPv6Address:
        return self.prefix6[1]

    @property
    def address6(self) -> IPv6Address:
        return self.prefix6[2]


@dataclass(frozen=True, slots=True)
class Household:
    """One home: a router that translates addresses, and a probe behind it."""

    name: str
    network: Network
    number: int
    region: str

    @property
    def link(self) -> Attachment:
        return Attachment(self.network, len(self.network.hosts) + self.number)

    @property
    def home6(self) -> IPv6Network:
        """The home's own /64, routed to it."""
        return _subnet64(self.network.prefix6, 0x1000 + self.number)


class Topology(_Part):
    """The whole."""

    name: str
    countries: tuple[Country, ...] = ()
    networks: tuple[Network, ...]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        for what, values in (
            ("ASN", [network.asn for network in self.networks]),
            ("host", [host.name for network in self.networks for host in network.hosts]),
            ("country", [country.cc for country in self.countries]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"the same {what} twice")
        for one in self.networks:
            for other in self.networks:
                if one is not other and (one.prefix.overlaps(other.prefix) or one.prefix6.overlaps(other.prefix6)):
                    raise ValueError(f"AS{one.asn} and AS{other.asn} share addresses")
            if one.households and self.country(one.cc) is None:
                raise ValueError(f"AS{one.asn} has households in a country that is not listed")
        if sum(host.observatory for _, host, _ in self.hosts()) > 1:
            raise ValueError("more than one observatory")
        return self

    def country(self, cc: str) -> Country | None:
        """A listed country, None for the world outside."""
        return next((country for country in self.countries if country.cc == cc), None)

    def hosts(self) -> Iterator[tuple[Network, Host, Attachment]]:
        """Every server and where it hangs."""
        for network in self.networks:
            for index, host in enumerate(network.hosts):
                yield network, host, Attachment(network, index)

    def host(self, name: str) -> tuple[Network, Host, Attachment]:
        """One server. Raises TopologyError."""
        for entry in self.hosts():
            if entry[1].name == name:
                return entry
        raise TopologyError(f"{self.name} has no host {name}")

    def observatory(self) -> tuple[Network, Host, Attachment]:
        """Where broker and collector are. Raises TopologyError."""
        for entry in self.hosts():
            if entry[1].observatory:
                return entry
        raise TopologyError(f"{self.name} has no observatory")

    def resolver_of(self, network: Network) -> Attachment:
        """The resolver that a network gives to its customers. Raises TopologyError."""
        for index, host in enumerate(network.hosts):
            if "resolver" in host.serves:
                return Attachment(network, index)
        raise TopologyError(f"AS{network.asn} has no resolver")

    def households(self) -> Iterator[Household]:
        """Every home, named by country, network and number."""
        for network in self.networks:
            country = self.country(network.cc)
            for number in range(network.households):
                assert country is not None  # validated above
                region = country.regions[number % len(country.regions)]
                yield Household(f"{network.cc.lower()}-{network.asn}-{number + 1}", network, number, region)


def load(path: Path) -> Topology:
    """Read a topology file; a bare name is looked up among the lab's own. Raises TopologyError."""
    file = path if path.suffix else TOPOLOGIES / f"{path}.toml"
    try:
        return Topology.model_validate(tomllib.loads(file.read_text()))
    except OSError as error:
        raise TopologyError(f"cannot read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyError(f"{file} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TopologyError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _subnet64(prefix: IPv6Network, index: int) -> IPv6Network:
    return IPv6Network((int(prefix.network_address) + (index << 64), 64))
