"""The timeline of one country: events, and the hours in which nothing was measured, shown as such."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from civobs_collector.db.connect import Connection
from civobs_collector.db.read_coverage import HOUR, Coverage, read_coverage
from civobs_collector.db.read_events import EventFilter, read_country_names
from civobs_collector.db.read_health import read_beats
from civobs_collector.db.read_probes import NetworkCounts, count_access, count_networks
from civobs_collector.detect.access import unseen
from civobs_collector.detect.record import Depth, EventKind, Level, Status
from civobs_collector.publish.charts import Curve, CurvePoint, Lane, Segment, Timeline, households, lane_lines, overlay
from civobs_collector.publish.published import PublishedEvent, over_at, status_words, title
from civobs_collector.publish.services import SERVICE_KINDS
from civobs_collector.publish.times import LocalClock, middle, utc_text
from civobs_collector.publish.words import CONFIDENCES
from civobs_collector.web.draw import Drawings
from civobs_collector.web.overview_page import HEARD_WITHIN, collector_away, countries_now
from civobs_collector.web.stored import load_events
from civobs_collector.web.templates import render

MOST_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Period:
    """A choice of the reader: how far back, in which steps households are counted, and in which the chart moves on."""

    id: str
    label: str
    length: timedelta
    step: timedelta
    moves: timedelta


DAY = timedelta(days=1)

PERIODS = (
    Period("24h", "24 hours", 24 * HOUR, HOUR, moves=timedelta(minutes=5)),
    Period("7d", "7 days", 7 * DAY, HOUR, moves=HOUR),
    Period("30d", "30 days", 30 * DAY, HOUR, moves=HOUR),
    Period("1y", "1 year", 365 * DAY, DAY, moves=DAY),
)

STATES = {
    "u": ("measured", "measured, no event on record"),
    "g": ("in part", "measured in part, or a part or some services affected"),
    "d": ("outage", "outage on record"),
    "?": ("no data", "no data"),
}
"""The four states of this page's chart: the word for a table, and the line of the legend."""


