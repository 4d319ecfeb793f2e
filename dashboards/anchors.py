"""Host an anchor: which controls there are, what they reach, and where another one is needed."""

from dashboards.board import COUNTRY_LINK, Board, Row, sized
from dashboards.panels import GREEN, GREY, ORANGE, RED, YELLOW, Column, lines, listing, number, words
from dashboards.statements import statements

SQL = statements("anchors")

_ANCHORS = "FROM grafana.probe WHERE status = 'active' AND is_anchor"

BOARD = Board(
    name="anchors",
    title="civobs / Host an anchor",
    about="Anchors: agents that serve as control, servers that homes measure against, and where one is missing.",
    rows=(
        Row(
            "Anchors",
            (
                sized(
                    words(
                        "What an anchor does",
                        "How one is hosted.",
                        "An anchor is a server in an uncensored network that probes measure against, with known"
                        " content, so that what differs was altered on the way. An agent beside it asks the same"
                        " targets as the probes do: a target that fails there too is broken, not blocked.\n\nA"
                        " blocking is published only where somebody elsewhere reached the target in the same hours."
                        " Two anchors in different networks and countries are the least. How to host one:"
                        " `docs/anchors.md` of the source.",
                    ),
                    12,
                    5,
                ),
                sized(
                    number(
                        "Anchors at work",
                        "Active, and heard within the last hour. Fewer than two cannot tell a blocking from a fault.",
                        "SELECT count(*)::float8 AS value "
                        + _ANCHORS
                        + " AND last_batch_at > now() - interval '1 hour'",
                        "none",
                        steps=((None, RED), (1, ORANGE), (2, GREEN)),
                    ),
                    4,
                    5,
                ),
                sized(
                    number(
                        "Targets asked by anchors",
                        "Different ones in the last day of this time.",
                        SQL["targets_asked_by_anchors"],
                        "none",
                    ),
                    4,
                    5,
                ),
                sized(
                    number(
                        "Targets that fail at anchors",
                        "Of which most turns of most anchors' hours failed in the last day: likely broken themselves.",
                        SQL["targets_that_fail_at_anchors"],
                        "none",
                        steps=((None, GREEN), (1, YELLOW)),
                    ),
                    4,
                    5,
                ),
                listing(
                    "Agents of anchors",
                    "Longest unheard first.",
                    'SELECT probe_id AS anchor, cc, network, state, state_since AS since, last_batch_at AS "last batch"'
                    ","
                    ' clock, clock_error_s AS "clock error", agent, plan, missing_batches AS missing '
                    + _ANCHORS
                    + " ORDER BY last_batch_at NULLS FIRST LIMIT 200",
                    {
                        "state": Column(
                            states={"online": GREEN, "offline": RED, "stopped": GREY, "never heard": YELLOW}
                        ),
                        "since": Column(unit="dateTimeFromNow"),
                        "last batch": Column(unit="dateTimeFromNow"),
                        "clock error": Column(unit="s"),
                    },
                ),
            ),
        ),
        Row(
            "Control",
            (
                sized(
                    lines(
                        "Failing at anchors, by layer",
                        "Share of (anchor, target, hour) of which most turns failed; at most the last three days.",
                        SQL["failing_at_anchors_by_layer"],
                        "percentunit",
                        share=True,
                    ),
                    12,
                    9,
                ),
                sized(
                    listing(
                        "Failing targets",
                        "Worst first. What fails here is no sign of blocking anywhere.",
                        SQL["failing_targets"],
                        {"failing": Column(unit="percentunit", decimals=0, width=90)},
                    ),
                    12,
                    9,
                ),
            ),
        ),
        Row(
            "Where one is needed",
            (
                sized(
                    listing(
                        "Countries by way to the nearest server",
                        "Median of the lowest round trip to the server with the shortest one. From 0.15 s on, speed is"
                        " bounded by distance, and an anchor nearer by would say more. Empty: homes have no server.",
                        SQL["countries_by_way_to_the_nearest_server"],
                        {
                            "country": Column(link=COUNTRY_LINK),
                            "cc": Column(hidden=True),
                            "round trip": Column(unit="s"),
                        },
                    ),
                    12,
                    10,
                ),
                sized(
                    listing(
                        "Servers that homes measured against",
                        "By transfers in this time: how many countries, how fast.",
                        SQL["servers_that_homes_measured_against"],
                        {"speed": Column(unit="bps"), "round trip": Column(unit="s")},
                    ),
                    12,
                    10,
                ),
            ),
        ),
    ),
    since="now-2d",
    refresh="5m",
)
