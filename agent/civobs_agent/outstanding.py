"""Batches sent and not yet receipted: when each is due again, and how fast others may follow. Pure, no I/O."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from civobs_agent.sealing import Lane, Sealed

PARK_AFTER = 4
"""Tries after which a batch stands aside: what no receipt ever names, as one the broker drops for its size, must not
keep the others from passing. At 15 s doubling that is some four minutes."""
PARKED_MAX_S = 21_600.0
"""Longest wait of a parked batch: it costs four messages a day then. One that was parked while nobody receipted
anything comes back with the next receipt, once: the collector was away, and the batch is likely to be sound."""
NARROW = 2
"""Window while batches were parked and no receipt has come since: with a collector that is down, standing aside must
not send the whole spool into the void."""


@dataclass(slots=True)
class Flight:
    """One batch on its way."""

    batch: Sealed
    mid: int
    tries: int
    due_at: float
    receipts_before: int
    """Receipts that had come when it was first sent on this connection."""


@dataclass(slots=True)
class _Parked:
    """A batch that stands aside, without its bytes."""

    tries: int
    due_at: float
    in_silence: bool
    """No receipt for any batch came while it was tried."""


class Outstanding:
    """At most ``window`` batches, each sent again with exponential back-off and jitter until it is settled.

    One that was sent ``PARK_AFTER`` times is parked: it is sent again rarely and takes no place in the window. Kept
    over connections (``disconnected``), because a batch that ends each connection must stand aside too.
    """

    def __init__(self, window: int, retry_s: float, retry_max_s: float, *, chance: random.Random | None = None) -> None:
        self._window = window
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._flights: dict[int, Flight] = {}
        self._tried: dict[int, int] = {}
        """Tries on earlier connections."""
        self._parked: dict[int, _Parked] = {}
        self._narrow = False
        self._receipts = 0
        self._came_back: set[int] = set()
        """Batches that were parked in silence and had their second chance."""

    @property
    def awaits(self) -> bool:
        """Whether a receipt is overdue if none comes. Batches that are parked while others pass do not count."""
        return bool(self._flights) or (self._narrow and bool(self._parked))

    @property
    def room(self) -> int:
        """How many more may be sent."""
        return (min(self._window, NARROW) if self._narrow else self._window) - len(self._flights)

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(self._flights) | frozenset(self._parked)

    def sent(self, batch: Sealed, mid: int, now: float) -> None:
        """A batch has left, for the first time or again."""
        number = batch.batch_seq
        if number in self._parked:
            parked = self._parked[number]
            self._park(number, parked.tries + 1, now, in_silence=parked.in_silence)
            return
        before = self._flights.get(number)
        tries = 1 + (self._tried.pop(number, 0) if before is None else before.tries)
        receipts = self._receipts if before is None else before.receipts_before
        self._flights[number] = Flight(batch, mid, tries, now + self._wait_s(tries, self._retry_max_s), receipts)

    def settled(self, settles: Callable[[int], bool]) -> list[int]:
        """Forget what a receipt settles; gives the numbers."""
        done = [number for number in (*self._flights, *self._parked) if settles(number)]
        for number in done:
            self.forget(number)
        self._tried = {number: tries for number, tries in self._tried.items() if not settles(number)}
        self._came_back = {number for number in self._came_back if not settles(number)}
        if done:
            self._receipts += 1
            self._narrow = False
            self._bring_back()
        return done

    def forget(self, number: int) -> None:
        """The spool has the batch no longer."""
        self._flights.pop(number, None)
        self._parked.pop(number, None)
        self._came_back.discard(number)

    def disconnected(self) -> None:
        """Nothing is on its way any more; how often it was tried is remembered."""
        self._tried.update((number, flight.tries) for number, flight in self._flights.items())
        self._flights.clear()

    def due(self, now: float) -> list[Sealed]:
        """What must be sent again; what was sent often enough is parked instead."""
        due = [flight for flight in self._flights.values() if flight.due_at <= now]
        for flight in due:
            if flight.tries >= PARK_AFTER:
                del self._flights[flight.batch.batch_seq]
                silence = flight.receipts_before == self._receipts and flight.batch.batch_seq not in self._came_back
                self._park(flight.batch.batch_seq, flight.tries, now, in_silence=silence)
                self._narrow = True
        return [flight.batch for flight in due if flight.tries < PARK_AFTER]

    def parked_due(self, now: float) -> list[int]:
        """Numbers of the parked batches whose turn it is again."""
        return [number for number, parked in self._parked.items() if parked.due_at <= now]

    def next_due_at(self) -> float | None:
        waiting = [flight.due_at for flight in self._flights.values()]
        return min(waiting + [parked.due_at for parked in self._parked.values()], default=None)

    def batch_of(self, mid: int) -> int | None:
        """Which batch the broker's acknowledgement is about."""
        return next((number for number, flight in self._flights.items() if flight.mid == mid), None)

    def _park(self, number: int, tries: int, now: float, *, in_silence: bool) -> None:
        wait_s = self._wait_s(tries + 1, max(PARKED_MAX_S, self._retry_max_s))
        self._parked[number] = _Parked(tries, now + wait_s, in_silence)

    def _bring_back(self) -> None:
        """Give what was parked in silence its turn among the others again."""
        for number in [number for number, parked in self._parked.items() if parked.in_silence]:
            self._tried[number] = self._parked.pop(number).tries
            self._came_back.add(number)

    def _wait_s(self, tries: int, longest_s: float) -> float:
        doubled_s = self._retry_s * float(2 ** min(tries - 1, 20))
        return min(longest_s, doubled_s) * self._chance.uniform(0.75, 1.25)


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
