"""When a group changed, by all its households' votes together: the posterior of one change (detection.md §3.3 f).

``P(t)`` is proportional to the likelihood of being well before ``t`` and down from ``t`` on, or the other way round for
a return. The prior is flat: one on round hours would manufacture the pattern of an order where there is none. It stands
beside the bounds of `dating`, which are certain and speak of the first loss; this speaks of most households.
"""

from typing import NamedTuple

import numpy as np

from civobs_collector.detect.filter import DOWN, OK, Counts, Floats, emissions
from civobs_collector.detect.params import Params


class Span(NamedTuple):
    """Bins [first, last]: the change lay at the beginning of one of them."""

    first: int
    last: int


def of_change(up: Counts, known: Counts, states: tuple[int, int], params: Params) -> Floats:
    """The posterior that the second of two states of the filter began with each bin, given that it began with one.

    ``up`` of ``known`` households, [bin]; a bin in which nobody was observed says nothing. The result is [bin] and
    adds up to 1.
    """
    logs = np.log(emissions(up, known, params))
    before, after = logs[:, states[0]], logs[:, states[1]]
    weight = np.concatenate([[0.0], np.cumsum(before)[:-1]]) + np.cumsum(after[::-1])[::-1]
    share = np.exp(weight - weight.max())
    found: Floats = share / share.sum()
    return found


def span(posterior: Floats, params: Params) -> Span:
    """The narrowest middle of a posterior: from the bin that its lower tail ends in to that of its upper one."""
    tail = params["posterior.tail"]
    total = np.cumsum(posterior)
    # The sum of many shares misses 1 by a rounding error, and must still be found in the last bin.
    last = min(int(np.searchsorted(total, 1 - tail)), len(total) - 1)
    return Span(min(int(np.searchsorted(total, tail)), last), last)


def onset(up: Counts, known: Counts, params: Params) -> Span:
    """When it began. The bins given reach from before it to its deepest point."""
    return span(of_change(up, known, (OK, DOWN), params), params)


def resolution(up: Counts, known: Counts, params: Params) -> Span:
    """When it ended. The bins given reach from its deepest point to after it."""
    return span(of_change(up, known, (DOWN, OK), params), params)
