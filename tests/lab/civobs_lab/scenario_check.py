"""Whether a scenario makes sense in its topology: what it names has to be there, and has to be of the right sort.

The models say what may be written; here is what depends on the world it is played in.
"""

from collections.abc import Iterator, Sequence

from civobs_lab import fault_effect, timeline
from civobs_lab.fault_kinds import Censor, Fault, Flapping, NameMoves, Whitelist
from civobs_lab.scenario import Scenario, Truth
from civobs_lab.strict_toml import Problem, nearest
from civobs_lab.toml_lines import Where
from civobs_lab.topology import Topology, TopologyError

MOST_FLAPS = 10_000
"""Each takes a home's line down and up again, some 10 ms of the clock."""


def world(scenario: Scenario, topology: Topology) -> Iterator[Problem]:
    """Whether there is somebody to deliver to, and something to measure against."""
    where = ("topology",)
    if not any(host.observatory for _, host, _ in topology.hosts()):
        yield Problem(where, f"{topology.name} has no observatory", "write observatory = true at one of its hosts")
    if not scenario.plan.targets and not any("web" in host.serves and host.names for _, host, _ in topology.hosts()):
        remedy = "give a host there `names` and serves = ['web'], or write `plan.targets`"
        yield Problem(where, f"{topology.name} has no site to measure against", remedy)


def probes(scenario: Scenario, topology: Topology) -> Iterator[Problem]:
    """Whether the networks can have as many homes as the scenario wants. Before there is a topology with them."""
    providers = {f"AS{network.asn}": network.households for network in topology.networks if network.is_provider}
    for name, count in scenario.probes.items():
        where = ("probes", name)
        if name not in providers:
            cause = f"{topology.name} has no network {name!r} with customers"
            yield Problem(where, cause, nearest(name, providers, otherwise="write one of"))
            continue
        try:
            topology.with_probes({name: count})
        except TopologyError as error:
            yield Problem(where, f"{count} homes do not fit: {error.why}", "write a smaller number")
    if not any((providers | scenario.probes).values()):
        yield Problem(("probes",), "nobody measures anything", "give a network a probe")


def problems(scenario: Scenario, topology: Topology) -> Iterator[Problem]:
    """All that is wrong, given the topology with the scenario's probes in it."""
    known = _Names(topology)
    for index, target in enumerate(scenario.plan.targets):
        yield from known.name(target.removeprefix("http://"), ("plan", "targets", index))
    for index, fault in enumerate(scenario.fault):
        yield from _fault(fault, known, ("fault", index))
        if isinstance(fault, Flapping):
            yield from _flaps(fault, scenario, ("fault", index))
    for index, truth in enumerate(scenario.truth):
        yield from _truth(truth, known, ("truth", index))


class _Names:
    """What a topology has, by sort."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.asns = {f"AS{network.asn}": network.cc for network in topology.networks}
        self.hosts = {host.name for _, host, _ in topology.hosts()}
        self.names = {name for _, host, _ in topology.hosts() for name in host.names}
        self.regions = {each.cc: set(each.regions) for each in topology.countries}
        self.of_sort = {
            "country": set(self.regions),
            "region": {f"{cc}/{region}" for cc, regions in self.regions.items() for region in regions},
            "network": set(self.asns),
            "household": {home.name for home in topology.households()},
            "host": self.hosts,
        }

    def scope(self, text: str, sorts: Sequence[str], where: Where) -> Iterator[Problem]:
        allowed = {name for sort in sorts for name in self.of_sort[sort]}
        if text in allowed:
            return
        wanted = " or ".join(sorts)
        actual = [sort for sort, names in self.of_sort.items() if text in names]
        cause = (
            f"{text!r} is a {actual[0]}, and this kind of fault happens to a {wanted}"
            if actual
            else f"{self.topology.name} has no {wanted} {text!r}"
        )
        # What is of another sort is no slip of the pen.
        yield Problem(where, cause, nearest("" if actual else text, allowed, otherwise=f"write a {wanted}:"))

    def one(self, text: str, sort: str, where: Where) -> Iterator[Problem]:
        if text not in self.of_sort[sort]:
            remedy = nearest(text, self.of_sort[sort], otherwise="there are")
            yield Problem(where, f"{self.topology.name} has no {sort} {text!r}", remedy)

    def name(self, text: str, where: Where) -> Iterator[Problem]:
        if text not in self.names:
            remedy = nearest(text, self.names, otherwise="hosts have the names")
            yield Problem(where, f"no host of {self.topology.name} has the name {text!r}", remedy)


def _fault(fault: Fault, known: _Names, where: Where) -> Iterator[Problem]:
    wrong_scope = list(known.scope(fault.scope, fault.scopes, (*where, "scope")))
    if wrong_scope:
        yield from wrong_scope
        return
    match fault:
        case Whitelist():
            for index, host in enumerate(fault.allowed):
                yield from known.one(host, "host", (*where, "allowed", index))
        case NameMoves():
            yield from known.name(fault.name, (*where, "name"))
            for index, cc in enumerate(fault.countries):
                yield from known.one(cc, "country", (*where, "countries", index))
        case Censor():
            yield from _censor(fault, known, where)
        case _:
            pass
    yield from fault_effect.problems(fault, known.topology, where)


def _flaps(fault: Flapping, scenario: Scenario, where: Where) -> Iterator[Problem]:
    until_s = fault.end or scenario.length or fault.start + timeline.OPEN_END_S
    flaps = fault.times * (until_s - fault.start) / (fault.down + fault.up)
    if flaps > MOST_FLAPS:
        cause = f"the line would go down {flaps:.0f} times, and a run does so {MOST_FLAPS} times at most"
        yield Problem((*where, "down"), cause, "write a longer `down` or `up`, or let it end earlier")


def _censor(fault: Censor, known: _Names, where: Where) -> Iterator[Problem]:
    for index, host in enumerate(fault.hosts):
        yield from known.one(host, "host", (*where, "hosts", index))
    for index, household in enumerate(fault.households):
        yield from known.one(household, "household", (*where, "households", index))
    for index, name in enumerate(fault.names):
        plain = name.rstrip(".").lower()
        if not any(f".{each}".endswith(f".{plain}") for each in known.names):
            yield from known.name(name, (*where, "names", index))


def _truth(truth: Truth, known: _Names, where: Where) -> Iterator[Problem]:
    yield from known.one(truth.cc, "country", (*where, "cc"))
    for index, asn in enumerate(truth.asns):
        if known.asns.get(f"AS{asn}") != truth.cc:
            ours = [name.removeprefix("AS") for name, cc in known.asns.items() if cc == truth.cc]
            remedy = nearest(str(asn), ours, otherwise="there are")
            yield Problem((*where, "asns", index), f"{truth.cc} has no network {asn}", remedy)
    for index, region in enumerate(truth.admin1):
        if region not in known.regions.get(truth.cc, {region}):
            remedy = nearest(region, known.regions[truth.cc], otherwise="there are")
            yield Problem((*where, "admin1", index), f"{truth.cc} has no region {region!r}", remedy)
    for index, target in enumerate(truth.targets):
        yield from known.name(target, (*where, "targets", index))
