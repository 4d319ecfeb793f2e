"""A token bucket for each client, in memory only: enrolment and time cannot be hammered.

Addresses are never logged or stored: what is kept is a keyed digest of the address, under a key that lives as long as
the process, and the oldest are forgotten. IPv6 clients count by /64, the least that one line is given (RFC 6177).
"""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from threading import Lock

KEPT = 10_000
"""Clients remembered; beyond that the one not seen for longest is forgotten."""


class TokenBuckets:
    """``burst`` requests at once, then one each ``refill_s`` seconds."""

    def __init__(self, *, burst: int, refill_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, address: str) -> int:
        """Take a token; return 0, or the seconds to wait for one."""
        client, now = self._digest(address), self._clock()
        with self._lock:
            tokens, since = self._buckets.pop(client, (float(self._burst), now))
            tokens = min(float(self._burst), tokens + (now - since) / self._refill_s)
            allowed = tokens >= 1
            self._buckets[client] = (tokens - 1 if allowed else tokens, now)
            while len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - tokens) * self._refill_s)

    def _digest(self, address: str) -> bytes:
        try:
            parsed = ip_address(address)
        except ValueError:
            packed = address.encode()
        else:
            packed = parsed.packed[:8] if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped else parsed.packed
        return hashlib.blake2b(packed, key=self._key, digest_size=16).digest()
