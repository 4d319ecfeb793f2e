"""How the detector of counts does on series that are made: false alarms on quiet ones, recall and delay on outages.

Made by seeded generators of many shapes; none of them was measured. The detector was mended on some of them.
``python -m tests.evaluation.counts`` prints the figures of docs/evaluation.md.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.counts import CountSegment, find_counts
from civobs_collector.detect.params import Params

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
HOUR, DAY = 3600.0, 86400.0
START = 1_767_225_600.0
"""2026-01-01, a Thursday."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a quiet series looks."""

    name: str
    mean: float = 60.0
    """Sightings an hour."""
    bin_s: float = HOUR
    weeks: int = 10
    dispersion: float | None = None
    """Of each bin; None for a Poisson series."""
    daily: float = 0.0
    """Swing about the mean, 0 to 1."""
    weekend: float = 1.0
    """Level on Saturday and Sunday."""
    trend: float = 0.0
    """Change a day, as a logarithm."""
    wander: float = 0.0
    """Standard deviation of a slow stray, as a logarithm."""
    wander_h: float = 12.0
    """How long a stray lasts."""
    missing: float = 0.0
    """Share of bins that were not observed."""
    spikes: float = 0.0
    """Share of bins four to twenty times too high."""
    hiccups: float = 0.0
    """Share of bins that say 0 though there was something."""
    office: bool = False
    """Nothing at night."""
    change: Callable[[Floats, Floats], Floats] | None = field(default=None, compare=False)
    """What happens to the expected counts: (seconds since the start, mean) to mean."""


