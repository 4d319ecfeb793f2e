"""Counts the bytes of a day, up and down together, so that a probe never costs a household more than it agreed to."""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from civobs_agent.durable import write_durably

logger = logging.getLogger(__name__)

METER_NAME = "bytes.json"


class Meter:
    """Bytes spent since midnight UTC, by probes and uplink alike. With a folder it outlives a restart."""

    def __init__(self, now: Callable[[], datetime], folder: Path | None = None) -> None:
        self._now = now
        self._path = None if folder is None else folder / METER_NAME
        self._day = now().date()
        self._spent = self._recalled()

    def spend(self, n_bytes: int) -> None:
        """Count what went over the line."""
        self._turn_day()
        self._spent += n_bytes

    @property
    def spent(self) -> int:
        """Bytes of today."""
        self._turn_day()
        return self._spent

    def save(self) -> None:
        """Keep today's count on the card. Raises OSError."""
        if self._path is not None:
            content = {"day": self._day.isoformat(), "bytes": self.spent}
            write_durably(self._path, json.dumps(content).encode())

    def _turn_day(self) -> None:
        today = self._now().date()
        if today != self._day:
            self._day, self._spent = today, 0

    def _recalled(self) -> int:
        if self._path is None or not self._path.exists():
            return 0
        try:
            kept = json.loads(self._path.read_bytes())
            return int(kept["bytes"]) if kept["day"] == self._day.isoformat() else 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("byte_count_unreadable reason=%s", error)
            return 0
