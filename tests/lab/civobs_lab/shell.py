"""``scripts/lab shell``: a lab to walk about in, and to break by hand."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from civobs_lab import hand_probe, scenario_file
from civobs_lab.control import CommandError, Control
from civobs_lab.fault_kinds import Fault
from civobs_lab.lab import Lab, build
from civobs_lab.processes import command_in
from civobs_lab.strict_toml import Document
from civobs_lab.topology import TOPOLOGIES, Household, Topology, TopologyError

DEFAULT_WORLD = "two-countries"
DEFAULT_SCALE = 30.0
PROMPT = "lab> "
_LINE_BYTES = 4096
_ALL_END = ("unshare", "--pid", "--fork", "--kill-child")
"""What a person leaves running in the background ends with the shell, and all of it with the lab."""


@dataclass(frozen=True, slots=True)
class World:
    """What to build, and the faults that can be begun by their id."""

    name: str
    topology: Topology
    faults: tuple[Fault, ...] = ()
    time_scale: float = DEFAULT_SCALE


def world(name: str) -> World:
    """A topology or a scenario, by name or by file. Raises FileError."""
    topologies = {file.stem: file for file in TOPOLOGIES.glob("*.toml")}
    file = topologies.get(name) or scenario_file.find([name], besides=topologies)[0]
    if scenario_file.is_topology(file):
        return World(file.stem, Document(file, Topology).value)
    loaded = scenario_file.load(file)
    return World(loaded.name, loaded.topology, loaded.scenario.fault, loaded.scenario.time_scale)


def run(chosen: World, *, place: str | None, probes: bool, scale: float | None) -> int:
    """Build it, let a person in, take it down. Raises CommandError and what building raises."""
    with build(chosen.topology, time_scale=scale or chosen.time_scale) as lab:
        if place is not None:
            _find(lab, place)
        if probes:
            lab.start_observatory()
            lab.start_probes()
            print(f"pages: {lab.observatory.show_pages()}")
        _write_lab_command(lab)
        with closing(Control(lab, chosen.faults)) as control:
            print(f"{chosen.name} is up with {len(lab.network.places)} places", flush=True)
            if place is not None:
                enter(lab, control, place)
            else:
                print(f"`help` lists what to say here; from another terminal, {_command(lab)} says it", flush=True)
                _obey(lab, control)
    return 0


def enter(lab: Lab, control: Control, name: str) -> None:
    """A shell at a place, until it ends; the lab goes on obeying ``lab``. Raises CommandError."""
    place = _find(lab, name)
    folder = lab.folder / "shell"
    resolv_conf, rc = folder / "resolv.conf", folder / "rc"
    resolv_conf.write_text(f"nameserver {_resolver(lab.network.topology, place)}\n")
    rc.write_text(f"PS1='{name} \\w \\$ '\n")
    words = [*_ALL_END, "bash", "--noprofile", "--rcfile", str(rc), *(["-i"] if os.isatty(0) else [])]
    ca_file = str(lab.certificates.ca_file)
    # The programs beside this interpreter come with it: the agent of this checkout and no other.
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    topology = lab.network.topology
    env = {
        **hand_probe.variables(topology, _cc(topology, place), folder=folder, ca_file=lab.certificates.ca_file),
        "PATH": path,
        "CURL_CA_BUNDLE": ca_file,
        "SSL_CERT_FILE": ca_file,
    }
    print("\n".join(_motto(lab.network.topology, place)), flush=True)
    command = command_in(lab.network[place].namespace, words, {Path("/etc/resolv.conf"): resolv_conf})
    shell = subprocess.Popen(command, env={**os.environ, **env})
    try:
        control.wait_for(lambda: shell.poll() is not None)
    finally:
        shell.kill()
        shell.wait()


def _obey(lab: Lab, control: Control) -> None:
    """Lines from standard input, until it ends or says so."""
    for line in _lines(control):
        try:
            match line.split():
                case ["quit" | "exit"]:
                    return
                case ["enter", place]:
                    enter(lab, control, place)
                case _:
                    print(control.obey(line), end="", flush=True)
        except CommandError as error:
            print(error, flush=True)


def _lines(control: Control) -> Iterator[str]:
    """Standard input line by line, and not a byte further: the rest is for a shell that is entered."""
    while True:
        if os.isatty(0):
            print(PROMPT, end="", flush=True)
        control.wait_for(lambda: False, descriptor=0)
        line = b""
        while not line.endswith(b"\n"):
            # A terminal gives a line at a time whatever is asked for; a pipe would give all it has.
            read = os.read(0, _LINE_BYTES if os.isatty(0) else 1)
            if not read:
                break
            line += read
        if not line:
            return
        yield line.decode(errors="replace")


def _find(lab: Lab, name: str) -> str:
    for place in (f"device-{name}", name):
        if place in lab.network.places:
            return place
    homes = [household.name for household in lab.network.topology.households()]
    raise CommandError(f"there is no place {name}; homes are {', '.join(homes)}, and `places` lists all")


def _household(topology: Topology, place: str) -> Household | None:
    return next((each for each in topology.households() if place.endswith(f"-{each.name}")), None)


def _cc(topology: Topology, place: str) -> str:
    """Of the household's country, or else the first one there is."""
    household = _household(topology, place)
    return next(iter(topology.countries)).cc if household is None else household.network.cc


def _resolver(topology: Topology, place: str) -> str:
    """Of the household's provider, of the network whose place it is, or else the first one there is."""
    household = _household(topology, place)
    networks = [network for network in topology.networks if household is None or network == household.network]
    own = [each for each in networks if place == f"as{each.asn}" or place in {host.name for host in each.hosts}]
    for network in [*own, *networks]:
        try:
            return str(topology.resolver_of(network).address)
        except TopologyError:
            continue
    return "127.0.0.1"


def _motto(topology: Topology, place: str) -> Iterator[str]:
    """Where one is, and what to try there."""
    household = _household(topology, place)
    cc = _cc(topology, place)
    if household is None:
        yield f"You are at {place}."
    else:
        network = household.network
        yield f"You are in {household.name}: a home in {network.cc}, region {household.region}, at {network.name}"
        yield f"(AS{network.asn}), whose resolver is {_resolver(topology, place)}."
    site = next((host.names[0] for _, host, _ in topology.hosts() if "web" in host.serves and host.names), None)
    echo = next((link.address for network, _, link in topology.hosts() if topology.country(network.cc) is None), None)
    tries = [("ping", f"ping -c 3 {echo}"), ("curl", f"curl https://{site}/"), ("dig", f"dig {site}")]
    known = [words for program, words in tries if shutil.which(program)]
    yield "Try:   " + "   ".join([*known, f"lab begin national_shutdown {cc}", "lab help"])
    if household is not None:
        yield f"       civobs-agent once --target https://{site}/"
    yield "`exit` leads out."


def _command(lab: Lab) -> Path:
    return lab.folder / "shell" / "lab"


def _write_lab_command(lab: Lab) -> None:
    command = _command(lab)
    command.parent.mkdir()
    python = f'exec {quote(sys.executable)} -m civobs_lab.tell "$@"'
    command.write_text(f"#!/bin/sh\ncd {quote(str(lab.folder))} || exit 2\n{python}\n")
    command.chmod(0o755)
