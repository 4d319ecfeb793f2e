"""A whole lab: network, servers, observatory and probes, built in order and taken down in order.

Whatever ends the block, nothing stays: programs are stopped, the namespaces go with their last process, the folder is
removed. After a ``kill -9`` of the runner the kernel does the first two, and the next run sweeps the folder.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from civobs_lab.censor.box import CensorBox, CensorError
from civobs_lab.certificates import CertificateAuthority
from civobs_lab.household import HomeProbe
from civobs_lab.network import LabNetwork
from civobs_lab.observatory import START_S, Observatory, ObservatoryError
from civobs_lab.processes import Program, command_in
from civobs_lab.run_folder import run_folder
from civobs_lab.scenario import PlanChanges
from civobs_lab.servers import READY, describe
from civobs_lab.switchboard import Switchboard
from civobs_lab.topology import Household, Topology

POLL_S = 0.25
SWITCHBOARD = "switchboard"


@dataclass(slots=True)
class Lab:
    """What a scenario works with."""

    network: LabNetwork
    certificates: CertificateAuthority
    observatory: Observatory
    folder: Path
    time_scale: float
    servers: Program
    switchboard: Switchboard
    probes: list[HomeProbe] = field(default_factory=list)
    broken: dict[tuple[int, str], Callable[[], None]] = field(default_factory=dict)
    """What is broken now, by the fault's number in its scenario and the thing it is done to; calling mends it."""
    _censors: dict[str, CensorBox] = field(default_factory=dict)

    def start_observatory(self, changes: PlanChanges | None = None) -> None:
        """Database, plans, broker, collector."""
        self.observatory.start_database()
        self.observatory.publish_plans(changes)
        self.observatory.start_broker()
        self.observatory.start_collector()

    def start_probes(self) -> None:
        """Give each household a claim code and switch its probe on; they enrol by themselves."""
        for household in self.network.topology.households():
            self.start_probe(household, self.time_scale)

    def start_probe(self, household: Household, time_scale: float) -> HomeProbe:
        """The same for one household."""
        probe = HomeProbe(self.network, household, self.folder / "homes", time_scale=time_scale)
        self.probes.append(probe)
        claim = self.observatory.claim(household.network, household.region)
        probe.configure(url=self.observatory.url, claim=claim, ca_file=self.certificates.ca_file)
        probe.start()
        return probe

    def probe(self, household: str) -> HomeProbe:
        """A household's probe. Raises KeyError."""
        for probe in self.probes:
            if probe.household.name == household:
                return probe
        raise KeyError(household)

    def censor_at(self, place: str) -> CensorBox:
        """The censor's box at a place; made when it is first asked for."""
        if place not in self._censors:
            self._censors[place] = CensorBox(self.network[place], self.folder / "censors" / place)
        return self._censors[place]

    def mend(self) -> None:
        """Mend what is still broken, the last first."""
        while self.broken:
            _, mend = self.broken.popitem()
            mend()

    def check(self) -> None:
        """Raise ProgramError or CensorError if anything that should run has ended."""
        self.servers.check()
        self.observatory.check()
        for probe in self.probes:
            probe.check()
        for box in self._censors.values():
            box.check()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for something, in seconds of the clock; False if it does not happen in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True

    def copy_logs(self, target: Path) -> None:
        """Keep what all programs said."""
        target.mkdir(parents=True, exist_ok=True)
        for log in [*self.folder.glob("log/*"), *self.folder.glob("*.toml"), self.folder / "db" / "log"]:
            if log.is_file():
                shutil.copy(log, target / (log.name if log.parent != self.folder / "db" else "database"))
        for kind, logs in (("probe", "homes/*/log"), ("censor", "censors/*/log")):
            for log in self.folder.glob(logs):
                shutil.copy(log, target / f"{kind}-{log.parent.name}")

    def _stop(self) -> None:
        for probe in self.probes:
            probe.ask_to_stop()
        for box in self._censors.values():
            # Its rules go with its place, whatever it says.
            with suppress(CensorError):
                box.close()
        for probe in self.probes:
            probe.stop()
        self.observatory.stop()


@contextmanager
def build(topology: Topology, *, time_scale: float) -> Iterator[Lab]:
    """Build the network and its servers. Raises ProgramError, ObservatoryError, OSError."""
    with ExitStack() as stack:
        folder = stack.enter_context(run_folder())
        network = LabNetwork(topology)
        stack.callback(network.close)
        certificates = CertificateAuthority(folder / "certificates")
        servers = _start_servers(network, certificates, folder, time_scale)
        stack.callback(servers.stop)
        lab = Lab(
            network=network,
            certificates=certificates,
            observatory=Observatory(network, folder, time_scale),
            folder=folder,
            time_scale=time_scale,
            servers=servers,
            switchboard=Switchboard(folder / SWITCHBOARD),
        )
        stack.callback(lab._stop)
        if not lab.wait_until(lambda: READY in servers.tail(), START_S):
            raise ObservatoryError(f"the lab's servers did not start: {servers.tail()}")
        yield lab


def _start_servers(network: LabNetwork, certificates: CertificateAuthority, folder: Path, time_scale: float) -> Program:
    description, control = folder / "servers.json", folder / SWITCHBOARD
    description.write_text(json.dumps(describe(network, certificates, control, time_scale=time_scale)))
    command = command_in(None, [sys.executable, "-m", "civobs_lab.servers", str(description)])
    return Program("servers", command, folder / "log" / "servers")
