"""Event triage: everything about one event on one page, with links to where something can be done about it."""

from dashboards.board import Board, Row, chosen, sized
from dashboards.panels import UP_OR_DOWN, Column, bars, lines, listing, timeline
from dashboards.statements import statements
from dashboards.world import CONFIDENCE, STATUS

SQL = statements("event")

_PAGES = SQL["pages"]
_FACTS = SQL["facts"]

BOARD = Board(
    name="event",
    title="civobs / Event triage",
    about="One event: what is said, why, from which signals, what people decided, and where to act.",
    rows=(
        Row(
            "The event",
            (
                sized(
                    listing(
                        "Record", "The newest version, in its own words. UTC.", _FACTS, {"fact": Column(width=190)}
                    ),
                    10,
                    12,
                ),
                sized(
                    listing(
                        "Why, what was observed, what cannot be said",
                        "Sentences of the record, and notes of reviewers.",
                        SQL["why_what_was_observed_what_cannot_be_said"],
                        {"topic": Column(width=100)},
                    ),
                    14,
                    12,
                ),
                sized(
                    listing(
                        "Act and read on",
                        "Grafana changes nothing: decisions are made at the desk, by a signed-in person.",
                        _PAGES,
                        {"address": Column(link="${__data.fields.address}")},
                    ),
                    24,
                    5,
                ),
            ),
        ),
        Row(
            "What was seen",
            (
                timeline(
                    "Groups over time",
                    "The event's own grid. Down: half of a group's households or more; degraded: a quarter or more.",
                    SQL["groups_over_time"],
                    UP_OR_DOWN,
                ),
                sized(
                    lines(
                        "Households of the widest group",
                        "Up, down and unknown add up: nothing is drawn as fine because it is missing.",
                        SQL["households_of_the_widest_group"],
                        "none",
                        stacked=True,
                    ),
                    12,
                    8,
                ),
                sized(
                    lines(
                        "Country by the broker's word",
                        "All networks of the country at the same time, to compare.",
                        SQL["country_by_the_broker_s_word"],
                        "none",
                        stacked=True,
                    ),
                    12,
                    8,
                ),
                sized(
                    listing(
                        "Start and end by signal",
                        "Each as its own observations bound it; signals are never averaged.",
                        SQL["start_and_end_by_signal"],
                        {
                            name: Column(unit="dateTimeAsIso", width=165)
                            for name in ("began after", "began before", "ended after", "ended before")
                        }
                        | {name: Column(unit="percentunit", decimals=0) for name in ("up during", "up before")},
                    ),
                    16,
                    8,
                ),
                sized(
                    bars(
                        "Where the fault may lie",
                        "How well each place fits, compared with the others named only. It never says who.",
                        SQL["where_the_fault_may_lie"],
                        "percentunit",
                        most=1,
                    ),
                    8,
                    8,
                ),
            ),
        ),
        Row(
            "How it came about",
            (
                sized(
                    listing(
                        "Versions",
                        "Nothing that was published is rewritten. Held versions are not served to the public.",
                        SQL["versions"],
                        {
                            "published": Column(unit="dateTimeAsIso", width=165),
                            "status": Column(states=STATUS),
                            "confidence": Column(states=CONFIDENCE),
                            "area": Column(decimals=2),
                        },
                    ),
                    14,
                    9,
                ),
                sized(
                    listing(
                        "Decisions",
                        "What people decided, by name.",
                        SQL["decisions"],
                        {"at": Column(unit="dateTimeAsIso", width=165)},
                    ),
                    10,
                    9,
                ),
            ),
        ),
    ),
    variables=(
        chosen(
            "event",
            "Event",
            SQL["event"],
        ),
    ),
    since="now-2d",
)
