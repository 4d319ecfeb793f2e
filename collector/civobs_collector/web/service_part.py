"""What an event page says of services: what was blocked or slow, where, how, and a table of targets by networks."""

from dataclasses import dataclass
from datetime import timedelta

from civobs_collector.detect.record import EventKind, GridRow
from civobs_collector.publish import services, words
from civobs_collector.publish.published import PublishedEvent, network_name

MOST_TARGETS = 60
"""Rows of the table on the page; all of them are in the CSV."""

HEADINGS = {
    EventKind.BLOCKING: "What could not be reached, where and how",
    EventKind.THROTTLING_TARGETED: "What was slow, where and how",
    EventKind.THROTTLING_GENERAL: "What was slow",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One target in one network when most households failed."""

    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Targets by networks; a cell without a row is one that nobody tested."""

    networks: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Services:
    """The part of the page."""

    heading: str
    targets: tuple[str, ...]
    layers: tuple[tuple[str, str], ...]
    """Name and meaning of each layer."""
    mechanisms: tuple[tuple[str, str], ...]
    """Each mechanism's name and its sentence."""
    trace: bool
    matrix: Matrix | None


def services_part(event: PublishedEvent) -> Services | None:
    """Make the part; None for an event of lines."""
    record = event.record
    if record.kind not in services.SERVICE_KINDS:
        return None
    scope = record.scope
    return Services(
        heading=HEADINGS[record.kind],
        targets=scope.targets,
        layers=tuple(services.layer_words(record, layer) for layer in scope.layers),
        mechanisms=tuple((mechanism, services.mechanism_text(mechanism)) for mechanism in scope.mechanisms),
        trace=services.has_trace(scope.mechanisms),
        matrix=matrix(event),
    )


def matrix(event: PublishedEvent) -> Matrix | None:
    """Lay out targets by networks at the worst moment of the event; None where the grid has no such rows."""
    rows = {(row.target, row.asn): row for row in event.record.grid.rows if row.target and row.asn is not None}
    if not rows:
        return None
    hit = event.record.scope.asns
    asns = sorted({asn for _, asn in rows if asn is not None}, key=lambda asn: (asn not in hit, asn))
    targets = sorted({target for target, _ in rows})
    return Matrix(
        networks=tuple(network_name(event, asn) for asn in asns),
        rows=tuple(
            (target, tuple(_cell(event, rows.get((target, asn))) for asn in asns)) for target in targets[:MOST_TARGETS]
        ),
        left_out=max(0, len(targets) - MOST_TARGETS),
    )


def _cell(event: PublishedEvent, row: GridRow | None) -> Cell:
    """Tell how a target fared at its worst moment within the event, of the households known at that moment."""
    if row is None:
        return Cell("?", "not tested")
    record = event.record
    step = timedelta(seconds=record.grid.bin_s)
    end = record.resolution.latest if record.resolution else record.grid.start + step * len(row.state)
    within = [
        index
        for index, letter in enumerate(row.state)
        if letter != "?" and record.onset.earliest < record.grid.start + step * (index + 1)
        if record.grid.start + step * index < end
    ]
    if not within:
        return Cell("?", words.states(record.kind)["?"][0])
    worst = max(within, key=lambda index: (row.down[index] / max(1, row.n - row.unknown[index]), -index))
    return Cell(row.state[worst], f"{row.down[worst]} of {row.n - row.unknown[worst]}")
