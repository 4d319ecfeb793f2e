"""The event page: everything a journalist may quote, in the order in which it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from civobs_collector.db.read_events import VersionLine
from civobs_collector.detect.record import EventRecord, SignalTimes, Status
from civobs_collector.publish import words
from civobs_collector.publish.changes import changes
from civobs_collector.publish.charts import Timeline, event_timeline, lane_lines
from civobs_collector.publish.citation import citation
from civobs_collector.publish.published import (
    PublishedEvent,
    began,
    ended,
    how_sure,
    network_name,
    signal_words,
    status_words,
    title,
    who,
)
from civobs_collector.publish.reviewed import cause_words, confidence_words, decision_words
from civobs_collector.publish.services import SERVICE_KINDS
from civobs_collector.publish.times import LocalClock, count, utc_text
from civobs_collector.web.draw import Drawings
from civobs_collector.web.service_part import services_part
from civobs_collector.web.templates import render

LEAST_LIKELY = 0.001
"""A hypothesis below this has no bar on the page."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the things said apart: a name, a short answer, an explanation."""

    name: str
    answer: str
    more: str
    sources: tuple[str, ...] = ()


def event_page(
    event: PublishedEvent,
    history: Sequence[VersionLine],
    local: LocalClock,
    drawings: Drawings,
    *,
    accessed: date | None,
) -> str:
    """Render a version. Without ``accessed`` the page is frozen: it holds nothing that a later day would change."""
    timeline = event_timeline(event)
    headline = title(event)
    lines = [line for line in history if line.version <= event.version]
    return render(
        "event.html",
        {
            "event": event,
            "record": event.record,
            "local": local,
            "title": headline,
            "sentences": [who(event), began(event, local), ended(event, local), how_sure(event)],
            "status": status_words(event.record),
            "facts": facts(event),
            "chart": drawings.both(timeline, describe(event, timeline)),
            "span": (timeline.start, timeline.end),
            "step": timedelta(seconds=event.record.grid.bin_s),
            "lines": lane_lines(timeline.lanes),
            "states": words.states(event.record.kind),
            "services": services_part(event),
            "signals": [(signal_words(event, one.signal), one) for one in event.record.per_signal],
            "gap": signal_gap(event.record.per_signal),
            "affected": [(asn, network_name(event, asn)) for asn in event.record.scope.asns],
            "spared": [
                network_name(event, asn)
                for asn in event.record.scope.asns_observed
                if asn not in event.record.scope.asns
            ],
            "fault": words.HYPOTHESES.get(event.record.likeliest),
            "hypotheses": hypotheses(event.record),
            "cross_checks": [
                (words.CROSS_CHECKS.get(name, name), value) for name, value in event.record.cross_checks.items()
            ],
            "kind": words.KINDS[event.record.kind],
            "history": lines,
            "changes": words.CHANGES,
            "reasons": words.REASONS,
            "notes": [(note, decision_words(note)) for note in event.record.notes],
            "citation": citation(event, accessed),
            "frozen": accessed is None,
        },
    )


def history_page(versions: Sequence[PublishedEvent]) -> str:
    """Render the versions, newest first, each with what it says otherwise than the one before."""
    pairs = zip(versions, [*versions[1:], None], strict=True)
    return render(
        "history.html",
        {
            "event": versions[0],
            "title": title(versions[0]),
            "history": [(event, changes(before, event) if before else ()) for event, before in pairs],
            "changes": words.CHANGES,
            "reasons": words.REASONS,
        },
    )


def facts(event: PublishedEvent) -> list[Fact]:
    """State confidence, severity, scope and cause: four separate things, none folded into another."""
    record = event.record
    affected, severity = record.affected, record.severity
    label, meaning = confidence_words(record)
    reviewer = f" Reviewed by {record.reviewed_by}." if record.reviewed_by else ""
    depth, depth_meaning = words.DEPTHS[record.depth]
    lost = "" if record.kind in SERVICE_KINDS else f"Lost: {depth.lower()}. {depth_meaning} "
    networks = f"{count(len(record.scope.asns), 'network')} of {len(record.scope.asns_observed)} observed"
    if record.scope.targets:
        networks = f"{count(len(record.scope.targets), 'service')} in {networks}"
    access = words.ACCESS.get(record.scope.access, record.scope.access)
    share = "not known" if affected.user_share is None else f"about {affected.user_share:.0%}"
    return [
        Fact("Confidence", label.capitalize(), f"{meaning}{reviewer}"),
        Fact(
            "Severity",
            f"{affected.n_down} of {count(affected.n_observed, 'household')}, {hours(severity.hours)}",
            f"{lost}What was seen fits any share from {affected.fraction_lo:.0%} to {affected.fraction_hi:.0%} of all "
            "homes in the networks affected (95 % bounds).",
        ),
        Fact(
            "Scope",
            networks,
            f"Seen on {access}. Share of the country's users in the observed networks: {share}.",
        ),
        Fact("Cause", *cause_words(record.cause), record.cause.sources),
    ]


def hypotheses(record: EventRecord) -> list[tuple[str, float]]:
    """Return where the fault may lie and how likely, likeliest first; those below a thousandth are left to the data."""
    ranked = sorted(record.hypotheses.items(), key=lambda item: (-item[1], item[0]))
    return [(words.hypothesis_words(name), value) for name, value in ranked if value >= LEAST_LIKELY]


def hours(value: float) -> str:
    """Write a length in hours as people say it."""
    seconds = round(value * 3600)
    if seconds < 90:
        return f"{seconds}\u00a0s"
    minutes = round(value * 60)
    return f"{minutes}\u00a0min" if minutes < 60 else f"{value:.1f}\u00a0h"


def describe(event: PublishedEvent, timeline: Timeline) -> str:
    """Say in words what the chart shows, for readers who do not see it."""
    end = event.record.resolution
    without = "known" if event.record.status is Status.CLOSED else "seen yet"
    until = f"to {utc_text(end.latest)}" if end else f"with no end {without}"
    word = words.states(event.record.kind)["d"][0]
    return (
        f"State of {count(len(timeline.lanes), 'line')} over time, from {utc_text(timeline.start)} to "
        f"{utc_text(timeline.end)}: {word} from {utc_text(event.record.onset.earliest)} {until}. "
        "The table below holds the same data."
    )


def signal_gap(signals: Sequence[SignalTimes]) -> bool:
    """Tell whether signals disagree on a start or an end: then no single time may be quoted as exact."""
    onsets = [one.onset for one in signals]
    ends = [one.resolution for one in signals if one.resolution]
    return any(
        max(bounds.earliest for bounds in group) > min(bounds.latest for bounds in group)
        for group in (onsets, ends)
        if len(group) > 1
    )
