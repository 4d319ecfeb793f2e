"""A probe in a home: the real agent, with its own settings, state, resolver and device identity."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from civobs_agent import status as agent_status
from civobs_agent.config import SpoolSettings, UplinkSettings
from civobs_agent.errors import NotFoundError
from civobs_agent.status import Status
from civobs_lab import power_on
from civobs_lab.network import LabNetwork
from civobs_lab.processes import Program, command_in, program
from civobs_lab.topology import Household

_POWER_ON = (sys.executable, "-I", "-S", power_on.__file__)
ASK_TIME_S = 60.0
"""Lab seconds between two questions for the time, at most: how late a probe without a clock learns that it may."""

# Brokers, collector and database need their time by the clock, however fast the lab is. Without these bounds a probe at
# 1000 takes a connection for dead when a receipt is a third of a second late.
_SEAL_S = 0.5
"""Seconds of the clock, at least, between two batches."""
_RETRY_S = 0.5
"""And until one is sent again."""
_SILENCE_S = 5.0
"""And until a connection is given up."""
_SPOOL, _UPLINK = SpoolSettings(), UplinkSettings()


class HomeProbe:
    """One agent behind one home router."""

    def __init__(self, network: LabNetwork, household: Household, folder: Path, *, time_scale: float) -> None:
        self.household = household
        self._place = network[f"device-{household.name}"].namespace
        self._folder = folder / household.name
        self._scale = time_scale
        self._program: Program | None = None
        self._folder.mkdir(parents=True)
        self._resolv_conf = self._folder / "resolv.conf"
        self._resolv_conf.write_text(f"nameserver {network.topology.resolver_of(household.network).address}\n")
        self._boot_id = self._folder / "boot_id"
        self._settings: _Settings | None = None

    @property
    def config(self) -> Path:
        return self._folder / "agent.toml"

    def configure(self, *, url: str, claim: str, ca_file: Path) -> None:
        """What the settings of an agent that is yet to enrol are to say; they are written at each start."""
        self._settings = _Settings(url, claim, ca_file)

    def start(self, *, clock_error_s: float = 0.0) -> None:
        """Switch the device on: a new boot, and the agent runs.

        With ``clock_error_s``, in seconds of the clock, it has no clock battery: its time is so far behind, and
        known to nobody, until the observatory has told it.
        """
        self._boot_id.write_text(f"{uuid4()}\n")
        self.config.write_text(self._settings_text(clock_error_s))
        words = [*_POWER_ON, program("civobs-agent"), "--config", str(self.config), "run"]
        self._program = Program(f"probe {self.household.name}", self.command(words), self._folder / "log")

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that runs ``words`` on this device, with its resolver."""
        return command_in(self._place, words, {Path("/etc/resolv.conf"): self._resolv_conf})

    def _settings_text(self, clock_error_s: float) -> str:
        settings = self._settings
        assert settings is not None  # ``configure`` comes first
        return f"""\
state_dir = {json.dumps(str(self._folder / "state"))}
runtime_dir = {json.dumps(str(self._folder))}

[observatory]
url = {json.dumps(settings.url)}
claim = {json.dumps(settings.claim)}

[clock]
ask_every_s = {ASK_TIME_S}

[spool]
write_interval_s = {max(_SPOOL.write_interval_s, _SEAL_S * self._scale)}
seal_interval_s = {max(_SPOOL.seal_interval_s, _SEAL_S * self._scale)}

[uplink]
retry_s = {max(_UPLINK.retry_s, _RETRY_S * self._scale)}
silence_s = {max(_UPLINK.silence_s, _SILENCE_S * self._scale)}

[limits]
throughput_tests = true

[consent]
version = "lab"
tier = 3
accepted_at = 2026-01-01T00:00:00Z

[lab]
enabled = true
time_scale = {self._scale}
lab_ranges = true
trust_system_clock = {json.dumps(not clock_error_s)}
clock_offset_s = {-clock_error_s}
boot_id_path = {json.dumps(str(self._boot_id))}
roots = {json.dumps(str(settings.ca_file))}
"""

    @property
    def time_scale(self) -> float:
        """How many times faster than life its intervals pass."""
        return self._scale

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._program is not None

    @property
    def pid(self) -> int:
        """The agent's process. Only while it runs."""
        assert self._program is not None
        return self._program.pid

    def check(self) -> None:
        """Raise ProgramError if the agent has ended without being cut off from power."""
        if self._program is not None:
            self._program.check()

    def status(self) -> Status | None:
        """What the agent says of itself; None before it has said anything."""
        try:
            return agent_status.read(self._folder / "status.json")
        except NotFoundError:
            return None

    def log_tail(self) -> str:
        """The end of its log."""
        return "it is switched off" if self._program is None else self._program.tail()

    def ask_to_stop(self) -> None:
        """SIGTERM; follow with ``stop``."""
        if self._program is not None:
            self._program.ask_to_stop()

    def stop(self) -> None:
        """Switch it off in order."""
        if self._program is not None:
            self._program.stop()

    def cut_power(self) -> None:
        """SIGKILL, until it is started again."""
        program, self._program = self._program, None
        if program is not None:
            program.kill()


@dataclass(frozen=True, slots=True)
class _Settings:
    url: str
    claim: str
    ca_file: Path
