"""A device, its router, its provider and a STUN server, in namespaces: who translates is a test's choice."""

import asyncio
import contextlib
import socket
import subprocess
import threading
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from pyroute2 import IPRoute

from civobs_agent.clock import Clock
from civobs_agent.host import Sources
from civobs_agent.net import Net
from civobs_agent.refusal import Refusal
from civobs_anchor.stun import StunServer
from civobs_lab.namespace import Namespace
from civobs_lab.network import Place
from civobs_wire.plan import Target

WORLD = {4: ("198.51.100.10", "198.51.100.20"), 6: ("2001:db8:f::10", "2001:db8:f::20")}
PLAIN = "198.51.100.40"
"""A STUN server with one address."""
WAN, CARRIER_WAN, OUTSIDE = "203.0.113.6", "100.64.7.2", "203.0.113.2"
"""The router's two addresses, of which a test uses one, and the carrier's."""
_WIRES = (
    ("router", "lan", "device", (("192.168.7.1/24", "192.168.7.2/24"), ("2001:db8:7::1/64", "2001:db8:7::2/64"))),
    (
        "carrier",
        "line",
        "router",
        (
            ("203.0.113.5/30", f"{WAN}/30"),
            ("100.64.7.1/30", f"{CARRIER_WAN}/30"),
            ("2001:db8:a::1/64", "2001:db8:a::2/64"),
        ),
    ),
    ("world", "down", "carrier", (("203.0.113.1/30", f"{OUTSIDE}/30"), ("2001:db8:c::1/64", "2001:db8:c::2/64"))),
)


class Natted:
    """The line. ``device`` has a home's addresses and knows no better."""

    def __init__(self, folder):
        self._folder = folder
        self.resolver = Resolver()
        self.places = {name: Place(Namespace(name)) for name in ("world", "carrier", "router", "device")}
        for wire in _WIRES:
            self._wire(*wire)
        for family, addresses in WORLD.items():
            self.places["world"].addresses += [("lo", ip_address(a), 32 if family == 4 else 128) for a in addresses]
        self.places["world"].addresses.append(("lo", ip_address(PLAIN), 32))
        for prefix in ("192.168.7.0/24", "2001:db8:7::/64"):
            via = "203.0.113.6" if "." in prefix else "2001:db8:a::2"
            self.places["carrier"].routes.append((ip_network(prefix), ip_address(via)))
        for prefix in ("203.0.113.4/30", "192.168.7.0/24", "2001:db8:7::/64", "2001:db8:a::/64"):
            via = OUTSIDE if "." in prefix else "2001:db8:c::2"
            self.places["world"].routes.append((ip_network(prefix), ip_address(via)))
        for place in self.places.values():
            place.configure()
        for place in self.places.values():
            place.wait_until_ready()

    def _wire(self, upper, device, lower, ends):
        above, below = self.places[upper], self.places[lower]

        def connect():
            with IPRoute() as netlink:
                peer = {"ifname": "up", "net_ns_fd": below.namespace.fd}
                netlink.link("add", ifname=device, kind="veth", peer=peer)

        above.namespace.run(connect)
        for index, (high, low) in enumerate(ends):
            (high_address, high_length), (low_address, low_length) = high.split("/"), low.split("/")
            above.addresses.append((device, ip_address(high_address), int(high_length)))
            below.addresses.append(("up", ip_address(low_address), int(low_length)))
            if index == 0 or ":" in high:
                everything = ip_network("0.0.0.0/0" if "." in high else "::/0")
                below.routes.append((everything, ip_address(high_address)))

    @contextlib.contextmanager
    def rules(self, **at):
        """nft rules at places, for the length of a block: the chains of a table ``inet test``."""
        try:
            for place, chains in at.items():
                self.places[place].nft(f"table inet test {{\n{chains}\n}}")
            yield
        finally:
            for place in at:
                self.places[place].nft("table inet test {}\ndelete table inet test")

    def set(self, place, key, value):
        """A setting of a place's kernel."""
        self.places[place].namespace.run(lambda: Path("/proc/sys", key).write_text(value))

    def tell(self, place, *words):
        """Run a command at a place."""
        self.places[place].namespace.run(lambda: subprocess.run(words, check=True))

    def rows(self, measure, plan, *, scale=1000.0, change=None):
        """What one run says at the device, and the context it had."""

        def run():
            clock = Clock(self._folder, trust_system=True)
            sources = Sources(proc=Path("/proc/thread-self"), resolv_conf=self._folder / "resolv.conf")
            net = Net(clock, refusal=Refusal(lab_ranges=True), sources=sources, time_scale=scale)
            context = net.context(datetime.now(UTC), plan)
            context = change(context) if change else context
            return asyncio.run(measure(Target(id="-", url=""), context)), context

        return self.places["device"].namespace.run(run)

    def close(self):
        for place in self.places.values():
            place.namespace.close()


class Serving:
    """Datagram protocols at endpoints of a place, in a loop of its own thread."""

    def __init__(self, place):
        self._place = place
        self._up = threading.Event()
        self._ends = {}

    def open(self, ends, tcp_ports=()):
        """``ends``: endpoint to a protocol. ``tcp_ports``: where connections are taken and closed, at any address."""
        self._ends, self._tcp_ports = ends, tcp_ports
        self._thread = threading.Thread(target=lambda: self._place.namespace.run(lambda: asyncio.run(self._serve())))
        self._thread.start()
        assert self._up.wait(10)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        opened = []
        for (address, port), protocol in self._ends.items():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            made = partial(lambda protocol: protocol, protocol)
            opened.append((await self._loop.create_datagram_endpoint(made, (address, port), family=family))[0])
        opened += [await asyncio.start_server(_close, None, port) for port in self._tcp_ports]
        self._up.set()
        await self._stop.wait()
        for one in opened:
            one.close()
        await asyncio.sleep(0)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


async def _close(reader, writer):
    writer.close()


class Resolver(asyncio.DatagramProtocol):
    """A DNS server that knows one name besides the root: ``ipv4only.arpa``, with these AAAA records."""

    def __init__(self):
        self.says = ()
        self.rcode = dns.rcode.NOERROR

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        question = query.question[0]
        if question.name == dns.name.root:
            reply.answer.append(dns.rrset.from_text(".", 60, "IN", "NS", "a.root-servers.net."))
        elif question.name == dns.name.from_text("ipv4only.arpa"):
            reply.set_rcode(self.rcode)
            if self.says:
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "AAAA", *self.says))
        self._transport.sendto(reply.to_wire(), peer)


def stun_ends(addresses, kind=StunServer):
    """A server's sockets: each address with each port."""
    server = kind(addresses)
    ports = (3478, 3479)
    return {(a, p): server.end(i, j) for i, a in enumerate(addresses) for j, p in enumerate(ports)}


@pytest.fixture(scope="module")
def natted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("natted")
    (folder / "resolv.conf").write_text(f"nameserver {WORLD[6][0]}\n")
    line = Natted(folder)
    serving = Serving(line.places["world"])
    names = {(WORLD[4][0], 53): Resolver(), (WORLD[6][0], 53): line.resolver}
    serving.open({**stun_ends(WORLD[4]), **stun_ends(WORLD[6]), **stun_ends((PLAIN,)), **names}, tcp_ports=(443,))
    yield line
    serving.close()
    line.close()
