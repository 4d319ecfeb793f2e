"""Which small Internet to build, as data: countries, networks with their households, and servers.

The shape is always the same: a core, a gateway and an exchange per country, a router per network, and behind it
hosts and homes, these behind carrier NAT or not. A TOML file says how many of each, under which names and prefixes.
Networks of a country that is not listed hang off the core: they are the world outside.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from civobs_lab.strict_toml import Document

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
CARRIER_PREFIX = IPv4Network("100.64.0.0/10")
"""RFC 6598: lines between a carrier's NAT box and homes. The same in every network, as it is in the field."""
TOPOLOGIES = Path(__file__).parent / "topologies"

_FREE = f"take one of {', '.join(map(str, LAB_RANGES[:-1]))} but {CORE_PREFIX}"
_LINK = 4
"""Addresses of a link: each is a /30."""
_HOMES6 = 0x1000
"""Networks inside homes are /64s from here on, links to them and to hosts are those below."""
_SAME_PORT = {53: ("authority", "resolver"), 80: ("web", "portal", "echo")}
"""Services that one host cannot have together."""
_ANCHORED_BY = {"dns": {"authority", "resolver"}, "tcp": {"tcp", "web", "throughput", "doh"}}
"""What answers an anchor's questions, for which plans know UDP port 53 and TCP port 443."""
_TAKEN = re.compile(r"core$|as\d|(gateway|exchange|nat|home|device)-|[a-z]{2}-\d+-\d")
"""What other places (network.py) and households are called: scopes and places are looked up by one word."""


def _is_free(name: str) -> str:
    if _TAKEN.match(name):
        raise ValueError(f"{name} could be another place's name; call it something else")
    return name


HostName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$", examples=["site-p"]), AfterValidator(_is_free)]
DomainName = Annotated[
    str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$", examples=["www.site.example"])
]
CountryCode = Annotated[str, Field(pattern="^X[A-JL-Z]$", examples=["XA"])]
"""From ISO 3166-1's user-assigned codes, so that no real country is ever named; XK is Kosovo to everybody."""
Service = Literal[
    "tcp", "authority", "resolver", "web", "h3", "dot", "doh", "throughput", "stun", "ntp", "portal", "echo"
]
Access = Literal["fixed", "mobile"]


class TopologyError(ValueError):
    """A topology contradicts itself, or has not what was asked for.

    ``why`` is the cause, or ``cause; remedy``; ``loc`` the way through the file to what is wrong.
    """

    def __init__(self, why: str, *, loc: tuple[str | int, ...] = ()) -> None:
        self.why = why
        self.loc = loc
        super().__init__(why)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Host(_Part):
    """A server in a network."""

    name: HostName
    serves: tuple[Service, ...] = ()
    """``tcp`` accepts and closes on port 443; ``authority`` answers for the zones of the file; ``resolver`` asks
    the authorities, ``dot`` and ``doh`` do so over TLS and HTTPS; ``web`` answers HTTP and, under the lab's CA, HTTPS,
    ``h3`` also over QUIC; ``throughput``, ``stun``, ``ntp`` and ``echo`` are there to be measured with; ``portal``
    asks everybody to log in. All answer echo requests."""
    names: tuple[DomainName, ...] = ()
    """DNS names that lead here."""
    only_in: tuple[CountryCode, ...] = ()
    """For its names, resolvers of these countries are led here, as a CDN does it. The host with the same name and
    without ``only_in`` serves everybody else."""
    anchor: Literal["icmp", "tcp", "dns"] | None = None
    """How probes ask it when it stands in a plan as an anchor."""
    observatory: bool = False
    broker: bool = False
    """A second way to the observatory: a broker that passes everything on to the first."""
    second_address: bool = False
    """It has two addresses of each family, as STUN needs them (RFC 5780)."""

    @model_validator(mode="after")
    def _answers_as_an_anchor(self) -> Self:
        able = _ANCHORED_BY.get(self.anchor or "")
        if able is not None and not able & {*self.serves}:
            why = f"nothing at {self.name} answers {self.anchor}; have it serve {' or '.join(sorted(able))}"
            raise TopologyError(why, loc=("anchor",))
        return self

    @model_validator(mode="after")
    def _serves_one_thing_on_a_port(self) -> Self:
        for port, services in _SAME_PORT.items():
            clashing = [service for service in services if service in self.serves]
            if len(clashing) > 1:
                why = f"{' and '.join(clashing)} both need port {port}; put one on a host of its own"
                raise TopologyError(why, loc=("serves",))
        return self


