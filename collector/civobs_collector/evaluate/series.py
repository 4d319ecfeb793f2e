"""Rows of several series on one dense grid: an index of bins for every row, and what time a bin is.

A file's own clock is kept: rows of local midnight make bins from local midnight, and rows that come a little early or
late still fall one into each bin.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.evaluate.forms import Coded
from civobs_collector.evaluate.steps import Step, commonest

_EARLY = 0.25
"""Share of a bin that a row may come before its bin begins."""
_TELLING = 12
"""Steps of one series that may speak for it where they differ from those of the file."""
_OTHER = 1.5


@dataclass(frozen=True, slots=True)
class Frame:
    """The grid of some series: bin 0 of series ``code`` begins at ``origin[code]``."""

    bin_s: float
    n: int
    rows: NDArray[np.intp]
    """Which rows of the file."""
    index: NDArray[np.int64]
    """The bin of each of them."""
    codes: tuple[int, ...]
    """Which series."""
    origin: dict[int, float]


def frames(at: NDArray[np.float64], group: Coded, step: Step) -> Iterator[Frame]:
    """One frame for all series of one width; most files have one."""
    order = np.lexsort((at, group.codes))
    edges = np.searchsorted(group.codes[order], np.arange(len(group.names) + 1))
    widths: dict[float, list[int]] = {}
    for code in range(len(group.names)):
        own = order[edges[code] : edges[code + 1]]
        if len(own):
            widths.setdefault(_width(np.diff(at[own]), step), []).append(code)
    for width in sorted(widths):
        codes = widths[width]
        parts = [order[edges[code] : edges[code + 1]] for code in codes]
        phases = [_phase(at[own], width) for own in parts]
        indexes = [
            np.floor((at[own] - phase) / width + _EARLY).astype(np.int64)
            for own, phase in zip(parts, phases, strict=True)
        ]
        first = min(int(index[0]) for index in indexes)
        last = max(int(index[-1]) for index in indexes)
        origin = {code: phase + first * width for code, phase in zip(codes, phases, strict=True)}
        yield Frame(
            width, last - first + 1, np.concatenate(parts), np.concatenate(indexes) - first, tuple(codes), origin
        )


def _width(steps: NDArray[np.float64], step: Step) -> float:
    steps = steps[steps > 0]
    if step.given or len(steps) < _TELLING:
        return step.seconds
    own = commonest(steps)
    different = max(own.seconds, step.seconds) >= _OTHER * min(own.seconds, step.seconds)
    return own.seconds if different else step.seconds


def _phase(at: NDArray[np.float64], width: float) -> float:
    """Where in the width of a bin the rows of a series stand: the commonest place, to a hundredth of it."""
    places = np.round(np.mod(at, width) / width * 100).astype(np.int64) % 100
    return float(np.bincount(places, minlength=100).argmax()) / 100 * width
