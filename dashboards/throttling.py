"""Throttling: how fast transfers were, and whether a name was slower than its neutral twin."""

from dashboards.board import ACCESS, COUNTRY, NETWORKS, Board, Row, events_as_regions, sized
from dashboards.panels import Column, lines, listing, number
from dashboards.statements import statements
from dashboards.world import only

SQL = statements("throttling")

_KINDS = "kind IN ('throttling_targeted', 'throttling_general')"

BOARD = Board(
    name="throttling",
    title="civobs / Throttling",
    about="Speed of transfers in one country, pairs under a service's name and a neutral one, events of throttling.",
    rows=(
        Row(
            "In this time",
            (
                number(
                    "Open events of throttling",
                    "Of this country, targeted or general.",
                    SQL["open"],
                    "none",
                ),
                number(
                    "Download, median",
                    "Of transfers to the observatory's servers. Half were slower.",
                    SQL["download_median"],
                    "bps",
                ),
                number(
                    "Upload, median",
                    "Of transfers to the observatory's servers.",
                    SQL["upload_median"],
                    "bps",
                ),
                number(
                    "Lowest round trip, median",
                    "To the observatory's servers, during transfers.",
                    SQL["lowest_round_trip_median"],
                    "s",
                ),
                number(
                    "Round trips under load",
                    "Responsiveness: round trips a minute while the line is full, median. Higher is better.",
                    SQL["round_trips_under_load"],
                    "none",
                ),
                number(
                    "Transfers",
                    "That went well, in this time.",
                    SQL["transfers"],
                    "none",
                ),
            ),
        ),
        Row(
            "All traffic",
            (
                lines(
                    "Download by network, median of six hours",
                    "Transfers to the observatory's servers. Crowded lines are slow in the evening: compare with the"
                    " same hours of other days.",
                    SQL["download_by_network_median_of_six_hours"],
                    "bps",
                ),
                lines(
                    "Lowest round trip by network, median of six hours",
                    "A detour or a full queue shows here before it shows in speed.",
                    SQL["lowest_round_trip_by_network_median_of_six_hours"],
                    "s",
                ),
            ),
        ),
        Row(
            "Names",
            (
                sized(
                    lines(
                        "Under the name against neutral",
                        "Median speed under a service's name, divided by that of neutral transfers to the same server"
                        " in the same hours. 1 is alike; far below 1, again and again, is what throttling looks like.",
                        SQL["under_the_name_against_neutral"],
                        "percentunit",
                    ),
                    12,
                    10,
                ),
                sized(
                    listing(
                        "Pairs by service and network",
                        "Lowest ratio first. The detector looks at whole curves, not only at medians: this is a hint.",
                        SQL["pairs_by_service_and_network"],
                        {
                            "name": Column(unit="bps"),
                            "neutral": Column(unit="bps"),
                            "ratio": Column(unit="percentunit", decimals=0),
                        },
                    ),
                    12,
                    10,
                ),
            ),
        ),
        Row(
            "Events",
            (
                listing(
                    "Throttling on record in this country",
                    "All that were open at any moment of this time.",
                    SQL["events"],
                    only(
                        "event",
                        "status",
                        "level",
                        "confidence",
                        "began",
                        "ended",
                        "down",
                        "observed",
                        "held",
                        "reviewed",
                    ),
                ),
            ),
        ),
    ),
    variables=(COUNTRY, NETWORKS, ACCESS),
    annotations=(events_as_regions("cc = '$cc' AND " + _KINDS),),
    since="now-7d",
    refresh="5m",
)
