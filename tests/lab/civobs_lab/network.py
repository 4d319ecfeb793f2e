"""The network of a topology: a namespace for every place, wires, addresses, routes and home routers.

Only netlink and one call of ``nft`` per home; the machine's own network is neither used nor changed.
"""

import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

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
table ip home {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "up" masquerade
  }
}
"""

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network


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


class LabNetwork:
    """All places of a topology, by name: ``core``, ``gateway-XA``, ``exchange-XA``, ``as64500``, a host's name,
    ``home-<household>`` and ``device-<household>``.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.places: dict[str, Place] = {}
        self._core_links = 0
        try:
            self._lay_out()
            for place in self.places.values():
                place.configure()
            for place in self.places.values():
                place.wait_until_ready()
            for household in topology.households():
                _translate_addresses(self.places[f"home-{household.name}"].namespace)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

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
        for network, host, link in self.topology.hosts():
            self._place(host.name)
            self._attach(f"as{network.asn}", host.name, link)
        for household in self.topology.households():
            self._home(household)

    def _place(self, name: str) -> None:
        self.places[name] = Place(Namespace(name))

    def _trunk(self, upper: str, lower: str, behind: list[Network]) -> None:
        """A link between routers: default route up, the networks behind it down."""
        index = self._core_links
        self._core_links += 1
        prefix6 = IPv6Network((int(CORE_PREFIX6.network_address) + (index << 64), 64))
        ends = (CORE_PREFIX[4 * index + 1], CORE_PREFIX[4 * index + 2]), (prefix6[1], prefix6[2])
        self._wire(upper, lower, f"to-{lower}"[:15], ends)
        for above, below in ends:
            self.places[lower].routes.append((_everything(above), above))
            self.places[upper].routes.extend(
                (network.prefix if below.version == 4 else network.prefix6, below) for network in behind
            )

    def _attach(self, router: str, place: str, link: Attachment) -> None:
        self._wire(router, place, f"to-{link.index}", ((link.router, link.address), (link.router6, link.address6)))
        self.places[place].routes += [
            (_everything(link.router), link.router),
            (_everything(link.router6), link.router6),
        ]

    def _home(self, household: Household) -> None:
        home, device = f"home-{household.name}", f"device-{household.name}"
        self._place(home)
        self._place(device)
        self._attach(f"as{household.network.asn}", home, household.link)
        inside, inside6 = HOME_PREFIX[1], household.home6[1]
        self._wire(home, device, "lan", ((inside, HOME_PREFIX[2]), (inside6, household.home6[2])))
        self.places[device].routes += [(_everything(inside), inside), (_everything(inside6), inside6)]
        router = self.places[f"as{household.network.asn}"]
        router.routes.append((household.home6, household.link.address6))

    def _wire(self, upper: str, lower: str, device: str, ends: tuple[tuple[Address, Address], ...]) -> None:
        """A pair of interfaces: ``device`` at the upper place, ``up`` at the lower."""
        above, below = self.places[upper], self.places[lower]

        def connect() -> None:
            with IPRoute() as netlink:
                peer = {"ifname": UPLINK, "net_ns_fd": below.namespace.fd}
                netlink.link("add", ifname=device, kind="veth", peer=peer)

        above.namespace.run(connect)
        for high, low in ends:
            length = 64 if high.version == 6 else 24 if high in HOME_PREFIX else 30
            above.addresses.append((device, high, length))
            below.addresses.append((UPLINK, low, length))


def _waking(link: Any) -> bool:
    # linkwatch in the kernel handles what is not urgent once a second; before, a link is up and drops everything.
    return bool(link.get_attr("IFLA_CARRIER")) and link.get_attr("IFLA_OPERSTATE") == "DOWN"


def _everything(like: Address) -> Prefix:
    return IPv4Network("0.0.0.0/0") if like.version == 4 else IPv6Network("::/0")


def _translate_addresses(home: Namespace) -> None:
    subprocess.run([*home.enter_command(), "nft", "-f", "-"], input=_NAT, text=True, check=True)
