"""One evaluation: from files to findings, and to a score where the truth is known."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from civobs_collector.detect.campaigns import Span, campaigns
from civobs_collector.detect.params import Params
from civobs_collector.errors import EvaluationError
from civobs_collector.evaluate import counts, roster, target, throughput
from civobs_collector.evaluate.forms import CountRows, ProbeRows, RosterRows, Rows, TargetRows, ThroughputRows, read
from civobs_collector.evaluate.found import Found
from civobs_collector.evaluate.join import extents, joined, n_rows
from civobs_collector.evaluate.lines import STDIN, Tally
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.score import Extent, Score, score
from civobs_collector.evaluate.truth import read_truth


@dataclass(frozen=True, slots=True)
class Input:
    """One file as it was read."""

    file: str
    n_rows: int
    n_bad: int
    first: float | None
    last: float | None
    bin_s: float | None
    """None for transfers, which have no bins."""
    given: bool
    """Whether the width was given rather than found."""
    even: float
    """Share of the steps that are as long as the bin."""


@dataclass(slots=True)
class Evaluation:
    """What was read, found and scored."""

    form: Form
    params: Params
    tally: Tally
    inputs: list[Input] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    score: Score | None = None

    @property
    def events(self) -> list[Found]:
        return [one for one in self.found if one.is_event]

    @property
    def conclusions(self) -> list[Found]:
        return [one for one in self.found if not one.is_event]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    form: Form
    files: Sequence[str]
    truth: str | None = None
    bin_s: float | None = None
    strict: bool = False


def evaluate(wanted: Wanted, params: Params) -> Evaluation:
    """Read, find, score. Raises EvaluationError where a file cannot be read as what it is said to be."""
    if [*wanted.files, wanted.truth].count(STDIN) > 1:
        raise EvaluationError("standard input is named twice", "give one - only")
    made = Evaluation(wanted.form, params, Tally(wanted.strict))
    parts = [_read(made, path, wanted.bin_s) for path in wanted.files]
    truth = read_truth(wanted.truth, made.tally) if wanted.truth is not None else None
    probes = [rows for rows in parts if isinstance(rows, ProbeRows) and n_rows(rows)]
    if probes and all(rows.up.all() for rows in probes):
        made.notes.append("no row says that a household was down; one without a row is not taken to be")
    seen: dict[str, Extent] = {}
    for rows in _together(parts, wanted.form):
        if n_rows(rows):
            made.found.extend(_find(rows, params))
        for name, (first, last) in extents(rows).items():
            before = seen.get(name, (math.inf, -math.inf))
            seen[name] = (min(before[0], first), max(before[1], last))
    made.found = _numbered(made.found, params)
    made.found.sort(key=lambda one: (one.start.likely if one.start is not None else -math.inf, one.group, one.kind))
    if truth is not None:
        made.score = score(made.found, truth, seen)
        made.notes.extend(_unscored(made.score, seen))
    return made


def _numbered(found: Sequence[Found], params: Params) -> list[Found]:
    """Events that come again at the same hours, as occurrences of a campaign, where the form has not said so."""
    which: list[int] = []
    spans: list[Span] = []
    for n, one in enumerate(found):
        if one.is_event and not one.campaign:
            for name, start, end in _windows(one):
                which.append(n)
                spans.append(Span(name, start, end))
    placed = list(found)
    for n, place in zip(which, campaigns(spans, params), strict=True):
        # Of an event in two networks: the campaign that is longer.
        if place is not None and place.n_occurrences > placed[n].n_occurrences:
            placed[n] = replace(
                placed[n],
                campaign=str(place.campaign_id),
                occurrence=place.occurrence,
                n_occurrences=place.n_occurrences,
            )
    return placed


def _windows(one: Found) -> Iterator[tuple[str, float, float | None]]:
    """What may come again, from when until when: the group, or each network × target of a blocking."""
    if one.pieces:
        for piece in one.pieces:
            if piece.start is not None:
                end = piece.end.likely if piece.end is not None else None
                yield f"{one.kind} {piece.network} {piece.target}", piece.start.likely, end
    elif one.start is not None:
        yield f"{one.kind} {one.group}", one.start.likely, one.end.likely if one.end is not None else None


def _read(made: Evaluation, path: str, bin_s: float | None) -> Rows:
    bad = made.tally.n_bad
    rows = read(made.form, path, made.tally, bin_s)
    n = n_rows(rows)
    if not n:
        made.notes.append(f"{path} has a heading and no row")
    told = rows.at[rows.at == rows.at] if n else rows.at
    step = None if isinstance(rows, ThroughputRows) else rows.step
    if isinstance(rows, TargetRows):
        step = replace(rows.step, seconds=target.bin_width(rows.step, made.params))
    made.inputs.append(
        Input(
            file=path,
            n_rows=n,
            n_bad=made.tally.n_bad - bad,
            first=float(told.min()) if len(told) else None,
            last=float(told.max()) if len(told) else None,
            bin_s=step.seconds if step is not None else None,
            given=step is not None and step.given,
            even=step.share if step is not None else 0.0,
        )
    )
    return rows


def _together(parts: Sequence[Rows], form: Form) -> list[Rows]:
    """Which files are judged as one: tests of throughput never, blocking always, series where their bins are alike."""
    groups: dict[object, list[Rows]] = {}
    for place, rows in enumerate(parts):
        match form:
            case Form.THROUGHPUT:
                key: object = place
            case Form.TARGET:
                key = 0
            case _:
                key = None if isinstance(rows, ThroughputRows) else rows.step.seconds
        groups.setdefault(key, []).append(rows)
    return [joined(some) for some in groups.values()]


def _find(rows: Rows, params: Params) -> list[Found]:
    match rows:
        case RosterRows():
            return roster.find(rows, params)
        case ProbeRows():
            return roster.find_probes(rows, params)
        case CountRows():
            return counts.find(rows, params)
        case TargetRows():
            return target.find(rows, params)
        case ThroughputRows():
            return throughput.find(rows, params)
        case _:
            assert_never(rows)


def _unscored(made: Score, seen: dict[str, Extent]) -> list[str]:
    """A word on rows of truth that could not be scored."""
    missing = sorted({one.row.said for one in made.rows if not one.scoreable and one.row.name not in seen})
    notes = [f"the truth names {name}, of which the files do not tell" for name in missing[:10]]
    if made.n_unscoreable:
        notes.append(f"{made.n_unscoreable} of {len(made.rows)} rows of truth lie outside what the files tell of")
    return notes
