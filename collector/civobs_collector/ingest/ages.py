"""How long batches take from sealed to committed where nothing but our own ways could delay them.

A probe that was cut off for three days brings batches that are three days old, and a device that never met a time
server seals them whenever its clock says: neither says anything of ingest, and an alert on them would come with every
shutdown's end. So a probe that connects anew is left out until one of its batches comes fresh, and of what it sealed
before that one nothing counts.
"""

import math
import time
from collections import deque
from datetime import UTC, datetime

from civobs_collector.ingest.decode import Heard, Sound
from civobs_wire.presence import PresenceState
from civobs_wire.row import ClockState

WINDOW_S = 300.0
"""The alert is on five minutes (ingest.md §5)."""
FRESH_S = 60.0
"""A batch is sealed about once a minute: one that is younger than that did not wait at the probe."""
_MOST = 50_000
"""Ages kept; of more the newest count."""
_NEVER = datetime.max.replace(tzinfo=UTC)


class BatchAges:
    """Ages of the last five minutes' batches, in seconds. Belongs to the writer's thread."""

    def __init__(self) -> None:
        self._ages: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._since: dict[int, datetime] = {}
        self._sessions: dict[int, str] = {}

    def greeted(self, heard: Heard) -> None:
        """A probe says that it connected. What the broker repeats of old is no new connection."""
        said = heard.presence
        if said.state is not PresenceState.ONLINE or heard.arrived.late:
            return
        key = heard.sender.probe_key
        if self._sessions.get(key) != said.session:
            self._sessions[key] = said.session
            self._since[key] = _NEVER

    def committed(self, sound: Sound, now: float) -> None:
        """A batch was committed ``now``, in seconds since 1970."""
        if sound.batch.clock is not ClockState.SYNCED:
            return
        key, sealed_at = sound.sender.probe_key, sound.batch.sealed_at
        age = max(0.0, now - sealed_at.timestamp())
        if key in self._since and sealed_at < self._since[key]:
            if age > FRESH_S:
                return
            self._since[key] = sealed_at
        self._ages.append((time.monotonic(), age))

    def p99(self) -> float:
        """The 99th percentile of the last five minutes, in seconds; 0 without a batch."""
        before = time.monotonic() - WINDOW_S
        while self._ages and self._ages[0][0] < before:
            self._ages.popleft()
        ages = sorted(age for _, age in self._ages)
        return ages[math.ceil(0.99 * len(ages)) - 1] if ages else 0.0
