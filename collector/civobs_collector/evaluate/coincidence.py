"""Whether households that fail by themselves so often would have been down together without a common cause.

The filter takes one bin for no witness of the next. A household that is away for half an hour is away in six bins of
five minutes, so two such households out of four look surer with each bin than they are.
"""

import math

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.grid import Group
from civobs_collector.detect.params import Params
from civobs_collector.detect.segments import Segment, minimum

Floats = NDArray[np.float64]


def not_by_chance(group: Group, segments: list[Segment], params: Params) -> list[Segment]:
    """Those that the habits of the households do not explain; what they do explain is a habit too."""
    left = segments
    while left:
        habits = _habits(group, left)
        kept = [one for one in left if not _by_chance(group, one, habits, params)]
        if len(kept) == len(left):
            break
        left = kept
    return left


def _habits(group: Group, segments: list[Segment]) -> tuple[Floats, float]:
    """The share of time for which each household is down, and for how many bins at a time one is; by other times."""
    apart = np.ones(group.up.shape[1], dtype=bool)
    for one in segments:
        apart[one.start : one.end] = False
    down, up = group.down[:, apart], group.up[:, apart]
    begun = max(1, int((down[:, 1:] & up[:, :-1]).sum()))
    return down.sum(axis=1) / np.maximum((down | up).sum(axis=1), 1), max(1.0, float(down.sum()) / begun)


def _by_chance(group: Group, segment: Segment, habits: tuple[Floats, float], params: Params) -> bool:
    """Whether as many households are down together, for as long, once a year by themselves.

    At every number from that which opens an event up to the peak; the least likely of them decides, of so many tried.
    """
    shares, mean = habits
    there = group.down[:, segment.peak] | group.up[:, segment.peak]
    chances = _at_least(shares[there])
    least = max(minimum(group.key, params), math.ceil(params["rule.majority"] * int(there.sum())))
    n_down = group.n_down[segment.start : max(segment.end, segment.start + 1)]
    numbers = np.arange(min(least, segment.n_peak), segment.n_peak + 1)
    lasted = np.array([np.count_nonzero(n_down >= number) for number in numbers])
    # Of so many that are down one returns at this rate; of all such spells this share lasts so long.
    rate = chances[numbers] * numbers / mean * np.exp(-lasted * numbers / mean)
    return bool(len(rate) * rate.min() > params["burst.alarm"])


def _at_least(shares: Floats) -> Floats:
    """Probability that so many households or more are down at one time, by number, of the share that each is."""
    found = np.ones(1)
    for share in shares.tolist():
        found = np.convolve(found, [1 - share, share])
    tail: Floats = found[::-1].cumsum()[::-1]
    return tail
