"""What the detector of blocking is given: votes, one a household, target, layer and bin.

The database layer and the forms of ``civobs evaluate`` fill these; a test writes them by hand. Columns, not objects:
a year of a country is tens of millions of votes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAYERS = ("dns", "tcp", "tls", "http", "quic")


@dataclass(frozen=True, slots=True)
class Votes:
    """One household's word on one target at one layer in one bin; arrays of one length, in any order."""

    bin_s: float
    """``target.bin`` of the parameters, or what the file has."""
    bin: NDArray[np.int64]
    """``floor(time / bin_s)``, time in seconds since 1970."""
    household: NDArray[np.int64]
    weight: NDArray[np.float64]
    """1, or less for a household enrolled less than 14 d before, or whose line comes and goes."""
    asn: NDArray[np.int64]
    cc: NDArray[np.int32]
    target: NDArray[np.int32]
    layer: NDArray[np.int8]
    """Index into ``LAYERS``."""
    failure: NDArray[np.int32]
    countries: tuple[str, ...]
    targets: tuple[str, ...]
    failures: tuple[str, ...]
    """The words of failure; the first is ``""``, none."""
    bad: NDArray[np.bool_]
    """The household's majority in the bin."""
    first_at: NDArray[np.float64]
    """When the first run behind the vote began, in seconds since 1970."""
    last_at: NDArray[np.float64]
    """When the last of them began."""
    control: NDArray[np.bool_]
    """Of an anchor or of a country that is not judged: it speaks for the world outside only."""
    over_at: NDArray[np.float64] | None = None
    """When the first of them was over that was over first; None where runs take no time."""
    alive: NDArray[np.bool_] | None = None
    """Of a line that is known to have worked, whatever else failed; None where nothing of the kind is known."""
