"""Votes written by hand for the detector of blocking: a world of households that ask for targets every hour."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.targets import LAYERS, Votes

HOUR = 3600.0
START = 1_700_000_000 // 86400 * 86400


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote, ``hour`` hours after the start."""

    hour: float
    household: int
    asn: int = 100
    cc: str = "AA"
    target: str = "a.example"
    layer: str = "tls"
    bad: bool = False
    failure: str = "timeout"
    weight: float = 1.0
    control: bool = False


def votes(rows: Sequence[Vote], bin_s: float = HOUR) -> Votes:
    """As the detector takes them, in the order given."""
    countries = tuple(sorted({one.cc for one in rows}))
    targets = tuple(sorted({one.target for one in rows}))
    failures = ("", *sorted({one.failure for one in rows if one.bad}))
    at = np.array([START + one.hour * HOUR for one in rows])
    return Votes(
        bin_s=bin_s,
        bin=np.floor(at / bin_s).astype(np.int64),
        household=np.array([one.household for one in rows], dtype=np.int64),
        weight=np.array([one.weight for one in rows], dtype=np.float64),
        asn=np.array([one.asn for one in rows], dtype=np.int64),
        cc=np.array([countries.index(one.cc) for one in rows], dtype=np.int32),
        target=np.array([targets.index(one.target) for one in rows], dtype=np.int32),
        layer=np.array([LAYERS.index(one.layer) for one in rows], dtype=np.int8),
        failure=np.array([failures.index(one.failure) if one.bad else 0 for one in rows], dtype=np.int32),
        countries=countries,
        targets=targets,
        failures=failures,
        bad=np.array([one.bad for one in rows], dtype=np.bool_),
        first_at=at,
        last_at=at,
        control=np.array([one.control for one in rows], dtype=np.bool_),
    )


def chosen(given: Votes, by: NDArray[np.int64]) -> Votes:
    """The votes at these places, in their order."""
    columns = {one.name: getattr(given, one.name) for one in fields(given)}
    return replace(given, **{name: column[by] for name, column in columns.items() if isinstance(column, np.ndarray)})


def shuffled(given: Votes, seed: int) -> Votes:
    """The same votes in another order."""
    return chosen(given, np.random.default_rng(seed).permutation(len(given.bin)))


@dataclass(frozen=True, slots=True)
class Network:
    """A network and how many households ask from it."""

    asn: int
    cc: str = "AA"
    households: int = 3


def hourly(
    networks: Iterable[Network],
    hours: Iterable[int],
    fails: Callable[[Vote], bool],
    targets: Sequence[str] = ("a.example",),
    *,
    noise: float = 0.01,
    seed: int = 1,
) -> list[Vote]:
    """Each household asks for each target once an hour, at a minute of its own; ``fails`` says when it fails."""
    random = np.random.default_rng(seed)
    found = []
    hours = tuple(hours)
    for network in networks:
        for number in range(network.households):
            minute = float(random.uniform(0, 0.95))
            for target in targets:
                for hour in hours:
                    one = Vote(hour + minute, network.asn * 100 + number, network.asn, network.cc, target)
                    found.append(replace(one, bad=fails(one) or bool(random.random() < noise)))
    return found
