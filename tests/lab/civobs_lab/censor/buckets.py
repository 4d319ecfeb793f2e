"""Token buckets, one for each connection and direction: a shaper's queue behind one, a policer's limit in front."""

from collections import OrderedDict
from collections.abc import Hashable

from civobs_lab.censor.rule import Rule

QUEUE_S = 2.0
"""Of traffic that waits in a shaper; what comes on top is dropped, as from the end of a queue."""
_MOST = 4096


class Buckets:
    """How far ahead of its rate each connection is. Seconds of the caller's clock."""

    def __init__(self) -> None:
        self._ahead_until: OrderedDict[Hashable, float] = OrderedDict()

    def turn(self, key: Hashable, size: int, rule: Rule, now: float) -> float | None:
        """When a packet of ``size`` bytes may go; None when the queue is full."""
        until = self._until(key, size, rule, now)
        if until - now > QUEUE_S:
            return None
        self._note(key, until)
        return max(now, until)

    def take(self, key: Hashable, size: int, rule: Rule, now: float) -> bool:
        """Whether a packet of ``size`` bytes may go now; it is not counted if it may not."""
        until = self._until(key, size, rule, now)
        if until > now:
            return False
        self._note(key, until)
        return True

    def _until(self, key: Hashable, size: int, rule: Rule, now: float) -> float:
        """When the bucket has paid for a packet."""
        bits_per_s = (rule.rate_kbit or 0) * 1000
        full = now - 8000 * rule.burst_kbyte / bits_per_s
        return max(self._ahead_until.get(key, full), full) + 8 * size / bits_per_s

    def _note(self, key: Hashable, until: float) -> None:
        self._ahead_until[key] = until
        self._ahead_until.move_to_end(key)
        if len(self._ahead_until) > _MOST:
            self._ahead_until.popitem(last=False)
