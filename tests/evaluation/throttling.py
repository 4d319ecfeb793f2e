"""How the detector of throttling does on transfers that are made: false alarms on lines, recall on limits.

Courses come from a round-by-round TCP past queues, buckets and shapers (tests/collector/fix_transfers.py), and from
noise painted by hand that is worse than a line should be. Seeded, and of no measured data; nothing was fitted to a
file. ``python -m tests.evaluation.throttling`` prints the tables of docs/evaluation.md.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from civobs_collector.detect.goodput import Transfer
from civobs_collector.detect.params import Params
from civobs_collector.detect.throttling import Trial, Verdict, judge
from tests.collector.fix_transfers import Limit, Line, Run, trial

Maker = Callable[[str, int, int], Trial]
"""Name, pairs, seed."""
REPLICATES = (1, 2, 3, 6, 8, 20)
SLOW = Line(bps=1e6, rtt=0.08)
FAST = Line(bps=300e6, rtt=0.02)
WIFI = Line(bps=30e6, between=0.35, within=0.5, loss=0.0005)
BAD_WIFI = Line(bps=30e6, between=0.7, within=0.8, loss=0.001)
EVENING = Line(bps=2e6, between=0.5, within=0.5, queue_s=0.4)


@dataclass(frozen=True, slots=True)
class Rough:
    """A rate that strays as it is told to, without a mechanism."""

    bps: float = 20e6
    between: float = 0.1
    """Standard deviation of the logarithm, from transfer to transfer."""
    within: float = 0.3
    """And from sample to sample ..."""
    keep: float = 0.0
    """... each of which keeps so much of the one before."""
    pause: float = 0.0
    """Share of samples without a byte."""
    n: int = 80
    step: float = 0.1
    third: bool = False
    """The target's name is held at a third."""


def _rough(rough: Rough) -> Maker:
    def make(name: str, pairs: int, seed: int) -> Trial:
        rng = np.random.default_rng([seed, pairs, *name.encode()])
        limit = rough.bps / 3 if rough.third else None
        return Trial(name, tuple((_painted(rough, limit, rng), _painted(rough, None, rng)) for _ in range(pairs)))

    return make


def _painted(rough: Rough, limit: float | None, rng: np.random.Generator) -> Transfer:
    stray = np.empty(rough.n)
    value = rng.normal()
    for place in range(rough.n):
        stray[place] = value
        value = rough.keep * value + (1 - rough.keep**2) ** 0.5 * rng.normal()
    sizes = rough.bps / 8 * rough.step * np.exp(rng.normal(0, rough.between) + rough.within * stray)
    sizes[rng.random(rough.n) < rough.pause] = 0
    at = rough.step * np.arange(1, rough.n + 1)
    came = np.cumsum(sizes)
    if limit is not None:
        came = np.minimum(came, 16_000 + limit / 8 * at)
    return Transfer(tuple(zip(at.tolist(), came.tolist(), strict=True)))


def _made(run: Run) -> Maker:
    return lambda name, pairs, seed: trial(name, replace(run, pairs=pairs), Random(f"{name} {pairs} {seed}"))


