"""Which slots of the last minutes have their row, kept over a restart.

After ``kill -9`` the agent must tell the slots it missed from those it had recorded just before, although their rows
may be delivered and gone by then. Four bytes a slot do, written with the rows themselves.
"""

from binascii import crc32
from datetime import datetime

from civobs_wire.measurement import AnyMeasurement, ClockState

SPAN_S = 600.0
"""How far back slots are remembered: longer than any single measurement takes."""


class RecentSlots:
    """Slots by checksum."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}

    def add(self, row: AnyMeasurement) -> None:
        # A slot of a clock that was wrong may have the time of one that went by while the device was off.
        if row.kind != "agent" and row.validity.clock is not ClockState.UNKNOWN:
            self._slots[_checksum(row.kind, row.target, row.slot_at)] = int(row.slot_at.timestamp())

    def has(self, kind: str, target: str, slot_at: datetime) -> bool:
        return _checksum(kind, target, slot_at) in self._slots

    def text(self) -> str:
        """For the card: the slots of the span before the newest."""
        newest = max(self._slots.values(), default=0)
        self._slots = {slot: at for slot, at in self._slots.items() if at >= newest - SPAN_S}
        return " ".join(f"{slot:08x}:{at:x}" for slot, at in self._slots.items())

    def load(self, text: str | None) -> None:
        """Take back what ``text`` gave; what cannot be read is as good as not remembered."""
        for word in (text or "").split():
            slot, _, at = word.partition(":")
            try:
                self._slots.setdefault(int(slot, 16), int(at, 16))
            except ValueError:
                continue


def _checksum(kind: str, target: str, slot_at: datetime) -> int:
    # One slot of the ladder gives a row for each rung; any of them shows that it was used.
    name = kind if kind == "ladder" else f"{kind} {target}"
    return crc32(f"{name} {round(slot_at.timestamp() * 1000)}".encode())
