"""``civobs demo``: the whole way once, from a cut country to a published event.

The demonstration runs the project's lab, which is part of the source tree and not of the installed package, so this
command only finds it and hands over.
"""

import argparse
import importlib.util
from importlib import import_module
from pathlib import Path

from civobs_collector.errors import ResourceError

MAX_SCALE = 50.0
"""Faster, and the six seconds in which Mosquitto looks for silent clients are more than a bin."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "demo",
        help="cut a country off in a small Internet on this machine and see it published",
        description="Build a small Internet out of network namespaces, run real probes, broker, collector and database "
        "in it, cut one country off, and compare what was published with what was done. Takes two minutes, needs root "
        "or a user namespace, and leaves nothing behind.",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")
    parser.add_argument("--keep", action="store_true", help="leave it running and show the page until Ctrl-C")
    parser.add_argument(
        "--scale", type=_scale, default=30.0, metavar="N", help="lab seconds in one second (default: %(default)g)"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep what all programs said in this folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Hand over to the lab. Raises ResourceError without the source tree."""
    if importlib.util.find_spec("civobs_lab") is None:
        raise ResourceError(
            "the demonstration needs the source tree, and this is an installed package",
            "clone the repository and run scripts/demo there",
        )
    run_lab = import_module("civobs_lab.demo").run
    return int(run_lab(json_file=arguments.json, keep=arguments.keep, scale=arguments.scale, logs=arguments.logs))


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1.0 <= scale <= MAX_SCALE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_SCALE:g}")
    return scale
