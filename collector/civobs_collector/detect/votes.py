"""From runs to votes: one a household, target, layer and bin.

What a household says counts only while its line is known to have worked: with another target reached at about the same
time, with a proof in the run itself, or, where all fail for long, by its ladder. A line, a resolver or a family that
fails altogether says nothing of a target.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.inputs import LadderRun, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.targets import LAYERS, Votes
from civobs_collector.detect.timeline import INTERNATIONAL

_BINS_AN_HOUR = (12, 6, 4, 3, 2, 1)
"""Bins are whole parts of ``target.bin``, so that they begin with it."""
_ABOUT = 1.05
"""Slots of a plan come a little late."""


@dataclass(frozen=True, slots=True)
class Said:
    """One word of one run. Times in seconds since 1970."""

    probe_key: int
    target: int
    first_at: float
    last_at: float
    word: Word
    family: int = 0
    alive: bool = False
    """Nothing else was reached, and the ladder told throughout that the line worked."""


def bin_of(cadences: Sequence[float], params: Params) -> float:
    """The bin for targets that are measured so often: ``target.bin``, or less where there is more to see in it."""
    most = params["target.bin"]
    if not cadences:
        return most
    usual = float(np.median(np.asarray(cadences)))
    return next((most / parts for parts in reversed(_BINS_AN_HOUR) if most / parts <= usual * _ABOUT), most / 12)


class Line:
    """When a probe's way to the world was known not to work: between rows of L4 that say so, to the next that does.

    And when it was known to work: from the first to the last of rows that say so without a hole between them.
    """

    def __init__(self, runs: Sequence[LadderRun]) -> None:
        found: dict[tuple[int, int], list[LadderRun]] = defaultdict(list)
        for run in runs:
            if run.rung == INTERNATIONAL:
                found[run.probe_key, run.family].append(run)
        self._spans = {key: _down(mine) for key, mine in found.items()}
        self._good = {
            key: sorted((r.first_at.timestamp(), r.last_at.timestamp()) for r in mine if r.outcome is RunOutcome.OK)
            for key, mine in found.items()
        }

    def worked(self, one: "Said") -> bool:
        """Whether nothing says that it did not, by the family of the run."""
        spans = self._spans.get((one.probe_key, one.family), [])
        index = bisect_left(spans, (one.first_at, math.inf)) - 1
        return index < 0 or spans[index][1] <= one.first_at

    def lasted(self, probe_key: int, family: int, first: float, last: float) -> bool:
        """Whether it is known to have worked all the time between two moments, in seconds since 1970."""
        spans = self._good.get((probe_key, family), [])
        index = bisect_left(spans, (first, math.inf)) - 1
        return index >= 0 and last <= spans[index][1]


def _down(runs: Sequence[LadderRun]) -> list[tuple[float, float]]:
    """Spans of one family in which it did not work, from the last good row before to the first after."""
    found = []
    good = -math.inf
    since: float | None = None
    for run in sorted(runs, key=lambda r: (r.first_at, r.last_at, r.outcome)):
        if run.outcome is RunOutcome.OK:
            if since is not None:
                found.append((since, run.first_at.timestamp()))
            good, since = run.last_at.timestamp(), None
        elif run.outcome is RunOutcome.FAILED and since is None:
            since = good
    return found if since is None else [*found, (since, math.inf)]


def telling(
    said: Sequence[Said], reached: Mapping[tuple[int, int], frozenset[int]], line: Line, bin_s: float, params: Params
) -> list[Said]:
    """What may be voted with. ``reached``: which targets a probe reached in a bin, over any layer.

    A failure counts beside another target that was reached in the same bin, or of one alone that failed, in the next
    to it; and not where most targets failed, unless that lasts and the line is known to have worked throughout.
    """
    failing: dict[tuple[int, int], set[int]] = defaultdict(set)
    for one in said:
        if one.word.bad and not one.word.sure:
            failing[one.probe_key, _bin(one.first_at, bin_s)].add(one.target)
    most = params["service.line"]

    def fine(one: Said) -> bool:
        if not line.worked(one):
            return False
        if one.word.sure:
            return True
        at = _bin(one.first_at, bin_s)
        bad = failing[one.probe_key, at]
        # Where several fail at once, what was reached before or after does not show that the line worked.
        steps = (-1, 0, 1) if len(bad) == 1 else (0,)
        others = _NONE.union(*(reached.get((one.probe_key, at + step), _NONE) for step in steps)) - {one.target}
        return bool(others) and len(bad - others) <= most * len(bad | others)

    found: list[Said] = []
    doubtful: list[Said] = []
    for one in said:
        (found if not one.word.bad or fine(one) else doubtful).append(one)
    return found + _borne_out(doubtful, {*reached, *failing}, line, bin_s, params)


def _borne_out(
    doubtful: Iterable[Said], known: Iterable[tuple[int, int]], line: Line, bin_s: float, params: Params
) -> list[Said]:
    """Of what was doubted, what the ladder bears out. ``known``: probes and bins of which anything is known.

    What a resolver that is dead does to all names tells nothing of them.
    """
    by: dict[tuple[int, int], list[Said]] = defaultdict(list)
    for one in doubtful:
        if one.word.layer != "dns":
            by[one.probe_key, one.family].append(one)
    bins: dict[int, list[int]] = defaultdict(list)
    for probe_key, at in sorted(known) if by else ():
        bins[probe_key].append(at)
    return [
        replace(one, alive=True)
        for (probe_key, _), rows in sorted(by.items())
        for stretch in _stretches(rows, bins[probe_key], bin_s)
        if _lasted(stretch, line, params)
        for one in stretch
    ]


def _stretches(rows: Sequence[Said], bins: Sequence[int], bin_s: float) -> list[list[Said]]:
    """Rows of one probe, in those of its bins that follow one another. ``bins``: all of which something is known."""
    by: dict[int, list[Said]] = defaultdict(list)
    for one in rows:
        by[_bin(one.first_at, bin_s)].append(one)
    found: list[list[Said]] = [[]]
    for at in bins:
        if at in by:
            found[-1] += by[at]
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def _lasted(rows: Sequence[Said], line: Line, params: Params) -> bool:
    """Whether rows of L4 came between the first and the last, and all were good."""
    first, last = min(one.first_at for one in rows), max(one.last_at for one in rows)
    key, family = rows[0].probe_key, rows[0].family
    return last - first >= params["ladder.gap"] and line.lasted(key, family, first, last)


_NONE: frozenset[int] = frozenset()


def fold(
    said: Sequence[Said],
    probes: Mapping[int, ProbeInfo],
    names: Mapping[int, str],
    bin_s: float,
    params: Params,
    *,
    flapping: Flapping,
) -> Votes:
    """One vote a household, target, layer and bin: what most of its runs say; of two equally many, that it failed."""
    said = [one for one in said if one.probe_key in probes]
    countries = tuple(sorted({probe.cc for probe in probes.values()}))
    # The same name with and without encryption is one target.
    names = {key: name.removeprefix("http://") for key, name in names.items()}
    targets = tuple(sorted(set(names.values())))
    failures = ("", *sorted({one.word.how for one in said} - {""}))
    cc_at = {cc: index for index, cc in enumerate(countries)}
    target_at = {key: targets.index(name) for key, name in names.items()}
    failure_at = {word: index for index, word in enumerate(failures)}
    layer_at = {layer: index for index, layer in enumerate(LAYERS)}
    cells: dict[tuple[int, int, int, int], list[Said]] = defaultdict(list)
    for one in said:
        home = probes[one.probe_key].household
        cells[home, target_at[one.target], layer_at[one.word.layer], _bin(one.first_at, bin_s)].append(one)
    keys = sorted(cells)
    rows = [_vote(cells[key]) for key in keys]
    owners = [probes[min(one.probe_key for one in cells[key])] for key in keys]
    columns = np.array(keys, dtype=np.int64).reshape(len(keys), 4)
    return Votes(
        bin_s=bin_s,
        bin=columns[:, 3],
        household=columns[:, 0],
        weight=_floats(
            _weight(probe, at * bin_s, flapping, params)
            for probe, at in zip(owners, columns[:, 3].tolist(), strict=True)
        ),
        asn=np.array([probe.asn for probe in owners], dtype=np.int64),
        cc=np.array([cc_at[probe.cc] for probe in owners], dtype=np.int32),
        target=columns[:, 1].astype(np.int32),
        layer=columns[:, 2].astype(np.int8),
        failure=np.array([failure_at[how] for _, how, _, _ in rows], dtype=np.int32),
        countries=countries,
        targets=targets,
        failures=failures,
        bad=np.array([bad for bad, _, _, _ in rows], dtype=np.bool_),
        first_at=_floats(first for _, _, first, _ in rows),
        last_at=_floats(last for _, _, _, last in rows),
        control=np.array([probe.is_anchor for probe in owners], dtype=np.bool_),
        alive=np.array([any(one.alive for one in cells[key]) for key in keys], dtype=np.bool_),
    )


def _weight(probe: ProbeInfo, at: float, flapping: Flapping, params: Params) -> float:
    """Of a household's word at a moment, in seconds since 1970."""
    new = at - probe.enrolled_at.timestamp() < params["confidence.new_age"]
    weight = params["confidence.new_weight"] if new else 1.0
    return weight * params["confidence.flapping_weight"] if flapping.at(probe.probe_key, at) else weight


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.fromiter(values, dtype=np.float64)


_FORGED = frozenset({"dns", "http"})
"""Layers at which an answer may be seen to be somebody else's: one is enough, whatever else came."""


def _vote(cell: Sequence[Said]) -> tuple[bool, str, float, float]:
    """Whether it failed, by what word, and when those runs began that say so.

    A run looks several times, and what changed meanwhile may have changed before its last look.
    """
    n_bad = sum(one.word.bad for one in cell)
    forged = any(one.word.bad and one.word.sure and one.word.layer in _FORGED for one in cell)
    bad = forged or (n_bad > 0 and 2 * n_bad >= len(cell))
    mine = [one for one in cell if one.word.bad == bad]
    words = [one.word.how for one in mine]
    return bad, _how(words) if bad else "", min(one.first_at for one in mine), max(one.first_at for one in mine)


def _how(words: Sequence[str]) -> str:
    """The commonest word, as exactly as any run said it: ``tls.reset.sni`` and not ``tls.reset``."""
    usual = min(set(words), key=lambda word: (-words.count(word), word))
    return max((word for word in words if word == usual or word.startswith(f"{usual}.")), key=len)


def _bin(at: float, bin_s: float) -> int:
    return math.floor(at / bin_s)
