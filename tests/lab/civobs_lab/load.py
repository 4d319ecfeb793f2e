"""What agents take of the machine while a scenario is played."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import psutil

from civobs_lab.results import LoadRun


@dataclass(frozen=True, slots=True)
class _Reading:
    """Processor seconds so far, by process and by the whole machine."""

    at: float
    spent_s: dict[psutil.Process, float]
    machine_s: float
    machine_idle_s: float


class Meter:
    """Reads the counters of processes when it starts and when it stops.

    A process that ends between is left out, and so is its successor: what is asked is what a living agent takes.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                self._processes.append(psutil.Process(pid))
        self._before: _Reading | None = None

    def start(self) -> None:
        """Remember the counters."""
        self._before = self._read()

    def stop(self) -> LoadRun:
        """What was spent since ``start``."""
        assert self._before is not None, "start it first"
        before, now = self._before, self._read()
        seconds = max(now.at - before.at, 1e-3)
        rss_bytes = {}
        for process in now.spent_s:
            with suppress(psutil.NoSuchProcess):
                rss_bytes[process] = process.memory_info().rss
        living = [process for process in rss_bytes if process in before.spent_s]
        agents = max(len(living), 1)
        machine_s = now.machine_s - before.machine_s
        busy_s = machine_s - (now.machine_idle_s - before.machine_idle_s)
        return LoadRun(
            agents=len(living),
            rss_mib=sum(rss_bytes[process] for process in living) / agents / 2**20,
            cpu_share=sum(now.spent_s[process] - before.spent_s[process] for process in living) / agents / seconds,
            machine_cpu_share=busy_s / machine_s if machine_s > 0 else 0.0,
        )

    def _read(self) -> _Reading:
        spent_s = {}
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                # Its own, and what its ended children had: a program of the agent's that lived for a moment.
                spent_s[process] = sum(process.cpu_times()[:4])
        machine = psutil.cpu_times()
        return _Reading(monotonic(), spent_s, sum(machine[:8]), machine.idle + machine.iowait)