@dataclass(frozen=True, slots=True)
class View:
    """What a page is drawn with besides its subject."""

    at: datetime
    local: LocalClock
    drawings: Drawings
    base_url: str


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time of a timeline: whole hours from ``start`` to ``end``, and what runs on until ``edge``."""

    start: datetime
    end: datetime
    edge: datetime
    step: timedelta

    @property
    def bins(self) -> list[datetime]:
        """Where each step begins; the last may have run for some of its hours only."""
        return [self.start + self.step * index for index in range(-((self.start - self.end) // self.step))]


def window(period: Period, at: datetime) -> Window:
    """Lay the period back from the last whole hour, in whole steps of UTC.

    The edge lies ahead of ``at`` by at most what the chart moves at a time: so the chart is the same until then, unless
    there is something new to show.
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    end = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    last = epoch - (epoch - end) // period.step * period.step
    edge = epoch + ((at - epoch) // period.moves + 1) * period.moves
    return Window(last - period.length, end, edge, period.step)


def country_page(conn: Connection, cc: str, period: Period, view: View) -> str | None:
    """Render a country's timeline as of ``at``; None when no probe was ever there and no event is on record."""
    shown = window(period, view.at)
    counts = count_networks(conn, view.at - HEARD_WITHIN, cc)
    events = load_events(conn, EventFilter(cc=cc, start=shown.start, end=view.at), MOST_EVENTS, view.base_url)
    if not counts and not events:
        return None
    coverage = read_coverage(conn, cc, start=shown.start, end=shown.end, step=period.step)
    names = read_country_names(conn)
    open_events = [event for event in events if event.record.status is Status.OPEN]
    away = collector_away(read_beats(conn))
    now = countries_now(counts, open_events, names, away=away)
    country = names.get(cc, cc)
    timeline = country_timeline(country, counts, coverage, events, shown)
    empty_h, all_h = empty_hours(coverage[None], shown)
    return render(
        "country.html",
        {
            "cc": cc,
            "country": country,
            "now": now[0] if now else None,
            "away": away,
            "at": view.at,
            "local": view.local,
            "period": period,
            "periods": PERIODS,
            "unseen": unseen(kind for one in count_access(conn, cc) for kind in one.kinds),
            "counts": [count for count in counts if count.households],
            "chart": view.drawings.both(timeline, _describe(country, timeline, view.at, empty_h)),
            "lines": _lines(timeline, view.at),
            "states": STATES,
            "empty_h": empty_h,
            "all_h": all_h,
            "events": [
                (event, title(event), status_words(event.record)[0], CONFIDENCES[event.record.confidence.label][0])
                for event in events
            ],
        },
    )


def country_timeline(
    country: str,
    counts: Sequence[NetworkCounts],
    coverage: Mapping[int | None, Coverage],
    events: Sequence[PublishedEvent],
    shown: Window,
) -> Timeline:
    """Lay out coverage, and the events above it. The running hour holds events only: it is not complete.

    What goes on is drawn up to the edge, and a day of which some hours are over as a whole day.
    """
    marks = [event for event in events if event.record.status is not Status.RETRACTED]
    total = sum(count.households for count in counts)
    lanes = [
        Lane(
            country,
            households(total),
            _lane(shown, coverage.get(None), marks, None),
        )
    ]
    for count in counts:
        mine = [event for event in marks if count.asn in event.record.scope.asns]
        lanes.append(
            Lane(
                network_label(count),
                households(count.households),
                _lane(shown, coverage.get(count.asn), mine, count.asn),
            )
        )
    points = tuple(map(CurvePoint, shown.bins, coverage[None].households))
    top = max([total, *(point.main for point in points)])
    counted_to = shown.start + shown.step * len(points)
    curve = Curve("Households that measured", points, top, main_state="u", end=counted_to)
    return Timeline(start=shown.start, end=shown.edge, lanes=tuple(lanes), curve=curve)


def network_label(count: NetworkCounts) -> str:
    """Name a network with its number."""
    if not count.asn:
        return "Network not known"
    return f"{count.name} (AS{count.asn})" if count.name else f"AS{count.asn}"


def empty_hours(coverage: Coverage, shown: Window) -> tuple[int, int]:
    """Return the hours in which no household measured, and all hours that are over."""
    hours = (shown.end - shown.start) // HOUR
    return hours - sum(coverage.hours), hours


def _covered(shown: Window, coverage: Coverage | None) -> list[Segment]:
    """Join neighbouring bins of one state; without coverage nothing is known of any."""
    hours = coverage.hours if coverage else (0,) * len(shown.bins)
    fulls = [min(shown.step, shown.end - begin) // HOUR for begin in shown.bins]
    segments: list[Segment] = []
    begin = shown.start
    for state, group in groupby(map(_cover_state, hours, fulls)):
        end = begin + shown.step * len(list(group))
        segments.append(Segment(begin, end, state))
        begin = end
    return segments


def _cover_state(hours: int, full: int) -> str:
    if hours == 0:
        return "?"
    return "u" if hours >= full else "g"


def _lane(
    shown: Window, coverage: Coverage | None, events: Sequence[PublishedEvent], asn: int | None
) -> tuple[Segment, ...]:
    """Lay events over coverage, outages last: a service that is blocked for months hides neither them nor missing data.

    While the line is down rows wait at home, so that an outage is known though there is no data yet; of a service
    nothing is known then.
    """
    covered = _covered(shown, coverage)
    services = [_mark(one, asn, shown) for one in events if one.record.kind in SERVICE_KINDS]
    lines = [_mark(one, asn, shown) for one in events if one.record.kind not in SERVICE_KINDS]
    missing = [segment for segment in covered if segment.state == "?"]
    return overlay(covered, [*services, *missing, *sorted(lines, key=lambda segment: segment.state == "d")])


def _mark(event: PublishedEvent, asn: int | None, shown: Window) -> Segment:
    """Mark an event on a lane: full height for an outage of the lane, half for what touched a part of it."""
    record = event.record
    begin = max(shown.start, middle(record.onset))
    end = min(shown.edge, over_at(record) or shown.edge)
    outage = record.kind in (EventKind.OUTAGE, EventKind.SHUTDOWN_SUSPECTED) and record.depth is not Depth.PARTIAL
    whole = record.scope.level is Level.COUNTRY or (asn is not None and record.scope.level is not Level.REGION)
    return Segment(begin, end, "d" if outage and whole else "g", event.public_id)


def _lines(timeline: Timeline, at: datetime) -> list[tuple[str, Segment]]:
    """Return what is drawn as rows of a table, without the time to come."""
    return [
        (label, replace(segment, end=min(segment.end, at)))
        for label, segment in lane_lines(timeline.lanes)
        if segment.start < at
    ]


def _describe(country: str, timeline: Timeline, at: datetime, empty_h: int) -> str:
    return (
        f"Timeline of {country} from {utc_text(timeline.start)} to {utc_text(at)}: events and coverage of "
        f"{len(timeline.lanes) - 1} networks; {empty_h} hours without any data. The table below holds the same data."
    )
