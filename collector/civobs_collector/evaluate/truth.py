"""What is known to have happened, from a file, and when a finding speaks of it: by name, by kind and by time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from civobs_collector.evaluate.forms import asn_of, name, time_or_none
from civobs_collector.evaluate.found import NO_EVENT, Between, Found
from civobs_collector.evaluate.lines import Column, Tally, rows

QUIET = frozenset({"nothing", "quiet", "none", "normal", "ok", "no_event", "control"})
"""Kinds of a row that says that nothing happened: no event may overlap it."""
_LOST = frozenset({"outage", "shutdown_suspected", "power", "collector_blocked"})
_SPEAKS = {
    "outage": _LOST,
    "isp_outage": _LOST,
    "partial": _LOST,
    "degraded": _LOST,
    "shutdown": _LOST - {"power"},
    "shutdown_suspected": _LOST - {"power"},
    "internet_shutdown": _LOST - {"power"},
    "curfew": _LOST - {"power"},
    # A loss of power that is told as an outage is told; told as a shutdown it would be a false accusation.
    "power": _LOST - {"shutdown_suspected"},
    "power_outage": _LOST - {"shutdown_suspected"},
    "power_cut": _LOST - {"shutdown_suspected"},
    "blackout": _LOST - {"shutdown_suspected"},
    "block": frozenset({"blocking"}),
    "blocked": frozenset({"blocking"}),
    "throttling": frozenset({"throttling_targeted", "throttling_general"}),
    "throttled": frozenset({"throttling_targeted", "throttling_general"}),
    "targeted": frozenset({"throttling_targeted"}),
}
"""Kinds of findings that tell of a kind of truth, where that is not the one kind of the same name."""
_ANY = frozenset({"event", "disruption", "anomaly", "incident", "true", "1"})
"""Kinds that say only that something happened."""


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One row; a time that is not given is open to that side."""

    said: str
    """The name as the file has it."""
    kind: str
    start: float
    end: float

    @property
    def name(self) -> str:
        """In lower case, as names are compared."""
        return self.said.casefold()

    @property
    def quiet(self) -> bool:
        return self.kind in QUIET

    @property
    def conclusion(self) -> bool:
        """Whether it names a conclusion that is no event, such as congestion."""
        return self.kind in NO_EVENT and not self.quiet

    def told_by(self, one: Found) -> bool:
        """Whether a finding is of a kind that tells of it."""
        if self.conclusion:
            return self.kind in {one.kind, one.held}
        kinds = _SPEAKS.get(self.kind, frozenset({self.kind}))
        return one.is_event and (self.kind in _ANY or one.kind in kinds)


@dataclass(frozen=True, slots=True)
class Span:
    """Where and when a finding says something: the whole of it, or one network × target."""

    start: Between | None
    end: Between | None
    alert_at: float | None

    def overlap(self, row: TruthRow) -> float | None:
        """Seconds shared with a row of truth, by the best guess; None where even the bounds do not touch."""
        earliest = self.start.earliest if self.start is not None else -math.inf
        latest = self.end.latest if self.end is not None else math.inf
        if earliest > row.end or latest < row.start:
            return None
        start = self.start.likely if self.start is not None else -math.inf
        end = self.end.likely if self.end is not None else math.inf
        if row.quiet and self.start is not None and self.end is not None and self.start.latest < self.end.earliest:
            # Only what certainly belongs to an event breaks a quiet time: the next row may begin where it ends.
            start, end = self.start.latest, self.end.earliest
        return max(0.0, min(end, row.end) - max(start, row.start))


def read_truth(path: str, tally: Tally) -> list[TruthRow]:
    """All readable rows. Raises EvaluationError where the file is no such table."""
    columns = (
        Column("group_or_target", name, other=("group", "target", "name", "test", "network")),
        Column("kind", name),
        Column("start", time_or_none),
        Column("end", time_or_none),
    )
    return [
        TruthRow(
            said,
            kind.lower().replace("-", "_").replace(" ", "_"),
            -math.inf if math.isnan(start) else start,
            math.inf if math.isnan(end) else end,
        )
        for said, kind, start, end in rows(path, columns, tally, _backwards)
    ]


def _backwards(values: tuple[object, ...]) -> None:
    _, _, start, end = values
    if isinstance(start, float) and isinstance(end, float) and end < start:
        raise ValueError("end is before start")


def span_of(one: Found, row: TruthRow) -> Span:
    """What a finding says of a place that a row names: all of it, or the pieces of that place together."""
    pieces = [piece for piece in one.pieces if row.name in set(_paired((piece.network,), (piece.target,), one.cc))]
    if not pieces or len(pieces) == len(one.pieces):
        return Span(one.start, one.end, one.alert_at)
    starts = [piece.start for piece in pieces if piece.start is not None]
    ends = [piece.end for piece in pieces if piece.end is not None]
    alerts = [piece.alert_at for piece in pieces if piece.alert_at is not None]
    return Span(
        min(starts, key=lambda start: start.likely, default=one.start),
        max(ends, key=lambda end: end.likely) if len(ends) == len(pieces) else None,
        min(alerts, default=one.alert_at),
    )


def names_of(one: Found) -> set[str]:
    """Every name that a row may have for a place a finding tells of."""
    if one.pieces:
        words = {word for piece in one.pieces for word in _paired((piece.network,), (piece.target,), one.cc)}
    else:
        words = set(_paired(one.networks, one.targets, one.cc))
    return {*_paired((one.group,), (), ""), *words}


def _paired(networks: tuple[str, ...], targets: tuple[str, ...], cc: str) -> Iterator[str]:
    """Every name that a row may have for what lies in these places."""
    numbers = tuple(str(asn_of(place)) for place in networks if asn_of(place))
    places = [place.casefold() for place in (*networks, *numbers, cc) if place]
    yield from places
    for target in (target.casefold() for target in targets if target):
        yield target
        for place in places:
            yield f"{place}/{target}"
            yield f"{target}/{place}"
    if cc:
        yield from (f"{cc.casefold()}/{place}" for place in places)
