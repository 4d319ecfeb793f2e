"""``civobs archive``: check the exact bytes of every batch, bring lost ones back, take in what the database lacks."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

from civobs_collector import config
from civobs_collector.db.connect import connect
from civobs_collector.printing import print_json, print_line


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("archive", help="check, replay or bring back the kept batches", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = actions.add_parser(
        "replay",
        help="store every batch that the database lacks, then put receipts in place",
        description="Store every batch of the archive that the database lacks, each exactly once, and put receipts at"
        " the broker that say what the database has. May run beside ingest, and again.",
    )
    one.add_argument("--since", type=date.fromisoformat, metavar="DATE", help="only files since this UTC date")
    one.add_argument("--json", action="store_true", help="print the counts as JSON")
    one.set_defaults(run=_replay)
    one = actions.add_parser("check", help="compare every record with its digest; exit 1 if one differs")
    one.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="default: archive_dir in [ingest]")
    one.add_argument("--json", action="store_true", help="print what was found as JSON")
    one.set_defaults(run=_check)
    one = actions.add_parser("restore", help="put files that the archive lacks back from a backup")
    one.add_argument("folder", type=Path, metavar="DIR", help="a backup, or a folder of them")
    one.set_defaults(run=_restore)


def _replay(arguments: argparse.Namespace) -> int:
    from civobs_collector.ingest.replay import replay
    from civobs_collector.ingest.retained import replace_receipts
    from civobs_collector.operate.progress import telling

    settings = config.load(arguments.config)
    with telling() as tell:
        done = replay(settings, arguments.since, tell)
    with connect(settings.database, "replay", autocommit=True) as conn:
        receipts = replace_receipts(settings, conn, datetime.now(UTC))
    counts = {"stored": done.stored, "known": done.known, "refused": done.refused, "unknown": done.unknown}
    if arguments.json:
        print_json({"files": done.files, **counts, "damaged": done.damaged, "receipts": receipts})
    else:
        print_line(", ".join(f"{name} {n}" for name, n in counts.items()) + f"; {receipts} receipts put in place")
        for place in done.damaged:
            print_line(f"damaged: {place}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from civobs_collector.evidence.archive import verify
    from civobs_collector.operate.archive_copy import archive_files

    folder = arguments.folder or config.load(arguments.config).ingest.archive_dir
    records, faults = 0, {}
    for path in archive_files(folder):
        if path.suffix == ".pack":
            health = verify(path)
            records += health.records
            if health.damaged:
                faults[path.relative_to(folder).as_posix()] = list(health.damaged)
    if arguments.json:
        print_json({"records": records, "damaged": faults})
    else:
        print_line(f"{records} records, {sum(map(len, faults.values()))} damaged")
        for name, offsets in faults.items():
            print_line(f"damaged: {name} at {', '.join(map(str, offsets))}")
    return 1 if faults else 0


def _restore(arguments: argparse.Namespace) -> int:
    from civobs_collector.operate.progress import telling
    from civobs_collector.operate.restore import bring_archive, choose

    settings = config.load(arguments.config)
    with telling() as tell:
        brought = bring_archive(settings, choose(arguments.folder), tell)
    print_line(f"{brought} files brought back to {settings.ingest.archive_dir}")
    return 0
