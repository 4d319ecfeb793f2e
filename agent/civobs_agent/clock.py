"""What time it is, and how far that may be wrong.

A Pi has no clock battery: after a power cut it wakes up at the time it went to sleep, and without NTP it may stay
there for days, which are just the days that matter. So wall time is always told as monotonic time since boot plus an
anchor, with the state of that anchor and a bound of its error; rows taken before the anchor was known are given
their wall time afterwards (``reanchor``).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from civobs_agent.durable import write_durably
from civobs_agent.kernel_time import Discipline, kernel_discipline
from civobs_wire.measurement import ClockState
from civobs_wire.scalars import EARLIEST, INT4_MAX, LATEST

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
STAMP_NAME = "alive.json"
RELEASED_AT = datetime(2026, 11, 1, tzinfo=UTC)
"""No probe runs this version earlier: the floor of an unknown clock. Raised with each release."""
DRIFT_PPM = 100
"""Bound of a Pi's crystal, temperature included (detection.md §3.1)."""
HOLDOVER_AFTER_MS = 3_600_000
"""An anchor older than an hour is holdover: by then the drift is 360 ms, more than the error of reading it."""
UNBOUNDED_MS = INT4_MAX
"""How long the device was off is bounded by nothing, so neither is the error of an unknown clock."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant, in both clocks."""

    at: datetime
    mono_ms: int
    state: ClockState
    err_ms: int


