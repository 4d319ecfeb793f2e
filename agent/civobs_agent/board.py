"""Whether the device itself is in a state to measure: more work than cores, or slowed down for heat.

A transfer on a Pi that is busy or hot shows the Pi and not the line.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLOWING = ("cpufreq", "cpu-", "processor")
"""Beginnings, after ``thermal-``, of the names of cooling devices that slow a processor; a fan is another one
(Documentation/driver-api/thermal in the kernel's sources)."""
UNDER_VOLTAGE, THROTTLED, SOFT_LIMIT = 1 << 0, 1 << 2, 1 << 3
"""Bits of a Raspberry Pi's ``get_throttled`` (raspberrypi.com, documentation of vcgencmd)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Where to read, looked up once: sensors do not come and go."""

    proc: Path
    throttled: Path | None
    """A Raspberry Pi's firmware."""
    cooling: tuple[Path, ...]

    def busy(self) -> bool | None:
        """Whether, over the last minute, more programs wanted to run than there are cores; None if nobody says."""
        try:
            return float((self.proc / "loadavg").read_text().split()[0]) > (os.cpu_count() or 1)
        except (OSError, ValueError, IndexError):
            return None

    def hot(self) -> bool | None:
        """Whether it has slowed itself down for heat; None where it cannot tell."""
        told = [*self._by_firmware(), *self._by_cooling()]
        return any(told) if told else None

    def _by_firmware(self) -> Iterator[bool]:
        if self.throttled is not None and (bits := _number(self.throttled, 16)) is not None:
            # A supply that is too low throttles as well, and is told apart as undervoltage.
            yield bool(bits & SOFT_LIMIT) or bits & (THROTTLED | UNDER_VOLTAGE) == THROTTLED

    def _by_cooling(self) -> Iterator[bool]:
        states = (_number(folder / "cur_state", 10) for folder in self.cooling)
        yield from (state > 0 for state in states if state is not None)


def board_of(proc: Path, sys: Path) -> Board:
    """Find the sensors of this device."""
    firmware = sys / "devices/platform/soc/soc:firmware/get_throttled"
    return Board(
        proc=proc, throttled=firmware if firmware.exists() else None, cooling=tuple(_slowing(sys / "class/thermal"))
    )


def _slowing(thermal: Path) -> Iterator[Path]:
    for folder in sorted(thermal.glob("cooling_device*")):
        try:
            name = (folder / "type").read_text().strip().lower()
        except OSError:
            continue
        if name.removeprefix("thermal-").startswith(SLOWING):
            yield folder


def _number(path: Path, base: int) -> int | None:
    try:
        return int(path.read_text().strip(), base)
    except (OSError, ValueError):
        return None
