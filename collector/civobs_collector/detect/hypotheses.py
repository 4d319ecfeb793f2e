"""Which failure is it? A naive-Bayes vector over the rows of detection.md §3.4, from evidence that is at hand.

It says where the fault may lie, never who caused it. Missing evidence weighs nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from civobs_collector.detect.dating import DOMESTIC
from civobs_collector.detect.depth import rung_votes
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Level
from civobs_collector.detect.timeline import Code, ProbeLine

UNDETERMINED = "undetermined"
_LINK, _ACCESS = 1, 2

EXPECTED: Mapping[str, Mapping[str, bool]] = {
    "power": {"device_off": True, "world_fails": False, "broker_only": False},
    "home_network": {
        "device_off": False,
        "world_fails": True,
        "link_fails": True,
        "domestic_works": False,
        "broker_only": False,
        "several_networks": False,
        "several_households": False,
    },
    "isp": {
        "device_off": False,
        "world_fails": True,
        "link_fails": False,
        "access_fails": True,
        "domestic_works": False,
        "broker_only": False,
        "several_networks": False,
        "several_households": True,
    },
    "national": {
        "device_off": False,
        "world_fails": True,
        "link_fails": False,
        "domestic_works": False,
        "broker_only": False,
        "several_networks": True,
        "several_households": True,
    },
    "international_only": {
        "device_off": False,
        "world_fails": True,
        "link_fails": False,
        "access_fails": False,
        "domestic_works": True,
        "broker_only": False,
        "several_networks": True,
        "several_households": True,
    },
    "collector": {
        "device_off": False,
        "world_fails": False,
        "link_fails": False,
        "access_fails": False,
        "broker_only": True,
    },
}
"""What each hypothesis makes likely (True) or unlikely (False); what it says nothing about is left out."""

FAMILY: Mapping[str, str] = {
    "device_off": "inside_out",
    "world_fails": "inside_out",
    "link_fails": "inside_out",
    "access_fails": "inside_out",
    "domestic_works": "inside_out",
    "broker_only": "inside_out",
    "several_networks": "reach",
    "several_households": "reach",
}
"""Evidence of one family is not independent, so it is capped together."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the event went."""

    level: Level
    n_networks: int
    n_networks_observed: int
    n_households: int
    n_households_observed: int


def evidence(homes: Sequence[Sequence[ProbeLine]], part: slice, reach: Reach) -> dict[str, bool]:
    """What is known; a key that is missing is not known."""
    found: dict[str, bool] = {}
    told = [
        codes
        for lines in homes
        for codes in [np.concatenate([line.codes[part] for line in lines])]
        if np.isin(codes, (Code.DARK, Code.DOWN, Code.CONFLICT)).any()
    ]
    if told:
        found["device_off"] = _mostly(told, Code.DARK)
        found["world_fails"] = _mostly(told, Code.DOWN)
        found["broker_only"] = _mostly(told, Code.CONFLICT)
    for name, rung, wanted_ok in (
        ("link_fails", _LINK, False),
        ("access_fails", _ACCESS, False),
        ("domestic_works", DOMESTIC, True),
    ):
        worked, failed = rung_votes(homes, rung, part)
        if worked != failed:
            found[name] = (worked > failed) is wanted_ok
    if reach.n_networks_observed > 1:
        found["several_networks"] = reach.n_networks > 1
    if reach.n_households_observed > 1:
        found["several_households"] = reach.n_households > 1
    return found


def _mostly(told: Sequence[np.ndarray], code: Code) -> bool:
    bad = (Code.DARK, Code.DOWN, Code.CONFLICT)
    hits = sum(np.count_nonzero(codes == code) * 2 > np.count_nonzero(np.isin(codes, bad)) for codes in told)
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
