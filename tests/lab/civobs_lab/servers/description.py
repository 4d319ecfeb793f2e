"""What the servers' process has to know of a lab, handed over as a JSON file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    # The servers' process reads descriptions and makes none: netlink's library alone would cost it twelve megabytes.
    from civobs_lab.certificates import CertificateAuthority
    from civobs_lab.network import LabNetwork
    from civobs_lab.topology import Attachment, Host, Topology

WRONG_NAME = "wrong.invalid"
TLS_SERVICES = frozenset({"web", "h3", "dot", "doh", "throughput"})
NAME_SERVICES = frozenset({"authority", "resolver", "dot", "doh"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Certificates(_Part):
    """PEM files of one host."""

    own: Path
    everywhere: Path
    """For all names of the lab as well: presented once a name has moved here."""
    expired: Path
    wrong: Path


class HostServers(_Part):
    """One host."""

    name: str
    namespace: str
    serves: tuple[str, ...]
    names: tuple[str, ...]
    zone: str
    """A listed country's code; empty for the world outside."""
    second: tuple[str, ...] = ()
    """Second addresses, where it has them."""
    certificates: Certificates | None = None


class NameLead(_Part):
    """A host of a name, and whose resolvers are led there; no country: everybody else's."""

    host: str
    countries: tuple[str, ...] = ()


class Description(_Part):
    """The whole."""

    hosts: tuple[HostServers, ...]
    addresses: dict[str, tuple[str, ...]]
    """Of every host, also of those that serve nothing here."""
    names: dict[str, tuple[NameLead, ...]]
    homes: dict[str, str]
    """Name to the zone whose authorities hold it."""
    zones: dict[str, tuple[str, ...]]
    """Name (empty for the root) to the IPv4 addresses of its authorities. Every name is a zone of its own."""
    prefixes: tuple[tuple[str, str], ...]
    """Prefixes with their country."""
    control: Path
    name_ttl_s: float
    """Lab seconds for which an answer may be remembered."""
    time_scale: float


def describe(
    network: "LabNetwork", certificates: "CertificateAuthority", control: Path, *, time_scale: float = 30.0
) -> dict[str, Any]:
    """What ``python -m civobs_lab.servers`` reads, as JSON.

    ``control`` is where it will listen for a ``Switchboard``; the scale tells it how long a lab second is.
    """
    topology = network.topology
    names: dict[str, list[NameLead]] = {}
    homes: dict[str, str] = {}
    for here, host, _ in topology.hosts():
        for name in host.names:
            names.setdefault(name, []).append(NameLead(host=host.name, countries=host.only_in))
            if name not in homes or not host.only_in:
                # A CDN's name is held where the servers for everybody are, not in each country.
                homes[name] = _zone(topology, here.cc)
    authorities = _authorities(topology)
    described = Description(
        hosts=_hosts(network, certificates, tuple(names)),
        addresses={host.name: (str(link.address), str(link.address6)) for _, host, link in topology.hosts()},
        names={name: tuple(leads) for name, leads in names.items()},
        homes=homes,
        zones={name: authorities.get(zone) or authorities[""] for name, zone in homes.items()} | {"": authorities[""]},
        prefixes=tuple((str(prefix), each.cc) for each in topology.networks for prefix in (each.prefix, each.prefix6)),
        control=control,
        name_ttl_s=topology.name_ttl_s,
        time_scale=time_scale,
    )
    return described.model_dump(mode="json")


def _hosts(
    network: "LabNetwork", authority: "CertificateAuthority", all_names: tuple[str, ...]
) -> tuple[HostServers, ...]:
    wrong = authority.issue((WRONG_NAME,), ())
    return tuple(
        HostServers(
            name=host.name,
            namespace=network[host.name].namespace.path,
            serves=host.serves,
            names=host.names,
            zone=_zone(network.topology, here.cc),
            second=_second(host, link),
            certificates=_certificates(authority, host, link, all_names, wrong)
            if TLS_SERVICES & set(host.serves)
            else None,
        )
        for here, host, link in network.topology.hosts()
        if host.serves
    )


def _certificates(
    authority: "CertificateAuthority", host: "Host", link: "Attachment", all_names: tuple[str, ...], wrong: Path
) -> Certificates:
    names, addresses = host.names or (host.name,), (link.address, link.address6)
    return Certificates(
        own=authority.issue(names, addresses, label=host.name),
        everywhere=authority.issue((*names, *all_names), addresses, label=f"{host.name}-everywhere"),
        expired=authority.issue(names, addresses, label=f"{host.name}-expired", expired=True),
        wrong=wrong,
    )


def _second(host: "Host", link: "Attachment") -> tuple[str, ...]:
    return (str(link.second), str(link.second6)) if host.second_address else ()


def _authorities(topology: "Topology") -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {"": []}
    for here, host, link in topology.hosts():
        if "authority" in host.serves:
            found.setdefault(_zone(topology, here.cc), []).append(str(link.address))
    return {zone: tuple(addresses) for zone, addresses in found.items()}


def _zone(topology: "Topology", cc: str) -> str:
    return cc if topology.country(cc) else ""
