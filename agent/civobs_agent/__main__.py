"""``civobs-agent``: the probe's side of the command line."""

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path

from civobs_agent import __version__
from civobs_agent.errors import CivobsAgentError

COMMANDS = ("run", "once", "show", "status", "doctor", "enrol")

_EPILOG = """\
first steps:
  civobs-agent enrol 7K3M-9QXP-4    trade a claim code for an identity
  civobs-agent run                  measure and deliver (the service does this)
  civobs-agent status               what it is doing
  civobs-agent show                 what it measured
  civobs-agent doctor               what is wrong, and what to do about it

pause:  touch /var/lib/civobs-agent/pause      (remove the file to go on)
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="civobs-agent",
        description="Probe of the Core Internet Values Observatory: measures, keeps what it saw, delivers it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"civobs-agent {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: /etc/civobs/agent.toml if there)"
    )
    parser.add_argument("--verbose", action="store_true", help="log at DEBUG")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"civobs_agent.commands.{name}").register(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; an error is one line of cause and one of remedy."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(arguments.run(arguments))
    except CivobsAgentError as error:
        sys.stderr.write(f"civobs-agent: {error.cause}\n              {error.remedy}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
