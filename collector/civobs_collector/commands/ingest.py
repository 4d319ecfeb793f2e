"""``civobs ingest``: run the ingest role by itself, or take quarantined messages in again."""

import argparse
import asyncio

from civobs_collector.config import load
from civobs_collector.errors import ConfigError
from civobs_collector.ingest.reasons import BY_NAME

ANY = "any"


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ingest",
        help="take batches from the broker into the database",
        description="Take batches from the broker into the database. A second process with the same instance and "
        "shards is a spare: it waits until the first is gone, then takes over.",
    )
    parser.add_argument(
        "--retry-rejected",
        nargs="?",
        const=ANY,
        metavar="REASON",
        help="judge quarantined messages anew (those with REASON, or all), store what is sound now, and end",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    settings = load(arguments.config)
    if arguments.retry_rejected is not None:
        from civobs_collector.ingest.retry import retry_rejected

        reason = None if arguments.retry_rejected == ANY else arguments.retry_rejected
        if reason is not None and reason not in BY_NAME:
            raise ConfigError(f"no such reason: {reason}", f"one of {', '.join(BY_NAME)}")
        report = retry_rejected(settings, reason)
        print(f"stored {report.stored}, still refused {report.kept}")  # noqa: T201 # the command's answer
        return 0
    from civobs_collector.commands.serve import serve

    asyncio.run(serve(settings, ("ingest",)))
    return 0