class Network(_Part):
    """One autonomous system: a router, hosts, households."""

    asn: Annotated[int, Field(ge=1, le=4294967295)]
    name: str
    cc: Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["XA"])]
    prefix: IPv4Network
    prefix6: IPv6Network
    households: Annotated[int, Field(ge=0, le=64)] = 0
    """Homes, each with a probe."""
    user_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the country's users; with one, it is a provider even if no home has a probe."""
    access: Access = "fixed"
    carrier_nat: bool = False
    """Homes share one IPv4 address behind a box of the provider's."""
    ipv6: Literal["working", "absent", "broken"] = "working"
    """In its homes. ``absent``: no address and no route; ``broken``: both, and no packet gets through."""
    hosts: tuple[Host, ...] = ()

    @property
    def is_provider(self) -> bool:
        """Whether it has customers, seen by the observatory or not."""
        return self.households > 0 or self.user_share is not None

    @property
    def carrier(self) -> "Attachment":
        """The link to its NAT box, where it has one."""
        return Attachment(self, len(self.hosts))

    @model_validator(mode="after")
    def _stays_in_the_lab(self) -> Self:
        kept = any(self.prefix.overlaps(other) for other in (CORE_PREFIX, CARRIER_PREFIX))
        if kept or not any(self.prefix.subnet_of(known) for known in LAB_RANGES):
            raise TopologyError(f"AS{self.asn}: {self.prefix} is not a free lab range; {_FREE}", loc=("prefix",))
        if not self.prefix6.subnet_of(LAB_RANGE6) or self.prefix6.overlaps(CORE_PREFIX6):
            why = f"AS{self.asn}: {self.prefix6} is not a free lab range; take a /48 of {LAB_RANGE6}, not the first"
            raise TopologyError(why, loc=("prefix6",))
        if self.prefix6.prefixlen > 48:
            raise TopologyError(f"AS{self.asn}: {self.prefix6} is smaller than a /48; take a /48", loc=("prefix6",))
        links = len(self.hosts) + (1 if self.carrier_nat else self.households)
        # Second addresses are counted from the end of the prefix, past the broadcast address.
        seconds = 1 + len(self.hosts) if any(host.second_address for host in self.hosts) else 0
        if _LINK * links + seconds > self.prefix.num_addresses:
            raise TopologyError(f"AS{self.asn}: {self.prefix} is too small; each link takes {_LINK}", loc=("prefix",))
        if self.is_provider and not any("resolver" in host.serves for host in self.hosts):
            why = f"AS{self.asn} has customers and no resolver; give it a host that serves resolver"
            raise TopologyError(why, loc=("hosts",))
        return self


class Country(_Part):
    """A country with a gateway and an exchange of its own."""

    cc: CountryCode
    name: str
    regions: Annotated[tuple[Annotated[str, Field(pattern="^[^/]+$", examples=["North"])], ...], Field(min_length=1)]
    """Households are spread over them in turn."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A link from a network's router, or its NAT box, to a host or a home: a /30 and a /64, the upper end first."""

    network: Network
    index: int
    translated: bool = False
    """Below the NAT box."""

    @property
    def router(self) -> IPv4Address:
        return self._prefix[_LINK * self.index + 1]

    @property
    def address(self) -> IPv4Address:
        return self._prefix[_LINK * self.index + 2]

    @property
    def second(self) -> IPv4Address:
        """A host's second address, where it has one."""
        return self.network.prefix[-2 - self.index]

    @property
    def prefix6(self) -> IPv6Network:
        return _subnet64(self.network.prefix6, self.index)

    @property
    def router6(self) -> IPv6Address:
        return self.prefix6[1]

    @property
    def address6(self) -> IPv6Address:
        return self.prefix6[2]

    @property
    def second6(self) -> IPv6Address:
        return self.prefix6[3]

    @property
    def _prefix(self) -> IPv4Network:
        return CARRIER_PREFIX if self.translated else self.network.prefix


