"""``civobs migrate``: make the tables, or bring them up to date."""

import argparse
import json
import sys
from dataclasses import asdict

from civobs_collector import config
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import MigrationReport, migrate, migration_state


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("migrate", help="make or update the tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if there is something to do")
    parser.add_argument("--plain", action="store_true", help="keep a new database without TimescaleDB")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Migrate or check, and say what was done."""
    settings = config.load(arguments.config)
    if arguments.check:
        with database_errors(), connect(settings.database, "migrate") as conn:
            report = migration_state(conn)
    else:
        report = migrate(settings.database.dsn, plain=arguments.plain, public_url=settings.api.public_url)
    sys.stdout.write(_as_json(report) if arguments.json else _as_text(report))
    return 0 if report.current else 1


def _as_json(report: MigrationReport) -> str:
    return json.dumps({**asdict(report), "current": report.current}, indent=2) + "\n"


def _as_text(report: MigrationReport) -> str:
    lines = [f"applied {name}" for name in report.applied]
    lines += [f"missing {name}: run civobs migrate" for name in report.pending]
    lines.append(f"{report.storage}: {'the tables are current' if report.current else 'the tables are not current'}")
    return "\n".join(lines) + "\n"
