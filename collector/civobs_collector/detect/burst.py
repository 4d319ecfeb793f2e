"""Dependent failures: whether so many probes were lost at one moment by chance.

The binomial test of Padmanabhan et al. (PAM 2019) with a Gamma prior on the hazard, detection.md §3.3 (a). A
cross-check that is named among the reasons of an event; the state filter decides.
"""

import math

from scipy.stats import binom

from civobs_collector.detect.params import Params


def chance(lost: int, present: int, within_s: float, habit: tuple[int, float], params: Params) -> float:
    """Probability that ``lost`` or more of ``present`` are lost within ``within_s`` independently of each other.

    ``habit`` is what the group was used to: losses, and the seconds in which its households were there to be lost.
    """
    if lost <= 0:
        return 1.0
    losses, exposure_s = habit
    hazard = (params["burst.prior_losses"] + losses) / (params["burst.prior_exposure"] + exposure_s)
    share = -math.expm1(-hazard * within_s)
    return float(binom.sf(lost - 1, present, share))
