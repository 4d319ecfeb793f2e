"""``civobs upgrade``: after a new version was installed: back up, bring the tables up to date, check.

Stop civobs first. Without a backup folder it asks for one; --no-backup does without. Where there is nothing to do it
does nothing.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from civobs_collector import __version__, config
from civobs_collector.errors import ConfigError
from civobs_collector.printing import print_json, print_line


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "upgrade",
        help="back up, bring the tables up to date, check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backup", type=Path, metavar="DIR", help="where (default: backup_dir in [watch])")
    parser.add_argument("--no-backup", action="store_true", help="make none: there is another one")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Upgrade; 1 if a check failed afterwards."""
    from civobs_collector.operate.progress import telling
    from civobs_collector.operate.upgrade import pending, upgrade

    settings, file = config.load(arguments.config), config.file_in_use(arguments.config)
    folder = None if arguments.no_backup else arguments.backup or settings.watch.backup_dir
    if folder is None and not arguments.no_backup:
        raise ConfigError(
            "no folder for the backup", "give --backup DIR, set backup_dir in [watch], or say --no-backup"
        )
    waiting = pending(settings)
    if not waiting:
        if arguments.json:
            print_json({"applied": [], "backup": None})
        else:
            print_line(f"the tables are those of civobs {__version__}: nothing to do")
        return 0
    with telling() as tell:
        done = upgrade(settings, folder, file, tell)
    if arguments.json:
        print_json(
            {
                "applied": done.report.applied,
                "backup": done.made and done.made.folder,
                "checks": [asdict(one) for one in done.checks],
            }
        )
        return 0 if done.sound else 1
    for name in done.report.applied:
        print_line(f"applied {name}")
    for one in done.checks:
        print_line(f"{one.check}: {one.state}: {one.text}")
    if done.made:
        older = (
            f"civobs {done.made.manifest.program}" if done.made.manifest.program != __version__ else "the older civobs"
        )
        print_line(f"to go back: install {older}, then: civobs restore {done.made.folder} --replace")
    print_line("start civobs, then: civobs doctor")
    return 0 if done.sound else 1
