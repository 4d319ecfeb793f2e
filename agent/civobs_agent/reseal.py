"""Gives never-sent batches new numbers, where the collector has seen theirs already.

A card restored from a copy, or a spool lost together with ``numbers.json``, measures on and seals under numbers that
were used before. The collector's retained receipt then names batches that it never had: they must not be let go of.
"Sealed once" holds for what may have been sent; what was not may be sealed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from civobs_agent.sealing import Entry, Head, seal
from civobs_agent.spool_full import number_ranges
from civobs_agent.spool_store import Store
from civobs_wire.batch import unpack
from civobs_wire.envelope import Signer
from civobs_wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Resealed:
    """What one renumbering did."""

    old: tuple[int, ...]
    next_number: int
    n: int = 0
    """Rows carried over."""
    n_lost: int = 0
    """Rows of batches that cannot be read any more."""

    @property
    def note(self) -> str:
        """For a person who asks about the numbers."""
        if not self.old:
            return "batch numbers went back"
        return f"batch numbers went back: never sent {number_ranges(self.old)} sealed anew below {self.next_number}"


def reseal(store: Store, numbers: Sequence[int], key: Signer, first_number: int) -> Resealed:
    """Seal the rows of these batches under numbers from ``first_number``. Inside a transaction."""
    number = first_number
    n = n_lost = 0
    for old in numbers:
        was = store.batch(old)
        if was is None:
            continue
        store.drop_batches([old])
        try:
            batch = unpack(was.message, key.public_key())
        except WireError:
            n_lost += was.n
            continue
        head = Head(
            key, batch.probe_id, str(batch.boot_id), batch.sealed_at, batch.clock, batch.clock_err_ms, batch.plan_id
        )
        sealed = seal([Entry(row, head.boot_id, was.keep) for row in batch.measurements], head, number)
        store.put_batches(sealed)
        number += len(sealed)
        n += was.n
    return Resealed(tuple(numbers), number, n, n_lost)