LINES: Mapping[str, Maker] = {
    "20 Mbit/s, quiet": _made(Run()),
    "1 Mbit/s, quiet": _made(Run(SLOW)),
    "300 Mbit/s in samples of 10 ms": _made(Run(FAST, step=0.01, seconds=3)),
    "WiFi": _made(Run(WIFI)),
    "WiFi, samples of 1 s": _made(Run(WIFI, step=1, seconds=6)),
    "bad WiFi": _made(Run(BAD_WIFI)),
    "bad WiFi, 512 KiB": _made(Run(BAD_WIFI, size=524_288, step=0.25)),
    "evening congestion": _made(Run(EVENING)),
    "slower by the minute": _made(Run(Line(bps=8e6, drift=1.5, between=0.2))),
    "boost at the start": _made(Run(Line(bps=5e6, boost=5, boost_bytes=3e6))),
    "140 kbit/s on both names": _made(Run(limit=Limit(140e3), both=True)),
    "rough: 0.3 within": _rough(Rough()),
    "rough: 0.5 between, slow stray": _rough(Rough(between=0.5, within=0.5, keep=0.9)),
    "rough: 0.8 between": _rough(Rough(between=0.8, within=0.5, keep=0.9)),
    "rough: 1.0 between, even within": _rough(Rough(between=1.0, within=0.1)),
    "rough: a fifth pauses": _rough(Rough(between=0.3, within=0.5, pause=0.2)),
    "rough: 5 samples of 1 s": _rough(Rough(between=0.5, within=0.5, n=5, step=1.0)),
    "rough: 500 samples of 10 ms": _rough(Rough(between=0.5, within=0.5, keep=0.9, n=500, step=0.01)),
}
"""Lines without a limit on the target's name: every event is a false alarm."""
LIMITS: Mapping[str, Maker] = {
    "policed at 140 kbit/s": _made(Run(limit=Limit(140e3))),
    "shaped to 150 kbit/s": _made(Run(limit=Limit(150e3, shape=True))),
    "policed at 1.5 Mbit/s, bucket 100 kB": _made(Run(limit=Limit(1.5e6, bucket=100_000))),
    "policed at 1 Mbit/s, bucket 2 MB": _made(Run(limit=Limit(1e6, bucket=2e6))),
    "policed at 4 of 10 Mbit/s": _made(Run(Line(bps=10e6), Limit(4e6, bucket=50_000))),
    "500 kbit/s after 1 MB": _made(Run(limit=Limit(500e3, after=1e6))),
    "512 KiB at 130 kbit/s": _made(Run(limit=Limit(130e3), size=524_288, seconds=20, step=0.25)),
    "512 KiB, 130 kbit/s from the middle": _made(
        Run(limit=Limit(130e3, after=262_144), size=524_288, seconds=20, step=0.25)
    ),
    "400 kbit/s of 1 Mbit/s": _made(Run(SLOW, Limit(400e3))),
    "10 of 300 Mbit/s in samples of 10 ms": _made(Run(FAST, Limit(10e6, bucket=1e6), step=0.01, seconds=3)),
    "140 kbit/s, samples of 1 s": _made(Run(limit=Limit(140e3), step=1, seconds=6)),
    "140 kbit/s over WiFi": _made(Run(WIFI, Limit(140e3))),
    "2 Mbit/s over bad WiFi": _made(Run(BAD_WIFI, Limit(2e6, shape=True))),
    "140 kbit/s in the evening": _made(Run(EVENING, Limit(140e3))),
    "500 kbit/s, boost at the start": _made(Run(Line(bps=5e6, boost=5, boost_bytes=3e6), Limit(500e3))),
    "stopped after 16 kB": _made(Run(limit=Limit(1e5, after=16_000, cut=True))),
    "nothing comes": _made(Run(limit=Limit(1e5, cut=True))),
    "rough: a third, 0.3 within": _rough(Rough(third=True)),
    "rough: a third, 0.5 between": _rough(Rough(between=0.5, within=0.5, keep=0.9, third=True)),
    "rough: a third, 5 samples of 1 s": _rough(Rough(between=0.3, within=0.3, n=5, step=1.0, third=True)),
}
EVENTS = {"throttling_targeted", "blocking"}


def verdicts(maker: Maker, name: str, pairs: int, trials: int) -> list[Verdict]:
    """Of so many trials, each of its own seed."""
    params = Params()
    return [judge(maker(name, pairs, seed), params) for seed in range(trials)]


def main() -> None:
    parser = argparse.ArgumentParser(description="False alarms and recall of the detector of throttling.")
    parser.add_argument("--trials", type=int, default=100, help="for each cell; 100 if not given")
    trials = parser.parse_args().trials
    for heading, makers in (("Lines without a limit: events of %d trials", LINES), ("Limits: found of %d", LIMITS)):
        print(f"\n{heading % trials}\n")
        print("| | " + " | ".join(f"{n} pairs" if n > 1 else "1 pair" for n in REPLICATES) + " |")
        print("|---|" + "---|" * len(REPLICATES))
        sums = [Counter[str]() for _ in REPLICATES]
        for name, maker in makers.items():
            cells = [verdicts(maker, name, pairs, trials) for pairs in REPLICATES]
            for total, cell in zip(sums, cells, strict=True):
                total.update(_word(one) for one in cell)
            print(f"| {name} | " + " | ".join(_cell(Counter(map(_word, cell))) for cell in cells) + " |", flush=True)
        print("| **all** | " + " | ".join(_cell(total) for total in sums) + " |")
    print("\nA cell: events; of them `probable` in brackets.")


def _word(one: Verdict) -> str:
    return one.label if one.kind in EVENTS else one.kind


def _cell(counts: Counter[str]) -> str:
    probable = counts["probable"]
    return f"{probable + counts['unconfirmed']}" + (f" ({probable})" if probable else "")


if __name__ == "__main__":
    main()
