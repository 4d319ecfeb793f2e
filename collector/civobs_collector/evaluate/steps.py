"""How wide the bins of a file are: the commonest step between the rows of one series.

Files come by 5 minutes, by hour and by day, with gaps and with a clock that is not quite even, and nobody says which.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WIDTHS = np.array([60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 604800.0])
"""Widths that people choose, in seconds: uneven rows are taken to mean the nearest."""
_EVEN = 0.5
"""From this share of equal steps on a file is even, and its step is taken as it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """The width of a bin, and where it comes from."""

    seconds: float
    share: float
    """Of the steps that are this long, to one part in fifty; 1 where the width was given."""
    given: bool = False


def step_of(at: NDArray[np.float64], series: Sequence[NDArray[np.int32]], given: float | None = None) -> Step:
    """The commonest step; ``series`` are columns of codes that together name the series a row belongs to."""
    if given is not None:
        return Step(given, 1.0, given=True)
    if len(at) < 2:
        return Step(3600.0, 0.0)
    order = np.lexsort(np.stack([at, *series]))
    same = np.ones(len(at) - 1, dtype=bool)
    for codes in series:
        same &= codes[order][1:] == codes[order][:-1]
    steps = np.diff(at[order])[same]
    return commonest(steps[steps > 0])


def commonest(steps: NDArray[np.float64]) -> Step:
    """Of the steps between the rows of one series, or of many."""
    if not len(steps):
        return Step(3600.0, 0.0)
    found, counts = np.unique(np.round(steps, 3), return_counts=True)
    # Of two equally common ones the shorter: the longer may be a gap.
    best = float(found[int(counts.argmax())])
    share = float((np.abs(steps - best) <= 0.02 * best).mean())
    if share < _EVEN:
        middle = float(np.median(steps))
        best = float(_WIDTHS[int(np.abs(np.log(_WIDTHS / middle)).argmin())])
        share = float((np.abs(steps - best) <= 0.02 * best).mean())
    elif np.abs(_WIDTHS - best).min() <= 0.02 * best:
        best = float(_WIDTHS[int(np.abs(_WIDTHS - best).argmin())])
    return Step(best, share)
