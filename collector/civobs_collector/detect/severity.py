"""How bad it was: three factors, stored apart, and their product (IODA's alert area)."""

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.record import Severity


def severity_of(n_up: NDArray[np.int64], n_known: NDArray[np.int64], fraction: float, hours: float) -> Severity:
    """``n_up`` and ``n_known`` households for each bin of the event; ``fraction`` of the group affected."""
    observed = n_known > 0
    share = float(np.median(n_up[observed] / n_known[observed])) if observed.any() else 1.0
    depth = round(1 - share, 3)
    return Severity(depth=depth, hours=round(hours, 4), area=round(depth * fraction * hours, 4))