def made(shape: Shape, seed: int, change: Callable[[Floats, Floats], Floats] | None = None) -> Counts:
    """One series; ``change`` is what is done to it."""
    rng = np.random.default_rng([seed, *shape.name.encode()])
    at = np.arange(round(shape.weeks * 7 * DAY / shape.bin_s), dtype=np.float64) * np.float64(shape.bin_s)
    mean = np.asarray(shape.mean * shape.bin_s / HOUR * np.exp(shape.trend * at / DAY), dtype=np.float64)
    middle = at + shape.bin_s / 2
    mean *= 1 + shape.daily * np.sin(2 * np.pi * (middle / DAY - 0.35)) if shape.bin_s < DAY else 1
    weekday = ((START + middle) // DAY + 3) % 7
    mean *= np.where(weekday >= 5, shape.weekend, 1)
    if shape.office:
        hour = middle % DAY / HOUR
        mean *= np.clip(np.minimum(hour - 6, 19 - hour) / 2, 0.01, 1)
    if shape.wander:
        mean *= np.exp(shape.wander * _stray(rng, len(at), shape.wander_h * HOUR / shape.bin_s))
    if shape.change is not None:
        mean = shape.change(at, mean)
    if change is not None:
        mean = change(at, mean)
    if shape.dispersion is not None:
        mean = mean * rng.gamma(shape.dispersion, 1 / shape.dispersion, len(at))
    mean = np.where(rng.random(len(at)) < shape.spikes, mean * rng.uniform(4, 20, len(at)), mean)
    found: Counts = rng.poisson(mean).astype(np.int64)
    found[rng.random(len(at)) < shape.hiccups] = 0
    found[rng.random(len(at)) < shape.missing] = -1
    return found


def _stray(rng: np.random.Generator, n: int, length: float) -> Floats:
    keep = float(np.exp(-1 / length))
    steps = rng.normal(size=n) * np.sqrt(1 - keep**2)
    found = np.empty(n)
    value = rng.normal()
    for index, step in enumerate(steps):
        value = keep * value + step
        found[index] = value
    return found


def _days(first: float, last: float, factor: float) -> Callable[[Floats, Floats], Floats]:
    return lambda at, mean: np.where((at >= first * DAY) & (at < last * DAY), factor * mean, mean)


def _later(at: Floats, mean: Floats) -> Floats:
    step = round(2 * HOUR / (at[1] - at[0]))
    return np.where((at >= 35 * DAY) & (at < 60 * DAY), np.roll(mean, step), mean)


def _clock_change(at: Floats, mean: Floats) -> Floats:
    step = round(HOUR / (at[1] - at[0]))
    return np.where(at >= 38 * DAY, np.roll(mean, step), mean)


QUIET = (
    Shape("0.5 an hour", 0.5),
    Shape("2 an hour", 2),
    Shape("7 an hour", 7),
    Shape("60 an hour"),
    Shape("3,000 an hour", 3000),
    Shape("7 an hour, r=6", 7, dispersion=6),
    Shape("60 an hour, r=3", dispersion=3),
    Shape("3,000 an hour, r=6", 3000, dispersion=6),
    Shape("daily season", 20, daily=0.9),
    Shape("daily season, many", 2000, daily=0.9, dispersion=50),
    Shape("daily and weekly season", 60, daily=0.8, weekend=0.5),
    Shape("daily and weekly season, many", 3000, daily=0.8, weekend=0.4, dispersion=80),
    Shape("office", 300, office=True, weekend=0.1),
    Shape("office, few", 8, office=True, weekend=0.1),
    Shape("rises 3 % a day", 20, trend=0.03, daily=0.5),
    Shape("falls 3 % a day", 200, trend=-0.03, daily=0.5),
    Shape("wanders by the hour", 300, wander=0.2, wander_h=3, daily=0.5),
    Shape("wanders by the day", 300, wander=0.15, wander_h=24, daily=0.5),
    Shape("wanders by the week", 300, wander=0.3, wander_h=168, daily=0.5),
    Shape("few, wanders by the day", 7, wander=0.2, wander_h=24),
    Shape("a tenth missing", 20, missing=0.1, daily=0.5),
    Shape("half missing", 20, missing=0.5, daily=0.5),
    Shape("a bin in thirty is nought", 60, daily=0.5, hiccups=1 / 30),
    Shape("many, one in 200 is nought", 3000, daily=0.5, hiccups=1 / 200),
    Shape("the day begins two hours later", 300, daily=0.6, change=_later),
    Shape("a fifth fewer", 300, daily=0.6, change=_days(30, 1000, 0.8)),
    Shape("spikes", 20, spikes=0.02, daily=0.5),
    Shape("four days of a crowd", 60, daily=0.5, change=_days(30, 34, 5)),
    Shape("doubles", 60, daily=0.5, change=_days(30, 1000, 2)),
    Shape("begins with nothing", 60, daily=0.5, change=_days(0, 10, 0)),
    Shape("begins with a twentieth", 60, daily=0.5, change=_days(0, 10, 0.05)),
    Shape("holidays", 300, daily=0.7, weekend=0.4, change=_days(32, 33, 0.4)),
    Shape("the clock changes", 300, daily=0.9, dispersion=80, change=_clock_change),
    Shape("5 min, few", 12, bin_s=300, weeks=4, daily=0.5),
    Shape("5 min", 600, bin_s=300, weeks=4, daily=0.7, weekend=0.7),
    Shape("5 min, wanders", 600, bin_s=300, weeks=4, daily=0.7, wander=0.2, wander_h=3),
    Shape("5 min, many, wanders", 30000, bin_s=300, weeks=4, daily=0.7, wander=0.15, wander_h=12),
    Shape("3 hours", 7, bin_s=3 * HOUR, daily=0.5),
    Shape("6 hours, weekly season", 60, bin_s=6 * HOUR, daily=0.5, weekend=0.5),
    Shape("daily bins", 7, bin_s=DAY, weeks=30, weekend=0.6),
    Shape("daily bins, many, wanders", 300, bin_s=DAY, weeks=30, weekend=0.6, wander=0.15, wander_h=72),
    Shape("nothing at all", 0),
)


@dataclass(frozen=True, slots=True)
class Outage:
    """What is done to a series, and how long after its beginning; in days."""

    name: str
    first: float
    last: float
    left: float = 0.0
    nights: int = 0
    """As many windows, one a day."""
    decline_h: float = 0.0

    def change(self, at: Floats, mean: Floats) -> Floats:
        for first, last in self.windows:
            inside = (at >= first * DAY) & (at < last * DAY)
            left = np.maximum(self.left, 1 - (at / HOUR - first * 24) / self.decline_h) if self.decline_h else self.left
            mean = np.where(inside, left * mean, mean)
        return mean

    @property
    def windows(self) -> list[tuple[float, float]]:
        return [(self.first + n, self.last + n) for n in range(max(1, self.nights))]


OUTAGES = (
    Outage("6 h", 30.25, 30.5),
    Outage("a day, 5 % left", 30.25, 31.25, 0.05),
    Outage("ten days", 30.25, 40.25, 0.02),
    Outage("to the end", 40.25, 1000),
    Outage("40 nights of 8 h", 20.875, 21.2083, 0.01, nights=40),
    Outage("60 % lost for two days", 30.25, 32.25, 0.4),
    Outage("fades in 5 h", 30.25, 31.25, 0.03, decline_h=5),
)
HIT = (
    Shape("7 an hour", 7),
    Shape("60 an hour, r=6", dispersion=6),
    Shape("daily and weekly season", 60, daily=0.6, weekend=0.5),
    Shape("3,000 an hour, wanders", 3000, daily=0.5, wander=0.1, wander_h=24),
    Shape("a tenth missing", 20, missing=0.1, daily=0.5),
    Shape("5 min", 600, bin_s=300, weeks=9, daily=0.5),
    Shape("begins with nothing", 60, daily=0.5, change=_days(0, 10, 0)),
)


@dataclass(frozen=True, slots=True)
class Result:
    """How often windows were found, and how late."""

    windows: int
    found: int
    false: int
    delays_bins: tuple[float, ...]
    start_errors_bins: tuple[float, ...]
    end_errors_bins: tuple[float, ...]


def false_alarms(shape: Shape, seeds: Sequence[int], params: Params) -> tuple[int, float]:
    """Events on quiet series of this shape, and how many weeks they were."""
    found = sum(len(find_counts(START, shape.bin_s, made(shape, seed), params)) for seed in seeds)
    return found, float(shape.weeks * len(seeds))


def recall(shape: Shape, outage: Outage, seeds: Sequence[int], params: Params) -> Result:
    """Windows of an outage against what was found."""
    results = [_matched(shape, outage, seed, params) for seed in seeds]
    return Result(
        *(sum(getattr(one, name) for one in results) for name in ("windows", "found", "false")),
        *(
            tuple(value for one in results for value in getattr(one, name))
            for name in ("delays_bins", "start_errors_bins", "end_errors_bins")
        ),
    )


def _matched(shape: Shape, outage: Outage, seed: int, params: Params) -> Result:
    counts = made(shape, seed, outage.change)
    segments = find_counts(START, shape.bin_s, counts, params)
    bins = DAY / shape.bin_s
    used: set[int] = set()
    delays, starts, ends, found = [], [], [], 0
    for first, last in outage.windows:
        begin, end = first * bins, min(last * bins, len(counts))
        hits = [n for n, one in enumerate(segments) if one.start < end and one.end > begin]
        used.update(hits)
        if not hits:
            continue
        found += 1
        one: CountSegment = segments[hits[0]]
        delays.append(one.opened + 1 - begin)
        starts.append(one.start - begin)
        if segments[hits[-1]].ended:
            ends.append(segments[hits[-1]].end - end)
    return Result(len(outage.windows), found, len(segments) - len(used), tuple(delays), tuple(starts), tuple(ends))


def main(seeds: int) -> None:
    """Print both tables as Markdown."""
    params = Params()
    events = weeks = 0.0
    print("| quiet series | weeks | false events |\n|---|---|---|")
    for shape in QUIET:
        n, w = false_alarms(shape, range(seeds), params)
        events, weeks = events + n, weeks + w
        print(f"| {shape.name} | {w:.0f} | {n} |")
    print(f"| **all: {events / weeks:.4f} a series-week** | {weeks:.0f} | {events:.0f} |\n")
    print(f"| outage | {' | '.join(shape.name for shape in HIT)} |\n|---|{'---|' * len(HIT)}")
    for outage in OUTAGES:
        some = [recall(shape, outage, range(max(1, seeds // 2)), params) for shape in HIT]
        print(f"| {outage.name} | {' | '.join(_cell(one) for one in some)} |")


def _cell(one: Result) -> str:
    """Found of all, false ones if any, and medians in bins: delay, start and end against the truth."""
    off = [
        str(round(float(np.median(v)))) if v else "-"
        for v in (one.delays_bins, one.start_errors_bins, one.end_errors_bins)
    ]
    return f"{one.found}/{one.windows}{f' +{one.false} false' if one.false else ''}: {', '.join(off)}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
