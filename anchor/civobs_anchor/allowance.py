"""What a client may take: connections, bytes of a day, datagrams of a second. Counted in memory and never written.

A client is a network (/24 of IPv4, /48 of IPv6), known here only by a keyed hash whose key dies with the process: what
is counted cannot be turned back into addresses afterwards.
"""

import hashlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from civobs_anchor.config import LimitSettings

DAY_S = 86_400.0
MAX_CLIENTS = 50_000
"""Kept at once, about 300 bytes each; beyond, the one not seen for longest is forgotten."""


class RefusedError(OSError):
    """A client takes more than it may."""


@dataclass(slots=True)
class _Account:
    day: int = 0
    bytes: int = 0
    connections: int = 0
    second: int = 0
    datagrams: int = 0


@dataclass(slots=True)
class Allowance:
    """Everybody's accounts."""

    limits: LimitSettings
    spent: Callable[[float], object] = bool
    """Told of all bytes, whoever's."""
    now: Callable[[], float] = time.monotonic
    open: Counter[str] = field(default_factory=Counter)
    """Connections of all clients by transport: forged QUIC must not take TCP's places."""
    _secret: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    _accounts: OrderedDict[bytes, _Account] = field(default_factory=OrderedDict, repr=False)

    @contextmanager
    def connection(self, client: str, transport: str) -> Iterator[None]:
        """For as long as one lasts. Raises RefusedError."""
        account = self._of(client)
        if self.open[transport] >= self.limits.connections or account.connections >= self.limits.connections_per_client:
            raise RefusedError
        self.open[transport] += 1
        account.connections += 1
        try:
            yield
        finally:
            self.open[transport] -= 1
            account.connections -= 1

    def left(self, client: str) -> int:
        """Bytes that a client may still move today."""
        return max(0, self.limits.bytes_per_day - self._of(client).bytes)

    def spend(self, client: str, n_bytes: int) -> None:
        """Count bytes moved, either way."""
        self._of(client).bytes += n_bytes
        self.spent(n_bytes)

    def datagram(self, client: str) -> bool:
        """Whether one more answer may go there within this second."""
        account, second = self._of(client), int(self.now())
        if account.second != second:
            account.second, account.datagrams = second, 0
        account.datagrams += 1
        return account.datagrams <= self.limits.datagrams_per_s

    def _of(self, client: str) -> _Account:
        name = hashlib.blake2b(_network(client), key=self._secret, digest_size=16).digest()
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account()
            if len(self._accounts) > MAX_CLIENTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(name)
        today = int(self.now() // DAY_S)
        if account.day != today:
            account.day, account.bytes = today, 0
        return account


def _network(client: str) -> bytes:
    """What counts as one client."""
    address = ip_address(client.partition("%")[0])
    length = 24 if address.version == 4 else 48
    return ip_network(f"{address}/{length}", strict=False).network_address.packed
