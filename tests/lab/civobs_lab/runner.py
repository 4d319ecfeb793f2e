"""Runs scenarios, each in a process of its own, and keeps each result the moment it is there.

A run that breaks down, hangs or is killed is written down as one and the others go on. Children are tied to this
process (``processes.tied``), and what they start is tied to them: nothing outlives a ``kill -9``.
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from civobs_lab import run_times
from civobs_lab.child import Message
from civobs_lab.play import Progress, never_ran
from civobs_lab.processes import tied
from civobs_lab.results import RunResult
from civobs_lab.run_folder import sweep
from civobs_lab.scenario_file import Loaded

LOOK_S = 0.5
END_S = 30.0
"""For a child to take its lab down in order: eleven agents leave at once, each program has ten seconds."""
_READ_BYTES = 1 << 20


class Watcher(Protocol):
    """Who is told how the runs go on."""

    def began(self, loaded: Loaded) -> None: ...

    def moved(self, loaded: Loaded, progress: Progress) -> None: ...

    def ended(self, loaded: Loaded, result: RunResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where results and logs go; None is nowhere."""

    results: Path | None = None
    logs: Path | None = None

    def result(self, name: str) -> Path | None:
        return None if self.results is None else self.results / f"{name}.json"


def run(
    scenarios: Sequence[Loaded],
    places: Places,
    watcher: Watcher,
    *,
    jobs: int = 1,
    limit_s: Callable[[Loaded], float] = run_times.limit_s,
) -> list[RunResult]:
    """Run all, so many at a time; their results in the order in which they ended. After ``limit_s`` one has hung."""
    waiting = deque(scenarios)
    results: list[RunResult] = []

    def end(loaded: Loaded, result: RunResult) -> None:
        keep(result, places)
        watcher.ended(loaded, result)
        results.append(result)

    with _children() as running:
        while waiting or running:
            while waiting and len(running) < jobs:
                loaded = waiting.popleft()
                watcher.began(loaded)
                try:
                    running.append(Child(loaded, places, limit_s))
                except OSError as error:
                    why = f"it could not be started: {error}"
                    end(loaded, never_ran(loaded, why, started_at=datetime.now(UTC), seconds=0.0))
            for child in _ready(running):
                for progress in child.read():
                    watcher.moved(child.loaded, progress)
            for child in [each for each in running if each.is_over()]:
                result = child.result()
                running.remove(child)
                end(child.loaded, result)
    return results


def keep(result: RunResult, places: Places) -> bool:
    """Write a result, and say what is in the way if it cannot be: that may pass, and hours of runs go on."""
    file = places.result(result.scenario)
    try:
        write(result, file)
    except OSError as error:
        sys.stderr.write(f"lab: cannot write {file}: {error.strerror}\n")
        return False
    return True


def write(result: RunResult, file: Path | None) -> None:
    """Keep a result: all of it or nothing, whenever this is interrupted, also by another run that writes the same."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(result.model_dump_json(indent=1) + "\n")
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise


class Child:
    """The process of one scenario."""

    def __init__(self, loaded: Loaded, places: Places, limit_s: Callable[[Loaded], float]) -> None:
        self.loaded = loaded
        self._began = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._limit_s = limit_s(loaded)
        self._result: RunResult | None = None
        self._partial = b""
        self._phase = "start"
        self._overdue = False
        self.silent = False
        """It has told everything."""
        logs = None if places.logs is None else places.logs / loaded.name
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        # Closed with the child, whose last words are read from it.
        self._said: IO[bytes] = tempfile.TemporaryFile() if logs is None else (logs / "run").open("w+b")  # noqa: SIM115
        self.fd, tell = os.pipe()
        os.set_blocking(self.fd, False)
        try:
            self._process = subprocess.Popen(
                tied(_command(loaded, tell, logs)),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                pass_fds=[tell],
                # Ctrl-C is for the runner, which asks its children to end.
                start_new_session=True,
            )
        finally:
            os.close(tell)

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Iterator[Progress]:
        """What it has told since the last time."""
        try:
            told = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return
        self.silent = not told
        *lines, self._partial = (self._partial + told).split(b"\n")
        for line in lines:
            message = Message.model_validate_json(line)
            if message.result is not None:
                self._result = message.result
            if message.progress is not None:
                self._phase = message.progress.phase
                yield message.progress

    def is_over(self) -> bool:
        """Whether it has ended; one that hangs is asked to, and then made to."""
        passed_s = time.monotonic() - self._began
        if passed_s > self._limit_s and not self._overdue:
            self._overdue = True
            self.ask_to_stop()
        if passed_s > self._limit_s + END_S:
            self._process.kill()
        return self._process.poll() is not None

    def result(self) -> RunResult:
        """What it gave, or that it gave nothing. Only when it is over."""
        while not self.silent:
            list(self.read())
        why = self._why()
        self.close()
        if self._result is not None:
            return self._result
        seconds = time.monotonic() - self._began
        return never_ran(self.loaded, why, started_at=self._started_at, seconds=seconds)

    def ask_to_stop(self) -> None:
        """SIGTERM; follow with ``stop``."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, within_s: float) -> None:
        """Wait for its end, and force it after that time."""
        try:
            self._process.wait(max(within_s, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> None:
        if not self._said.closed:
            os.close(self.fd)
            self._said.close()

    def _why(self) -> str:
        code = self._process.returncode
        if self._overdue:
            return f"hung: after {self._limit_s:.0f} s it was still at: {self._phase}"
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name} at: {self._phase}"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"its process ended with {code} at: {self._phase}: {said}"


def _command(loaded: Loaded, tell: int, logs: Path | None) -> list[str]:
    words = [sys.executable, "-m", "civobs_lab.child", str(loaded.path), "--tell", str(tell)]
    words += ["--scale", str(loaded.scenario.time_scale)]
    return words if logs is None else [*words, "--logs", str(logs)]


@contextmanager
def _children() -> Iterator[list[Child]]:
    """A list of children, none of which is alive when the block has ended."""
    running: list[Child] = []
    try:
        yield running
    finally:
        for child in running:
            child.ask_to_stop()
        end = time.monotonic() + END_S
        for child in running:
            child.stop(end - time.monotonic())
        # Of children that had to be killed.
        sweep()


def _ready(running: Iterable[Child]) -> list[Child]:
    """Those that have something to tell, or have ended; waits a moment for it."""
    with selectors.DefaultSelector() as selector:
        for child in running:
            if not child.silent:
                selector.register(child.fd, selectors.EVENT_READ, child)
        # With nothing to wait for, it is a moment's sleep.
        return [key.data for key, _ in selector.select(LOOK_S)]
