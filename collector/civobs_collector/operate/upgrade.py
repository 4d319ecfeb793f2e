"""An upgrade of the database in one step that can be taken back: backup, new tables, checks."""

from dataclasses import dataclass
from pathlib import Path

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import MigrationReport, migrate, migration_state
from civobs_collector.doctor import Result, State
from civobs_collector.doctor_database import check_edition, check_migrations, check_published
from civobs_collector.operate.backup import Made, back_up
from civobs_collector.operate.manifest import Tell


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done."""

    made: Made | None
    """The backup; None if there was nothing to do or none was wanted."""
    report: MigrationReport
    checks: tuple[Result, ...]

    @property
    def sound(self) -> bool:
        return all(one.state is not State.FAILED for one in self.checks)


def pending(settings: CollectorSettings) -> tuple[str, ...]:
    """The migrations still to come. Raises DatabaseError."""
    with database_errors(), connect(settings.database, "migrate") as conn:
        return migration_state(conn).pending


def upgrade(settings: CollectorSettings, folder: Path | None, settings_file: Path | None, tell: Tell) -> Upgraded:
    """Back up into ``folder``, migrate, check. Raises BackupError or DatabaseError; a failed backup stops it."""
    made = back_up(settings, folder, settings_file, None, tell, current=False) if folder else None
    report = migrate(settings.database.dsn, public_url=settings.api.public_url)
    with database_errors(), connect(settings.database, "upgrade", autocommit=True) as conn:
        checks = (check_edition(conn), check_migrations(conn), check_published(conn))
    return Upgraded(made, report, checks)
