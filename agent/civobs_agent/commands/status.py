"""``civobs-agent status``: what the agent is doing, or was doing when it ran last."""

import argparse
import sys

from civobs_agent.commands import Commands


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "status",
        help="what the agent is doing",
        description="Shows what the agent is doing, or was doing when it ran last.\nExit code 1: it does not run.",
        epilog="example:\n  civobs-agent status\n  civobs-agent status --json | jq .connected",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="as one JSON document")
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    import json

    from civobs_agent import status
    from civobs_agent.config import load

    found = status.read(load(arguments.config).status_file)
    if arguments.json:
        sys.stdout.write(json.dumps({**found.model_dump(mode="json"), "running": found.running}, indent=1) + "\n")
    else:
        sys.stdout.write(status.table(found) + "\n")
    return 0 if found.running else 1
