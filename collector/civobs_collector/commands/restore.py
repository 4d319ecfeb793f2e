"""``civobs restore``: bring an observatory back from a backup.

Stop civobs everywhere first; the broker may run, but best out of the probes' reach. Checks every digest, loads the
database and counts its rows, puts back missing keys and files of the archive, takes in from the archive what came
after the backup, and puts receipts at the broker that settle no more than is there. Nothing that is there already is
overwritten. It can be repeated.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from civobs_collector import config
from civobs_collector.errors import ConfigError
from civobs_collector.printing import print_json, print_line

if TYPE_CHECKING:
    from civobs_collector.operate.restore import Restored

_SKIPPED_IDS = 100
"""Public ids left out in each country and year: those given out since the backup must not name other events."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "restore",
        help="bring database, archive and keys back from a backup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a backup, or a folder of them: then the newest")
    parser.add_argument("--check", action="store_true", help="only compare every file with its digest")
    parser.add_argument("--replace", action="store_true", help="give a database that is not empty another name first")
    parser.add_argument(
        "--skip-ids",
        type=int,
        default=_SKIPPED_IDS,
        metavar="N",
        help=f"public ids to leave out in each country: they may have been given out since (default: {_SKIPPED_IDS})",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, or restore; 1 if the broker could not be told."""
    from civobs_collector.operate.progress import telling
    from civobs_collector.operate.restore import check, choose, restore

    if arguments.skip_ids < 0:
        raise ConfigError("--skip-ids takes 0 or more", f"leave it out: {_SKIPPED_IDS} is much between two backups")
    settings, backup = config.load(arguments.config), choose(arguments.folder)
    with telling() as tell:
        if arguments.check:
            manifest = check(backup, tell)
        else:
            done = restore(settings, backup, replace=arguments.replace, skip_ids=arguments.skip_ids, tell=tell)
    if arguments.check:
        if arguments.json:
            print_json({"backup": backup, "whole": True, "counts": manifest.counts})
        else:
            print_line(f"{backup} is whole: {manifest.counts['batch']} batches, made by civobs {manifest.program}")
        return 0
    if arguments.json:
        print_json(_as_json(done))
    else:
        _print(done)
    return 1 if done.broker else 0


def _as_json(done: "Restored") -> dict[str, object]:
    again = done.replayed
    return {
        "backup": done.backup,
        "set_aside": done.set_aside,
        "files": done.files,
        "archive_files": done.archive_files,
        "enrolled": done.enrolled,
        "known": again.known,
        "replayed": again.stored,
        "refused": again.refused,
        "unknown": again.unknown,
        "damaged": again.damaged,
        "receipts": done.receipts,
        "broker": done.broker and done.broker.cause,
    }


def _print(done: "Restored") -> None:
    again = done.replayed
    if done.set_aside:
        print_line(f"the database that was there is now {done.set_aside}: drop it when nobody needs it")
    for name in done.files:
        print_line(f"brought back {name}")
    print_line(f"loaded {done.backup.name}: {done.manifest.counts['measurement']} measurements, counted")
    print_line(f"{done.archive_files} files of the archive brought back, {done.enrolled} probes enrolled since")
    print_line(f"{again.stored} batches taken in again from the archive, {again.known} were there")
    if again.unknown or again.refused or again.damaged:
        print_line(
            f"not taken in: {again.unknown} of unknown probes, {again.refused} refused, {len(again.damaged)} damaged"
        )
    if done.broker:
        print_line(f"receipts: {done.broker.cause}")
        print_line(f"          {done.broker.remedy}")
    else:
        print_line(f"{done.receipts} receipts put in place at the broker")
    print_line("start civobs, then: civobs doctor; plans published since the backup: civobs plan publish")
