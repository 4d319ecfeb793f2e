"""Reading a scenario from its file, with the topology it is played in. ``docs/lab.md`` documents the format."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from civobs_lab import scenario_check, strict_toml
from civobs_lab.scenario import Scenario
from civobs_lab.strict_toml import Document, FileError, Problem, nearest
from civobs_lab.topology import TOPOLOGIES, Topology

SCENARIOS = Path(__file__).parents[1] / "scenarios"

ScenarioError = FileError
"""A scenario, or the topology it names, cannot be used: ``FILE:LINE: what is wrong; what to write instead``."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario that can be played."""

    name: str
    path: Path
    scenario: Scenario
    topology: Topology
    """With a probe in as many homes as the scenario says, and no other homes."""


def load(path: Path) -> Loaded:
    """Read a scenario and its topology, and check the one against the other. Raises ScenarioError."""
    if is_topology(path):
        raise ScenarioError(path, 1, "this is a topology and no scenario", "name it in a scenario, as its `topology`")
    document = Document(path, Scenario)
    scenario = document.value
    topology = _topology(document)
    document.refuse([*scenario_check.world(scenario, topology), *scenario_check.probes(scenario, topology)])
    topology = topology.with_probes(dict(scenario.probes))
    document.refuse(scenario_check.problems(scenario, topology))
    return Loaded(path.stem, path, scenario, topology)


def is_topology(path: Path) -> bool:
    """Whether a file is one and no scenario; not if it cannot be read."""
    try:
        return path.is_file() and b"[[networks]]" in path.read_bytes()
    except OSError:
        return False


def find(words: Iterable[str], *, besides: Iterable[str] = ()) -> list[Path]:
    """Files of scenarios: paths as they are, bare names from the lab's own; none is all of these.

    ``besides`` are other words that could have been meant. Raises ScenarioError.
    """
    found = [_find(word, besides) for word in words]
    return found or sorted(SCENARIOS.glob("*.toml"))


def _find(word: str, besides: Iterable[str]) -> Path:
    own = SCENARIOS / f"{word}.toml"
    path = Path(word)
    if _is_there(own) and not path.exists():
        return own
    if not path.suffix and not _is_there(path):
        known = {*besides, *(each.stem for each in SCENARIOS.glob("*.toml"))}
        remedy = nearest(word, known, otherwise="the lab's own are")
        raise ScenarioError(path, 1, "there is no such scenario", remedy)
    return path


def _topology(document: Document[Scenario]) -> Topology:
    """The lab's own of this name, or a file named from where the scenario is."""
    name = document.value.topology
    own = {each.stem: each for each in TOPOLOGIES.glob("*.toml")}
    file = own.get(name) or document.path.parent / name
    if not _is_there(file) or file.is_dir():
        remedy = nearest(name, own, otherwise="give the path of a file from here, or one of")
        document.refuse([Problem(("topology",), f"there is no topology {name!r}", remedy)])
    return strict_toml.Document(file, Topology).value


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for any file
        return False
