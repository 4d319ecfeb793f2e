"""A way from a home over four routers to a host, and what can be done to it, such as a hop that is silent."""

import asyncio
import contextlib
from ipaddress import ip_network

import pytest
from pyroute2 import IPRoute

from civobs_lab.namespace import Namespace
from civobs_lab.network import Place

PLACES = ("device", "router", "carrier", "border", "abroad", "host")
LINKS = ("192.168.7.0/24", "100.64.7.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.7.0/24")
LINKS6 = tuple(f"2001:db8:{number}::/64" for number in range(1, 6))
HOST, HOST6 = "198.18.7.2", "2001:db8:5::2"
DEFAULT = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


class Way:
    """Places in a row; of each link the nearer end is ``::1``, the farther one ``::2``."""

    def __init__(self):
        self.places = {name: Place(Namespace(name)) for name in PLACES}
        for number, links in enumerate(zip(LINKS, LINKS6, strict=True)):
            self._connect(number, [ip_network(link) for link in links])
        for place in self.places.values():
            place.configure()
        for place in self.places.values():
            place.wait_until_ready()

    def close(self):
        for place in self.places.values():
            place.namespace.close()

    def run(self, name, function):
        return self.places[name].namespace.run(function)

    def device(self, coroutine_of):
        """Run a coroutine on the device."""
        return self.run("device", lambda: asyncio.run(coroutine_of()))

    @contextlib.contextmanager
    def rules(self, name, chain, *rules):
        """Have a place obey rules of the packet filter for a while."""
        body = "\n".join((f"type filter hook {chain} priority filter;", *rules))
        self.places[name].nft(f"table inet way {{ chain it {{\n{body}\n}}\n}}\n")
        try:
            yield
        finally:
            self.places[name].nft("delete table inet way")

    @contextlib.contextmanager
    def narrow(self, nearer, farther, mtu):
        """The link between two neighbours carries only packets so large."""
        try:
            for name, device in ((nearer, "far"), (farther, "near")):
                self._set_mtu(name, device, mtu)
            yield
        finally:
            for name, device in ((nearer, "far"), (farther, "near")):
                self._set_mtu(name, device, 1500)
            self._forget()

    def _forget(self):
        """What the device's kernel has learnt of the way's width."""
        device = self.places["device"]
        for state in ("down", "up"):
            device.set_link("far", state)
        device.configure()
        # The other end has lost its carrier with this one.
        for place in (device, self.places["router"]):
            place.wait_until_ready()

    def _set_mtu(self, name, device, mtu):
        def change():
            with IPRoute() as netlink:
                netlink.link("set", index=netlink.link_lookup(ifname=device)[0], mtu=mtu)

        self.run(name, change)

    def _connect(self, number, networks):
        nearer, farther = (self.places[PLACES[number + step]] for step in (0, 1))

        def connect_ends():
            with IPRoute() as netlink:
                peer = {"ifname": "near", "net_ns_fd": farther.namespace.fd}
                netlink.link("add", ifname="far", kind="veth", peer=peer)

        nearer.namespace.run(connect_ends)
        for network in networks:
            nearer.addresses.append(("far", network[1], network.prefixlen))
            farther.addresses.append(("near", network[2], network.prefixlen))
            nearer.routes.append((DEFAULT[network.version], network[2]))
            for before in (LINKS if network.version == 4 else LINKS6)[:number]:
                farther.routes.append((ip_network(before), network[1]))


@pytest.fixture(scope="module")
def way():
    built = Way()
    yield built
    built.close()
