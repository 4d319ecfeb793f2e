"""Campaigns: windows that come again at the same time of day are occurrences of one thing, and stay events.

A curfew of 72 nights or the exams of a season are told as one campaign with numbered occurrences (detection.md §3.6),
never merged across a night. The id comes from the first occurrence alone, so it does not change as more follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import numpy as np

from civobs_collector.detect.params import Params

_NAMESPACE = UUID("5f0c6b52-7d0e-5f3c-9b1a-6a3f0c1d2e4b")
_USUAL = 15
"""Occurrences by which the usual hours are known; older ones may have had others."""


@dataclass(frozen=True, slots=True)
class Span:
    """One window. ``group`` names everything that must be the same: place, kind, target."""

    group: str
    start: float
    end: float | None
    """Seconds since the epoch; None while it lasts."""
    key: str = ""
    """What names it for ever, such as an event's key; its start where there is none."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A window's place in its campaign."""

    campaign_id: UUID
    occurrence: int
    """From 1; parts of one window share it."""
    n_occurrences: int


@dataclass(slots=True)
class _Series:
    """Windows that may become a campaign, by start."""

    members: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


def campaigns(spans: Sequence[Span], params: Params, *, width_s: float = 0.0) -> tuple[Occurrence | None, ...]:
    """For every span, in the order given, its place in a campaign; None where it stands alone.

    ``width_s``: of the bins by which they are dated, where these are wider than the tolerance.
    """
    tolerance = max(params["campaign.tolerance"], width_s)
    groups: dict[str, list[int]] = {}
    order = sorted(range(len(spans)), key=lambda n: (spans[n].start, _end(spans[n]), spans[n].key))
    for index in order:
        groups.setdefault(spans[index].group, []).append(index)
    found: list[Occurrence | None] = [None] * len(spans)
    for group, own in groups.items():
        for series in _series(spans, own, tolerance, params):
            if not _recurs(spans, series, own, params):
                continue
            first = spans[series.members[0]]
            campaign_id = uuid5(_NAMESPACE, f"{group}\n{first.key or f'{first.start:.0f}'}")
            for index, number in zip(series.members, series.numbers, strict=True):
                found[index] = Occurrence(campaign_id, number, series.numbers[-1])
    return tuple(found)


def _end(span: Span) -> float:
    return span.end if span.end is not None else np.inf


def _series(spans: Sequence[Span], own: Sequence[int], tolerance: float, params: Params) -> list[_Series]:
    """Windows of one group, each added to the series whose usual hours it keeps best, or beginning one of its own."""
    found: list[_Series] = []
    for index in own:
        span = spans[index]
        if span.end is not None and span.end - span.start > params["campaign.longest"]:
            continue
        part = next((one for one in found if _is_part(spans, one, span, tolerance, params)), None)
        if part is not None:
            part.members.append(index)
            part.numbers.append(part.numbers[-1])
            continue
        near = [
            (off, place)
            for place, one in enumerate(found)
            if span.start - spans[one.members[-1]].start <= params["campaign.gap"]
            and (off := _off(spans, one, span, params)) <= tolerance
        ]
        if not near:
            found.append(_Series([index], [1]))
            continue
        series = found[min(near)[1]]
        series.members.append(index)
        series.numbers.append(series.numbers[-1] + 1)
    return found


def _is_part(spans: Sequence[Span], series: _Series, span: Span, tolerance: float, params: Params) -> bool:
    """Whether it goes on soon after the last window of the series, within half a period of that window's beginning."""
    opening = spans[series.members[series.numbers.index(series.numbers[-1])]]
    last = spans[series.members[-1]]
    soon = last.end is not None and span.start - last.end <= tolerance
    return soon and span.start - opening.start < params["campaign.period"] / 2


def _off(spans: Sequence[Span], series: _Series, span: Span, params: Params) -> float:
    """How far the window's beginning, or its end, is from the usual one of the series, in seconds of the day."""
    period = params["campaign.period"]
    usual = [spans[index] for index in series.members[-_USUAL:]]

    def off(at: float, others: list[float]) -> float:
        away = (np.array(others) - at + period / 2) % period - period / 2
        return abs(float(np.median(away)))

    begins = off(span.start, [one.start for one in usual])
    ends = [one.end for one in usual if one.end is not None]
    return min(begins, off(span.end, ends)) if span.end is not None and ends else begins


def _recurs(spans: Sequence[Span], series: _Series, own: Sequence[int], params: Params) -> bool:
    """Often enough, and not only because the group fails at all hours."""
    if series.numbers[-1] < params["campaign.least"]:
        return False
    first, last = spans[series.members[0]].start, spans[series.members[-1]].start
    meanwhile = sum(first <= spans[index].start <= last for index in own)
    return len(series.members) >= params["campaign.share"] * meanwhile
