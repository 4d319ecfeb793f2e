"""When enough pairs of transfers have been made: rules in a table, looked through in order after each pair.

They only save bytes. Whether a name is slowed is for the collector to judge, from the samples that travel.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Stop = Literal["pairs", "alike", "apart", "budget", "failed", "time"]
Slowdown = float | None
"""Goodput under the neutral name by that under the target's: infinite where the target's got nothing, None where the
neutral one got nothing and there is nothing to compare with."""

ALIKE = 1.3
"""Well below the factor of 2 from which a slowdown counts; a pair on an idle line differs by less."""
APART = 2.0
"""detection.md §3.5 (i): median d of at least ln 2."""
ENOUGH = 7
"""detection.md §3.5 wants at least six pairs and p < 0.01: the exact one-sided signed-rank test of n pairs that all
point one way gives 2^-n, which is 0.016 for six and 0.008 for seven."""
MOST = 8
"""One pair more than enough, for one that points the other way; after that another run tells more."""


def slowdown(neutral_bps: float | None, target_bps: float | None) -> Slowdown:
    """Of one pair."""
    if neutral_bps is None:
        return None
    return neutral_bps / target_bps if target_bps else math.inf


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to stop."""

    stop: Stop
    holds: Callable[[Sequence[Slowdown]], bool]
    reason: str


def _last(n: int, test: Callable[[Slowdown], bool]) -> Callable[[Sequence[Slowdown]], bool]:
    return lambda pairs: len(pairs) >= n and all(test(pair) for pair in pairs[-n:])


RULES: tuple[Rule, ...] = (
    Rule("failed", _last(2, lambda pair: pair is None), "twice nothing came under the neutral name"),
    Rule(
        "alike",
        _last(2, lambda pair: pair is not None and pair < ALIKE),
        "twice in a row hardly slower; of a name slowed twofold, with pairs that scatter by a third, 1 run in 100",
    ),
    Rule("apart", _last(3, lambda pair: pair == math.inf), "three times nothing under the target's name: cut off"),
    Rule(
        "apart",
        _last(ENOUGH, lambda pair: pair is not None and pair >= APART),
        "all of as many pairs as a test at p < 0.01 needs are slower by the factor that counts",
    ),
    Rule("pairs", lambda pairs: len(pairs) >= MOST, "no clearer with so many"),
)


def stop(pairs: Sequence[Slowdown]) -> Stop | None:
    """Why no further pair is needed; None to go on."""
    return next((rule.stop for rule in RULES if rule.holds(pairs)), None)
