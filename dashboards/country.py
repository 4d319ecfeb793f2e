"""Country: what its networks, the rungs of the ladder and its targets looked like, with events over it."""

from dashboards.board import ACCESS, COUNTRY, NETWORKS, Board, Row, events_as_regions, sized
from dashboards.panels import GREEN, ORANGE, UP_OR_DOWN, Column, lines, listing, number, timeline
from dashboards.statements import statements
from dashboards.world import only

SQL = statements("country")


BOARD = Board(
    name="country",
    title="civobs / Country",
    about="One country: networks, presence, the ladder's rungs, targets by layer, events.",
    rows=(
        Row(
            "Now",
            (
                number(
                    "Open events",
                    "Events of this country without an end.",
                    "SELECT coalesce(sum(open_events), 0)::float8 AS value FROM grafana.country WHERE cc = '$cc'",
                    "none",
                    steps=((None, GREEN), (1, ORANGE)),
                ),
                number(
                    "Networks",
                    "With a household that measures.",
                    "SELECT count(*)::float8 AS value FROM grafana.network WHERE cc = '$cc' AND households > 0",
                    "none",
                ),
                number(
                    "Households",
                    "With an active probe.",
                    "SELECT coalesce(sum(households), 0)::float8 AS value FROM grafana.network WHERE cc = '$cc'",
                    "none",
                ),
                number(
                    "Online",
                    "Households of which the broker last said online.",
                    "SELECT coalesce(sum(online), 0)::float8 AS value FROM grafana.network WHERE cc = '$cc'",
                    "none",
                ),
                number(
                    "Heard in the last hour",
                    "Households from which a batch came.",
                    "SELECT coalesce(sum(heard), 0)::float8 AS value FROM grafana.network WHERE cc = '$cc'",
                    "none",
                ),
                number(
                    "Users in these networks",
                    "Share of the country's users in networks with a household, where it is known.",
                    "SELECT sum(user_share)::float8 AS value FROM grafana.network WHERE cc = '$cc' AND households > 0",
                    "percentunit",
                ),
            ),
        ),
        Row(
            "Lines to the observatory",
            (
                timeline(
                    "Networks",
                    "Down: half of the households or more are offline by the broker's word; degraded: a quarter or"
                    " more. Not known: ingest was away, or nothing was ever said.",
                    SQL["networks"],
                    UP_OR_DOWN,
                ),
                sized(
                    lines(
                        "Households by the broker's word",
                        "Unknown: ingest was away, the probe was stopped, or nothing was ever said of it.",
                        SQL["households_by_the_broker_s_word"],
                        "none",
                        stacked=True,
                    ),
                    12,
                    8,
                ),
                sized(
                    listing(
                        "Networks now",
                        "Households by kind of line. Who has neither has not said what theirs is.",
                        SQL["networks_now"],
                        {
                            "user share": Column(unit="percentunit", decimals=0),
                            "last batch": Column(unit="dateTimeFromNow"),
                        },
                    ),
                    12,
                    8,
                ),
            ),
        ),
        Row(
            "The ladder, as stored by the probes",
            (
                sized(
                    lines(
                        "Households for which a rung went well",
                        "Share of households that asked the rung; by hours up to eight days, by days beyond. Rows that"
                        " were stored while a probe was cut off appear here when they arrive.",
                        SQL["households_for_which_a_rung_went_well"],
                        "percentunit",
                        share=True,
                    ),
                    14,
                    9,
                ),
                sized(
                    listing(
                        "Newest hour of each network and rung",
                        "L0 power, L1 link, L2 access, L3 domestic, L4 international, L5 services. L3 ok with L4 failed"
                        " in several networks is the sign of a cut of international lines only.",
                        SQL["newest_hour_of_each_network_and_rung"],
                        {"hour": Column(unit="dateTimeAsIso", width=165)},
                    ),
                    10,
                    9,
                ),
            ),
        ),
        Row(
            "Targets",
            (
                sized(
                    lines(
                        "Failing, by layer",
                        "Share of (household, target, hour) of which most turns failed; at most the last three days.",
                        SQL["failing_by_layer"],
                        "percentunit",
                        share=True,
                    ),
                    10,
                    10,
                ),
                sized(
                    listing(
                        "Targets by layer",
                        "Share of households' hours in which most turns failed, worst first; at most the last three"
                        " days. A target may fail because it is broken: see what it does elsewhere, on Host an anchor.",
                        SQL["targets_by_layer"],
                        {
                            name: Column(unit="percentunit", decimals=0, width=70)
                            for name in ("all", "dns", "tcp", "tls", "http", "quic")
                        },
                    ),
                    14,
                    10,
                ),
            ),
        ),
        Row(
            "Events",
            (
                listing(
                    "Events in this time",
                    "All that were open at any moment of it, newest first, also retracted ones and those held back.",
                    SQL["events_in_this_time"],
                    only(
                        "event",
                        "status",
                        "level",
                        "confidence",
                        "began",
                        "ended",
                        "down",
                        "observed",
                        "depth",
                        "held",
                        "reviewed",
                    ),
                ),
            ),
        ),
    ),
    variables=(COUNTRY, NETWORKS, ACCESS),
    annotations=(events_as_regions("cc = '$cc'"),),
)
