"""``civobs backup``: keep everything that could not be made again, while everything runs.

Database, archive, keys, settings and what [backup] also names, with the digest of each file. Each backup is a folder
of its own; the archive's copy is shared by all of them and only grows. Nothing is called a backup before it is whole.
It holds private keys: keep the folder on another disk, and a copy of it in another place, for your eyes only.
"""

import argparse
from pathlib import Path

from civobs_collector import config
from civobs_collector.errors import ConfigError
from civobs_collector.printing import print_json, print_line


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "backup",
        help="keep a copy of database, archive, keys and settings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where backups are kept")
    parser.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N, this one included")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make one."""
    from civobs_collector.operate.backup import back_up
    from civobs_collector.operate.progress import telling

    if arguments.keep is not None and arguments.keep < 1:
        raise ConfigError("--keep 0 would keep no backup at all", "give --keep 1 or more")
    settings, file = config.load(arguments.config), config.file_in_use(arguments.config)
    with telling() as tell:
        made = back_up(settings, arguments.folder, file, arguments.keep, tell)
    manifest = made.manifest
    if arguments.json:
        print_json(
            {"folder": made.folder, "removed": made.removed, **manifest.model_dump(exclude={"archive", "files"})}
        )
        return 0
    print_line(f"{made.folder}: {manifest.counts['batch']} batches, {manifest.counts['measurement']} measurements")
    print_line(
        f"dump {manifest.dump.size / 1e6:.1f} MB, archive {sum(one.size for one in manifest.archive) / 1e6:.1f} MB"
        f" in {len(manifest.archive)} files, {len(manifest.files)} other files"
    )
    for name in made.removed:
        print_line(f"removed {name}")
    return 0
