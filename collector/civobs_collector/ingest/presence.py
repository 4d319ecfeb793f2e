"""The collector's own sign of life: a row of ``collector_beat`` at each interval, and whether it was fit to hear.

Absence of probes is evidence only while the collector could have heard them. A beat is ``ok`` if, ever since the beat
before, the same connection stood, was subscribed and had no backlog, and nothing kept rows from being committed. With
the broker away the beat is written and says so; with the database away there is none, which says the same.
"""

import time

from civobs_collector.ingest.link import LATE_S, Link

BEAT_S = 30.0


class Pulse:
    """Decides when a beat is due and what it says."""

    def __init__(self, link: Link, interval_s: float) -> None:
        self._link = link
        self._interval_s = interval_s
        self._next = 0.0
        self._generation = 0
        self._flawed = False

    def flaw(self) -> None:
        """Something kept rows from being committed: the next beat is not ok."""
        self._flawed = True

    def due(self) -> bool:
        """Whether it is time for a beat."""
        return time.monotonic() >= self._next

    def take(self) -> bool:
        """What the beat that is due says; begins the next interval."""
        now = time.monotonic()
        link = self._link
        generation = link.generation
        ok = link.live and generation == self._generation and not self._flawed and link.quiet_s < LATE_S
        self._generation, self._flawed = generation, False
        self._next = now + self._interval_s
        link.probe()
        return ok
