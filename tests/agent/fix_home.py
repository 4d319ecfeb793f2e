"""A home, its router, a provider and two hosts beyond it, in network namespaces that nothing can leave."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SERVER = """
import asyncio, socket, sys
sys.path.insert(0, sys.argv[1])
from tests.agent.fix_net import _serve_http
from tests.agent.name_server import DnsServer

async def main():
    loop = asyncio.get_running_loop()
    for host in ("203.0.113.53", "203.0.113.1", "198.51.100.1", "2001:db8:2::1"):
        await loop.create_datagram_endpoint(DnsServer, (host, 53))
    await asyncio.start_server(_serve_http, ["198.51.100.1"], 80)
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""

CLIMB = """
import asyncio, json, sys
from pathlib import Path
from civobs_agent.clock import Clock
from civobs_agent.host import Sources
from civobs_agent.ladder import climb
from civobs_agent.net import Net
from civobs_agent.refusal import Refusal
from civobs_wire.plan import Plan

folder, document = Path(sys.argv[1]), sys.argv[2]
plan = Plan.model_validate_json(document) if document else None
clock = Clock(folder, trust_system=True)
sources = Sources(resolv_conf=folder / "resolv.conf")
net = Net(clock, refusal=Refusal(lab_ranges=True), sources=sources, time_scale=4.0)
rows = asyncio.run(climb(plan, net.context(clock.moment().at, plan)))
print(json.dumps([row.model_dump(mode="json") for row in rows]))
"""

ECHO = """
import asyncio, sys
from pathlib import Path
from civobs_agent.clock import Clock
from civobs_agent.faults import MeasurementError
from civobs_agent.net import Net
from civobs_agent.probes.icmp import echo

clock = Clock(Path(sys.argv[1]), trust_system=True)
context = Net(clock).context(clock.moment().at, None)
try:
    asyncio.run(echo(sys.argv[2], context, timeout_s=2.0, ttl=int(sys.argv[3])))
    print("ok")
except MeasurementError as error:
    print(error.fault.failure)
"""

WIRES = """
ip netns add {home}
ip netns add {router}
ip netns add {isp}
ip -n {home} link set lo up
ip -n {router} link set lo up
ip -n {isp} link set lo up
ip -n {home} link add eth0 type veth peer name lan netns {router}
ip -n {router} link add wan type veth peer name line netns {isp}
ip -n {home} addr add 192.168.77.2/24 dev eth0
ip -n {router} addr add 192.168.77.1/24 dev lan
ip -n {router} addr add 100.64.7.2/24 dev wan
ip -n {isp} addr add 100.64.7.1/24 dev line
ip -n {isp} addr add 203.0.113.53/32 dev lo
ip -n {isp} addr add 203.0.113.1/32 dev lo
ip -n {isp} addr add 198.51.100.1/32 dev lo
ip -n {isp} addr add 2001:db8:2::1/128 dev lo nodad
ip -n {home} link set eth0 up
ip -n {router} link set lan up
ip -n {router} link set wan up
ip -n {isp} link set line up
ip -n {home} route add default via 192.168.77.1
ip -n {router} route add default via 100.64.7.1
ip -n {isp} route add 192.168.77.0/24 via 100.64.7.2
ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1
ip netns exec {isp} sysctl -qw net.ipv4.ip_forward=1
"""


class Home:
    """The namespaces, a command in any of them, and a climb of the ladder in the home."""

    def __init__(self, folder):
        self.folder = folder
        self.names = {role: f"cv{os.getpid()}{role}" for role in ("home", "router", "isp")}
        (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")
        self._server = None

    def open(self):
        for line in textwrap.dedent(WIRES.format(**self.names)).split("\n"):
            if line:
                subprocess.run(line.split(), check=True)
        root = Path(__file__).parents[2]
        self._server = subprocess.Popen(
            self._inside("isp", sys.executable, "-c", SERVER, str(root)), stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout.readline() == "ready\n"

    def close(self):
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server.stdout.close()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False)

    def ip(self, role, *arguments):
        subprocess.run(["ip", "-n", self.names[role], *arguments], check=True)

    def pull_cable(self):
        """The cable between device and router is out, and the device's kernel has noticed, which takes it a second."""
        self.ip("router", "link", "set", "lan", "down")
        for _ in range(200):
            told = subprocess.run(
                ["ip", "-n", self.names["home"], "-j", "link", "show", "eth0"], capture_output=True, check=True
            )
            if json.loads(told.stdout)[0]["operstate"] != "UP":
                return
            time.sleep(0.05)
        raise AssertionError("the carrier is still there")

    def drop_pings(self):
        """The router no longer answers echoes; it goes on forwarding."""
        subprocess.run(self._inside("router", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"), check=True)

    def climb(self, plan, *wrapper):
        """Rows of one climb, by rung and family."""
        document = "" if plan is None else plan.model_dump_json()
        command = self._inside("home", *wrapper, sys.executable, "-c", CLIMB, str(self.folder), document)
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
        return {(row["rung"], row["family"]): row for row in json.loads(said.stdout)}

    def echo(self, address, ttl, *wrapper):
        """What one ICMP echo from the home came to."""
        arguments = (str(self.folder), address, str(ttl))
        command = self._inside("home", *wrapper, sys.executable, "-c", ECHO, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def allow_plain_pings(self):
        """Everybody in the home may send echoes without a capability, as Debian's default is."""
        subprocess.run(self._inside("home", "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"), check=True)

    def _inside(self, role, *command):
        return ["ip", "netns", "exec", self.names[role], *command]


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    try:
        home.open()
        yield home
    finally:
        home.close()