class Timekeeper(Protocol):
    """What a measurement asks of a clock."""

    def moment(self) -> Moment: ...

    def dark_s(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Wall time known at one instant of this boot."""

    at: datetime
    mono_ms: int
    err_ms: int
    source: str

    def told_at(self, mono_ms: int) -> tuple[datetime, int]:
        """Wall time and error bound at another instant of this boot."""
        elapsed = mono_ms - self.mono_ms
        drift = -(-abs(elapsed) * DRIFT_PPM // 1_000_000)
        return self.at + timedelta(milliseconds=elapsed), min(UNBOUNDED_MS, self.err_ms + drift)


@dataclass(frozen=True, slots=True)
class _Sign:
    """The last sign of life of an earlier run of the agent."""

    boot_id: UUID
    at: datetime
    err_ms: int
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Where the clock reads: the system's own calls, or a test's."""

    mono_ms: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    wall_s: Callable[[], float] = time.time
    discipline: Callable[[], Discipline] = kernel_discipline
    boot_id_path: Path = BOOT_ID_PATH


@dataclass(slots=True)
class _Memory:
    """What is carried from stamp to stamp."""

    anchor: _Anchor | None = None
    before: _Sign | None = None
    """Last sign of life of the boot before this one."""
    last: _Sign | None = None
    """Last sign of life of the agent before this run, of whatever boot."""
    dark_told: bool = False


class Clock:
    """Tells moments; learns; remembers signs of life in ``folder``.

    ``trust_system`` takes the system's clock as synchronised whatever the kernel says, and ``offset_s`` pretends that
    it is wrong by so much: both only for a laboratory.
    """

    def __init__(
        self, folder: Path, *, trust_system: bool = False, offset_s: float = 0.0, hands: Hands | None = None
    ) -> None:
        self._hands = hands or Hands()
        self._trust_system = trust_system
        self._offset_s = offset_s
        self._path = folder / STAMP_NAME
        self.boot_id = UUID(self._hands.boot_id_path.read_text().strip())
        self._memory = _recall(self._path, self.boot_id)
        self._learned = self._memory.anchor
        self._guess_ms: float | None = None
        self._step_ms = 0.0
        self._became_known = False
        self.moment()

    @property
    def became_known(self) -> bool:
        """The state has changed from unknown to known, and ``settle`` has not been called since."""
        return self._became_known

    @property
    def step_ms(self) -> float:
        """By how much wall time moved when the clock became known."""
        return self._step_ms

    def settle(self) -> None:
        """The rows of this boot have been re-anchored."""
        self._became_known = False

    def moment(self) -> Moment:
        """Now."""
        mono_ms = self._hands.mono_ms()
        anchor = self._best_anchor(mono_ms)
        if anchor is None:
            return self._unknown(mono_ms)
        at, err_ms = anchor.told_at(mono_ms)
        if self._guess_ms is not None:
            self._became_known = True
            self._step_ms = at.timestamp() * 1000 - mono_ms - self._guess_ms
            self._guess_ms = None
        self._memory.anchor = anchor
        fresh = mono_ms - anchor.mono_ms <= HOLDOVER_AFTER_MS
        return Moment(at, mono_ms, ClockState.SYNCED if fresh else ClockState.HOLDOVER, err_ms)

    def learn(self, at: datetime, err_ms: int, source: str, mono_ms: int | None = None) -> None:
        """Take in an authenticated time, read at ``mono_ms`` of this boot (now, if not given)."""
        if not EARLIEST <= at < LATEST:
            raise ValueError(f"{source} told a time outside 2020 to 2199")
        read_at = self._hands.mono_ms() if mono_ms is None else mono_ms
        self._learned = _Anchor(at.astimezone(UTC), read_at, err_ms, source)
        self.moment()

    def reanchor(self, mono_ms: int) -> Moment:
        """What the clock says by now of an earlier instant of this boot."""
        now = self.moment()
        drift = (now.mono_ms - mono_ms) * DRIFT_PPM // 1_000_000
        err_ms = min(UNBOUNDED_MS, now.err_ms + max(0, drift))
        return Moment(now.at - timedelta(milliseconds=now.mono_ms - mono_ms), mono_ms, now.state, err_ms)

    def dark_s(self) -> float | None:
        """Seconds from the last sign of life of the boot before to this boot's start; told once in a boot.

        None where it is not known, and as long as this boot's clock is not: then it is told with a later row.
        """
        before = self._memory.before
        now = self.moment()
        if self._memory.dark_told or before is None or not before.known or now.state is ClockState.UNKNOWN:
            return None
        self._memory.dark_told = True
        started_at = now.at - timedelta(milliseconds=now.mono_ms)
        return max(0.0, (started_at - before.at).total_seconds())

    def stamp(self) -> None:
        """Leave a sign of life on the card. Raises OSError."""
        now, memory = self.moment(), self._memory
        anchor, before = memory.anchor, memory.before
        content = {
            "boot_id": str(self.boot_id),
            "at": now.at.isoformat(),
            "err_ms": now.err_ms,
            "known": now.state is not ClockState.UNKNOWN,
            "dark_told": memory.dark_told,
            "anchor": anchor and [anchor.at.isoformat(), anchor.mono_ms, anchor.err_ms, anchor.source],
            "before": before and [str(before.boot_id), before.at.isoformat(), before.err_ms, before.known],
        }
        write_durably(self._path, json.dumps(content).encode())

    def _best_anchor(self, mono_ms: int) -> _Anchor | None:
        """The kernel's clock if somebody keeps it, unless an authenticated time contradicts it; else what was learned.

        NTP at home is not authenticated: whoever owns the line can move it.
        """
        system = self._system_anchor(mono_ms)
        learned = self._learned
        if system is not None and learned is not None and learned.source != _KERNEL:
            at, err_ms = learned.told_at(mono_ms)
            if abs((system.at - at).total_seconds() * 1000) > err_ms + system.err_ms:
                return learned
        if system is not None:
            return system
        kept = [anchor for anchor in (learned, self._memory.anchor) if anchor is not None]
        return min(kept, key=lambda anchor: anchor.told_at(mono_ms)[1], default=None)

    def _system_anchor(self, mono_ms: int) -> _Anchor | None:
        discipline = self._hands.discipline()
        wall = datetime.fromtimestamp(self._hands.wall_s() + self._offset_s, UTC)
        if not EARLIEST <= wall < LATEST:
            return None
        if self._trust_system:
            return _Anchor(wall, mono_ms, discipline.max_error_ms if discipline.synchronised else 0, _KERNEL)
        if discipline.synchronised and not self._offset_s:
            return _Anchor(wall, mono_ms, discipline.max_error_ms, _KERNEL)
        return None

    def _unknown(self, mono_ms: int) -> Moment:
        """The latest of: what the system says, and what it must be later than."""
        if self._guess_ms is None:
            last = self._memory.last
            floor = max(RELEASED_AT, last.at) if last is not None else RELEASED_AT
            wall = datetime.fromtimestamp(self._hands.wall_s() + self._offset_s, UTC)
            guess = max(wall, floor) if wall < LATEST else floor
            self._guess_ms = guess.timestamp() * 1000 - mono_ms
        at = datetime.fromtimestamp((self._guess_ms + mono_ms) / 1000, UTC)
        return Moment(at, mono_ms, ClockState.UNKNOWN, UNBOUNDED_MS)


_KERNEL = "kernel"


def _recall(path: Path, boot_id: UUID) -> _Memory:
    """Read the last stamp; one that is missing or damaged is as good as none."""
    try:
        told = json.loads(path.read_bytes())
        last = _Sign(UUID(str(told["boot_id"])), _time(str(told["at"])), int(told["err_ms"]), bool(told["known"]))
        if last.boot_id != boot_id:
            return _Memory(before=last, last=last)
        kept, before = told["anchor"], told["before"]
        return _Memory(
            anchor=_Anchor(_time(kept[0]), int(kept[1]), int(kept[2]), str(kept[3])) if kept else None,
            before=_Sign(UUID(str(before[0])), _time(before[1]), int(before[2]), bool(before[3])) if before else None,
            last=last,
            dark_told=bool(told["dark_told"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return _Memory()


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text).astimezone(UTC)
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"{at} is outside 2020 to 2199")
    return at
