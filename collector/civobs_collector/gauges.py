"""What the observatory measures of itself once a minute and keeps as rows, for those who ask by SQL (ingest.md §5).

Prometheus has the same and more by ``/metrics``, but a dashboard or an alert rule on the database needs rows. Names are
a contract with both: one is added, never renamed. The table is ``gauge_sample``; ``docs/operating/gauges.md`` shows it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

EVERY_S = 60.0
"""Seconds of the real clock between two samples, also in a lab that runs too fast."""
KEPT_D = 30
"""Days that samples are kept."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a name stands for."""

    name: str
    unit: str
    role: str
    """Which role of the collector says it; ``every`` where each does."""
    meaning: str
    label: str = ""
    """What tells several of them apart, if there can be several in one process."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. ``label`` says of which file or folder it is."""

    name: str
    value: float
    label: str = ""


GAUGES: dict[str, Gauge] = {
    gauge.name: gauge
    for gauge in (
        Gauge("broker_connected", "0 or 1", "ingest", "1 while ingest is subscribed at the broker"),
        Gauge("broker_dropped", "messages", "ingest", "PUBLISH messages the broker says it dropped since it started"),
        Gauge("queue_depth", "messages", "ingest", "taken from the broker and not looked at"),
        Gauge("unacked", "messages", "ingest", "taken from the broker and not acknowledged"),
        Gauge("stale_acks", "messages", "ingest", "acknowledgements not sent, their connection gone, since it started"),
        Gauge(
            "last_commit_age_s", "s", "ingest", "since this process last committed what came; since it began, if never"
        ),
        Gauge(
            "batch_age_p99_s",
            "s",
            "ingest",
            "99th percentile from sealed to committed over five minutes, without batches that waited at the probe"
            " while it had no connection and without those of unsynchronised clocks; 0 without any",
        ),
        Gauge("tick_s", "s", "detect", "how long the detector's last run took"),
        Gauge("services_judged_age_s", "s", "detect", "since blocking and throttling were last judged"),
        Gauge("disk_free_share", "share", "ingest", "free room on the disk of a folder", label="folder"),
        Gauge("database_bytes", "bytes", "ingest", "the database's size"),
        Gauge("certificate_left_s", "s", "ingest", "until a certificate expires; below 0 it has", label="file"),
        Gauge(
            "crl_left_s", "s", "ingest", "until a list of revoked certificates expires; below 0 it has", label="file"
        ),
        Gauge("backup_age_s", "s", "ingest", "since the newest whole backup was begun"),
        Gauge("rss_bytes", "bytes", "every", "memory of the role's process; roles of one process say the same"),
        Gauge(
            "notices_waiting",
            "notices",
            "ingest",
            "notifications that are due and not sent, and versions that the role notify has not looked at",
        ),
        Gauge("notices_dead", "notices", "ingest", "notifications that were given up and not looked after"),
        Gauge("dirty_buckets", "buckets", "ingest", "buckets of five minutes that are over and not rolled up"),
    )
}
"""All of them. A name that is missing in ``gauge_sample`` was not measured, which is not the same as 0."""


def checked(samples: Iterable[Sample]) -> list[Sample]:
    """The samples that can be stored: of a name that there is, and a finite number. Raises KeyError for another."""
    return [one for one in samples if GAUGES[one.name] and math.isfinite(one.value)]
