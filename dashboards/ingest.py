"""Ingest: whether what probes send is committed, and whether everything around it has room and time left."""

from dashboards.board import Board, Row, sized
from dashboards.panels import GREEN, GREY, ORANGE, RED, YELLOW, Column, Placed, lines, listing, number, timeline
from dashboards.statements import statements

SQL = statements("ingest")

_NEWEST = """
    SELECT value FROM grafana.gauge WHERE name = '{name}' AND at > now() - interval '1 hour' ORDER BY at DESC LIMIT 1
"""


def _now(title: str, about: str, name: str, unit: str, steps: tuple[tuple[float | None, str], ...]) -> Placed:
    return number(title, about, _NEWEST.replace("{name}", name), unit, steps=steps)


def _gauges(title: str, about: str, unit: str, *names: str, by: str = "name") -> Placed:
    metric = {
        "name": "name || CASE WHEN (SELECT count(DISTINCT instance) FROM asked) > 1 THEN ' ' || instance ELSE '' END",
        "label": "label",
        "role": "role || ' ' || instance",
    }[by]
    asked = ", ".join(f"'{name}'" for name in names)
    return lines(title, about, SQL["gauges"].replace("{names}", asked).replace("{metric}", metric), unit)


BOARD = Board(
    name="ingest",
    title="civobs / Ingest",
    about="Rates, age of batches, what was refused, receipts, broker, database, certificates, notifications.",
    rows=(
        Row(
            "Now",
            (
                _now(
                    "Last commit",
                    "Since ingest last committed. Quiet is no fault while nothing comes.",
                    "last_commit_age_s",
                    "s",
                    ((None, GREEN), (120, ORANGE)),
                ),
                _now(
                    "Broker",
                    "1: ingest is subscribed at the broker.",
                    "broker_connected",
                    "bool_on_off",
                    ((None, RED), (1, GREEN)),
                ),
                _now(
                    "Dropped by the broker",
                    "PUBLISH messages since it started. The probes send them again.",
                    "broker_dropped",
                    "none",
                    ((None, GREEN), (1, RED)),
                ),
                _now(
                    "Age of batches, 99 of 100",
                    "Sealed to committed over five minutes, without batches that waited for a connection.",
                    "batch_age_p99_s",
                    "s",
                    ((None, GREEN), (300, ORANGE)),
                ),
                number(
                    "Refused",
                    "Share of the messages of the last hour that were not stored.",
                    SQL["refused"],
                    "percentunit",
                    steps=((None, GREEN), (0.001, ORANGE)),
                ),
                number(
                    "Least free disk",
                    "The folder with the smallest share of free room.",
                    SQL["least_free_disk"],
                    "percentunit",
                    steps=((None, RED), (0.15, GREEN)),
                ),
            ),
        ),
        Row(
            "What comes",
            (
                lines(
                    "Measurements committed",
                    "A second, by the batches' time of arrival; at most the last day.",
                    SQL["measurements_committed"],
                    "cps",
                ),
                lines(
                    "Age of batches",
                    "From sealed to received, of all batches, also of those that waited; at most the last day.",
                    SQL["age_of_batches"],
                    "s",
                ),
                sized(
                    listing(
                        "Refused in this time",
                        "By reason. Their bytes are kept in the quarantine as long as there is room.",
                        SQL["refused_in_this_time"],
                        {"last": Column(unit="dateTimeAsIso", width=165)},
                    ),
                    12,
                    8,
                ),
                _gauges(
                    "Waiting at ingest",
                    "Messages taken from the broker: not looked at (queue), and not acknowledged.",
                    "none",
                    "queue_depth",
                    "unacked",
                ),
            ),
        ),
        Row(
            "Roles and broker",
            (
                sized(
                    timeline(
                        "Signs of life",
                        "Of each role's process. A hole: it was away, and nothing that was absent then says anything.",
                        SQL["signs_of_life"],
                        {1: ("at work", GREEN), 0: ("cannot work", RED)},
                    ),
                    24,
                    7,
                ),
                _gauges(
                    "Dropped, and acknowledgements not sent",
                    "Cumulative since the process or the broker started.",
                    "none",
                    "broker_dropped",
                    "stale_acks",
                ),
                _gauges("Detector's run", "How long its last run took.", "s", "tick_s"),
                _gauges(
                    "Blocking and throttling last judged",
                    "How long ago. They are judged less often.",
                    "s",
                    "services_judged_age_s",
                ),
                _gauges(
                    "Buckets to roll up", "Five minutes each, over and not rolled up yet.", "none", "dirty_buckets"
                ),
            ),
        ),
        Row(
            "Room and time left",
            (
                sized(
                    _gauges("Free room by folder", "Share of the disk.", "percentunit", "disk_free_share", by="label"),
                    8,
                    8,
                ),
                sized(_gauges("Database", "Its size on disk.", "bytes", "database_bytes"), 8, 8),
                sized(
                    _gauges("Memory by role", "Roles of one process say the same.", "bytes", "rss_bytes", by="role"),
                    8,
                    8,
                ),
                sized(
                    listing(
                        "Certificates, lists of revoked ones, backup",
                        "Time left of each file, soonest first; of the backup its age.",
                        SQL["certificates_lists_of_revoked_ones_backup"],
                        {
                            "left": Column(unit="s"),
                            "age": Column(unit="s"),
                            "said at": Column(unit="dateTimeFromNow"),
                        },
                    ),
                    12,
                    8,
                ),
                sized(
                    listing(
                        "Notifications in this time",
                        "By what became of them. Dead: given up, and to be looked after.",
                        SQL["notifications_in_this_time"],
                        {
                            "state": Column(states={"sent": GREEN, "waiting": YELLOW, "dead": RED, "dropped": GREY}),
                            "last": Column(unit="dateTimeAsIso", width=165),
                        },
                    ),
                    12,
                    8,
                ),
            ),
        ),
    ),
    since="now-6h",
)
