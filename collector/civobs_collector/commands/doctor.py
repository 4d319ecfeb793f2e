"""``civobs doctor``: check every part, and say what to do about what is wrong."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from civobs_collector import config
from civobs_collector.doctor import Result, State, run_checks
from civobs_collector.errors import ConfigError
from civobs_collector.printing import print_json, print_line

_SIGNS = {State.OK: "ok", State.WARNING: "warning", State.FAILED: "FAILED", State.NOT_CHECKED: "not checked"}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("doctor", help="what is wrong, and what to do about it", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check; 1 if a check failed."""
    results: list[Result] = []
    for result in _results(arguments.config):
        results.append(result)
        if not arguments.json:
            _print(result)
    failed = any(result.state is State.FAILED for result in results)
    if arguments.json:
        print_json({"ok": not failed, "results": [asdict(result) for result in results]})
    return 1 if failed else 0


def _results(path: Path | None) -> Iterator[Result]:
    try:
        settings = config.load(path)
    except ConfigError as error:
        yield Result("settings", State.FAILED, error.cause, error.remedy)
        return
    yield Result("settings", State.OK, "can be read")
    yield from run_checks(settings)


def _print(result: Result) -> None:
    print_line(f"{result.check:<12} {_SIGNS[result.state]:<11} {result.text}")
    if result.remedy:
        print_line(f"{'':<12} {'→':<11} {result.remedy}")
