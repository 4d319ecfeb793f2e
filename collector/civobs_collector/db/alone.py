"""To be alone with a database: nobody takes batches in or publishes while it is filled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.events import hold_publishing
from civobs_collector.errors import BackupError

_OTHERS = """
SELECT DISTINCT application_name FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'civobs-%' ORDER BY 1
"""


@contextmanager
def alone(settings: DatabaseSettings, locks: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Hold ``locks`` and that of publishing, without which roles do not work. Raises BackupError if one is there."""
    with database_errors(), connect(settings, "restore-lock", autocommit=True) as conn:
        others = [name for (name,) in conn.execute(_OTHERS)]
        if others:
            raise BackupError(f"{', '.join(others)} uses the database", "stop civobs everywhere, and try again")
        hold_publishing(conn)
        for one in locks:
            conn.execute("SELECT pg_advisory_lock(%s, %s)", one)
        yield
