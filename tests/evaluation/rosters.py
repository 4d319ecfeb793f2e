"""Rosters that are made: households that fail by themselves, and groups that lose them together.

A household is up for days and away for minutes to hours, by itself; some are bad at it. Into half of the groups come
outages, sudden or over hours, whole or partial, with a rollout and a recovery in steps, and holes in the file. Seeded;
nothing was fitted to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.evaluation.data import write

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0
SIZES = (2, 3, 4, 5, 7, 10, 15, 25, 50)
"""Not 1: what happens to the only household of a group has happened to the group."""


@dataclass(frozen=True, slots=True)
class Made:
    """One group, and when it was out."""

    name: str
    at: NDArray[np.float64]
    n: int
    up: NDArray[np.int64]
    outages: tuple[tuple[float, float], ...]


def made(size: int, seed: int, *, bin_s: float = 300.0, days: float = 28.0, hit: bool = True) -> Made:
    """One group of ``size`` households."""
    rng = np.random.default_rng((size, seed))
    at = START + np.arange(int(days * DAY / bin_s)) * bin_s
    up = np.stack([_alone(at, rng) for _ in range(size)])
    outages = tuple(_outages(rng, days)) if hit else ()
    for first, last in outages:
        rollout = rng.choice([0.0, 600.0, 2 * HOUR])
        left = rng.choice([0.0, 0.0, 0.15])
        lost = rng.random(size) >= left
        gone = first + rng.random(size) * rollout
        back = last + rng.random(size) * rng.choice([0.0, 900.0, HOUR])
        up &= ~(lost[:, np.newaxis] & (at >= gone[:, np.newaxis]) & (at < back[:, np.newaxis]))
    kept = np.ones(len(at), dtype=bool)
    for hole in rng.uniform(0, days * DAY, rng.integers(0, 4)):
        kept &= ~((at >= START + hole) & (at < START + hole + rng.exponential(HOUR)))
    name = f"{size:02d}-{seed:03d}"
    return Made(name, at[kept], size, up.sum(axis=0)[kept], outages)


def _alone(at: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One household's own failures: a tenth of them fail every few hours."""
    habit = rng.exponential(6 * HOUR) + HOUR if rng.random() < 0.1 else rng.exponential(6 * DAY) + DAY
    up = np.ones(len(at), dtype=bool)
    now = at[0] - rng.exponential(habit)
    while now < at[-1]:
        now += rng.exponential(habit)
        away = np.exp(rng.normal(np.log(30 * 60), 1.2))
        up &= ~((at >= now) & (at < now + away))
        now += away
    return up


def _outages(rng: np.random.Generator, days: float) -> Iterator[tuple[float, float]]:
    at = START + rng.uniform(1, 4) * DAY
    while at < START + (days - 2) * DAY:
        lasts = float(rng.choice([HOUR, 3 * HOUR, 8 * HOUR, DAY, 3 * DAY]))
        yield at, min(at + lasts, START + days * DAY)
        at += lasts + rng.uniform(1.5, 8) * DAY


def groups(seeds: int, *, bin_s: float = 300.0) -> Iterator[Made]:
    """Every size, half of them with outages."""
    for size in SIZES:
        for seed in range(seeds):
            yield made(size, seed, bin_s=bin_s, hit=seed % 2 == 0)


def roster(folder: Path, seeds: int, bin_s: float = 300.0) -> tuple[str, str]:
    """The file and its truth."""
    some = list(groups(seeds, bin_s=bin_s))
    data = write(folder / f"rosters-{bin_s:.0f}.csv", "time,group,n_expected,n_up", _lines(some))
    known = write(folder / f"rosters-{bin_s:.0f}-truth.csv", "group,kind,start,end", _truth(some))
    return data, known


def _lines(some: list[Made]) -> Iterator[str]:
    for one in some:
        for at, up in zip(one.at.tolist(), one.up.tolist(), strict=True):
            yield f"{_iso(at)},{one.name},{one.n},{up}"


def _truth(some: list[Made]) -> Iterator[str]:
    for one in some:
        yield from (f"{one.name},outage,{_iso(first)},{_iso(last)}" for first, last in one.outages)
        if not one.outages:
            yield f"{one.name},quiet,,"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
