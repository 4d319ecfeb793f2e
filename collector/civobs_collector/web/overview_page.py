"""The first page: every country with a probe, what its state is now, and what happened last.

No data is a state of its own and is never shown as fine: it stands next to the events, not among the quiet countries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from civobs_collector.db.connect import Connection
from civobs_collector.db.read_events import EventFilter, read_country_names
from civobs_collector.db.read_health import Beat, read_beats
from civobs_collector.db.read_probes import NetworkCounts, count_networks
from civobs_collector.detect.record import Status
from civobs_collector.publish.published import PublishedEvent, title
from civobs_collector.web.stored import load_events
from civobs_collector.web.templates import render

HEARD_WITHIN = timedelta(hours=1)
"""A household is heard from when a batch of it was committed within the last hour; probes send every minute or so."""

BEAT_WITHIN_S = 600.0
"""An ingest role without a sign of life for so long is away: then the absence of probes says nothing."""


class Now(StrEnum):
    """A country's state at this moment."""

    EVENT = "event"
    NO_DATA = "no data"
    QUIET = "no event now"


@dataclass(frozen=True, slots=True)
class CountryNow:
    """One line of the overview."""

    cc: str
    name: str
    now: Now
    networks: int
    households: int
    heard: int
    open_events: int


def overview_page(conn: Connection, at: datetime, base_url: str) -> str:
    """Render the overview as of ``at``."""
    counts = count_networks(conn, at - HEARD_WITHIN)
    open_events = load_events(conn, EventFilter(status=Status.OPEN), 100, base_url)
    away = collector_away(read_beats(conn))
    countries = countries_now(counts, open_events, read_country_names(conn), away=away)
    return render(
        "overview.html",
        {
            "at": at,
            "away": away,
            "countries": countries,
            "households": sum(country.households for country in countries),
            "networks": sum(country.networks for country in countries),
            "open_events": [(event, title(event)) for event in open_events],
            "events": [(event, title(event)) for event in load_events(conn, EventFilter(), 12, base_url)],
        },
    )


def collector_away(beats: Sequence[Beat]) -> bool:
    """Tell whether no ingest process has given a good sign of life lately."""
    return not any(beat.role == "ingest" and beat.ok and beat.age_s <= BEAT_WITHIN_S for beat in beats)


def countries_now(
    counts: Sequence[NetworkCounts], open_events: Sequence[PublishedEvent], names: dict[str, str], *, away: bool
) -> list[CountryNow]:
    """Sum up networks to countries; those with an event first, then those without data, then the rest, by name."""
    found: list[CountryNow] = []
    for cc in sorted({count.cc for count in counts}):
        mine = [count for count in counts if count.cc == cc]
        events = sum(1 for event in open_events if event.record.scope.cc == cc)
        heard = sum(count.heard for count in mine)
        now = Now.EVENT if events else Now.NO_DATA if away or not heard else Now.QUIET
        found.append(
            CountryNow(
                cc=cc,
                name=names.get(cc, cc),
                now=now,
                networks=sum(1 for count in mine if count.households),
                households=sum(count.households for count in mine),
                heard=heard,
                open_events=events,
            )
        )
    order = list(Now)
    return sorted(found, key=lambda country: (order.index(country.now), country.name))
