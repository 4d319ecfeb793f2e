"""How many bytes of a transfer had come, at instants that nothing on the line can be in step with.

The gaps are exponential with bounds, as OONI's dd-007 has them, so that they meet a shaper's rhythm at no fixed point.
Nothing has to wake up for them: between two reads the count stands still, so the instants that lie there are filled in
when the next bytes come.
"""

import random

from civobs_wire.limits import MAX_SAMPLES
from civobs_wire.row import Received

MEAN_MS, LEAST_MS, MOST_MS = 250.0, 25.0, 650.0
"""OONI dd-007, which has them from RFC 3432 and the PASTA property of Poisson sampling."""


class Instants:
    """Samples of one transfer. Times are milliseconds since it began; a laboratory's time runs faster."""

    def __init__(self, rng: random.Random, time_scale: float = 1.0) -> None:
        self._rng = rng
        self._time_scale = time_scale
        self._taken: list[Received] = []
        self._count = 0
        self._due_ms = self._gap_ms()

    def count(self, ms: float, n_bytes: int) -> None:
        """So many more bytes had come at this time."""
        self._advance(ms)
        self._count += n_bytes

    def end(self, ms: float) -> tuple[Received, ...]:
        """All samples, with one at the end."""
        self._advance(ms)
        return (*self._taken, Received(ms=ms, bytes=self._count))

    def _advance(self, ms: float) -> None:
        while self._due_ms <= ms and len(self._taken) < MAX_SAMPLES - 1:
            self._taken.append(Received(ms=self._due_ms, bytes=self._count))
            self._due_ms += self._gap_ms()

    def _gap_ms(self) -> float:
        return min(MOST_MS, max(LEAST_MS, self._rng.expovariate(1 / MEAN_MS))) / self._time_scale
