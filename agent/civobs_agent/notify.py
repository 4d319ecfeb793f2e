"""Tells systemd how the agent is: ready, what it does, and that it is alive.

The watchdog is fed only while the parts that must not hang show a sign of life; one that hangs is restarted by
systemd, which is all that is ever restarted: no reboot, no network is touched (volunteers.md §0.1).
"""

import time
from collections.abc import Callable

import sdnotify


class Pulse:
    """Signs of life of the parts that must not hang."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._beats: dict[str, tuple[float, float]] = {}

    def beat(self, part: str, patience_s: float) -> None:
        """``part`` lives, and will say so again within ``patience_s``."""
        self._beats[part] = (self._monotonic(), patience_s)

    def silent(self) -> list[str]:
        """Parts that have not kept their word."""
        now = self._monotonic()
        return [part for part, (at, patience_s) in self._beats.items() if now - at > patience_s]


class Notifier:
    """Speaks to systemd; without it, to nobody."""

    def __init__(self) -> None:
        self._systemd = sdnotify.SystemdNotifier()
        self._status = ""

    def ready(self) -> None:
        self._systemd.notify("READY=1")

    def alive(self) -> None:
        self._systemd.notify("WATCHDOG=1")

    def stopping(self) -> None:
        self._systemd.notify("STOPPING=1")

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            self._systemd.notify(f"STATUS={text}")
