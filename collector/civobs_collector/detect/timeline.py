"""Each probe on a dense time grid: what its presence and its stored ladder say together, bin by bin.

Facts are painted on cells of a tenth of a bin and a bin is judged by the majority of the cells that say something.
A stored row beats presence: presence knows only whether the broker was reached, L4 whether the world was.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect import lists
from civobs_collector.detect.detours import around_a_block, told_apart
from civobs_collector.detect.inputs import Inputs, LadderRun, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.presence import Loss, Seen, Span, by_probe, losses, spans, suspect_losses

Codes = NDArray[np.uint8]
ACCESS = 2
"""Rung L2: the hop behind the gateway, and the resolver that the provider gives."""
DOMESTIC = 3
"""Rung L3: whether hosts within the country answer."""
INTERNATIONAL = 4
"""Rung L4: whether the world outside the country answers. It decides between up and down."""
NAMES = 5
"""Rung L5, of which the detector takes the first step only: whether the given resolver finds a name."""


class Code(IntEnum):
    """What is known of one probe in one bin. In the order of their weight where two are equally long."""

    UNKNOWN = 0
    """Nothing, or nothing yet: the collector was away, the agent stopped, the debounce still runs."""
    UP = 1
    CONFLICT = 2
    """The Internet was there (L4 ok, or another broker was reached), the first broker was not."""
    DOWN = 3
    """Stored rows say that L4 failed in every family that used to work."""
    LOST = 4
    """Presence was lost and no row tells more."""
    DARK = 5
    """Presence was lost, the device was off and came back with another boot id."""
    LISTED = 6
    """Presence was lost, and of the hosts abroad only a few answered: those on somebody's list."""
    NAMELESS = 7
    """The Internet was there by address, but the resolver that the provider gives found no names."""


class Rung(IntEnum):
    """What the rows of one rung say in a cell."""

    NOTHING = 0
    ARRIVED = 1
    """A row is there that says nothing about the network."""
    PAUSED = 2
    AGENT_DOWN = 3
    FAILED = 4
    OK = 5
    FEW = 6
    """Enough answered, but only a few; of L4 it stands for all families, as a list does."""


class Verdict(IntEnum):
    """What the rows of one rung say of a bin."""

    NOTHING = 0
    OK = 1
    FAILED = 2


_RUNG_OF = {
    RunOutcome.OK: Rung.OK,
    RunOutcome.FAILED: Rung.FAILED,
    RunOutcome.AGENT_DOWN: Rung.AGENT_DOWN,
    RunOutcome.PAUSED: Rung.PAUSED,
    RunOutcome.NOT_RUN: Rung.ARRIVED,
    RunOutcome.CLOCK: Rung.ARRIVED,
    RunOutcome.FEW: Rung.FEW,
}


def _table() -> Codes:
    """The code for every pair of what presence says and what L4 says."""
    table = np.zeros((len(Seen), len(Rung)), dtype=np.uint8)
    silent = (Rung.NOTHING, Rung.ARRIVED)
    table[:, Rung.OK] = table[:, Rung.FEW] = Code.UP
    table[Seen.LOST, Rung.OK] = table[Seen.LOST_REBOOT, Rung.OK] = Code.CONFLICT
    table[Seen.LOST, Rung.FEW] = table[Seen.LOST_REBOOT, Rung.FEW] = Code.LISTED
    table[:, Rung.FAILED] = Code.DOWN
    table[Seen.ONLINE, [*silent, Rung.AGENT_DOWN, Rung.PAUSED]] = Code.UP
    table[Seen.LOST, list(silent)] = Code.LOST
    table[Seen.LOST_REBOOT, [*silent, Rung.AGENT_DOWN]] = Code.DARK
    # Whoever comes by another broker has the Internet, also before the rows of it are here.
    table[Seen.ELSEWHERE, [*silent, Rung.OK, Rung.FEW, Rung.AGENT_DOWN, Rung.PAUSED]] = Code.CONFLICT
    return table


