"""Batches sent and not yet receipted: when each is due again, and how fast others may follow. Pure, no I/O."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from civobs_agent.sealing import Lane, Sealed


@dataclass(slots=True)
class Flight:
    """One batch on its way."""

    batch: Sealed
    mid: int
    tries: int
    due_at: float


class Outstanding:
    """At most ``window`` batches, each sent again with exponential back-off and jitter until it is settled."""

    def __init__(self, window: int, retry_s: float, retry_max_s: float, *, chance: random.Random | None = None) -> None:
        self._window = window
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def room(self) -> int:
        """How many more may be sent."""
        return self._window - len(self._flights)

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(self._flights)

    def sent(self, batch: Sealed, mid: int, now: float) -> None:
        """A batch has left, for the first time or again."""
        before = self._flights.get(batch.batch_seq)
        tries = 1 if before is None else before.tries + 1
        wait_s = min(self._retry_max_s, self._retry_s * 2 ** min(tries - 1, 20)) * self._chance.uniform(0.75, 1.25)
        self._flights[batch.batch_seq] = Flight(batch, mid, tries, now + wait_s)

    def settled(self, settles: Callable[[int], bool]) -> list[int]:
        """Forget what a receipt settles; gives the numbers."""
        done = [number for number in self._flights if settles(number)]
        for number in done:
            del self._flights[number]
        return done

    def due(self, now: float) -> list[Sealed]:
        """What must be sent again."""
        return [flight.batch for flight in self._flights.values() if flight.due_at <= now]

    def next_due_at(self) -> float | None:
        return min((flight.due_at for flight in self._flights.values()), default=None)

    def batch_of(self, mid: int) -> int | None:
        """Which batch the broker's acknowledgement is about."""
        return next((number for number, flight in self._flights.items() if flight.mid == mid), None)


class Pace:
    """A token bucket for batches other than the ladder's: a home line is not filled by what can wait."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now

    def allows(self, batch: Sealed) -> bool:
        """Take a token; the ladder needs none."""
        if batch.lane is Lane.LADDER:
            return True
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def wait_s(self) -> float:
        """Until the next token."""
        return max(0.0, (1 - self._tokens) / self._per_s)
