"""The state filter: a hidden Markov model of a group of households, with three states.

Emissions are Beta-Binomial, so a group of three is not believed like a group of fifty, and one dead probe is no
outage; an empty bin (nobody observed) only lets the belief drift. detection.md §3.3 (b); the third state, degraded,
serves partial shutdowns.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import betaln, gammaln

from civobs_collector.detect.params import Params

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
OK, DEGRADED, DOWN = 0, 1, 2


def transition(params: Params) -> Floats:
    """Probabilities of going from state (row) to state (column) within one bin."""
    onset, offset = params["filter.onset"], params["filter.offset"]
    # An onset is as likely to be partial as full; a partial outage deepens, and a full one eases, as fast as it ends.
    rates = np.array([[-onset, onset / 2, onset / 2], [offset, -2 * offset, offset], [offset, offset, -2 * offset]])
    return np.asarray(expm(rates * params["grid.bin"]), dtype=np.float64)


def emissions(up: Counts, known: Counts, params: Params) -> Floats:
    """Likelihood of ``up`` of ``known`` by state: an array of their shape with one more axis, [..., state]."""
    choose = gammaln(known + 1) - gammaln(up + 1) - gammaln(known - up + 1)
    states = []
    for name in ("ok", "degraded", "down"):
        a, b = params[f"filter.{name}_a"], params[f"filter.{name}_b"]
        states.append(np.exp(choose + betaln(up + a, known - up + b) - betaln(a, b)))
    return np.stack(states, axis=-1)


def run(up: Counts, known: Counts, params: Params) -> Floats:
    """Posterior of each state, [group, bin, state], from households up and observed, [group, bin]."""
    groups, bins = known.shape
    # The same few pairs come again and again: each is worked out once, however large the groups are.
    size = int(known.max(initial=0)) + 1
    which = known * size + up
    pairs = np.flatnonzero(np.bincount(which.ravel(), minlength=1))
    likelihood = emissions(pairs % size, pairs // size, params)
    numbers = np.zeros(size * size, dtype=np.int64)
    numbers[pairs] = np.arange(len(pairs))
    which = numbers[which]
    step = transition(params)
    # Nobody votes before it was seen for a while: a group does not begin within an outage.
    belief = np.tile(np.eye(3)[OK], (groups, 1))
    found = np.empty((groups, bins, 3))
    for index in range(bins):
        belief = belief @ step
        belief = belief * likelihood[which[:, index]]
        belief /= belief.sum(axis=1, keepdims=True)
        found[:, index] = belief
    return found
