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

from civobs_lab.pauses import SHORTEST_KEEPALIVE_S
from civobs_lab.scenario import PlanChanges
from civobs_lab.topology import Topology

DEFAULT_PLAN = Path(__file__).parents[3] / "deploy" / "plan.example.toml"
_ANCHOR_PORT = 443


def plan_text(topology: Topology, cc: str, time_scale: float, changes: PlanChanges) -> str:
    """A plan for a country's probes, as ``civobs plan build`` reads it.

    Every kind of measurement is made of every target that ``changes`` name, or that the default plan names. The
    ladder ends at the first target abroad.
    """
    default = tomllib.loads(DEFAULT_PLAN.read_text())
    sites = _sites(topology, cc)
    targets = [{"id": name, "url": _url(name)} for name in changes.targets] or _default_targets(default, sites)
    values: dict[str, Any] = {
        "cc": cc,
        "valid_days": 1,
        "keepalive_s": max(SHORTEST_KEEPALIVE_S, round(default["keepalive_s"] / time_scale)),
        # The budget is a day's, and in a fast lab a day's packets pass in minutes.
        "budget": {"bytes_per_day": round(default["budget"]["bytes_per_day"] * max(1.0, time_scale))},
        "ladder": _ladder(default["ladder"], targets, sites, changes),
        "anchors": list(_anchors(topology, cc)),
        "resolvers": list(_resolvers(topology)),
        "targets": targets,
        "tasks": [task for each in default["tasks"] if (task := _task(each, targets, changes))["targets"]],
    }
    return _toml(values)


def _default_targets(default: dict[str, Any], sites: list[str]) -> list[dict[str, Any]]:
    """The default plan's, the one for services at a site abroad and the others at one at home."""
    service = default["ladder"]["service"]
    return [{**one, "url": _url(sites[0 if one["id"] == service else -1])} for one in default["targets"] if sites]


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


def _task(default: dict[str, Any], targets: list[dict[str, Any]], changes: PlanChanges) -> dict[str, Any]:
    able = [target["id"] for target in targets if default["kind"] != "tls" or target["url"].startswith("https://")]
    return {
        **default,
        "targets": able if changes.targets else default["targets"],
        "interval_s": changes.intervals.get(default["kind"], default["interval_s"]),
    }


def _resolvers(topology: Topology) -> Iterator[dict[str, Any]]:
    """One abroad that answers everybody: a resolver, or else a server of names."""
    for service in ("resolver", "authority"):
        for network, host, link in topology.hosts():
            if service in host.serves and topology.country(network.cc) is None:
                yield {"id": host.name, "address": str(link.address)}
                return


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
