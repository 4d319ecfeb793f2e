"""The default plan, pointed at the lab: its tasks, intervals and keepalive over the lab's anchors and sites.

What probes run in the lab is what they would run in the field, so the load and the timing measured here mean
something. Only addresses and names are others. Probes divide intervals by the lab's time scale themselves; the
keepalive belongs to MQTT, which knows no scale, and the budget to a day of the clock.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from civobs_agent.probes import KINDS
from civobs_lab.pauses import SHORTEST_KEEPALIVE_S
from civobs_lab.scenario import LONGEST_TASK_S, PlanChanges
from civobs_lab.topology import Attachment, Host, Topology
from civobs_wire.plan import AIMED

DEFAULT_PLAN = Path(__file__).parents[3] / "deploy" / "plan.example.toml"
_ANCHOR_PORT = 443
NEED_TLS = frozenset({"tls", "quic", "throttling"})
"""Kinds that cannot do anything with a target of plain HTTP."""
ONE_TARGET = frozenset({"ping", "throttling"})
"""Kinds that the default plan makes of one target only."""
FASTEST_WITH_OPTIONAL = 60.0
"""A large transfer takes as long as it takes, however fast time runs: in a faster lab one would follow the other."""
CPU_S, APART_CPU_S = 0.02, 0.8
"""Of a run in the agent, and of one in a program of its own, which has to start; on a current machine."""
CORES = 0.3
"""What tasks may keep busy in all homes together: two cores carry the servers, the collector and the ladders too."""


def plan_text(topology: Topology, cc: str, time_scale: float, changes: PlanChanges) -> str:
    """A plan for a country's probes, as ``civobs plan build`` reads it.

    Every kind of measurement is made of every target that ``changes`` name; otherwise the default plan's two controls
    stand for its whole basket, one at a site abroad and one at home. The ladder ends at the first target abroad.
    """
    default = tomllib.loads(DEFAULT_PLAN.read_text())
    sites = _sites(topology, cc)
    targets = [{"id": name, "url": _url(name)} for name in changes.targets] or _default_targets(default, sites)
    tasks = [
        task
        for task in _tasks(default["tasks"], targets, changes)
        if time_scale <= FASTEST_WITH_OPTIONAL or not KINDS[task["kind"]].optional or task["kind"] in changes.intervals
    ]
    values: dict[str, Any] = {
        "cc": cc,
        "valid_days": 1,
        "keepalive_s": max(SHORTEST_KEEPALIVE_S, round(default["keepalive_s"] / time_scale)),
        # The budget is a day's, and in a fast lab a day's packets pass in minutes.
        "budget": {"bytes_per_day": round(default["budget"]["bytes_per_day"] * max(1.0, time_scale))},
        "ladder": _ladder(default["ladder"], targets, sites, changes),
        "anchors": list(_anchors(topology, cc)),
        "resolvers": list(_resolvers(topology)),
        "servers": list(_servers(topology)),
        "time_servers": list(_time_servers(topology)),
        "targets": targets,
        "tasks": _paced(tasks, topology, time_scale, changes),
    }
    return _toml(values)


def _default_targets(default: dict[str, Any], sites: list[str]) -> list[dict[str, Any]]:
    """The default plan's controls, the one for services at a site abroad and the other at one at home."""
    service = default["ladder"]["service"]
    controls = [one for one in default["targets"] if one.get("tier", 0) == 0]
    return [{**one, "url": _url(sites[0 if one["id"] == service else -1])} for one in controls if sites]


def _ladder(
    default: dict[str, Any], targets: list[dict[str, Any]], sites: list[str], changes: PlanChanges
) -> dict[str, Any]:
    ids = [target["id"] for target in targets]
    service = next((name for name in (default["service"], *sites, *ids) if name in ids), None)
    interval_s = changes.intervals.get("ladder", default["interval_s"])
    values = {
        **{key: value for key, value in default.items() if key != "service"},
        "interval_s": interval_s,
        # It may not run more slowly in trouble than in peace.
        "trouble_interval_s": changes.intervals.get("trouble", min(default["trouble_interval_s"], interval_s)),
    }
    return values if service is None else {**values, "service": service}


