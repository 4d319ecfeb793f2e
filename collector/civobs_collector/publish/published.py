"""One published version of an event with the names that go with it: what every formatter takes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from civobs_collector.detect.record import EventKind, EventRecord, GridRow, Level, Status
from civobs_collector.publish.services import SERVICE_KINDS, layers_text, services_lost, services_title
from civobs_collector.publish.times import SHORT, LocalClock, count, duration, listing, middle, when
from civobs_collector.publish.words import (
    CONFIDENCES,
    DEPTH_LOST,
    FAMILIES,
    KINDS,
    LAPSED,
    SERVICE_FAMILIES,
    SIGNALS,
    SPEED_SIGNALS,
    STATUSES,
)


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """A version as stored, and where it is to be found."""

    public_id: str
    version: int
    published_at: datetime
    change_kind: str
    reason: str
    record: EventRecord
    base_url: str
    """Where permanent links begin, without a slash at the end."""
    supersedes: int | None = None
    """The version that was served before this one."""

    @property
    def country(self) -> str:
        """The country's name as of publication, or its code."""
        return self.record.scope.country or self.record.scope.cc

    @property
    def permalink(self) -> str:
        """The address of this very version, for ever."""
        return f"{self.base_url}/events/{self.public_id}/v{self.version}"

    @property
    def latest_url(self) -> str:
        """The address that always shows the newest version."""
        return f"{self.base_url}/events/{self.public_id}"


def network_name(event: PublishedEvent, asn: int) -> str:
    """Name a network as of publication: by name and number, or by its number alone."""
    name = event.record.scope.names.get(asn)
    return f"{name} (AS{asn})" if name else f"AS{asn}"


def signal_words(event: PublishedEvent, signal: str) -> tuple[str, str]:
    """Return a signal's name and meaning, with the network where it is of one (``tls.AS33771``).

    A signal without words yet goes by its own name.
    """
    words = SIGNALS | SPEED_SIGNALS if event.record.kind is EventKind.THROTTLING_TARGETED else SIGNALS
    head, _, number = signal.rpartition(".AS")
    if head and number.isdecimal():
        name, meaning = words.get(head, (head, ""))
        return f"{name}, {network_name(event, int(number))}", meaning
    return words.get(signal, (signal, ""))


def total_row(event: PublishedEvent) -> GridRow | None:
    """Return the row that stands for the whole group: the one without network and target, or the only one."""
    rows = event.record.grid.rows
    whole = [row for row in rows if row.asn is None and not row.target]
    if whole:
        return whole[0]
    return rows[0] if len(rows) == 1 else None


def place(event: PublishedEvent) -> str:
    """Say where: the country, or the network or the region and its country."""
    scope = event.record.scope
    if scope.level is Level.NETWORK and scope.asns:
        return f"{listing([network_name(event, asn) for asn in scope.asns])}, {event.country}"
    if scope.level is Level.REGION:
        return f"{listing(scope.admin1)}, {event.country}"
    return event.country


def title(event: PublishedEvent) -> str:
    """Say what and where, in a heading: ``Suspected Internet shutdown in Kenya``."""
    record = event.record
    words = services_title(record) if record.kind in SERVICE_KINDS else KINDS[record.kind].title
    prefix = "Retracted: " if event.record.status is Status.RETRACTED else ""
    joint = " of " if event.record.scope.level is Level.NETWORK and event.record.kind is EventKind.OUTAGE else " in "
    return f"{prefix}{words}{joint}{place(event)}"


def summary(event: PublishedEvent, local: LocalClock) -> str:
    """Say in a few sentences who, when, how long and how sure, from the record alone."""
    return " ".join((who(event), began(event, local), ended(event, local), how_sure(event)))


def who(event: PublishedEvent) -> str:
    """Say how many households lost what, and in how many networks."""
    record = event.record
    affected, scope = record.affected, record.scope
    households = f"{affected.n_down:,} of {count(affected.n_observed, 'observed household')}"
    sentence = f"{households} {_lost(record)}."
    if scope.level in (Level.COUNTRY, Level.REGION) and scope.asns:
        sentence += f" Affected: {len(scope.asns)} of {count(len(scope.asns_observed), 'observed network')}."
    if record.kind in SERVICE_KINDS and (failed := layers_text(record)):
        sentence += f" {failed}"
    return sentence


def _lost(record: EventRecord) -> str:
    if record.kind in SERVICE_KINDS:
        return services_lost(record)
    cut = record.kind in (EventKind.OUTAGE, EventKind.SHUTDOWN_SUSPECTED)
    return DEPTH_LOST.get(record.depth, KINDS[record.kind].lost) if cut else KINDS[record.kind].lost


def began(event: PublishedEvent, local: LocalClock) -> str:
    """Say when it began."""
    return f"It began {when(event.record.onset, local, seconds=_brief(event))}."


def ended(event: PublishedEvent, local: LocalClock) -> str:
    """Say when it ended, or that no end has been seen."""
    record = event.record
    if record.resolution is None and record.status is Status.CLOSED:
        watched = duration(timedelta(hours=record.severity.hours))
        return f"Its end is not known: after about {watched} those that were down were no longer counted as observed."
    if record.resolution is None:
        return "No end had been seen when this version was published."
    lasted = duration(middle(record.resolution) - middle(record.onset))
    end = when(record.resolution, local, after=record.onset.latest, seconds=_brief(event))
    return f"It ended {end}, after about {lasted}."


def over_at(record: EventRecord) -> datetime | None:
    """The moment an event was over, or up to which it was watched if its end is not known; None without either."""
    if record.resolution is not None:
        return middle(record.resolution)
    return middle(record.onset) + timedelta(hours=record.severity.hours) if record.status is Status.CLOSED else None


def _brief(event: PublishedEvent) -> bool:
    end = event.record.resolution
    return end is not None and middle(end) - middle(event.record.onset) < SHORT


def status_words(record: EventRecord) -> tuple[str, str]:
    """Say where the event stands, and what that means."""
    lapsed = record.status is Status.CLOSED and record.resolution is None
    return LAPSED if lapsed else STATUSES[record.status]


def family_words(record: EventRecord, family: str) -> str:
    """Say what a kind of evidence is; of services there is nothing that was stored while the line was down."""
    words = SERVICE_FAMILIES if record.kind in SERVICE_KINDS else FAMILIES
    return words.get(family, FAMILIES.get(family, family))


def how_sure(event: PublishedEvent) -> str:
    """Say the confidence word and why."""
    confidence = event.record.confidence
    word = CONFIDENCES[confidence.label][0]
    kinds = [family_words(event.record, family) for family in confidence.families]
    if not kinds:
        return f"Confidence: {word}."
    evidence = "one kind of evidence" if len(kinds) == 1 else f"{len(kinds)} independent kinds of evidence"
    return f"Confidence: {word}, from {evidence}: {'; '.join(kinds)}."