_CODE = _table()
_HEARD = (Seen.ONLINE, Seen.ELSEWHERE, Seen.STOPPED)
"""What presence says of a probe that was there, or took leave."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The grid: bins aligned to the epoch, from ``start``; seconds."""

    start: float
    bin_s: float
    n: int
    cells: int
    now: float

    @classmethod
    def of(cls, since: datetime, now: datetime, params: Params) -> "Axis":
        width = params["grid.bin"]
        start = math.floor(since.timestamp() / width) * width
        n = max(1, math.ceil((now.timestamp() - start) / width))
        return cls(start, width, n, params.count("grid.cells"), now.timestamp())

    def at(self, index: int) -> float:
        """Start of a bin."""
        return self.start + index * self.bin_s

    def bins(self, seconds: float) -> int:
        """A duration in bins, at least one."""
        return max(1, round(seconds / self.bin_s))

    def index(self, at: float) -> int:
        """The bin a time lies in, kept within the grid."""
        return min(max(int((at - self.start) // self.bin_s), 0), self.n - 1)


@dataclass(slots=True)
class ProbeLine:
    """One probe on the grid. ``codes``, ``rungs[r]`` and ``online`` have one entry a bin."""

    probe: ProbeInfo
    codes: Codes
    arrived: NDArray[np.bool_]
    """Whether stored rows of the ladder account for the bin."""
    online: Codes
    """`Seen`, as presence alone has it."""
    rungs: dict[int, Codes]
    """`Verdict`, per rung."""
    losses: tuple[Loss, ...]
    runs: dict[tuple[int, int], list[LadderRun]]
    """By rung and family, in order of time."""
    last_row: float
    """When the newest stored row of the ladder was taken; minus infinity without any."""
    detours: tuple[Loss, ...] = ()
    """When its first broker was out of its reach, and another was not."""


@dataclass(slots=True)
class Timeline:
    """All probes on one axis, and the losses blamed on the collector."""

    axis: Axis
    lines: dict[int, ProbeLine]
    suspects: tuple[Loss, ...] = field(default=())


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as an aware time, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def build(inputs: Inputs, params: Params) -> Timeline:
    """Put all facts on the grid."""
    axis = Axis.of(inputs.since, inputs.now, params)
    probes = {one.probe_key: one for one in inputs.probes if one.active}
    facts = {key: said for key, said in by_probe(inputs.presence).items() if key in probes}
    lost = {key: losses(said, axis.now, params) for key, said in facts.items()}
    said = {key: spans(facts[key], lost[key], axis.now) for key in facts}
    suspects = suspect_losses([one for many in lost.values() for one in many], said, probes, params)
    runs: dict[int, list[LadderRun]] = defaultdict(list)
    for run in inputs.runs:
        runs[run.probe_key].append(run)
    away = [(start.timestamp(), end.timestamp()) for start, end in inputs.away]
    blamed: dict[int, list[Span]] = defaultdict(list)
    for one in suspects:
        blamed[one.probe_key].append(Span(one.earliest, one.back or axis.now, Seen.NOTHING))
    around = around_a_block(facts, probes, axis.now, params)
    said |= {key: told_apart(said[key], away_from_first, axis.now) for key, away_from_first in around.items()}
    lines = {}
    for key in sorted(probes):
        true_losses = tuple(one for one in lost.get(key, ()) if not one.short and one not in suspects)
        lines[key] = _line(probes[key], (said.get(key, []), blamed[key], away), true_losses, runs[key], axis, params)
        lines[key].detours = around.get(key, ())
    return Timeline(axis, lines, tuple(sorted(suspects, key=lambda one: (one.latest, one.probe_key))))


_Presence = tuple[list[Span], list[Span], list[tuple[float, float]]]
"""What presence says of a probe, what of it is blamed on the collector, and when the collector was away."""


def _line(
    probe: ProbeInfo,
    presence: _Presence,
    lost: tuple[Loss, ...],
    runs: list[LadderRun],
    axis: Axis,
    params: Params,
) -> ProbeLine:
    by_rung: dict[tuple[int, int], list[LadderRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: (r.rung, r.family, r.first_at, r.last_at, r.outcome)):
        by_rung[run.rung, run.family].append(run)
    abroad = [at for at in sorted(by_rung) if at[0] == INTERNATIONAL]
    by_rung.update(zip(abroad, lists.settled([by_rung[at] for at in abroad], presence[0]), strict=True))
    last_row = max((run.last_at.timestamp() for run in runs), default=-math.inf)
    seen = _presence_cells(presence, last_row, axis)
    cells = {rung: _rung_cells(by_rung, rung, axis, params) for rung in sorted({r for r, _ in by_rung})}
    international = cells.get(INTERNATIONAL, np.zeros_like(seen))
    _bridge(international, seen, [by_rung[at] for at in abroad], axis, params)
    combined = _combined(seen, international)
    beyond = math.ceil((axis.now - axis.start) / (axis.bin_s / axis.cells))
    combined[beyond:] = Code.UNKNOWN
    codes = _majority(combined, axis, tuple(Code))
    if NAMES in cells:
        failed = _verdicts(cells[NAMES], axis) == Verdict.FAILED
        codes[(codes == Code.UP) & failed & _resolver_failed(by_rung, axis, params)] = Code.NAMELESS
    return ProbeLine(
        probe=probe,
        codes=codes,
        arrived=_arrived([by_rung[at] for at in abroad], axis, params),
        online=_majority(seen, axis, tuple(Seen)),
        rungs={rung: _verdicts(found, axis, listed=rung == INTERNATIONAL) for rung, found in cells.items()},
        losses=lost,
        runs=dict(by_rung),
        last_row=last_row,
    )


def _presence_cells(presence: _Presence, last_row: float, axis: Axis) -> Codes:
    """`Seen`, by cell."""
    said, blamed, away = presence
    seen = np.zeros(axis.n * axis.cells, dtype=np.uint8)
    for span in said:
        state = span.seen
        # Off is only concluded once what the probe recorded after its return is here; until then it is lost.
        if state is Seen.LOST_REBOOT and last_row < span.end:
            state = Seen.LOST
        _paint(seen, axis, span.start, span.end, state)
    for start, end in [*((span.start, span.end) for span in blamed), *away]:
        _paint(seen, axis, start, end, Seen.NOTHING)
    return seen


def _arrived(families: Sequence[Sequence[LadderRun]], axis: Axis, params: Params) -> NDArray[np.bool_]:
    """Bins that stored rows of a rung account for: those between two rows that are no further apart than usual.

    How far apart they usually are is the plan's choice: with an hour between them most bins have no row of their own.
    """
    cells = np.zeros(axis.n * axis.cells, dtype=np.uint8)
    for runs in families:
        spans = [(run.first_at.timestamp(), run.last_at.timestamp()) for run in runs]
        bridge = _hole(runs, params)
        for index, (first, last) in enumerate(spans):
            following = spans[index + 1][0] if index + 1 < len(spans) else last
            _paint(cells, axis, first, following if 0 < following - last <= bridge else last, 1)
    return _any(cells, axis)


def _usual_step(runs: Sequence[LadderRun], spans: Sequence[tuple[float, float]]) -> float:
    """The median of the seconds between two rows."""
    steps = [
        ((last - first) / (run.n - 1), run.n - 1) for run, (first, last) in zip(runs, spans, strict=True) if run.n > 1
    ]
    steps += [(after[0] - before[1], 1) for before, after in pairwise(spans) if after[0] > before[1]]
    if not steps:
        return 0.0
    lengths, counts = np.array(sorted(steps)).T
    return float(lengths[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])


def _resolver_failed(by_rung: dict[tuple[int, int], list[LadderRun]], axis: Axis, params: Params) -> NDArray[np.bool_]:
    """Bins in which L2 of a family was worse than it can be: it asks the resolver, and a hop that may never answer."""
    worse = np.zeros(axis.n, dtype=bool)
    for family in sorted({at_family for rung, at_family in by_rung if rung == ACCESS}):
        cells = _rung_cells({(ACCESS, family): by_rung[ACCESS, family]}, ACCESS, axis, params)
        # At its best the whole rung answers, or, behind a hop that never does, the resolver alone.
        ill = (Rung.FAILED, Rung.FEW) if (cells == Rung.OK).any() else (Rung.FAILED,)
        worse |= _any(_flags(Rung, ill)[cells], axis)
    return worse


def _rung_cells(by_rung: dict[tuple[int, int], list[LadderRun]], rung: int, axis: Axis, params: Params) -> Codes:
    """All families of a rung on the cells: any family that is ok makes it ok."""
    painted = np.zeros(axis.n * axis.cells, dtype=np.uint8)
    for runs in (found for (at_rung, _), found in sorted(by_rung.items()) if at_rung == rung):
        own = np.zeros_like(painted)
        for start, end, said in _stretched(_evidence(runs), params["ladder.near"]):
            _paint(own, axis, start, end, said)
        np.maximum(painted, own, out=painted)
    return painted


def _evidence(runs: Sequence[LadderRun]) -> list[LadderRun]:
    """Without the failures of a family before it first worked: a home without IPv6 has not lost it."""
    worked = next((run.first_at for run in runs if run.outcome in (RunOutcome.OK, RunOutcome.FEW)), None)
    return [
        run for run in runs if run.outcome is not RunOutcome.FAILED or (worked is not None and run.first_at > worked)
    ]


def _stretched(runs: Sequence[LadderRun], near: float) -> list[tuple[float, float, Rung]]:
    """Runs as intervals; near neighbours share the time between them."""
    ends = [[run.first_at.timestamp(), run.last_at.timestamp()] for run in runs]
    for before, after in pairwise(ends):
        if 0 < after[0] - before[1] <= near:
            before[1] = after[0] = (before[1] + after[0]) / 2
    return [(start, end, _RUNG_OF[run.outcome]) for (start, end), run in zip(ends, runs, strict=True)]


def _paint(cells: Codes, axis: Axis, start: float, end: float, value: int) -> None:
    width = axis.bin_s / axis.cells
    first = math.floor((start - axis.start) / width)
    last = max(math.ceil((min(end, axis.now) - axis.start) / width), first + 1)
    if last > 0 and start <= axis.now:
        cells[max(first, 0) : last] = value


def _bridge(
    international: Codes, seen: Codes, families: Sequence[Sequence[LadderRun]], axis: Axis, params: Params
) -> None:
    """Take the failure of two rows for one of all the time between, but for when the connection is known to have stood.

    Where the ladder is climbed by the half hour most bins have no row: they would be lost without a word of how much.
    """
    most = max(_hole(runs, params) for runs in families) if families else 0.0
    marks = np.flatnonzero(international != Rung.NOTHING)
    failed = international[marks] == Rung.FAILED
    steps = np.diff(marks)
    for pair in np.flatnonzero(failed[:-1] & failed[1:] & (steps > 1) & (steps <= most * axis.cells / axis.bin_s)):
        part = slice(marks[pair] + 1, marks[pair + 1])
        international[part][~_flags(Seen, _HEARD)[seen[part]]] = Rung.FAILED


def _hole(runs: Sequence[LadderRun], params: Params) -> float:
    """The least seconds between two rows of a rung and family in which some are missing."""
    spans = [(run.first_at.timestamp(), run.last_at.timestamp()) for run in runs]
    return max(params["ladder.gap"], params["late.spacing"] * _usual_step(runs, spans))


def _combined(seen: Codes, international: Codes) -> Codes:
    """The code of each cell. Worked out where one of the two changes: most cells are as the one before."""
    changed = (seen[1:] != seen[:-1]) | (international[1:] != international[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    lengths = np.diff(starts, append=len(seen))
    return np.repeat(_CODE[seen[starts], international[starts]], lengths)


def _mixed(cells: NDArray[np.generic], axis: Axis) -> NDArray[np.intp]:
    """Bins whose cells are not all alike: few. Of all others one cell tells."""
    changes = np.flatnonzero(cells[1:] != cells[:-1]) + 1
    return np.unique(changes[changes % axis.cells != 0] // axis.cells)


def _flags(codes: type[IntEnum], which: Iterable[int]) -> NDArray[np.bool_]:
    """By code, whether it is one of those."""
    found = np.zeros(len(codes), dtype=np.bool_)
    found[list(which)] = True
    return found


def _any(cells: NDArray[np.generic], axis: Axis) -> NDArray[np.bool_]:
    """Bins of which a cell is set."""
    found = cells[:: axis.cells].astype(np.bool_)
    found[_mixed(cells, axis)] = True
    return found


def _majority(cells: Codes, axis: Axis, codes: tuple[int, ...]) -> Codes:
    """The commonest code of each bin among those that say something; of two equally common the weightier."""
    best = cells[:: axis.cells].copy()
    mixed = _mixed(cells, axis)
    table = cells.reshape(axis.n, axis.cells)[mixed]
    counts = np.stack([(table == code).sum(axis=1) for code in codes[1:]])
    best[mixed] = len(codes) - 1 - counts[::-1].argmax(axis=0)
    return best


def _verdicts(cells: Codes, axis: Axis, *, listed: bool = False) -> Codes:
    """`Verdict`, by bin. ``listed``: a few that answer are no whole."""
    failed = _flags(Rung, (Rung.FAILED, Rung.FEW) if listed else (Rung.FAILED,))
    well = _flags(Rung, (Rung.OK,) if listed else (Rung.OK, Rung.FEW))
    by_cell = np.where(failed, Verdict.FAILED, np.where(well, Verdict.OK, Verdict.NOTHING)).astype(np.uint8)
    found: Codes = by_cell[cells[:: axis.cells]]
    mixed = _mixed(cells, axis)
    table = cells.reshape(axis.n, axis.cells)[mixed]
    n_failed, n_ok = failed[table].sum(axis=1), well[table].sum(axis=1)
    told = np.where(n_failed >= n_ok, Verdict.FAILED, Verdict.OK)
    found[mixed] = np.where(n_ok + n_failed == 0, Verdict.NOTHING, told)
    return found


def trouble_spans(
    runs: Iterable[LadderRun], inputs_presence: dict[int, list[tuple[float, float]]], pad: float
) -> list[tuple[int, datetime, datetime]]:
    """Where the other rungs are worth reading: around failures of L4 and around losses, merged, by probe."""
    wanted: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        if run.outcome is not RunOutcome.OK:
            wanted[run.probe_key].append((run.first_at.timestamp() - pad, run.last_at.timestamp() + pad))
    for key, gaps in inputs_presence.items():
        wanted[key].extend((start - pad, end + pad) for start, end in gaps)
    found: list[tuple[int, datetime, datetime]] = []
    for key in sorted(wanted):
        merged: list[list[float]] = []
        for start, end in sorted(wanted[key]):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        found.extend((key, moment(start), moment(end)) for start, end in merged)
    return found
