"""Events in IODA's CODF form, with what IODA leaves empty: ``uncertainty`` and ``fraction`` (detection.md §5).

One row for each signal, because signals are never averaged: who reads IODA's rows by ``datasource`` reads ours so. A
start stands half-way between its bounds, and ``uncertainty`` says how far off it and the end may be.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.detect.record import Level, SignalTimes, Status
from civobs_collector.publish.published import PublishedEvent, network_name, place
from civobs_collector.publish.reviewed import note_lines
from civobs_collector.publish.times import middle

PERCENT_MINUTES = 6000
"""One hour of everything lost: IODA's score is the drop in per cent times minutes."""


class CodfEvent(BaseModel):
    """One signal of one event at one place; the names are IODA's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    location: str = Field(description="`country/KE`, `region/KE-Nairobi` or `asn/33771`")
    location_name: str
    start: int = Field(description="Seconds since 1970, half-way between the bounds")
    duration: int = Field(description="Seconds; of an event without a known end, as long as it was watched")
    uncertainty: int = Field(description="Seconds by which start or end may be off, either way; rounded up")
    method: str = Field(description="Version of the detector")
    datasource: str = Field(description="The signal: `civobs.presence`, `civobs.ladder.L4`, `civobs.tls`")
    status: int = Field(0, description="0, as IODA has it")
    fraction: float = Field(description="Households down, of those observed")
    score: float = Field(description="Drop in per cent times minutes, times the affected fraction")
    overlaps_window: bool = Field(description="True while no end is known")
    civobs_event: str = Field(description="Permanent link of the version")
    civobs_confidence: str = Field(description="`unconfirmed`, `probable`, or `confirmed` by a named reviewer")
    civobs_reviewed_by: str | None = Field(description="Who decided last what the event is; null while nobody has")
    civobs_cause: str = Field(description="As a source states it; `unknown` otherwise")
    civobs_cause_sources: tuple[str, ...]
    civobs_notes: str = Field(description="What reviewers wrote, a line each")


def codf(event: PublishedEvent) -> tuple[CodfEvent, ...]:
    """Write an event's signals; none of a retracted one."""
    if event.record.status is Status.RETRACTED:
        return ()
    return tuple(row for signal in event.record.per_signal for row in _rows(event, signal))


def _rows(event: PublishedEvent, signal: SignalTimes) -> Iterator[CodfEvent]:
    record = event.record
    start, end = middle(signal.onset), signal.resolution
    length_s = (middle(end) - start).total_seconds() if end else record.severity.hours * 3600
    wide_s = max((one.latest - one.earliest).total_seconds() for one in (signal.onset, end) if one)
    name, asns = _of_network(signal.signal)
    if not asns and record.scope.level is Level.NETWORK:
        asns = record.scope.asns
    places = [(f"asn/{asn}", network_name(event, asn)) for asn in asns]
    if not asns and record.scope.level is Level.REGION:
        places = [(f"region/{record.scope.cc}-{region}", place(event)) for region in record.scope.admin1]
    for location, location_name in places or [(f"country/{record.scope.cc}", event.country)]:
        yield CodfEvent(
            location=location,
            location_name=location_name,
            start=round(start.timestamp()),
            duration=max(0, round(length_s)),
            uncertainty=-int(-wide_s // 2),
            method=f"civobs {record.method.detector_version}",
            datasource=f"civobs.{name}",
            fraction=round(record.affected.n_down / max(1, record.affected.n_observed), 4),
            score=round(record.severity.area * PERCENT_MINUTES, 1),
            overlaps_window=end is None,
            civobs_event=event.permalink,
            civobs_confidence=record.confidence.label,
            civobs_reviewed_by=record.reviewed_by,
            civobs_cause=record.cause.value,
            civobs_cause_sources=record.cause.sources,
            civobs_notes=note_lines(record),
        )


def _of_network(signal: str) -> tuple[str, tuple[int, ...]]:
    """Split the network off a signal of one (``tls.AS33771``)."""
    head, _, number = signal.rpartition(".AS")
    return (head, (int(number),)) if head and number.isdecimal() else (signal, ())
