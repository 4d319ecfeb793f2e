"""What a count says about the state of its source: usual, low but usual, partly lost, lost.

Negative binomials (detection.md §3.3 c). ``low`` is what keeps holidays and quiet days from being events: any level
that another day of the memory has had at this hour explains a count as well as its own. Where the counts of a series
wander together, each of them says less, and its evidence is weighed accordingly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import betaln, gammaln, logsumexp

from civobs_collector.detect.params import Params

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
USUAL, LOW, DEGRADED, DOWN = 0, 1, 2, 3
_SHARES = np.arange(0.15, 0.9, 0.1)
"""What may be left of a degraded source: the support on which the Beta is summed."""
_NEVER = 1e-300
_FAINT = 1e-3
"""A mean of nothing has no logarithm; less than this is nothing."""


def transition(bin_s: float, params: Params) -> Floats:
    """Probabilities of going from state (row) to state (column) within one bin."""
    onset, offset, odd = params["counts.onset"], params["counts.offset"], params["counts.odd"]
    deepen = params["counts.deepen"]
    rates = np.array(
        [
            [0, odd, onset / 2, onset / 2],
            [offset, 0, onset / 2, onset / 2],
            # Back to a day that is low is rarer than back to a usual one.
            [offset, odd, 0, deepen],
            [offset, odd, deepen, 0],
        ]
    )
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return np.asarray(expm(rates * bin_s), dtype=np.float64)


def log_pmf(x: Floats, mean: Floats, r: Floats | float) -> Floats:
    """Log probability of counts under negative binomials of this mean and dispersion."""
    mean = np.maximum(mean, _FAINT)
    total = r + mean
    found: Floats = (
        gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * (np.log(r) - np.log(total)) + x * np.log(mean / total)
    )
    return found


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of some bins."""

    mean: Floats
    lowest: Floats
    """The mean on the lowest day that is still usual."""
    r: Floats
    """The dispersion, with the doubt about the mean."""
    hiccups: float
    """Share of bins in which the counter itself fails, and any number below the usual may stand."""


def log_emissions(x: Counts, expected: Expected, params: Params) -> Floats:
    """Log likelihood by state, [bin, state]; a bin that was not observed (-1) says nothing."""
    seen = np.maximum(x, 0).astype(np.float64)
    states = _log_states(seen, expected, params)
    # More than usual is usual, whichever distribution has the longer tail.
    most = _log_states(np.minimum(seen, expected.mean), expected, params)
    states[:, DEGRADED:] = states[:, :1] + np.minimum(
        states[:, DEGRADED:] - states[:, :1], most[:, DEGRADED:] - most[:, :1]
    )
    states[x < 0] = 0
    return states


def _log_states(seen: Floats, expected: Expected, params: Params) -> Floats:
    mean, r = expected.mean, expected.r
    a, b = params["counts.degraded_a"], params["counts.degraded_b"]
    weight = (a - 1) * np.log(_SHARES) + (b - 1) * np.log1p(-_SHARES) - betaln(a, b) + np.log(_SHARES[1] - _SHARES[0])
    partial = np.stack([log_pmf(seen, share * mean, r) for share in _SHARES])
    states = np.stack(
        [
            log_pmf(seen, mean, r),
            log_pmf(seen, np.clip(seen, expected.lowest, mean), r),
            logsumexp(partial + weight[:, None], axis=0),
            log_pmf(seen, params["counts.down"] * mean, params["counts.down_dispersion"]),
        ],
        axis=1,
    )
    fails = np.where(seen <= mean, np.log(max(expected.hiccups, _NEVER)) - np.log1p(mean), -np.inf)
    states[:, :DEGRADED] = np.logaddexp(states[:, :DEGRADED] + np.log1p(-expected.hiccups), fails[:, np.newaxis])
    return states


def weighed(states: Floats, lost: float, degraded: float) -> Floats:
    """The same, with the evidence against the usual weighed for what one bin says of the next."""
    weight = np.array([1.0, lost, degraded, lost])
    found: Floats = states[:, :1] + weight * (states - states[:, :1])
    return found
