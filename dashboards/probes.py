"""Probes: the fleet's health, for those who look after it. A probe is a home: none of this is for the public."""

from dashboards.board import Board, Row, sized
from dashboards.panels import GREEN, GREY, ORANGE, RED, YELLOW, Column, bars, lines, listing, number
from dashboards.statements import statements

SQL = statements("probes")

_FLEET = "FROM grafana.probe WHERE status = 'active' AND NOT is_anchor"

BOARD = Board(
    name="probes",
    title="civobs / Probes",
    about="Fleet health: who is heard, versions, clocks, spools, gaps by sequence number.",
    rows=(
        Row(
            "Now",
            (
                number("Probes", "Active ones, without anchors.", "SELECT count(*)::float8 AS value " + _FLEET, "none"),
                number(
                    "Online",
                    "By the broker's word.",
                    "SELECT count(*)::float8 AS value " + _FLEET + " AND state = 'online'",
                    "none",
                ),
                number(
                    "Online and silent",
                    "The broker says online, and no batch came for an hour: the agent hangs, or ingest does.",
                    "SELECT count(*)::float8 AS value "
                    + _FLEET
                    + " AND state = 'online' AND coalesce(last_batch_at, enrolled_at) < now() - interval '1 hour'",
                    "none",
                    steps=((None, GREEN), (1, ORANGE)),
                ),
                number(
                    "Clocks not bounded",
                    "Active probes heard within a day whose clock's error nothing bounds: their rows date no event.",
                    "SELECT count(*)::float8 AS value "
                    + _FLEET
                    + " AND clock_error_s IS NULL AND last_batch_at > now() - interval '1 day'",
                    "none",
                    steps=((None, GREEN), (1, YELLOW)),
                ),
                number(
                    "Batches missing",
                    "Numbers below the newest that have not come, over all probes. They come later, or are lost.",
                    "SELECT coalesce(sum(missing_batches), 0)::float8 AS value " + _FLEET,
                    "none",
                    steps=((None, GREEN), (1, YELLOW)),
                ),
                number(
                    "By a detour",
                    "Probes that come by another broker than their first: the way to that one may be blocked.",
                    "SELECT count(*)::float8 AS value " + _FLEET + " AND detour",
                    "none",
                    steps=((None, GREEN), (1, YELLOW)),
                ),
            ),
        ),
        Row(
            "Over time",
            (
                sized(
                    lines(
                        "Households by the broker's word",
                        "Of the whole world. Many at once, without a country in common: look at versions and brokers.",
                        SQL["households_by_the_broker_s_word"],
                        "none",
                        stacked=True,
                    ),
                    12,
                    8,
                ),
                sized(
                    lines(
                        "Spool age of what arrives",
                        "From sealed to received, of the batches of each quarter of an hour, at most the last day."
                        " High after an outage: probes deliver what they stored.",
                        SQL["spool_age_of_what_arrives"],
                        "s",
                    ),
                    12,
                    8,
                ),
            ),
        ),
        Row(
            "Versions and clocks",
            (
                sized(
                    bars(
                        "Agents",
                        "Active probes by the version of their newest batch.",
                        "SELECT agent, count(*)::float8 AS value " + _FLEET + " GROUP BY 1 ORDER BY 2 DESC LIMIT 30",
                        "none",
                    ),
                    8,
                    9,
                ),
                sized(
                    listing(
                        "Offline by version",
                        "A version whose probes are offline in many countries at once is a fault of the instrument, not"
                        " of a network.",
                        "SELECT agent, count(*)::float8 AS probes,"
                        " count(*) FILTER (WHERE state = 'offline')::float8 AS offline,"
                        " (count(*) FILTER (WHERE state = 'offline') / count(*)::float8) AS share,"
                        " count(DISTINCT cc) FILTER (WHERE state = 'offline')::float8 AS countries "
                        + _FLEET
                        + " GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 50",
                        {"share": Column(unit="percentunit", decimals=0, width=80)},
                    ),
                    8,
                    9,
                ),
                sized(
                    bars(
                        "Error of clocks",
                        "Active probes by the bound of their clock's error.",
                        SQL["error_of_clocks"],
                        "none",
                    ),
                    8,
                    9,
                ),
            ),
        ),
        Row(
            "Who needs a look",
            (
                sized(
                    listing(
                        "Gaps and refused batches",
                        "Probes with numbers that have not come, or with batches refused for good.",
                        SQL["gaps_and_refused_batches"],
                        {"last batch": Column(unit="dateTimeFromNow")},
                    ),
                    10,
                    10,
                ),
                sized(
                    listing(
                        "Not stored",
                        "What was refused in this time, by probe and reason. The bytes are in the quarantine.",
                        SQL["not_stored"],
                        {"last": Column(unit="dateTimeAsIso", width=165)},
                    ),
                    14,
                    10,
                ),
                sized(
                    listing(
                        "Probes",
                        "Longest unheard first. Spool age: how long the newest batch had waited at the probe.",
                        SQL["probes"],
                        {
                            "state": Column(
                                states={"online": GREEN, "offline": RED, "stopped": GREY, "never heard": YELLOW}
                            ),
                            "since": Column(unit="dateTimeFromNow"),
                            "last batch": Column(unit="dateTimeFromNow"),
                            "spool age": Column(unit="s"),
                            "clock error": Column(unit="s"),
                        },
                    ),
                    24,
                    14,
                ),
            ),
        ),
    ),
)
