"""Notices when a rung of the ladder changes, because rows around a change are the ones worth keeping."""

from dataclasses import replace

from civobs_agent.sealing import Entry, Keep, unix_ms
from civobs_wire.failure import Outcome
from civobs_wire.measurement import AnyMeasurement, Ladder


class RungWatch:
    """Remembers the last outcome of each rung and address family."""

    def __init__(self, around_s: float) -> None:
        self._around_ms = round(around_s * 1000)
        self._last: dict[tuple[int, int], Outcome] = {}
        self._changed_ms: int | None = None
        self._near_until_mono_ms = -1
        self.protect: tuple[int, int] | None = None
        """Interval whose rows, already written, must be raised; cleared by whoever has done it."""

    def degree(self, row: AnyMeasurement) -> Keep:
        """How near this row is to a change, itself included."""
        if isinstance(row, Ladder):
            rung = (row.rung, row.family)
            before = self._last.get(rung)
            self._last[rung] = row.outcome
            if before is not None and before is not row.outcome:
                at = unix_ms(row.at)
                self._changed_ms = at
                self._near_until_mono_ms = row.mono_ms + self._around_ms
                start = at - self._around_ms if self.protect is None else min(self.protect[0], at - self._around_ms)
                self.protect = (start, at)
        return Keep.NEAR_CHANGE if row.mono_ms <= self._near_until_mono_ms else Keep.ROUTINE

    def take_change(self) -> bool:
        """Whether a rung has changed since the last call."""
        changed, self._changed_ms = self._changed_ms is not None, None
        return changed

    def raised(self, entry: Entry) -> Entry:
        """The entry, kept longer if it was taken shortly before a change."""
        if self.protect is None or entry.keep >= Keep.NEAR_CHANGE or unix_ms(entry.row.at) < self.protect[0]:
            return entry
        return replace(entry, keep=Keep.NEAR_CHANGE)
