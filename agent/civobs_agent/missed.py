"""Accounts for the slots in which the agent, or the device, was not running."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from civobs_agent.blank import blank_row
from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.self_report import agent_row
from civobs_agent.turns import LADDER, Series
from civobs_wire.failure import Failure
from civobs_wire.measurement import AgentEvent, AnyMeasurement

HORIZON = timedelta(days=14)
"""Slots missed longer ago are told by one row together."""
MOST_ROWS = 20_000
"""Single rows at most: 4 MB of spool. A dense plan shortens the horizon."""

Recorded = Callable[[str, str, datetime], bool]
"""Whether a row for this kind, target and slot is kept already."""


def missed_rows(
    series: Sequence[Series],
    since: datetime,
    until: Moment,
    moment_of: Callable[[datetime], Moment],
    recorded: Recorded,
) -> Iterator[AnyMeasurement]:
    """Rows in the order of their slots for ``(since, until]``, made one at a time.

    ``moment_of`` tells how a slot's time reads on this boot's clock. The ladder's slot that has not ended is left
    out: it is still to be run.
    """
    per_s = sum(1 / one.interval_s for one in series)
    horizon = HORIZON if not per_s else min(HORIZON, timedelta(seconds=MOST_ROWS / per_s))
    start = max(since, until.at - horizon)
    if start > since:
        n_lost = sum(one.count(since, start) for one in series)
        yield agent_row(AgentEvent.SLOTS_MISSED, until, n_lost=n_lost, from_at=since, to_at=start)
    for slot_at, number in heapq.merge(*(_stream(index, one, start, until.at) for index, one in enumerate(series))):
        one = series[number]
        if not recorded(one.kind, one.target, slot_at):
            yield blank_row(one, slot_at, moment_of(slot_at), Fault(Failure.AGENT_DOWN))


def _stream(number: int, series: Series, since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
    last = until - timedelta(seconds=series.interval_s) if series.kind == LADDER else until
    return ((slot_at, number) for slot_at in series.slots(since, last))
