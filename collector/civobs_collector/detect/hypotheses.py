"""Which failure is it? A naive-Bayes vector over the rows of detection.md §3.4, from evidence that is at hand.

It says where the fault may lie, never who caused it. Missing evidence weighs nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from civobs_collector.detect.depth import rung_votes
from civobs_collector.detect.params import Params
from civobs_collector.detect.timeline import ACCESS, DOMESTIC, Code, Codes, ProbeLine

UNDETERMINED = "undetermined"
_LINK = 1

_ALWAYS: Mapping[str, bool] = {
    "device_off": False,
    "world_fails": False,
    "few_abroad": False,
    "names_fail": False,
    "broker_only": False,
    "lost_elsewhere": False,
    "flaps": False,
}
"""What is unlikely unless a hypothesis says otherwise."""

EXPECTED: Mapping[str, Mapping[str, bool]] = {
    "power": {**_ALWAYS, "device_off": True, "returned_rebooted": True, "one_region": True},
    "home_network": {
        **_ALWAYS,
        "world_fails": True,
        "link_fails": True,
        "domestic_works": False,
        "returned_rebooted": False,
        "several_networks": False,
        "several_households": False,
    },
    "isp": {
        **_ALWAYS,
        "world_fails": True,
        "link_fails": False,
        "domestic_works": False,
        "returned_rebooted": False,
        "several_networks": False,
        "several_households": True,
    },
    "national": {
        **_ALWAYS,
        "world_fails": True,
        "link_fails": False,
        "domestic_works": False,
        "returned_rebooted": False,
        "several_networks": True,
        "several_households": True,
        "one_region": False,
    },
    "international_only": {
        **_ALWAYS,
        "world_fails": True,
        "link_fails": False,
        "domestic_works": True,
        "returned_rebooted": False,
        "several_networks": True,
        "several_households": True,
        "one_region": False,
    },
    "whitelist": {
        **_ALWAYS,
        "world_fails": True,
        "few_abroad": True,
        "link_fails": False,
        "domestic_works": True,
        "returned_rebooted": False,
        "several_networks": True,
        "several_households": True,
    },
    "dns": {
        **_ALWAYS,
        "names_fail": True,
        "link_fails": False,
        "returned_rebooted": False,
        "several_households": True,
    },
    "flapping": {
        **{item: value for item, value in _ALWAYS.items() if item != "world_fails"},
        "flaps": True,
        "returned_rebooted": False,
        "several_networks": False,
        "several_households": False,
    },
    "collector": {
        **_ALWAYS,
        "link_fails": False,
        "access_fails": False,
        "broker_only": True,
        "returned_rebooted": False,
    },
    "collector_fault": {
        **_ALWAYS,
        "link_fails": False,
        "access_fails": False,
        "broker_only": True,
        "lost_elsewhere": True,
        "returned_rebooted": False,
    },
}
"""What each hypothesis makes likely (True) or unlikely (False); what it says nothing about is left out.

L2 tells neither an ISP's outage nor a national one: the line to the provider may work in both, and fail in both.
``collector``: the way to the observatory is blocked. ``collector_fault``: the observatory itself failed.
"""

FAMILY: Mapping[str, str] = {
    "device_off": "inside_out",
    "world_fails": "inside_out",
    "few_abroad": "inside_out",
    "names_fail": "inside_out",
    "link_fails": "inside_out",
    "access_fails": "inside_out",
    "domestic_works": "inside_out",
    "broker_only": "inside_out",
    "returned_rebooted": "presence",
    "lost_elsewhere": "presence",
    "flaps": "presence",
    "several_networks": "reach",
    "several_households": "reach",
    "one_region": "reach",
}
"""Evidence of one family is not independent, so it is capped together."""

_TOLD: Mapping[str, tuple[Code, ...]] = {
    "device_off": (Code.DARK,),
    "world_fails": (Code.DOWN, Code.LISTED),
    "few_abroad": (Code.LISTED,),
    "names_fail": (Code.NAMELESS,),
    "broker_only": (Code.CONFLICT,),
}
"""Evidence of stored rows: the codes that most bins of most households show."""
_BAD = tuple(dict.fromkeys(code for codes in _TOLD.values() for code in codes))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the event went."""

    n_networks: int
    n_networks_observed: int
    n_households: int
    n_households_observed: int
    n_regions: int
    n_regions_observed: int


@dataclass(frozen=True, slots=True)
class Coming:
    """How the probes of the affected households came and went, as the broker saw it."""

    flaps: bool
    """Most of them come and go all day."""
    rebooted: bool | None
    """Whether most of those that returned had been off; None while nobody has."""
    elsewhere: bool
    """Probes were lost all over the world at the time."""


def evidence(homes: Sequence[Sequence[ProbeLine]], part: slice, reach: Reach, coming: Coming) -> dict[str, bool]:
    """What is known; a key that is missing is not known."""
    found = {"lost_elsewhere": coming.elsewhere, "flaps": coming.flaps}
    if coming.rebooted is not None:
        found["returned_rebooted"] = coming.rebooted
    told = [
        codes
        for lines in homes
        for codes in [np.concatenate([line.codes[part] for line in lines])]
        if np.isin(codes, _BAD).any()
    ]
    if told:
        found |= {name: _mostly(told, codes) for name, codes in _TOLD.items()}
    for name, rung, wanted_ok in (
        ("link_fails", _LINK, False),
        ("access_fails", ACCESS, False),
        ("domestic_works", DOMESTIC, True),
    ):
        worked, failed = rung_votes(homes, rung, part)
        if worked != failed:
            found[name] = (worked > failed) is wanted_ok
    if reach.n_networks_observed > 1:
        found["several_networks"] = reach.n_networks > 1
    if reach.n_households_observed > 1:
        found["several_households"] = reach.n_households > 1
    if reach.n_regions_observed > 1:
        found["one_region"] = reach.n_regions == 1
    return found


def _mostly(told: Sequence[Codes], wanted: Sequence[Code]) -> bool:
    hits = sum(np.count_nonzero(np.isin(c, wanted)) * 2 > np.count_nonzero(np.isin(c, _BAD)) for c in told)
    return bool(hits * 2 > len(told))


def weigh(known: Mapping[str, bool], params: Params) -> dict[str, float]:
    """The posterior of each hypothesis, equal before the evidence; rounded, so that they are what is published."""
    hit = params["hypothesis.hit"]
    scores = {}
    for name, expected in EXPECTED.items():
        by_family: dict[str, float] = {}
        for item, value in known.items():
            if item in expected:
                weight = math.log(2 * hit) if expected[item] is value else math.log(2 * (1 - hit))
                by_family[FAMILY[item]] = by_family.get(FAMILY[item], 0.0) + weight
        cap = params["hypothesis.cap"]
        scores[name] = sum(min(max(value, -cap), cap) for value in by_family.values())
    total = math.fsum(math.exp(score) for score in scores.values())
    return {name: round(math.exp(score) / total, 3) for name, score in scores.items()}


def likeliest(vector: Mapping[str, float], params: Params) -> str:
    """The name of the first, if it stands out; otherwise ``undetermined``."""
    ranked = sorted(vector.items(), key=lambda item: (-item[1], item[0]))
    (first, top), (_, second) = ranked[0], ranked[1]
    clear = top >= params["hypothesis.label"] and top >= params["hypothesis.ratio"] * second
    return first if clear else UNDETERMINED
