"""The form ``throughput``: transfers under a target's name and under a neutral one, many tests in a file.

``bytes`` are cumulative from the replicate's start; where they ever fall within a replicate of the file they are taken
as bytes since the previous sample. ``sample_s`` is time since the replicate's start; where it never rises within any
replicate it is taken as the length of each sample. Every finding says what was assumed. A conclusion is given for
every test, also where it is that there is nothing to tell.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.goodput import Transfer
from civobs_collector.detect.params import Params
from civobs_collector.detect.throttling import Trial, Verdict, judge, pair_up
from civobs_collector.evaluate.forms import NEUTRAL_ARM, TARGET_ARM, ThroughputRows
from civobs_collector.evaluate.found import Between, Found

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the numbers of a file mean."""

    cumulative: bool
    lengths: bool
    """``sample_s`` is how long each sample took."""
    step: float
    """Seconds between samples, the commonest; for a sample whose own length is not told."""

    @property
    def words(self) -> str:
        counted = "bytes cumulative from the replicate's start" if self.cumulative else "bytes since the sample before"
        return f"{counted}; sample_s as the length of a sample" if self.lengths else counted


@dataclass(frozen=True, slots=True)
class _Replicate:
    test: int
    arm: int
    number: str
    places: Places
    """Rows of the file: by time, or where there are only lengths as they stand."""


def find(rows: ThroughputRows, params: Params) -> list[Found]:
    """One conclusion a test, by name."""
    if not len(rows.arm):
        return []
    replicates = list(_replicates(rows))
    meaning = _meaning(rows, replicates)
    tests: dict[int, dict[int, dict[str, _Replicate]]] = {}
    for one in replicates:
        tests.setdefault(one.test, {0: {}, 1: {}})[one.arm][one.number] = one
    return [
        _found(rows.test.names[test], judge(_trial(rows, test, arms, meaning), params), _when(rows, arms), meaning)
        for test, arms in sorted(tests.items())
    ]


def _replicates(rows: ThroughputRows) -> Iterator[_Replicate]:
    order = np.lexsort((rows.replicate.codes, rows.arm, rows.test.codes))
    keys = np.stack([rows.test.codes[order], rows.arm[order], rows.replicate.codes[order]])
    starts = np.flatnonzero(np.append(True, (np.diff(keys, axis=1) != 0).any(axis=0)))
    for first, places in zip(starts, np.split(order, starts[1:]), strict=True):
        test, arm, number = (int(one) for one in keys[:, first])
        yield _Replicate(test, arm, rows.replicate.names[number], places)


def _meaning(rows: ThroughputRows, replicates: list[_Replicate]) -> _Meaning:
    """Looked for over the whole file: one replicate alone may be as even as a ruler."""
    several = [rows.sample_s[one.places] for one in replicates if len(one.places) > 1]
    lengths = bool(several) and all(float(at.max()) == float(at.min()) > 0 for at in several)
    falls = False
    steps = [np.zeros(0)]
    for one in replicates:
        places = one.places if lengths else _by_time(rows, one.places)
        falls = falls or bool((np.diff(rows.bytes[places]) < 0).any())
        steps.append(np.diff(rows.sample_s[places]))
    known = np.concatenate(several) if lengths else np.concatenate(steps)
    known = known[known > 0]
    return _Meaning(not falls, lengths, float(np.median(known)) if len(known) else 1.0)


def _by_time(rows: ThroughputRows, places: Places) -> Places:
    """In the order of time; of samples at one instant the smaller first, which is the order of cumulative bytes."""
    return places[np.lexsort((rows.bytes[places], rows.sample_s[places]))]


def _trial(rows: ThroughputRows, test: int, arms: dict[int, dict[str, _Replicate]], meaning: _Meaning) -> Trial:
    # Numbered where all are numbers, so that 10 follows 9.
    names = sorted({*arms[0], *arms[1]}, key=lambda name: (_number(name), name))
    places = {name: place for place, name in enumerate(names)}
    target, neutral = (
        {places[name]: _transfer(rows, one, meaning) for name, one in arms[arm].items()}
        for arm in (TARGET_ARM, NEUTRAL_ARM)
    )
    pairs, spare_target, spare_neutral = pair_up(target, neutral)
    return Trial(rows.test.names[test], pairs, None, spare_target, spare_neutral)


def _number(name: str) -> float:
    try:
        found = float(name)
    except ValueError:
        return math.inf
    return found if math.isfinite(found) else math.inf


def _transfer(rows: ThroughputRows, one: _Replicate, meaning: _Meaning) -> Transfer:
    places = one.places if meaning.lengths else _by_time(rows, one.places)
    at = np.cumsum(rows.sample_s[places]) if meaning.lengths else rows.sample_s[places]
    size = rows.bytes[places] if meaning.cumulative else np.cumsum(rows.bytes[places])
    if at[0] <= 0 and size[0] > 0:
        # A first sample at nought that has bytes: samples are named by when they begin.
        at = at + meaning.step
    rtt = rows.rtt_ms[places]
    return Transfer(tuple(zip(at.tolist(), size.tolist(), strict=True)), tuple(np.sort(rtt[~np.isnan(rtt)]).tolist()))


def _when(rows: ThroughputRows, arms: dict[int, dict[str, _Replicate]]) -> tuple[float, float] | None:
    at = np.concatenate([rows.at[one.places] for arm in arms.values() for one in arm.values()])
    known = at[~np.isnan(at)]
    return (float(known.min()), float(known.max())) if len(known) else None


def _found(test: str, verdict: Verdict, when: tuple[float, float] | None, meaning: _Meaning) -> Found:
    made = Found(
        group=test,
        kind=verdict.kind,
        level=verdict.level,
        layers=("tls",) if verdict.level else (),
        mechanisms=("tls.throttle.sni",) if verdict.level else (),
        confidence=verdict.label,
        n_down=verdict.slower,
        n_observed=verdict.pairs,
        rules=verdict.rules,
        why=f"{verdict.why} ({meaning.words})",
        numbers=(
            ("ratio", verdict.ratio),
            ("p_wilcoxon", verdict.p_wilcoxon),
            ("p_mann_whitney", verdict.p_mann_whitney),
            ("ks_passed", verdict.ks_passed),
            ("ks_tested", verdict.ks_tested),
            ("area", verdict.area),
            ("target_bps", verdict.target_bps),
            ("neutral_bps", verdict.neutral_bps),
            ("plateau_bps", verdict.plateau_bps),
            ("plateau_cv", verdict.plateau_cv),
        ),
    )
    if when is None:
        return made
    first, last = when
    return replace(made, start=Between(first, first, first), end=Between(last, last, last), alert_at=last)
