"""World: which countries have something on record, and whether the observatory itself is well."""

from dashboards.board import COUNTRY_LINK, EVENT_LINK, Board, Row, events_as_regions, sized
from dashboards.panels import COUNTRY_STATES, GREEN, GREY, ORANGE, RED, YELLOW, Column, lines, listing, number, world
from dashboards.statements import statements

SQL = statements("world")

_STATES = dict(COUNTRY_STATES.values())
CONFIDENCE = {"unconfirmed": GREY, "probable": ORANGE, "confirmed": RED}
STATUS = {"open": RED, "closed": GREEN, "retracted": GREY}

OPEN_EVENTS = SQL["open_events"]
EVENT_COLUMNS = {
    "event": Column(link=EVENT_LINK, width=170),
    "country": Column(link=COUNTRY_LINK, width=140),
    "cc": Column(hidden=True),
    "level": Column(width=80),
    "status": Column(states=STATUS, width=80),
    "confidence": Column(states=CONFIDENCE, width=110),
    "began": Column(unit="dateTimeAsIso", width=165),
    "ended": Column(unit="dateTimeAsIso", width=165),
    "down": Column(width=65),
    "observed": Column(width=80),
    "depth": Column(unit="percentunit", decimals=0, width=70),
    "held": Column(width=90),
    "reviewed": Column(width=120),
}


def only(*names: str) -> dict[str, Column]:
    """These of the columns that tables of events have."""
    return {name: EVENT_COLUMNS[name] for name in names}


BOARD = Board(
    name="world",
    title="civobs / World",
    about="Countries by state, open events, and what was published last.",
    rows=(
        Row(
            "Now",
            (
                number(
                    "Open events",
                    "Events without an end, also those that a person holds back. Not of single households.",
                    "SELECT coalesce(sum(open_events), 0)::float8 AS value FROM grafana.country",
                    "none",
                    steps=((None, GREEN), (1, ORANGE)),
                ),
                number(
                    "Countries with open events",
                    "Countries in which at least one event is open.",
                    "SELECT count(*)::float8 AS value FROM grafana.country WHERE open_events > 0",
                    "none",
                    steps=((None, GREEN), (1, ORANGE)),
                ),
                number(
                    "Silent countries",
                    "No household online and no batch for an hour, without an open event. Silence may be the event.",
                    "SELECT count(*)::float8 AS value FROM grafana.country WHERE state_code = 2",
                    "none",
                    steps=((None, GREEN), (1, YELLOW)),
                ),
                number(
                    "Households online",
                    "Of which the broker last said online.",
                    "SELECT coalesce(sum(online), 0)::float8 AS value FROM grafana.country",
                    "none",
                ),
                number(
                    "Households that measure",
                    "With an active probe, online or not.",
                    "SELECT coalesce(sum(households), 0)::float8 AS value FROM grafana.country",
                    "none",
                ),
                number(
                    "Ingest last at work",
                    "How long ago ingest said that its broker is connected. While it is away, absence says nothing.",
                    SQL["ingest_last_at_work"],
                    "s",
                    steps=((None, GREEN), (120, RED)),
                ),
            ),
        ),
        Row(
            "Countries",
            (
                world(
                    "Countries by state",
                    "Colour is the state, size the number of households. A country without a circle has no probe:"
                    " nothing is known of it.",
                    SQL["countries_by_state"],
                    COUNTRY_STATES,
                    COUNTRY_LINK,
                ),
                sized(
                    listing(
                        "Countries",
                        "The same in words, worst first. Heard: households from which a batch came in the last hour.",
                        SQL["countries"],
                        {
                            "country": Column(link=COUNTRY_LINK, width=150),
                            "cc": Column(hidden=True),
                            "state": Column(states=_STATES, width=150),
                            "last batch": Column(unit="dateTimeFromNow"),
                        },
                    ),
                    10,
                    14,
                ),
            ),
        ),
        Row(
            "Events",
            (
                listing(
                    "Open events",
                    "Heaviest first: depth × affected fraction × hours. No word here says who or why.",
                    OPEN_EVENTS,
                    only(
                        *("event", "country", "cc", "level", "confidence", "began", "down", "observed", "depth"),
                        *("held", "reviewed"),
                    ),
                ),
                sized(
                    lines(
                        "Households online",
                        "By what the broker last said. A hole: ingest was away, and nothing is known.",
                        SQL["households_online"],
                        "none",
                    ),
                    10,
                    9,
                ),
                sized(
                    listing(
                        "Published last",
                        "Versions of events, newest first: what changed, and why.",
                        SQL["published_last"],
                        only("event", "status", "confidence")
                        | {
                            "published": Column(unit="dateTimeAsIso", width=165),
                            "cc": Column(link=COUNTRY_LINK, width=50),
                        },
                    ),
                    14,
                    9,
                ),
            ),
        ),
    ),
    annotations=(events_as_regions("level = 'country'"),),
)
