"""``civobs-agent show``: what the probe recorded and has not delivered yet."""

import argparse
import sys

from civobs_agent.commands import Commands


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "show",
        help="what it measured lately",
        description=(
            "Shows the newest rows that are kept on this device. Rows go when the observatory\n"
            "has confirmed that it has stored them, and reach the card at most a minute after\n"
            "they were measured."
        ),
        epilog="examples:\n  civobs-agent show\n  civobs-agent show --last 500 --kind ladder --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--last", type=_positive, default=40, metavar="N", help="how many rows (default 40)")
    parser.add_argument("--kind", metavar="KIND", help="only rows of this kind, such as ladder or http")
    parser.add_argument("--json", action="store_true", help="one JSON document a line, oldest first")
    parser.set_defaults(run=_show)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _show(arguments: argparse.Namespace) -> int:
    from civobs_agent import recorded, show
    from civobs_agent.config import load
    from civobs_agent.errors import ConfigError
    from civobs_wire.measurement import KINDS

    if arguments.kind is not None and arguments.kind not in KINDS:
        raise ConfigError(f"--kind: no kind {arguments.kind!r}", f"one of: {', '.join(KINDS)}")
    rows = recorded.newest(load(arguments.config).state_dir, arguments.last, arguments.kind)
    for row in rows:
        line = row.model_dump_json(exclude_none=True) if arguments.json else show.row_line(row)
        sys.stdout.write(line + "\n")
    if not rows and not arguments.json:
        what = "Nothing" if arguments.kind is None else f"No row of kind {arguments.kind}"
        sys.stdout.write(f"{what} is kept here: none was measured lately, or it has been delivered.\n")
    return 0
