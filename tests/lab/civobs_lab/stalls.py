"""Notices when the lab itself stood still, so that nobody takes for an outage what was a busy machine.

Agents wait for an answer no longer than a quarter of a second, however fast their time runs, and all servers of the
world are one program. While that program, or the whole machine, answers more slowly, every home sees a world that is
silent, and the detector is right to say so: such a run tells nothing of the detector.
"""

import json
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from civobs_agent.tables import FLOOR_S
from civobs_lab.results import RunResult, StallRun
from civobs_lab.rules import coarser

ASK_EVERY_S = 0.1
"""Of the clock, between two questions to the servers: they cost less than a thousandth of a core."""
PATIENCE_S = FLOOR_S
"""Of the clock: an answer that comes later may have come too late for an agent."""
SOUND_SHARE = 0.2
"""Of a bin of the detector that may be lost to stalls. Bins are judged by the majority of their tenths, so no half
of a bin can be made of them, also where a climb that failed is followed at its interval by one that went well."""
_ANSWER_MOST_S = 10.0
"""Then they are asked anew, over another connection."""


class StallWatch:
    """Asks the servers all the time, over their control socket, within a ``with`` block."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._found: list[StallRun] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join()

    def seen(self) -> tuple[StallRun, ...]:
        """What was seen so far, in order of time."""
        return tuple(self._found)

    def _watch(self) -> None:
        while not self._halt.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(_ANSWER_MOST_S)
                    line.connect(str(self._control))
                    self._ask(line)
            except OSError:
                # They are gone or not there yet; who needs them says so.
                self._halt.wait(ASK_EVERY_S)

    def _ask(self, line: socket.socket) -> None:
        order, answers = json.dumps({"verb": "answer"}).encode() + b"\n", line.makefile("rb")
        while not self._halt.is_set():
            asked = time.monotonic()
            line.sendall(order)
            try:
                if not answers.readline():
                    return
            finally:
                answered = time.monotonic()
                self._note("servers", answered - asked)
            self._halt.wait(ASK_EVERY_S)
            if not self._halt.is_set():
                self._note("machine", time.monotonic() - answered - ASK_EVERY_S)

    def _note(self, what: str, took_s: float) -> None:
        """Of a pause that should have been none, or of an answer."""
        if took_s > PATIENCE_S:
            at = datetime.now(UTC) - timedelta(seconds=took_s)
            self._found.append(StallRun(what=what, at=at, seconds=round(took_s, 3)))


def worst_share(stalls: Iterable[StallRun], bin_s: float) -> float:
    """The largest share of a stretch as long as a bin, in seconds of the clock, that was lost to stalls."""
    spans = sorted((one.at.timestamp(), one.at.timestamp() + one.seconds) for one in stalls)
    starts = [start for start, _ in spans] + [end - bin_s for _, end in spans]
    return max((min(1.0, _within(spans, start, start + bin_s) / bin_s) for start in starts), default=0.0)


def is_sound(result: RunResult) -> bool:
    """Whether the lab kept its pace, so that what was published can be judged.

    Where the ladder is climbed more seldom than by the default plan, a bin stands for the time of as many climbs.
    """
    return worst_share(result.stalls, result.bin_s * coarser(result) / result.time_scale) <= SOUND_SHARE


def words(result: RunResult) -> str:
    """What stood still, in a line; empty where nothing did."""
    if not result.stalls:
        return ""
    longest = max(result.stalls, key=lambda one: one.seconds)
    total_s = sum(one.seconds for one in result.stalls)
    what = "its servers" if longest.what == "servers" else "the machine"
    said = f"{what} stood still for {longest.seconds:.1f} s, in all {total_s:.1f} s in {len(result.stalls)}"
    return said if is_sound(result) else f"{said}: not sound, nothing can be said of the detector"


def _within(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(until, end) - max(since, start)) for since, until in spans)
