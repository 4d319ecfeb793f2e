"""How many statements of presence one probe may have stored: a probe that floods must not fill the table.

A line that flaps is evidence and is kept whole up to a rate no line needs. Beyond it statements are put aside, not
thrown away: of each probe the newest greeting and the newest farewell wait until there is room again. So the last word
on a probe is always stored, with the time it came, and what is missing is what lay between.
"""

import time
from collections.abc import Callable
from itertools import chain

from civobs_collector.ingest.decode import Heard
from civobs_wire.presence import PresenceState

BURST = 30
"""Connections in a row that are stored as they come."""
REFILL_S = 20.0
"""Then one in so long: a probe that reconnects each time its broker waits 20 s for an answer is stored whole."""


class Statements:
    """Admits statements of presence, or puts them aside. Belongs to the writer's thread."""

    def __init__(self, time_scale: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._refill_s = REFILL_S / time_scale
        self._clock = clock
        self._full_at: dict[int, float] = {}
        """When a probe's room is whole again (GCRA, ITU-T I.371 annex A)."""
        self._session: dict[int, str] = {}
        """The connection whose greeting was stored last."""
        self._aside: dict[int, dict[bool, Heard]] = {}
        """The newest greeting (True) and the newest farewell that wait."""

    def admit(self, heard: Heard) -> bool:
        """Whether to store a statement now; if not, it is put aside. The farewell to a stored greeting always is."""
        key, said = heard.sender.probe_key, heard.presence
        greeting = said.state is PresenceState.ONLINE
        if not greeting and self._session.get(key) == said.session:
            return True
        if not self._take(key):
            self._aside.setdefault(key, {})[greeting] = heard
            return False
        if greeting:
            self._session[key] = said.session
            self._aside.pop(key, None)
        return True

    def due(self) -> list[Heard]:
        """What waited and is to be stored now, in the order it came."""
        ready = [key for key in self._aside if self._take(key)]
        for key in ready:
            greeting = self._aside[key].get(True)
            if greeting is not None:
                self._session[key] = greeting.presence.session
        waited = chain.from_iterable(self._aside.pop(key).values() for key in ready)
        return sorted(waited, key=lambda one: one.arrived.received_at)

    def _take(self, key: int) -> bool:
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        if full_at - now > (BURST - 1) * self._refill_s:
            return False
        self._full_at[key] = full_at + self._refill_s
        return True
