"""What other detectors make of an event. They are stored with it and decide nothing (detection.md §3.3 e).

A reader who trusts a CUSUM or a burst detector more than a state filter finds here whether they agree. Their ids are
``cusum.nats``, ``cusum.after_s`` and ``kleinberg.level``; one that has nothing to say is left out.
"""

import math
from collections.abc import Sequence

import numpy as np

from civobs_collector.detect.filter import Counts
from civobs_collector.detect.params import Params


def checked(down: Counts, known: Counts, losses: Sequence[float], probes: int, params: Params) -> dict[str, float]:
    """All of them, of households ``down`` and ``known`` from the event's first bin on, and losses in seconds."""
    nats, alarm = cusum(down, known, params)
    found = {"cusum.nats": round(nats, 2)}
    if alarm is not None:
        found["cusum.after_s"] = (alarm + 1) * params["grid.bin"]
    level = kleinberg(losses, probes, params)
    if level is not None:
        found["kleinberg.level"] = float(level)
    return found


def cusum(down: Counts, known: Counts, params: Params) -> tuple[float, int | None]:
    """Page's CUSUM of households down, [bin]: its highest value in nats, and the bin in which it alarmed.

    Each household observed in a bin adds the logarithm of how much likelier its state is in an outage than in peace.
    """
    quiet, loud = params["cusum.quiet"], params["cusum.loud"]
    steps = down * math.log(loud / quiet) + (known - down) * math.log((1 - loud) / (1 - quiet))
    total = np.cumsum(steps)
    # The sum since it was last at its lowest is the sum that begins anew at nought.
    level = total - np.minimum.accumulate(np.minimum(total, 0.0))
    over = np.flatnonzero(level >= params["cusum.alarm"])
    return float(level.max(initial=0.0)), int(over[0]) if over.size else None


def kleinberg(times: Sequence[float], probes: int, params: Params) -> int | None:
    """The highest level of a burst among losses (seconds), by Kleinberg's automaton as Disco uses it.

    ``probes`` is how many there were to be lost: it fixes the rate of level 0, so that levels can be compared between
    groups. None for fewer than two losses. Kleinberg, KDD 2002; Shah et al. (Disco), TMA 2017.
    """
    if len(times) < 2:
        return None
    gaps = _gaps(times, params["kleinberg.second"])
    window, scale = params["kleinberg.window"], params["kleinberg.scale"]
    usual = window / max(probes, 1)
    n_levels = max(1, math.ceil(1 + math.log(window / gaps.min(), scale)))
    rates = scale ** np.arange(n_levels) / usual
    rise = params["kleinberg.gamma"] * math.log(max(probes, 1))
    climbs = rise * np.maximum(np.arange(n_levels)[None, :] - np.arange(n_levels)[:, None], 0)
    cost = np.full(n_levels, np.inf)
    cost[0] = 0.0
    came_from = []
    for gap in gaps:
        ways = cost[:, None] + climbs
        came_from.append(ways.argmin(axis=0))
        cost = ways.min(axis=0) - np.log(rates) + rates * gap
    level = highest = int(cost.argmin())
    for way in reversed(came_from[1:]):
        level = int(way[level])
        highest = max(highest, level)
    return highest


def _gaps(times: Sequence[float], second: float) -> np.ndarray:
    """Times between losses. Those of one second are spread evenly inside it, for a gap of nought has no rate."""
    ordered = np.sort(np.asarray(times, dtype=np.float64))
    whole = np.floor(ordered / second)
    _, first, counts = np.unique(whole, return_index=True, return_counts=True)
    spread = ordered.copy()
    for start, n in zip(first, counts, strict=True):
        if n > 1:
            spread[start : start + n] = (whole[start] + (np.arange(n) + 0.5) / n) * second
    return np.diff(spread)
