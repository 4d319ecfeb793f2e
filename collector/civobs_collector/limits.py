"""What is too little, too old or too much at an observatory: for the doctor, and for alert rules on the same things."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """One threshold, with its reason."""

    id: str
    value: float
    unit: str
    reason: str


LIMITS: dict[str, Limit] = {
    limit.id: limit
    for limit in (
        Limit("disk_free", 0.15, "share", "ingest.md §5: alert below 15 %"),
        Limit("disk_free_least", 0.03, "share", "an archive that cannot be written stops ingest"),
        Limit("broker_answer", 5.0, "s", "the broker is near: an answer takes milliseconds"),
        Limit("beat_age", 120.0, "s", "ingest.md §5: no commit for 2 min; a role gives a sign of life every 30 s"),
        Limit("dirty_buckets", 12.0, "buckets a probe", "an hour behind is not what pages and dashboards expect"),
        Limit("rejected_share", 0.001, "share", "ingest.md §5: more than 0.1 % rejected in a day"),
        Limit("plan_left", 14 * 86_400.0, "s", "a probe that is cut off for two weeks must come back to a valid plan"),
        Limit("certificate_left", 14 * 86_400.0, "s", "ingest.md §5: alert when less than 14 d are left"),
        Limit("backup_age", 36 * 3600.0, "s", "one a day, and time to notice that one was missed"),
        Limit("untold_age", 300.0, "s", "versions are looked at every few seconds; a restart takes less"),
        Limit("silence", 3600.0, "s", "a probe seals a batch every few minutes"),
        Limit("clock_offset", 1.0, "s", "two machines that are synchronised agree to some milliseconds"),
        Limit("clock_behind", 5.0, "s", "batches sealed later than they arrived: this machine's clock is behind"),
    )
}
