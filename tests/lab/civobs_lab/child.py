"""The process of one scenario, which the runner starts: ``python -m civobs_lab.child FILE --tell FD``.

A process of its own, so that one run's end, in whatever way, takes nothing of another along: namespaces and programs
belong to the process that made them. It tells where it stands, and at last its result, as one line of JSON each.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from civobs_lab import scenario_file
from civobs_lab.leaving import leave_on_signals
from civobs_lab.play import Progress, at_scale, play
from civobs_lab.results import RunResult


class Message(BaseModel):
    """One line from the child to the runner: where it stands, or what it gave."""

    model_config = ConfigDict(frozen=True)

    progress: Progress | None = None
    result: RunResult | None = None


def main() -> int:
    """Play one scenario; a run that broke down is a result too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tell", type=int, required=True, help="file descriptor to write to")
    parser.add_argument("--scale", type=float, help="instead of the scenario's own")
    parser.add_argument("--logs", type=Path, help="folder for what all programs said")
    arguments = parser.parse_args()
    leave_on_signals(quietly=True)
    loaded = at_scale(scenario_file.load(arguments.file), arguments.scale)
    with os.fdopen(arguments.tell, "w", encoding="utf-8") as runner:
        result = play(loaded, say=lambda progress: _tell(runner, Message(progress=progress)), logs=arguments.logs)
        _tell(runner, Message(result=result))
    return 0


def _tell(runner: TextIO, message: Message) -> None:
    runner.write(message.model_dump_json() + "\n")
    runner.flush()


if __name__ == "__main__":
    sys.exit(main())
