"""``civobs detect``: find outages in what is stored and publish what is new."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from civobs_collector import config
from civobs_collector.commands.events import period, table
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.errors import ConfigError
from civobs_collector.publish.times import count

if TYPE_CHECKING:
    from civobs_collector.detect_role import DetectReport


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("detect", help="find outages and publish them", description=__doc__)
    parser.add_argument("--once", action="store_true", help="one run, then exit; without it, a run every tick for ever")
    parser.add_argument("--dry-run", action="store_true", help="one run that writes nothing: show what would change")
    parser.add_argument("--from", dest="since", type=moment, metavar="TIME", help="one run: start of the window")
    parser.add_argument("--to", dest="until", type=moment, metavar="TIME", help="with --dry-run: as if it were then")
    parser.add_argument("--json", action="store_true", help="one run: print the whole records")
    parser.set_defaults(run=run)


def moment(text: str) -> datetime:
    """An ISO 8601 time; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a time: {text!r}; write it as 2026-01-08T16:30Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def run(arguments: argparse.Namespace) -> int:
    """Run the role, or once."""
    # Imported here, as below: scipy takes most of a second, and every command would wait for it.
    from civobs_collector.detect_role import detect_once

    settings = config.load(arguments.config)
    if not (arguments.once or arguments.dry_run):
        if arguments.since or arguments.until or arguments.json:
            raise ConfigError("--from, --to and --json are for one run", "add --once, or --dry-run to write nothing")
        from civobs_collector.commands.serve import serve

        asyncio.run(serve(settings, ("detect",)))
        return 0
    if arguments.until and not arguments.dry_run:
        raise ConfigError("--to would publish as if it were another time", "add --dry-run")
    now = arguments.until or datetime.now(UTC)
    if arguments.since and arguments.since >= now:
        raise ConfigError("the window ends before it begins", "give --from a time before --to")
    with database_errors(), connect(settings.database, "detect") as conn:
        require_current(conn)
        conn.rollback()
        report = detect_once(conn, settings, now, arguments.dry_run, arguments.since)
    sys.stdout.write(_as_json(report) if arguments.json else _as_text(report))
    return 0


def _as_json(report: "DetectReport") -> str:
    versions = [
        {
            "public_id": change.public_id,
            "version": change.version.version,
            "change_kind": change.version.change_kind,
            "reason": change.version.reason,
            "record": change.version.record.model_dump(mode="json"),
        }
        for change in report.changes
    ]
    head = {
        "since": report.since.isoformat(),
        "now": report.now.isoformat(),
        "n_probes": report.n_probes,
        "n_events": report.n_events,
        "published": report.published,
    }
    return json.dumps({**head, "changes": versions}, indent=2) + "\n"


def _as_text(report: "DetectReport") -> str:
    if not report.n_probes:
        return "no probe is enrolled yet, so there is nothing to look at; see: civobs probes --help\n"
    what = "published" if report.published else "would be published"
    head = (
        f"{count(report.n_events, 'event')} from {report.since:%Y-%m-%d %H:%M} to {report.now:%Y-%m-%d %H:%M} UTC,"
        f" {count(len(report.changes), 'version')} {what}, {report.seconds:.2f} s\n"
    )
    rows = [
        (
            change.public_id or "-",
            str(change.version.version),
            f"{change.version.change_kind} ({change.version.reason})",
            change.version.record.kind.value,
            change.version.record.scope.level.value,
            change.version.record.scope.cc,
            *period(change.version.record),
        )
        for change in report.changes
    ]
    return head + (table(("id", "version", "change", "kind", "level", "cc", "began", "ended"), rows) if rows else "")
