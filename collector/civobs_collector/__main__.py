"""``civobs``: the observatory's side of the command line."""

import argparse
import logging
import os
import select
import signal
import sys
from importlib import import_module
from pathlib import Path

from civobs_collector import __version__
from civobs_collector.errors import CivobsCollectorError

COMMANDS = (
    "init",
    "serve",
    "ingest",
    "detect",
    "migrate",
    "doctor",
    "upgrade",
    "backup",
    "restore",
    "archive",
    "probes",
    "plan",
    "events",
    "notify",
    "staff",
    "evaluate",
    "fingerprints",
    "grafana",
    "demo",
)

_EPILOG = """\
first steps:
  civobs init --url … --broker …         settings, keys and passwords
  civobs migrate                         make or update the tables
  civobs probes claim --cc KE            a claim code for one household
  civobs plan build plan.toml --publish  sign a plan and hand it to the probes
  civobs serve                           ingest, detection and pages in one process
  civobs doctor                          what is wrong, and what to do about it
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="civobs",
        description="Collector of the Core Internet Values Observatory: keeps, finds, publishes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"civobs {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: /etc/civobs/collector.toml if there)"
    )
    parser.add_argument("--verbose", action="store_true", help="log at DEBUG")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"civobs_collector.commands.{name}").register(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; an error is one line of cause and one of remedy."""
    try:
        code = _run(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError as error:
        return _unread(error)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("civobs"):
            raise
        # The bare install is the agent's.
        sys.stderr.write(
            f"civobs: the collector needs {error.name}, which is not installed\n"
            "        pip install 'civobs[collector]'\n"
        )
        return 2
    return code


def _unread(error: BrokenPipeError) -> int:
    """End as programs do whose reader, such as ``head``, has seen enough. Raises what was not of standard output."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not poll.poll(0):
        raise error
    # Python flushes once more when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _run(argv: list[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(arguments.run(arguments))
    except CivobsCollectorError as error:
        sys.stderr.write(f"civobs: {error.cause}\n        {error.remedy}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