@dataclass(frozen=True, slots=True)
class Household:
    """One home: a router that translates addresses, and a probe behind it."""

    name: str
    network: Network
    number: int
    region: str

    @property
    def link(self) -> Attachment:
        """The line to the provider."""
        first = len(self.network.hosts) + (1 if self.network.carrier_nat else 0)
        return Attachment(self.network, first + self.number, self.network.carrier_nat)

    @property
    def home6(self) -> IPv6Network:
        """The home's own /64, routed to it."""
        return _subnet64(self.network.prefix6, _HOMES6 + self.number)

    @property
    def seen_as(self) -> tuple[IPv4Network, IPv6Network]:
        """By what its provider's router and all beyond know it; behind carrier NAT the first is its neighbours' too."""
        link = self.network.carrier if self.network.carrier_nat else self.link
        return IPv4Network(link.address), self.home6


Placed = tuple[Network, Host, Attachment]
"""A server and where it hangs."""


class Topology(_Part):
    """The whole."""

    name: Annotated[str, Field(min_length=1)]
    name_ttl_s: Annotated[float, Field(gt=0)] = 600.0
    """Lab seconds for which resolvers remember an answer: what busy sites and CDNs give at most (they give 20 s to
    300 s, others an hour or a day)."""
    countries: tuple[Country, ...] = ()
    networks: tuple[Network, ...]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        for n, country in enumerate(self.countries):
            _refuse_twice("region", ((("countries", n, "regions", m), name) for m, name in enumerate(country.regions)))
        _refuse_twice("country", ((("countries", n, "cc"), one.cc) for n, one in enumerate(self.countries)))
        _refuse_twice("ASN", ((("networks", n, "asn"), one.asn) for n, one in enumerate(self.networks)))
        hosts = {
            ("networks", n, "hosts", m): host for n, one in enumerate(self.networks) for m, host in enumerate(one.hosts)
        }
        _refuse_twice("host", (((*loc, "name"), host.name) for loc, host in hosts.items()))
        for what in ("observatory", "broker"):
            having = [loc for loc, host in hosts.items() if getattr(host, what)]
            if len(having) > 1:
                raise TopologyError(f"more than one host is {what}; leave it at one of them", loc=(*having[1], what))
        # Where resolvers of a country, or of any other, are led to for a name.
        led = (
            ((*loc, "names", n), f"{name} for {cc or 'everybody'}")
            for loc, host in hosts.items()
            for n, name in enumerate(host.names)
            for cc in host.only_in or ("",)
        )
        _refuse_twice("name", led)
        for loc, host in hosts.items():
            strange = [cc for cc in host.only_in if self.country(cc) is None]
            if strange:
                why = f"{strange[0]} is not listed; add it to countries or take it out"
                raise TopologyError(why, loc=(*loc, "only_in"))
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for number, one in enumerate(self.networks):
            for other in self.networks[:number]:
                if one.prefix.overlaps(other.prefix) or one.prefix6.overlaps(other.prefix6):
                    why = f"AS{one.asn} and AS{other.asn} share addresses; give each its own"
                    raise TopologyError(why, loc=("networks", number, "prefix"))
            if one.is_provider and self.country(one.cc) is None:
                why = f"AS{one.asn} has customers in {one.cc}, which is not listed; add it to countries"
                raise TopologyError(why, loc=("networks", number, "cc"))
        if _LINK * (2 * len(self.countries) + len(self.networks)) > CORE_PREFIX.num_addresses:
            raise TopologyError(f"{CORE_PREFIX} is too small for so many routers; leave some out", loc=("networks",))
        for country in self.countries:
            sharing = [n for n, one in enumerate(self.networks) if one.cc == country.cc and one.user_share]
            if sum(self.networks[n].user_share or 0 for n in sharing) > 1.001:
                why = f"user shares in {country.cc} add up to more than 1; make some smaller"
                raise TopologyError(why, loc=("networks", sharing[-1], "user_share"))
        return self

    @model_validator(mode="after")
    def _resolves_names(self) -> Self:
        serving = [(network.cc, service) for network, host, _ in self.hosts() for service in host.serves]
        abroad = [cc for cc, service in serving if service == "authority" and self.country(cc) is None]
        if any(service == "resolver" for _, service in serving) and not abroad:
            why = 'resolvers have nobody to ask; give a host outside all countries serves = ["authority"]'
            raise TopologyError(why, loc=("networks",))
        return self

    def with_probes(self, probes: Mapping[str, int]) -> Self:
        """The same with so many homes in these networks (``AS64500``). Raises TopologyError."""
        known = {f"AS{network.asn}": network for network in self.networks if network.is_provider}
        for name in probes:
            if name not in known:
                raise TopologyError(f"{self.name} has no provider {name}; it has {', '.join(known)}")
        networks = [{**dict(one), "households": probes.get(f"AS{one.asn}", one.households)} for one in self.networks]
        try:
            return self.model_validate({**dict(self), "networks": networks})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            cause = first.get("ctx", {}).get("error")
            raise TopologyError(cause.why if isinstance(cause, TopologyError) else first["msg"]) from None

    def country(self, cc: str) -> Country | None:
        """A listed country, None for the world outside."""
        return next((country for country in self.countries if country.cc == cc), None)

    def hosts(self) -> Iterator[Placed]:
        """Every server and where it hangs."""
        for network in self.networks:
            for index, host in enumerate(network.hosts):
                yield network, host, Attachment(network, index)

    def host(self, name: str) -> Placed:
        """One server. Raises TopologyError."""
        for entry in self.hosts():
            if entry[1].name == name:
                return entry
        raise TopologyError(f"{self.name} has no host {name}")

    def observatory(self) -> Placed:
        """Where broker and collector are. Raises TopologyError."""
        for entry in self.hosts():
            if entry[1].observatory:
                return entry
        raise TopologyError(f"{self.name} has no observatory")

    def second_broker(self) -> Placed | None:
        """Where the second broker is."""
        return next((entry for entry in self.hosts() if entry[1].broker), None)

    def resolver_of(self, network: Network) -> Attachment:
        """The resolver that a network gives to its customers. Raises TopologyError."""
        for index, host in enumerate(network.hosts):
            if "resolver" in host.serves:
                return Attachment(network, index)
        raise TopologyError(f"AS{network.asn} has no resolver")

    def providers(self, cc: str, access: Literal["fixed", "mobile", "both"] = "both") -> tuple[Network, ...]:
        """Networks with customers in a country."""
        return tuple(
            one for one in self.networks if one.cc == cc and one.is_provider and access in {one.access, "both"}
        )

    def households(self) -> Iterator[Household]:
        """Every home, named by country, network and number."""
        for network in self.networks:
            country = self.country(network.cc)
            for number in range(network.households):
                assert country is not None  # validated above
                region = country.regions[number % len(country.regions)]
                yield Household(f"{network.cc.lower()}-{network.asn}-{number + 1}", network, number, region)

    def households_of(self, scope: str) -> tuple[Household, ...]:
        """Homes in a country (``XA``), a region (``XA/North``), a network (``AS64500``), or one by its name.

        Empty where there is no probe. Raises TopologyError where there is no such place.
        """
        known = {household.name for household in self.households()} | {f"AS{one.asn}" for one in self.networks}
        known |= {place for one in self.countries for place in (one.cc, *(f"{one.cc}/{name}" for name in one.regions))}
        if scope not in known:
            raise TopologyError(f"{self.name} has no country, region, network or household {scope}")
        return tuple(
            one
            for one in self.households()
            if scope in {one.name, f"AS{one.network.asn}", one.network.cc, f"{one.network.cc}/{one.region}"}
        )


def load(path: Path) -> Topology:
    """Read a topology file; a bare name is looked up among the lab's own. Raises FileError."""
    return Document(path if path.suffix else TOPOLOGIES / f"{path}.toml", Topology).value


def _refuse_twice(what: str, values: Iterable[tuple[tuple[str | int, ...], str | int]]) -> None:
    seen = set()
    for loc, value in values:
        if value in seen:
            raise TopologyError(f"the same {what} twice: {value}; change one", loc=loc)
        seen.add(value)


def _subnet64(prefix: IPv6Network, index: int) -> IPv6Network:
    return IPv6Network((int(prefix.network_address) + (index << 64), 64))
