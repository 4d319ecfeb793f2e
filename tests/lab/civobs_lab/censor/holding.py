"""Until when a packet is held: a fixed delay, or its turn in a shaper's queue."""

from collections import OrderedDict
from collections.abc import Hashable

from civobs_lab.censor.rule import Rule

QUEUE_S = 2.0
"""Of traffic that waits in a shaper; what comes on top is dropped, as from the end of a queue."""
_MOST = 4096
_BITS = 8000
"""Bits of a kilobyte."""


class Shaper:
    """Token buckets, one for each connection and direction."""

    def __init__(self) -> None:
        self._free_at: OrderedDict[Hashable, float] = OrderedDict()

    def turn(self, key: Hashable, size: int, rule: Rule, now: float) -> float | None:
        """When a packet of ``size`` bytes may go; None when the queue is full. Seconds of the caller's clock."""
        rate_bps = (rule.rate_kbit or 0) * 1000
        burst_s = rule.burst_kbyte * _BITS / rate_bps
        free_at = max(self._free_at.get(key, 0.0), now - burst_s)
        if free_at - now > QUEUE_S:
            return None
        after = free_at + 8 * size / rate_bps
        self._free_at[key] = after
        self._free_at.move_to_end(key)
        if len(self._free_at) > _MOST:
            self._free_at.popitem(last=False)
        return max(now, after)