def _tasks(
    default: list[dict[str, Any]], targets: list[dict[str, Any]], changes: PlanChanges
) -> Iterator[dict[str, Any]]:
    """Each kind once, as often as the default plan measures its controls."""
    seen = set()
    for task in default:
        kind, aimed = task["kind"], task["kind"] in AIMED
        if kind in seen:
            continue
        seen.add(kind)
        encrypted = [target["id"] for target in targets if target["url"].startswith("https://")]
        able = encrypted if kind in NEED_TLS else [target["id"] for target in targets]
        if kind in ONE_TARGET:
            able = able[:1]
        if not aimed or able:
            interval_s = changes.intervals.get(kind, task["interval_s"])
            yield {"kind": kind, **({"targets": able} if aimed else {}), "interval_s": interval_s}


def _paced(
    tasks: list[dict[str, Any]], topology: Topology, time_scale: float, changes: PlanChanges
) -> list[dict[str, Any]]:
    """Stretch the intervals that no scenario asks for, where all probes together would be too much for the machine."""
    homes = sum(1 for _ in topology.households())

    def load(task: dict[str, Any]) -> float:
        """Cores that a task keeps busy in all homes."""
        runs = homes * max(1, len(task.get("targets", ()))) * time_scale / task["interval_s"]
        return float(runs * (APART_CPU_S if KINDS[task["kind"]].apart else CPU_S))

    free = [task for task in tasks if task["kind"] not in changes.intervals]
    stretch = sum(map(load, free)) / CORES
    return [
        {**task, "interval_s": min(LONGEST_TASK_S, task["interval_s"] * stretch)}
        if stretch > 1 and task in free
        else task
        for task in tasks
    ]


def _abroad(topology: Topology) -> Iterator[tuple[Host, Attachment]]:
    """Hosts that answer everybody."""
    for network, host, link in topology.hosts():
        if topology.country(network.cc) is None:
            yield host, link


def _resolvers(topology: Topology) -> Iterator[dict[str, Any]]:
    """One abroad: a resolver, with encryption if it offers that, or else a server of names."""
    for service in ("resolver", "authority"):
        for host, link in _abroad(topology):
            if service in host.serves:
                dot = {"dot_name": host.names[0]} if "dot" in host.serves else {}
                doh = {"doh_url": f"https://{host.names[0]}/dns-query"} if "doh" in host.serves else {}
                yield {"id": host.name, "address": str(link.address), **dot, **doh}
                return


def _servers(topology: Topology) -> Iterator[dict[str, Any]]:
    """Hosts that run an anchor's whole set."""
    for host, link in _abroad(topology):
        if {"throughput", "stun", "echo"} <= set(host.serves):
            addresses = {"address": str(link.address), "address6": str(link.address6)}
            yield {"id": host.name, "name": host.names[0], **addresses}


def _time_servers(topology: Topology) -> Iterator[dict[str, Any]]:
    for host, link in _abroad(topology):
        if "ntp" in host.serves:
            yield {"id": host.name, "address": str(link.address)}


def _url(target: str) -> str:
    """Of a name, or of one with ``http://`` before it."""
    return f"{target}/" if "://" in target else f"https://{target}/"


def _sites(topology: Topology, cc: str) -> list[str]:
    """Names of sites, those abroad first."""
    return [
        name
        for _, name in sorted(
            (network.cc == cc, host.names[0])
            for network, host, _ in topology.hosts()
            if "web" in host.serves and host.names and (network.cc == cc or topology.country(network.cc) is None)
        )
    ]


def _anchors(topology: Topology, cc: str) -> Iterator[dict[str, Any]]:
    """Domestic servers for L3, the world's for L4; the first of each is also asked by IPv6."""
    seen = set()
    for network, host, link in topology.hosts():
        if host.anchor is None or (network.cc != cc and topology.country(network.cc) is not None):
            continue
        rung = 3 if network.cc == cc else 4
        common = {"rung": rung, "method": host.anchor, "cc": network.cc, "asn": network.asn}
        if host.anchor == "tcp":
            common["port"] = _ANCHOR_PORT
        yield {"id": host.name, "address": str(link.address), "family": 4, **common}
        if rung not in seen:
            yield {"id": f"{host.name}.6", "address": str(link.address6), "family": 6, **common}
        seen.add(rung)


def _toml(values: dict[str, Any]) -> str:
    """Scalars, tables and lists of tables; JSON's strings, numbers and flat lists are TOML's too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            if _is_table(value):
                lines.append(f"\n[[{key}]]" if isinstance(value, list) else f"\n[{key}]")
                lines += [f"{name} = {json.dumps(each)}" for name, each in entry.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))
