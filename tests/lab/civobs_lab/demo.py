"""The demonstration: one scenario of the lab with a friendlier face.

A country is cut off and comes back, and what was published is compared with what was done.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.status import Status

from civobs_collector.errors import ConfigError, ResourceError
from civobs_lab import machine, scenario_file, scoring
from civobs_lab.lab import Lab
from civobs_lab.leaving import Left, leave_on_signals
from civobs_lab.play import TIMELINE, Progress, at_scale, play
from civobs_lab.report import Report
from civobs_lab.results import RunResult
from civobs_lab.watch import words

SCENARIO = "national-shutdown"
_FRIENDLIER = {TIMELINE: "let them measure in peace"}
_WORTH_A_LINE_S = 0.05


def run(*, json_file: Path | None, keep: bool, scale: float, logs: Path | None = None) -> int:
    """Run it; 0 if the result is right. Raises ConfigError and ResourceError with what to do about it."""
    machine.require()
    _make_sure_of(json_file, logs)
    leave_on_signals()
    console = Console(highlight=False)
    loaded = at_scale(scenario_file.load(*scenario_file.find([SCENARIO])), scale)
    right = False

    def look(lab: Lab, result: RunResult) -> None:
        nonlocal right
        phases.end()
        right = _show(Report(result, scoring.score(result)), console, json_file)
        if keep:
            _keep(lab, console)

    with _Phases(console) as phases:
        result = play(loaded, say=phases.say, logs=logs, look=look)
    if result.broke is not None:
        raise ResourceError(
            f"the demonstration broke down: {result.broke}", "run it again with --logs DIR to keep logs"
        )
    return 0 if right else 1


def _show(report: Report, console: Console, json_file: Path | None) -> bool:
    console.print(report.table())
    wrong = report.wrong()
    for each in wrong:
        console.print(f"[red]wrong:[/red] {each}")
    if wrong and report.score.stood_still:
        console.print(f"[yellow]This machine was too busy for the lab:[/yellow] {report.score.stood_still}.")
    if not wrong:
        console.print("[green]right:[/green] the shutdown was found, dated and closed, and no row was lost.")
    if json_file is not None:
        json_file.write_text(json.dumps(report.document(), indent=2) + "\n")
    return not wrong


def _keep(lab: Lab, console: Console) -> None:
    console.print(f"\nThe pages are at [bold]{lab.observatory.show_pages()}[/bold] until Ctrl-C.")
    with suppress(Left):
        while True:
            lab.wait_until(lambda: False, 3600)


class _Phases:
    """A line for each phase and each change, with the seconds it took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status = console.status("start")
        self._now: tuple[str, tuple[str, ...]] | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def say(self, progress: Progress) -> None:
        """Take note of where the run stands."""
        now = (progress.phase, progress.broken)
        if now != self._now:
            self.end()
            self._now, self._began = now, time.monotonic()
        self._status.update(words(progress))

    def end(self) -> None:
        """Write down what is over."""
        seconds = time.monotonic() - self._began
        if self._now is not None and seconds >= _WORTH_A_LINE_S:
            phase, broken = self._now
            what = f"CUT: {', '.join(broken)}" if broken else _FRIENDLIER.get(phase, phase)
            self._console.print(f"{seconds:6.1f} s  {what}")
        self._now = None


def _make_sure_of(json_file: Path | None, logs: Path | None) -> None:
    """Find out before the minutes of work whether their result can be written. Raises ConfigError."""
    try:
        if json_file is not None:
            json_file.open("a").close()
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename}: {error.strerror}", "name another place with --json or --logs"
        ) from None
