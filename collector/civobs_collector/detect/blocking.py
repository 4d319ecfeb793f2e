"""Blocking: from when until when a target failed in some networks and not elsewhere.

Each (network, target, layer) has its own filter; what changes together becomes one event (detection.md §3.3 (d), §3.5).
"""

from dataclasses import dataclass

from civobs_collector.detect.params import Params
from civobs_collector.detect.targets import Votes

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class NetworkSpan:
    """One network's part in a blocking. Times in seconds since 1970."""

    asn: int
    start: Interval | None
    """Last good and first bad vote; None: bad since before the first vote."""
    end: Interval | None
    """Last bad and first good vote; None: not seen to end."""
    opened_at: float
    n_down: int
    """Households down at the peak."""
    n_observed: int


@dataclass(frozen=True, slots=True)
class Blocking:
    """Targets that failed in networks of a country, and did not elsewhere. Times in seconds since 1970."""

    cc: str
    asns: tuple[int, ...]
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    failures: tuple[tuple[str, int], ...]
    """Words of failure and in how many votes, commonest first: the guess at the mechanism rests on these."""
    start: Interval | None
    """Last good and first bad vote of the first network; None: since before the first vote."""
    end: Interval | None
    """Last bad and first good vote of the last network; None: not seen to end."""
    first_bad: float
    """The first bad vote, also where ``start`` is not known."""
    last_bad: float
    ongoing: bool
    """Open at the end of the data; with no ``end`` and not ongoing, the votes ceased before it was seen to end."""
    opened_at: float
    """End of the bin in which a live detector would have opened it."""
    networks: tuple[NetworkSpan, ...]
    posterior: float
    n_down: int
    """Households down at any time, each counted once."""
    n_observed: int
    """Households of these networks with a vote on these targets meanwhile."""
    out_bad: int
    """Household-votes elsewhere that were bad in the same bins, and all of them (``out_n``)."""
    out_n: int
    log10_bf: float
    rate_difference: float
    held: str
    """Why it is not to be published: ``""``, ``site_failure``, ``common_cause``."""
    rules: tuple[str, ...]


def find(votes: Votes, now: float, params: Params) -> tuple[Blocking, ...]:
    """All blockings in the votes up to ``now``, in seconds since 1970; the order of the votes does not matter."""
    del votes, now, params
    return ()
