"""The network of a topology: a namespace for every place, wires, addresses, routes, home routers, carrier NAT.

Only netlink and one call of ``nft`` per translating router; the machine's own network is neither used nor changed.
"""

import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal

from pyroute2 import IPRoute

from civobs_lab.namespace import Namespace
from civobs_lab.topology import CORE_PREFIX, CORE_PREFIX6, Attachment, Household, Network, Topology

HOME_PREFIX = IPv4Network("192.168.1.0/24")
"""Every home has the same private network, as homes have; it never leaves the home router."""
UPLINK = "up"
READY_S = 3.0
ROUTE_METRIC = 100
"""Of ordinary routes; a fault overrides one with a lower metric and never has to know what it was."""

_NAT = """
table ip lab_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "up" masquerade
  }
}
"""
_NO_IPV6 = """
table ip6 lab_no_ipv6 {
  chain forward {
    type filter hook forward priority filter;
    drop
  }
}
"""

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
Ends = tuple[Address, Address]
"""Upper and lower end of a link."""


@dataclass(slots=True)
class Place:
    """A namespace with what is to be configured in it, so that it can be configured again after a fault."""

    namespace: Namespace
    addresses: list[tuple[str, Address, int]] = field(default_factory=list)
    routes: list[tuple[Prefix, Address]] = field(default_factory=list)

    def configure(self) -> None:
        """Bring everything up. May be called again: the kernel forgets the routes of a link that went down."""
        self.namespace.run(self._configure)

    def _configure(self) -> None:
        with IPRoute() as netlink:
            index = {link.get_attr("IFLA_IFNAME"): link["index"] for link in netlink.get_links()}
            for number in index.values():
                netlink.link("set", index=number, state="up")
            for device, address, length in self.addresses:
                netlink.addr("replace", index=index[device], address=str(address), prefixlen=length)
            for prefix, via in self.routes:
                netlink.route("replace", dst=str(prefix), gateway=str(via), priority=ROUTE_METRIC)

    def wait_until_ready(self) -> None:
        """Wait until links that have a carrier also carry packets: the kernel gets round to it within a second."""
        self.namespace.run(self._wait_until_ready)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_S
        with IPRoute() as netlink:
            while any(_waking(link) for link in netlink.get_links()) and time.monotonic() < end:
                time.sleep(0.02)

    def set_link(self, device: str, state: str) -> None:
        """Take one link ``up`` or ``down``."""

        def change() -> None:
            with IPRoute() as netlink:
                netlink.link("set", index=netlink.link_lookup(ifname=device)[0], state=state)

        self.namespace.run(change)

    def blackhole(self, verb: str) -> None:
        """``add`` or ``del`` a default route that swallows everything without a word."""

        def change() -> None:
            with IPRoute() as netlink:
                for everything in ("0.0.0.0/0", "::/0"):
                    netlink.route(verb, dst=everything, type="blackhole", priority=1)

        self.namespace.run(change)

    def nft(self, rules: str) -> None:
        """Give ``nft`` rules to obey, all or none of them. Raises ValueError with what it says against them."""
        # A child has the network of the thread that starts it: nsenter would be one more program per home.
        done = self.namespace.run(
            lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
        )
        if done.returncode != 0:
            raise ValueError(f"nft at {self.namespace.name}: {done.stderr.strip()}")


