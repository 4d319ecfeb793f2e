"""``scripts/lab``: scenarios run and scored, and the small Internet to walk about in."""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from civobs_collector.errors import CivobsCollectorError, ConfigError
from civobs_lab import board, machine, run_times, scenario_file, scoring, shell
from civobs_lab.control import CommandError
from civobs_lab.leaving import leave_on_signals
from civobs_lab.observatory import ObservatoryError
from civobs_lab.play import at_scale
from civobs_lab.postgres import ServerError
from civobs_lab.processes import ProgramError
from civobs_lab.runner import Places, keep, run
from civobs_lab.scenario_file import Loaded, ScenarioError
from civobs_lab.scores import ScenarioScore, Verdict
from civobs_lab.watch import watching

_EXAMPLES = """\
examples:
  scripts/lab list                                       what scenarios there are, and how long each takes
  scripts/lab run national-shutdown                      one of them, and its score
  scripts/lab run tests/lab/scenarios/*.toml --json DIR  all of them, each result kept in DIR as it comes
  scripts/lab run --json DIR --resume                    the same, but for those that DIR has
  scripts/lab score DIR                                  the board of what DIR keeps
  scripts/lab compare OLD NEW                            what got better and worse between two such folders
  scripts/lab shell two-countries xa-64500-1             walk about in a household
docs/lab.md says what a scenario is and how to write one.

exit codes: 0 all went well; 1 a run broke down, or something got worse; 2 what was asked for cannot be done;
130, 143 ended by a signal.
"""
_STDERR = 2
"""The last of the standard files' descriptors."""
_MAX_SCALE = 3000.0
"""As a scenario's."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.do(arguments))
    except (KeyboardInterrupt, BrokenPipeError) as error:
        return _left_alone(error)
    except CivobsCollectorError as error:
        return _refused(error.cause, error.remedy)
    except ScenarioError as error:
        # One line, and its beginning: editors go to a place that is told so.
        sys.stderr.write(f"{error}\n")
        return 2
    except CommandError as error:
        cause, _, remedy = str(error).partition("; ")
        return _refused(cause, remedy)
    except (ProgramError, ObservatoryError, ServerError, OSError) as error:
        return _refused(str(error), "mend that and start again")


def _list(arguments: argparse.Namespace) -> int:
    for loaded in _load(arguments.scenarios):
        minutes = run_times.expected_s(loaded) / 60
        print(f"{loaded.name:<28} {minutes:>3.0f} min   {loaded.scenario.title}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    scenarios = [at_scale(loaded, arguments.scale) for loaded in _load(arguments.scenarios)]
    places = Places(arguments.json, arguments.logs)
    if arguments.resume and arguments.json is None:
        raise ConfigError("--resume goes on with a folder of results, and none is named", "add --json DIR")
    for folder in filter(None, (arguments.json, arguments.logs)):
        _make(folder)
    machine.require()
    names = {loaded.name for loaded in scenarios}
    kept = _kept(places) if arguments.resume else []
    scenarios = [each for each in scenarios if each.name not in {score.scenario for score in kept}]
    leave_on_signals()
    console = Console(highlight=False)
    with watching(scenarios, console) as watcher:
        results = run(scenarios, places, watcher, jobs=arguments.jobs)
    scores = [score for score in kept if score.scenario in names] + [scoring.score(result) for result in results]
    console.print(board.page(sorted(scores, key=lambda score: score.scenario), width=console.width))
    for what, folder in (("results", arguments.json), ("logs", arguments.logs)):
        if folder is not None:
            print(f"{what} are in {folder}")
    # What could not be written when it came, is written now or told again.
    unkept = [result for result in results if not keep(result, places)]
    return int(bool(unkept) or any(score.verdict is Verdict.BROKE for score in scores))


def _score(arguments: argparse.Namespace) -> int:
    scores = board.read_runs(arguments.folder)
    console = Console(highlight=False)
    own = [path.stem for path in scenario_file.find([])]
    console.print(board.page(scores, width=console.width, wanted=own))
    if arguments.json is not None:
        _write(arguments.json, json.dumps(board.document(scores, wanted=own), indent=2) + "\n")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    comparison = board.compare(board.read_runs(arguments.before), board.read_runs(arguments.after))
    if arguments.json:
        print(json.dumps(comparison.document(), indent=2))
    else:
        console = Console(highlight=False)
        console.print(comparison.page(width=console.width))
    return int(comparison.worse)


def _shell(arguments: argparse.Namespace) -> int:
    world = shell.world(arguments.world)
    machine.require()
    leave_on_signals()
    return shell.run(world, place=arguments.place, probes=arguments.probes, scale=arguments.scale)


def _load(words: Sequence[str]) -> list[Loaded]:
    """All of them, or the first mistake. Raises ScenarioError, ConfigError."""
    found = [scenario_file.load(path) for path in scenario_file.find(words)]
    names = [loaded.name for loaded in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two scenarios are called {twice}", "name each once; a scenario's name is its file's")
    return found


def _kept(places: Places) -> list[ScenarioScore]:
    """What the folder of results has already. Raises ConfigError for what is no result."""
    folder = places.results
    return [] if folder is None or not any(folder.glob("*.json")) else board.read_runs(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}", "name another folder") from None


def _write(file: Path, text: str) -> None:
    if board.holds_run(file):
        raise ConfigError(f"{file} is the result of a run, which a board would overwrite", "name another file")
    try:
        file.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}", "name another place") from None


def _left_alone(error: BaseException) -> int:
    """Whoever asked wants no more of it: no word, and the code that shells give."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    # Or what is still to be written would fail once more when this process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _refused(cause: str, remedy: str) -> int:
    sys.stderr.write(f"lab: {cause}\n     {remedy}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/lab",
        description="A small Internet on this machine, with a censor in it, and a scoreboard.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    listing = commands.add_parser("list", help="the scenarios, with a line on each")
    _take_scenarios(listing)
    listing.set_defaults(do=_list)

    running = commands.add_parser(
        "run",
        help="run scenarios and show the board",
        description="Run scenarios, each in a world of its own, and show how what was published compares with what "
        "was done. One that breaks down is told as such, and the others go on.",
    )
    _take_scenarios(running)
    running.add_argument("--json", type=Path, metavar="DIR", help="keep each result as DIR/SCENARIO.json")
    running.add_argument("--resume", action="store_true", help="skip the scenarios whose result DIR has")
    running.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="so many at a time (default: %(default)s)")
    running.add_argument("--scale", type=_scale, metavar="N", help="lab seconds in one second, for all of them")
    running.add_argument("--logs", type=Path, metavar="DIR", help="keep what all programs said in DIR/SCENARIO")
    running.set_defaults(do=_run)

    score = commands.add_parser("score", help="the board of results that were kept")
    score.add_argument("folder", type=Path, metavar="DIR")
    score.add_argument("--json", type=Path, metavar="FILE", help="also write it as JSON")
    score.set_defaults(do=_score)

    comparing = commands.add_parser("compare", help="what got better and worse between two folders of results")
    comparing.add_argument("before", type=Path, metavar="A")
    comparing.add_argument("after", type=Path, metavar="B")
    comparing.add_argument("--json", action="store_true", help="as JSON instead of a table")
    comparing.set_defaults(do=_compare)

    walking = commands.add_parser(
        "shell",
        help="walk about in the lab, and break it by hand",
        description="Build a world with its servers. Without PLACE, commands are typed: what to break, whom to visit. "
        "With PLACE, a shell in that household or other place, where `lab begin national_shutdown XA` does the same.",
    )
    walking.add_argument(
        "world",
        nargs="?",
        default=shell.DEFAULT_WORLD,
        metavar="WORLD",
        help="a scenario or a topology, by name or by file (default: %(default)s)",
    )
    walking.add_argument("place", nargs="?", metavar="PLACE", help="a household, such as xa-64500-1, or any place")
    walking.add_argument("--probes", action="store_true", help="also run the observatory and a probe in every home")
    walking.add_argument("--scale", type=_scale, metavar="N", help="lab seconds in one second, for the probes")
    walking.set_defaults(do=_shell)
    return parser


def _take_scenarios(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="a file, or one of the lab's by name (default: all)"
    )


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1.0 <= scale <= _MAX_SCALE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_SCALE:g}")
    return scale


def _open_standard_files() -> None:
    """Closed ones (``<&-``): or else the lab's own pipes take their numbers, and programs lose them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    _open_standard_files()
    sys.exit(main())
