"""A lab of servers alone: one of each, two countries to ask from, and nobody who measures."""

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from civobs_lab.certificates import CertificateAuthority
from civobs_lab.network import LabNetwork
from civobs_lab.processes import Program, command_in
from civobs_lab.servers import READY, describe
from civobs_lab.switchboard import Switchboard
from civobs_lab.topology import load

TIME_SCALE = 10.0
START_S = 30.0
WORLD = """
name = "servers"
countries = [
  { cc = "XA", name = "Arland", regions = ["North"] },
  { cc = "XB", name = "Borland", regions = ["West"] },
]

[[networks]]
asn = 64496
name = "World"
cc = "XW"
prefix = "198.18.1.0/24"
prefix6 = "2001:db8:1::/48"
hosts = [
  { name = "root", serves = ["authority", "tcp"] },
  { name = "site", serves = ["web", "h3"], names = ["www.site.example"] },
  { name = "other", serves = ["web"], names = ["www.other.example"] },
  { name = "cdn", serves = ["web"], names = ["www.cdn.example"] },
  { name = "measure", serves = ["throughput", "stun", "ntp", "echo", "dot", "doh"], second_address = true },
  { name = "plain-stun", serves = ["stun"] },
  { name = "portal", serves = ["portal"], names = ["login.portal.example"] },
]

[[networks]]
asn = 64500
name = "Arland Telecom"
cc = "XA"
prefix = "198.18.16.0/24"
prefix6 = "2001:db8:16::/48"
households = 1
hosts = [
  { name = "resolver-xa", serves = ["resolver"] },
  { name = "cdn-xa", serves = ["web"], names = ["www.cdn.example"], only_in = ["XA"] },
]

[[networks]]
asn = 64504
name = "Borland Online"
cc = "XB"
prefix = "198.18.32.0/24"
prefix6 = "2001:db8:32::/48"
households = 1
hosts = [{ name = "resolver-xb", serves = ["resolver"] }]
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Servers at work, and a home to ask from."""

    network: LabNetwork
    certificates: CertificateAuthority
    switchboard: Switchboard
    program: Program
    control: Path

    def at(self, host, version=4, *, second=False):
        """A host's address."""
        link = self.network.topology.host(host)[2]
        return str(
            {(4, False): link.address, (6, False): link.address6, (4, True): link.second, (6, True): link.second6}[
                version, second
            ]
        )

    def home(self, function, *words, cc="xa", **named):
        """Call a function inside a country's home."""
        device = {"xa": "device-xa-64500-1", "xb": "device-xb-64504-1"}[cc]
        return self.network[device].namespace.run(partial(function, *words, **named))

    def told(self, host, does):
        """A misbehaviour for the length of a block."""
        return _Told(self.switchboard, host, does)


class _Told:
    def __init__(self, switchboard, host, does):
        self._switchboard, self._words = switchboard, (host, does)

    def __enter__(self):
        self._switchboard.set(*self._words)

    def __exit__(self, *_):
        self._switchboard.clear(*self._words)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    file = folder / "world.toml"
    file.write_text(WORLD)
    network = LabNetwork(load(file))
    try:
        certificates = CertificateAuthority(folder / "certificates")
        description, control = folder / "servers.json", folder / "switches"
        description.write_text(json.dumps(describe(network, certificates, control, time_scale=TIME_SCALE)))
        command = command_in(None, [sys.executable, "-m", "civobs_lab.servers", str(description)])
        program = Program("servers", command, folder / "log")
        end = time.monotonic() + START_S
        while READY not in Path(program.log).read_text():
            program.check()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Served(network, certificates, Switchboard(control), program, control)
        program.stop()
        # A traceback in there is a fault of a server that no client may have noticed.
        assert program.log.read_text().split() == READY.split()
    finally:
        network.close()
