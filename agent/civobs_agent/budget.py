"""Counts the bytes of a day and of a month, up and down together, of probes and uplink alike.

So a probe never costs a household more than it agreed to (``ration.py``).
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from civobs_agent.durable import write_durably

logger = logging.getLogger(__name__)

METER_NAME = "bytes.json"


class Meter:
    """Bytes spent since midnight UTC and since the first of the month. With a folder it outlives a restart."""

    def __init__(self, now: Callable[[], datetime], folder: Path | None = None) -> None:
        self._now = now
        self._path = None if folder is None else folder / METER_NAME
        self._day = now().date()
        self._spent, self._before = self._recalled()
        self.total = 0
        """Bytes since the agent was started."""

    def spend(self, n_bytes: int) -> None:
        """Count what went over the line."""
        self._turn_day()
        self._spent += n_bytes
        self.total += n_bytes

    @property
    def spent(self) -> int:
        """Bytes of today."""
        self._turn_day()
        return self._spent

    @property
    def spent_before(self) -> int:
        """Bytes of this month, today's left out."""
        self._turn_day()
        return self._before

    def save(self) -> None:
        """Keep the count on the card. Raises OSError."""
        if self._path is not None:
            content = {"day": self._day.isoformat(), "bytes": self.spent, "month_before": self.spent_before}
            write_durably(self._path, json.dumps(content).encode())

    def _turn_day(self) -> None:
        today = self._now().date()
        if today != self._day:
            self._before = self._before + self._spent if _month(today) == _month(self._day) else 0
            self._day, self._spent = today, 0

    def _recalled(self) -> tuple[int, int]:
        """Bytes of today, and of the month before today."""
        if self._path is None or not self._path.exists():
            return 0, 0
        try:
            kept = json.loads(self._path.read_bytes())
            day, spent, before = date.fromisoformat(kept["day"]), int(kept["bytes"]), int(kept.get("month_before", 0))
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("byte_count_unreadable reason=%s", error)
            return 0, 0
        if day == self._day:
            return spent, before
        return 0, before + spent if _month(day) == _month(self._day) else 0


class Tally:
    """What one run costs. Its bytes count for the meter of all as well."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.spent = 0
        self.cpu_s = 0.0
        """Of the program beside the agent, where the kind has one."""
        self.peak_kib = 0
        """Its memory, at most."""

    @property
    def total(self) -> int:
        """Bytes that the whole agent has moved since it was started."""
        return self._meter.total

    def spend(self, n_bytes: int) -> None:
        """Count what went over the line."""
        self.spent += n_bytes
        self._meter.spend(n_bytes)


@dataclass(slots=True)
class Cost:
    """What the runs of one kind have cost since the agent was started."""

    runs: int = 0
    seconds: float = 0.0
    bytes: int = 0
    cpu_s: float = 0.0
    peak_kib: int = 0

    def add(self, tally: Tally, seconds: float) -> None:
        """One more run."""
        self.runs += 1
        self.seconds += seconds
        self.bytes += tally.spent
        self.cpu_s += tally.cpu_s
        self.peak_kib = max(self.peak_kib, tally.peak_kib)


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month
