"""Takes quarantined bytes in again, through the same path, after an upgrade that may understand them."""

from dataclasses import dataclass

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.evidence.archive import Archive, check_folder
from civobs_collector.ingest import store
from civobs_collector.ingest.commit import Committer, Flush
from civobs_collector.ingest.decode import Arrived, Heard, Refused, judge
from civobs_collector.ingest.writer import accepted_window, store_flush

_AT_ONCE = 100


@dataclass(slots=True)
class RetryReport:
    """How many messages are stored now, and how many stay."""

    stored: int = 0
    kept: int = 0


def retry_rejected(settings: CollectorSettings, reason: str | None) -> RetryReport:
    """Judge quarantined messages anew, by the time they arrived; those that are sound now are stored and leave.

    Their probes learn of it with their next receipt. Runs beside a running ingest. Raises DatabaseError.
    """
    report = RetryReport()
    check_folder(settings.ingest.archive_dir)
    archive = Archive(settings.ingest.archive_dir, f"{settings.ingest.instance}-retry")
    committer = Committer(archive, settings.ingest.quarantine_bytes)
    with database_errors(), connect(settings.database, "ingest-retry", autocommit=True) as conn:
        require_current(conn)
        after = 0
        while page := store.read_quarantine(conn, reason, after, _AT_ONCE):
            after = page[-1].rejected_key
            for kept in page:
                if _retry(settings, conn, committer, kept):
                    report.stored += 1
                else:
                    report.kept += 1
    archive.close()
    return report


def _retry(settings: CollectorSettings, conn: Connection, committer: Committer, kept: store.Kept) -> bool:
    # `late`: when it was judged first nobody knew how long it had waited, and nobody knows it better now.
    arrived = Arrived(0, 0, 0, kept.topic, kept.payload, kept.received_at, late=True)
    senders = {one.probe_id: one for one in store.read_senders(conn, [kept.topic.split("/")[-2]])}
    item = judge(arrived, senders, accepted_window(settings))
    if isinstance(item, Refused):
        return False
    done = store_flush(committer, conn, Flush([item], [arrived]))
    if done.refused or not (done.stored or done.duplicates or isinstance(item, Heard)):
        return False
    store.release(conn, kept.rejected_key)
    return True
