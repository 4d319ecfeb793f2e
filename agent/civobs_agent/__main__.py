"""``civobs-agent``: the probe's side of the command line."""

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from civobs_agent import __version__
from civobs_agent.errors import CivobsAgentError

if TYPE_CHECKING:
    import argparse

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


def _parser() -> "argparse.ArgumentParser":
    import argparse

    parser = argparse.ArgumentParser(
        prog="civobs-agent",
        description="Probe of the Core Internet Values Observatory: measures, keeps what it saw,\ndelivers it.",
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


def _command(words: Sequence[str]) -> tuple[Callable[[], int], int]:
    """What is to be done, and the level to log at."""
    # What the service runs is understood without argparse: the megabyte would be the agent's for as long as it runs.
    match words:
        case ["run"]:
            return lambda: _serve(None), logging.INFO
        case ["--config", file, "run"]:
            return lambda: _serve(Path(file)), logging.INFO
    arguments = _parser().parse_args(words)
    return lambda: int(arguments.run(arguments)), logging.DEBUG if arguments.verbose else logging.INFO


def _serve(config: Path | None) -> int:
    from civobs_agent.commands.run import serve

    return serve(config)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error is one line of cause and one of remedy."""
    run, level = _command(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        return run()
    except CivobsAgentError as error:
        sys.stderr.write(f"civobs-agent: {error.cause}\n              {error.remedy}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
