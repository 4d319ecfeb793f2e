"""Findings held against the truth: precision, recall, delay, and how far start and end are off.

A row of truth is found when an event of a kind that tells of it overlaps it at a place of its name; an event is right
when it tells of any row. Rows that the file has nothing on are not scored: recall is told of what could be seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from civobs_collector.evaluate.found import Found
from civobs_collector.evaluate.truth import Span, TruthRow, names_of, span_of

Extent = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Errors:
    """Median and 90th percentile, seconds; None where there is nothing to measure."""

    n: int
    median: float | None
    p90: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Errors":
        if not values:
            return cls(0, None, None)
        return cls(len(values), float(np.median(values)), float(np.quantile(values, 0.9)))


@dataclass(frozen=True, slots=True)
class Scored:
    """One row of truth. Errors are found minus true, seconds."""

    row: TruthRow
    scoreable: bool
    """Whether the file has anything on its place at its time."""
    found: tuple[int, ...]
    """Places of the findings that tell of it; of a quiet row of those that must not be there."""
    delay_s: float | None = None
    start_error_s: float | None = None
    end_error_s: float | None = None
    start_within: bool | None = None
    """Whether the true start lies between the bounds given."""
    end_within: bool | None = None


@dataclass(frozen=True, slots=True)
class KindScore:
    """All rows of one kind, or of all."""

    kind: str
    n_truth: int
    n_found: int
    n_events: int
    n_right: int
    delay_s: Errors
    """From the true start to the alert; an alert before the start counts as none."""
    start_error_s: Errors
    """Without sign."""
    end_error_s: Errors
    start_within: float | None
    end_within: float | None

    @property
    def recall(self) -> float | None:
        return self.n_found / self.n_truth if self.n_truth else None

    @property
    def precision(self) -> float | None:
        return self.n_right / self.n_events if self.n_events else None


@dataclass(frozen=True, slots=True)
class Score:
    """The whole comparison."""

    rows: tuple[Scored, ...]
    kinds: tuple[KindScore, ...]
    all: KindScore
    false_alarms: tuple[int, ...]
    """Places of events that tell of no row."""
    n_unnamed: int
    """Those of them at places that no row names: nobody can tell whether they are."""
    n_quiet: int
    n_quiet_kept: int
    n_unscoreable: int

    @property
    def precision_named(self) -> float | None:
        """Precision at the places that the truth names."""
        judged = self.all.n_events - self.n_unnamed
        return self.all.n_right / judged if judged else None


def score(found: Sequence[Found], truth: Sequence[TruthRow], extents: Mapping[str, Extent]) -> Score:
    """Compare. ``extents`` says from when until when the file tells of each name, lower case."""
    places: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        for name in names_of(one):
            places.setdefault(name, []).append(place)
    scored = tuple(
        _scored(row, [(place, found[place]) for place in places.get(row.name, ())], extents) for row in truth
    )
    events = [place for place, one in enumerate(found) if one.is_event]
    right = {place for one in scored if not one.row.quiet for place in one.found}
    wanted = [one for one in scored if one.scoreable and not one.row.quiet]
    quiet = [one for one in scored if one.scoreable and one.row.quiet]
    kinds = []
    for kind in sorted({one.row.kind for one in wanted}):
        rows = [one for one in wanted if one.row.kind == kind]
        own = [place for place, one in enumerate(found) if rows[0].row.told_by(one)]
        kinds.append(_kind(kind, rows, own, right))
    told = {place for one in kinds for place in _told(one.kind, found)}
    kinds.extend(
        _kind(kind, [], [place for place in events if found[place].kind == kind], right)
        for kind in sorted({found[place].kind for place in events if place not in told})
    )
    false = tuple(place for place in events if place not in right)
    return Score(
        rows=scored,
        kinds=tuple(kinds),
        all=_kind("all", wanted, sorted({*events, *right}), right),
        false_alarms=false,
        n_unnamed=len(set(false).difference(*(places.get(row.name, ()) for row in truth))),
        n_quiet=len(quiet),
        n_quiet_kept=sum(not one.found for one in quiet),
        n_unscoreable=sum(not one.scoreable for one in scored),
    )


def _told(kind: str, found: Sequence[Found]) -> list[int]:
    row = TruthRow("", kind, 0, 0)
    return [place for place, one in enumerate(found) if row.told_by(one)]


def _scored(row: TruthRow, found: Sequence[tuple[int, Found]], extents: Mapping[str, Extent]) -> Scored:
    """One row against the findings of its place."""
    seen = _extent(row.name, extents)
    if seen is None or seen[1] <= row.start or seen[0] >= row.end:
        return Scored(row, scoreable=False, found=())
    matches: list[tuple[float, int, Span]] = []
    for place, one in found:
        if not (one.is_event if row.quiet else row.told_by(one)):
            continue
        span = span_of(one, row)
        shared = span.overlap(row)
        # What merely touches a quiet time has not broken it.
        if shared is not None and (shared > 0 or not row.quiet):
            matches.append((shared, place, span))
    places = tuple(place for _, place, _ in matches)
    if row.quiet or not matches:
        return Scored(row, scoreable=True, found=places)
    best = max(matches, key=lambda match: (match[0], -match[1]))[2]
    alerts = [span.alert_at for *_, span in matches if span.alert_at is not None]
    known_start, known_end = np.isfinite(row.start), np.isfinite(row.end)
    start = best.start if known_start else None
    end = best.end if known_end else None
    return Scored(
        row,
        scoreable=True,
        found=places,
        delay_s=min(alerts) - row.start if alerts and known_start else None,
        start_error_s=start.likely - row.start if start is not None else None,
        end_error_s=end.likely - row.end if end is not None else None,
        start_within=start.earliest <= row.start <= start.latest if start is not None else None,
        end_within=end.earliest <= row.end <= end.latest if end is not None else None,
    )


def _extent(name: str, extents: Mapping[str, Extent]) -> Extent | None:
    """From when until when the file tells of a name, or of both parts of one with a slash."""
    if name in extents:
        return extents[name]
    for at in (at for at, letter in enumerate(name) if letter == "/"):
        first, second = extents.get(name[:at]), extents.get(name[at + 1 :])
        if first is not None and second is not None:
            return max(first[0], second[0]), min(first[1], second[1])
    return None


def _kind(kind: str, rows: Sequence[Scored], events: Sequence[int], right: set[int]) -> KindScore:
    starts = [one.start_within for one in rows if one.start_within is not None]
    ends = [one.end_within for one in rows if one.end_within is not None]
    return KindScore(
        kind=kind,
        n_truth=len(rows),
        n_found=sum(bool(one.found) for one in rows),
        n_events=len(events),
        n_right=len(right.intersection(events)),
        delay_s=Errors.of([max(0.0, one.delay_s) for one in rows if one.delay_s is not None]),
        start_error_s=Errors.of([abs(one.start_error_s) for one in rows if one.start_error_s is not None]),
        end_error_s=Errors.of([abs(one.end_error_s) for one in rows if one.end_error_s is not None]),
        start_within=sum(starts) / len(starts) if starts else None,
        end_within=sum(ends) / len(ends) if ends else None,
    )
