"""How runs are shown while they go on: bars on a terminal, lines anywhere else."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from civobs_lab import run_times, spans, stalls
from civobs_lab.play import TIMELINE
from civobs_lab.play import Progress as Standing
from civobs_lab.results import RunResult
from civobs_lab.runner import Watcher
from civobs_lab.scenario_file import Loaded

_NEARLY = 0.99
"""A bar is not full before its run is over."""
_WIDE, _BAR, _SHORT_BAR = 110, 24, 10
"""Columns of a terminal from which bars are long, and the columns of bars: names and standings need the rest."""


@contextmanager
def watching(scenarios: Sequence[Loaded], console: Console) -> Iterator[Watcher]:
    """Whatever suits where the output goes."""
    if not console.is_terminal:
        yield Lines(len(scenarios))
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_BAR if console.width >= _WIDE else _SHORT_BAR),
        TimeElapsedColumn(),
        # What does not fit is cut off here and nowhere else.
        TextColumn("{task.fields[standing]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        console=console,
        expand=True,
    )
    with bars:
        yield Bars(bars, len(scenarios))


class Bars:
    """A bar for each scenario that runs, and one for all."""

    def __init__(self, bars: Progress, count: int) -> None:
        self._bars = bars
        self._count = count
        self._done = 0
        self._tasks: dict[str, TaskID] = {}
        self._all = bars.add_task("all", total=count, standing=f"0 of {count}")

    def began(self, loaded: Loaded) -> None:
        expected_s = run_times.expected_s(loaded)
        self._tasks[loaded.name] = self._bars.add_task(loaded.name, total=expected_s, standing="start")

    def moved(self, loaded: Loaded, progress: Standing) -> None:
        total_s = run_times.expected_s(loaded)
        passed_s = min(progress.elapsed_s, _NEARLY * total_s)
        self._bars.update(self._tasks[loaded.name], completed=passed_s, standing=words(progress))

    def ended(self, loaded: Loaded, result: RunResult) -> None:
        self._done += 1
        self._bars.remove_task(self._tasks.pop(loaded.name))
        self._bars.update(self._all, completed=self._done, standing=f"{self._done} of {self._count}")
        self._bars.console.print(escape(outcome(result)))


class Lines:
    """A line for what changes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._last: dict[str, tuple[object, ...]] = {}

    def began(self, loaded: Loaded) -> None:
        _line(
            f"{loaded.name}: begins, takes about {run_times.expected_s(loaded) / 60:.0f} min: {loaded.scenario.title}"
        )

    def moved(self, loaded: Loaded, progress: Standing) -> None:
        change = (progress.phase, progress.broken, progress.events)
        if self._last.get(loaded.name) != change:
            self._last[loaded.name] = change
            _line(f"{loaded.name}: {words(progress)}")

    def ended(self, loaded: Loaded, result: RunResult) -> None:
        self._done += 1
        _line(f"{outcome(result)} ({self._done} of {self._count})")


def words(progress: Standing) -> str:
    """Where a run stands, in a line."""
    if progress.lab_s is None:
        return progress.phase
    # What changes comes first: a narrow terminal shows no more.
    parts = [f"{spans.words(round(progress.lab_s))} in the lab"]
    if progress.broken:
        parts.append("broken: " + _few(progress.broken))
    elif progress.phase != TIMELINE:
        parts.append(progress.phase)
    parts.append(f"{progress.events} event{'' if progress.events == 1 else 's'}")
    return ", ".join(parts)


def outcome(result: RunResult) -> str:
    """How a run ended, in a line."""
    said = f"broke down: {result.broke}" if result.broke else f"has run, {len(result.events)} events published"
    still = stalls.words(result)
    return f"{result.scenario}: {said}, {result.seconds:.0f} s{still and '; '}{still}"


def _few(things: Sequence[str]) -> str:
    shown = ", ".join(things[:2])
    return shown if len(things) <= 2 else f"{shown} and {len(things) - 2} more"


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
