"""Rows of several series on one dense grid: an index of bins for every row, and what time a bin is.

A file's own clock is kept: rows of local midnight make bins from local midnight, and rows that come a little early or
late still fall one into each bin.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.errors import EvaluationError
from civobs_collector.evaluate.forms import Coded
from civobs_collector.evaluate.steps import Step, commonest

_EARLY = 0.25
"""Share of a bin that a row may come before its bin begins."""
_TELLING = 12
"""Steps of one series that may speak for it where they differ from those of the file."""
_OTHER = 1.5
_PLACES = 100
_HOLE_S, _HOLE_BINS = 60 * 86400.0, 100
"""A hole this long in all series parts a file in two: what was open before it is not followed across."""
_MOST = 20_000_000
"""Bins of one series: 190 years of 5 min, or 8 months of seconds."""


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
        parts = {code: order[edges[code] : edges[code + 1]] for code in widths[width]}
        phases = {code: _phase(at[own], width) for code, own in parts.items()}
        indexes = {
            code: np.floor((at[own] - phases[code]) / width + _EARLY).astype(np.int64) for code, own in parts.items()
        }
        for first, last in _stretches(np.concatenate(list(indexes.values())), width):
            yield _frame(parts, indexes, phases, (width, first, last))


def _frame(
    parts: dict[int, NDArray[np.intp]],
    indexes: dict[int, NDArray[np.int64]],
    phases: dict[int, float],
    stretch: tuple[float, int, int],
) -> Frame:
    """All series of one width from one bin to another."""
    width, first, last = stretch
    if last - first >= _MOST:
        raise EvaluationError(
            f"bins of {width:g} s are too many for rows that reach over {(last - first) * width / 86400:.0f} days",
            "give a wider one, such as --bin 5m",
        )
    inside = {code: (own >= first) & (own <= last) for code, own in indexes.items()}
    codes = tuple(code for code, own in inside.items() if own.any())
    return Frame(
        width,
        last - first + 1,
        np.concatenate([parts[code][inside[code]] for code in codes]),
        np.concatenate([indexes[code][inside[code]] for code in codes]) - first,
        codes,
        {code: phases[code] + first * width for code in codes},
    )


def _stretches(indexes: NDArray[np.int64], width: float) -> Iterator[tuple[int, int]]:
    """First and last bin of each stretch without a long hole: a wrong year in one row makes no grid of a century."""
    bins = np.unique(indexes)
    holes = np.flatnonzero(np.diff(bins) > max(_HOLE_S / width, _HOLE_BINS))
    for first, last in zip(np.append(0, holes + 1), np.append(holes, len(bins) - 1), strict=True):
        yield int(bins[first]), int(bins[last])


def _width(steps: NDArray[np.float64], step: Step) -> float:
    steps = steps[steps > 0]
    if step.given or len(steps) < _TELLING:
        return step.seconds
    own = commonest(steps)
    different = max(own.seconds, step.seconds) >= _OTHER * min(own.seconds, step.seconds)
    return own.seconds if different else step.seconds


def _phase(at: NDArray[np.float64], width: float) -> float:
    """Where in the width of a bin the rows of a series stand: the commonest place."""
    share = np.mod(at, width) / width
    place = int(np.bincount(np.round(share * _PLACES).astype(np.int64) % _PLACES).argmax()) / _PLACES
    off = np.mod(share - place + 0.5, 1) - 0.5
    return (place + float(np.median(off[np.abs(off) <= 1 / _PLACES]))) * width
