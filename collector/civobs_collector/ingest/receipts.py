"""From the numbers the database holds to the signed receipt a probe believes."""

from collections.abc import Collection
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.types.multirange import Multirange

from civobs_collector.ingest.store import Settled
from civobs_wire.limits import MAX_RANGES
from civobs_wire.receipt import Range, Receipt, pack_receipt


def sign_receipt(
    key: Ed25519PrivateKey, probe_id: str, settled: Settled, handled: Collection[int], now: datetime
) -> bytes:
    """Sign a probe's receipt; ``handled`` are the batch numbers that were just stored, found or refused."""
    return pack_receipt(
        Receipt(
            probe_id=probe_id,
            committed=fitting(settled.committed, handled),
            rejected=fitting(settled.rejected, handled),
            at=now,
        ),
        key,
    )


def fitting(numbers: Multirange[int], handled: Collection[int]) -> tuple[Range, ...]:
    """As many ranges as a receipt may hold: those with the numbers just handled, then the newest."""
    ranges = [(int(part.lower), int(part.upper) - 1) for part in numbers if part.lower and part.upper]
    if len(ranges) <= MAX_RANGES:
        return tuple(ranges)
    just_now = [one for one in ranges if any(one[0] <= number <= one[1] for number in handled)]
    chosen = set(just_now[-MAX_RANGES:])
    for one in reversed(ranges):
        if len(chosen) == MAX_RANGES:
            break
        chosen.add(one)
    return tuple(sorted(chosen))
