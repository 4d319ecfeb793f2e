"""The numbers that may have been used: a small fsynced file beside the spool, ahead of it by a block.

Row and batch numbers are never used twice: the collector takes the first batch under a number and quarantines other
bytes under the same one. The spool itself knows the next numbers, but a spool can be lost. So blocks of numbers are
reserved here first, and a new spool begins above the last reserved one.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from civobs_agent.durable import write_durably

SEQ_BLOCK = 10_000
"""Rows: about half a day of the default plan, so the file is written a few times a day."""
BATCH_BLOCK = 1_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """Next row number and next batch number."""

    seq: int = 1
    batch_seq: int = 1


class SeqFloor:
    """Reserves numbers in ``numbers.json``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserved = _read(path)

    def after_loss(self, readable: Numbers) -> Numbers:
        """Where to go on when the spool was lost, given what could still be read of it.

        Without the reservation the wall clock in milliseconds serves: it is above whatever a counter can have
        reached, even if the clock stands at the date of the card's image.
        """
        known = self._reserved or Numbers(time.time_ns() // 1_000_000, time.time_ns() // 1_000_000)
        return Numbers(max(known.seq, readable.seq), max(known.batch_seq, readable.batch_seq))

    @property
    def known(self) -> Numbers | None:
        """What was reserved so far; None if the file is missing or damaged."""
        return self._reserved

    def reserve(self, needed: Numbers) -> None:
        """Make sure that numbers below ``needed`` are reserved. Raises OSError if that cannot be written."""
        have = self._reserved
        if have is not None and needed.seq <= have.seq and needed.batch_seq <= have.batch_seq:
            return
        wanted = Numbers(needed.seq + SEQ_BLOCK, needed.batch_seq + BATCH_BLOCK)
        write_durably(self._path, json.dumps({"seq": wanted.seq, "batch_seq": wanted.batch_seq}).encode())
        self._reserved = wanted


def _read(path: Path) -> Numbers | None:
    try:
        values = json.loads(path.read_bytes())
        seq, batch_seq = values["seq"], values["batch_seq"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(seq, int) and isinstance(batch_seq, int) and seq > 0 and batch_seq > 0):
        return None
    return Numbers(seq, batch_seq)
