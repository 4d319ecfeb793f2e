"""The times in which the agent was not running, remembered until every slot of them has its row.

The spool's last sign of life moves with each write, so it tells of an absence once. A kill in the middle of the rows,
or a boot whose clock never became known, must not lose the rest: what is still to be told is a note in the spool,
written in the same transaction as the rows that shorten it.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from civobs_agent.missed import Recorded
from civobs_agent.recent_slots import SPAN_S
from civobs_agent.spool import Spool
from civobs_wire.measurement import AnyMeasurement, ClockState

logger = logging.getLogger(__name__)

NOTE = "unaccounted"
CHUNK = 500
"""Rows for missed slots that are recorded before other parts get their turn."""

_TURN_S = 15.0

Gap = tuple[datetime, datetime | None]
"""After the first time, up to the second; None as long as no clock has told when the absence ended."""
MissedSlots = Callable[[datetime, datetime, Recorded], Iterator[AnyMeasurement]]
"""Rows for the slots between two times (``Schedule.missed_slots``)."""


def look_back_s(time_scale: float) -> float:
    """How long before the last sign of life a slot may have begun that has no row, seconds of the clock.

    Runs wait for one another and for programs beside the agent to start, which takes no less in a fast laboratory. What
    is older than the slots that are remembered may have had its row.
    """
    return min(SPAN_S, SPAN_S / time_scale + _TURN_S)


class Absence:
    """Gaps of one spool. ``look_back_s`` is how long before the last sign of life a slot may have begun."""

    def __init__(self, spool: Spool, look_back_s: float) -> None:
        self._spool = spool
        self._look_back = timedelta(seconds=look_back_s)

    def begin(self) -> None:
        """To be called before the first row of a run: from then on the last sign of life is this run's."""
        gaps, life = self._gaps(), self._spool.last_life
        is_open = bool(gaps) and gaps[-1][1] is None
        if not is_open and life is not None and life.clock is not ClockState.UNKNOWN:
            gaps.append((life.at - self._look_back, None))
        self._remember(gaps)

    async def tell(self, began_at: datetime, missed_slots: MissedSlots) -> None:
        """Record the rows of all gaps; this run, whose clock is known by now, began at ``began_at``."""
        gaps = [(since, until or began_at) for since, until in self._gaps()]
        self._remember(gaps)
        while gaps:
            since, until = gaps.pop(0)
            for rows in _chunks(missed_slots(since, until, self._spool.has_slot)):
                self._remember([(_told_up_to(rows[-1]), until), *gaps])
                self._spool.record(rows)
                await asyncio.sleep(0)
            self._remember(gaps)

    def _remember(self, gaps: list[Gap] | list[tuple[datetime, datetime]]) -> None:
        text = json.dumps([[since.isoformat(), until and until.isoformat()] for since, until in gaps])
        if text != (self._spool.recall(NOTE) or "[]"):
            self._spool.remember(NOTE, text)

    def _gaps(self) -> list[Gap]:
        try:
            told = json.loads(self._spool.recall(NOTE) or "[]")
            return [
                (datetime.fromisoformat(since), None if until is None else datetime.fromisoformat(until))
                for since, until in told
            ]
        except (ValueError, TypeError) as error:
            logger.warning("what was not accounted for cannot be read cause=%s", type(error).__name__)
            return []


def _chunks(rows: Iterator[AnyMeasurement]) -> Iterator[list[AnyMeasurement]]:
    """Lists of rows; one ends only where the next slot is later, so that its last slot says what has been told."""
    chunk: list[AnyMeasurement] = []
    for row in rows:
        if len(chunk) >= CHUNK and row.slot_at > chunk[-1].slot_at:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _told_up_to(row: AnyMeasurement) -> datetime:
    """A row about many slots together tells those up to its ``to_at``."""
    return row.to_at if row.kind == "agent" and row.to_at is not None else row.slot_at