class LabNetwork:
    """All places of a topology, by name: ``core``, ``gateway-XA``, ``exchange-XA``, ``as64500``, ``nat-64500`` (the
    carrier's box), a host's name, ``home-<household>`` and ``device-<household>``. In each but the core, the
    interface ``up`` leads towards the world.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.places: dict[str, Place] = {}
        self._core_links = 0
        try:
            self._lay_out()
            for place in self.places.values():
                place.configure()
            self._install_rules()
            for place in self.places.values():
                place.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    def providers(self, cc: str, access: Literal["fixed", "mobile", "both"] = "both") -> list[Place]:
        """Routers of a country's networks that have customers."""
        return [self[f"as{network.asn}"] for network in self.topology.providers(cc, access)]

    def close(self) -> None:
        """Let go of all places. What runs inside has to be ended first, or keeps its namespace."""
        for place in self.places.values():
            place.namespace.close()
        self.places.clear()

    def _lay_out(self) -> None:
        self._place("core")
        for country in self.topology.countries:
            gateway, exchange = f"gateway-{country.cc}", f"exchange-{country.cc}"
            self._place(gateway)
            self._place(exchange)
            inside = [network for network in self.topology.networks if network.cc == country.cc]
            self._trunk("core", gateway, inside)
            self._trunk(gateway, exchange, inside)
        for network in self.topology.networks:
            router = f"as{network.asn}"
            self._place(router)
            self._trunk(f"exchange-{network.cc}" if self.topology.country(network.cc) else "core", router, [network])
            if network.carrier_nat:
                self._attach(router, f"nat-{network.asn}", network.carrier)
        for network, host, link in self.topology.hosts():
            router = f"as{network.asn}"
            if host.second_address:
                self._second_address(router, host.name, link)
            self._attach(router, host.name, link)
        for household in self.topology.households():
            self._home(household)

    def _install_rules(self) -> None:
        for network in self.topology.networks:
            if network.carrier_nat:
                self[f"nat-{network.asn}"].nft(_NAT)
            if network.ipv6 == "broken":
                self[f"as{network.asn}"].nft(_NO_IPV6)
        for household in self.topology.households():
            self[f"home-{household.name}"].nft(_NAT)

    def _place(self, name: str) -> Place:
        if name not in self.places:
            self.places[name] = Place(Namespace(name))
        return self.places[name]

    def _trunk(self, upper: str, lower: str, behind: list[Network]) -> None:
        """A link between routers: default route up, the networks behind it down."""
        index = self._core_links
        self._core_links += 1
        prefix6 = IPv6Network((int(CORE_PREFIX6.network_address) + (index << 64), 64))
        ends = (CORE_PREFIX[4 * index + 1], CORE_PREFIX[4 * index + 2]), (prefix6[1], prefix6[2])
        self._wire(upper, lower, f"to-{lower}"[:15], ends)
        for _, below in ends:
            self.places[upper].routes.extend(
                (network.prefix if below.version == 4 else network.prefix6, below) for network in behind
            )

    def _attach(self, router: str, place: str, link: Attachment, *, ipv6: bool = True) -> None:
        ends: list[Ends] = [(link.router, link.address), *([(link.router6, link.address6)] if ipv6 else [])]
        self._wire(router, place, f"to-{link.index}", ends)

    def _second_address(self, router: str, place: str, link: Attachment) -> None:
        # Before the first: of two alike, Linux speaks from the IPv6 address that was given to it last.
        self._place(place).addresses += [(UPLINK, link.second6, 64), (UPLINK, link.second, 32)]
        self.places[router].routes.append((IPv4Network(link.second), link.address))

    def _home(self, household: Household) -> None:
        home, device, network = f"home-{household.name}", f"device-{household.name}", household.network
        ipv6 = network.ipv6 != "absent"
        router = f"nat-{network.asn}" if network.carrier_nat else f"as{network.asn}"
        self._attach(router, home, household.link, ipv6=ipv6)
        inside: list[Ends] = [(HOME_PREFIX[1], HOME_PREFIX[2])]
        if ipv6:
            inside.append((household.home6[1], household.home6[2]))
            self.places[router].routes.append((household.home6, household.link.address6))
            if network.carrier_nat:
                ways: list[Prefix] = [household.home6, household.link.prefix6]
                self[f"as{network.asn}"].routes += [(way, network.carrier.address6) for way in ways]
        self._wire(home, device, "lan", inside)

    def _wire(self, upper: str, lower: str, device: str, ends: "list[Ends] | tuple[Ends, ...]") -> None:
        """A pair of interfaces, ``device`` at the upper place and ``up`` at the lower, and a default route up."""
        above, below = self.places[upper], self._place(lower)

        def connect() -> None:
            with IPRoute() as netlink:
                peer = {"ifname": UPLINK, "net_ns_fd": below.namespace.fd}
                netlink.link("add", ifname=device, kind="veth", peer=peer)

        above.namespace.run(connect)
        for high, low in ends:
            length = 64 if high.version == 6 else 24 if high in HOME_PREFIX else 30
            above.addresses.append((device, high, length))
            below.addresses.append((UPLINK, low, length))
            below.routes.append((_everything(high), high))


def _waking(link: Any) -> bool:
    # linkwatch in the kernel handles what is not urgent once a second; before, a link is up and drops everything.
    return bool(link.get_attr("IFLA_CARRIER")) and link.get_attr("IFLA_OPERSTATE") == "DOWN"


def _everything(like: Address) -> Prefix:
    return IPv4Network("0.0.0.0/0") if like.version == 4 else IPv6Network("::/0")
