"""Whether every slot of every probe's schedule has its row: the grid the plan asks for against what is stored.

The grid is the agent's own (``civobs_agent.turns``): what is checked is that the schedule, the spool and the way to the
database keep to it. The ladder runs on a finer grid while there is trouble, so of it each calm slot must hold a climb.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from civobs_agent.turns import LADDER, Series, ladder_series, task_series
from civobs_lab.lab import Lab
from civobs_wire.failure import FAILURE_CODES, Failure
from civobs_wire.plan import Plan

LONGEST_RUN_S = 45.0
"""Lab seconds that a row may still be on its way to the spool when the account is made."""
AGENT_S = 5.0
"""The same by the clock."""

_PROBES = "SELECT probe_id, encode(signing_key, 'hex') AS key, cc FROM probe"
_PLANS = "SELECT message FROM plan WHERE cc IN (%(cc)s, 'ZZ') ORDER BY cc = 'ZZ', serial DESC LIMIT 1"
_ROWS = """
SELECT k.name AS kind, t.name AS target, array_agg(DISTINCT m.slot_at) AS slots,
  coalesce(array_agg(DISTINCT m.slot_at) FILTER (WHERE m.failure = %(overrun)s), '{}') AS overrun
FROM measurement m JOIN probe p USING (probe_key) JOIN target t USING (target_key) JOIN kind k USING (kind)
WHERE p.probe_id = %(probe)s GROUP BY 1, 2
"""
_TOLD = """
SELECT m.detail ->> 'event' AS event, m.ts AS at,
  (m.detail ->> 'from_at')::timestamptz AS since, (m.detail ->> 'to_at')::timestamptz AS until
FROM measurement m JOIN probe p USING (probe_key) JOIN kind k USING (kind)
WHERE p.probe_id = %(probe)s AND k.name = 'agent'
  AND m.detail ->> 'event' IN ('start', 'clock_set', 'plan_adopted', 'slots_missed')
ORDER BY m.seq
"""


@dataclass(frozen=True, slots=True)
class SlotAccount:
    """How many slots there were, and those that no row accounts for, each in a line."""

    slots: int
    missing: tuple[str, ...]


def account(lab: Lab) -> SlotAccount:
    """Look at every probe that is enrolled. Raises psycopg.Error."""
    scales = {}
    for home in lab.probes:
        status = home.status()
        if status is not None and status.probe_id is not None:
            scales[status.probe_id] = home.time_scale
    slots, missing = 0, []
    for probe in lab.observatory.query(_PROBES):
        if probe["probe_id"] in scales:
            for one, slot_at, told in _slots(lab, probe, scales[probe["probe_id"]]):
                slots += 1
                if not told:
                    missing.append(f"{probe['probe_id']} {one.kind} {one.target} {slot_at.isoformat()}")
    return SlotAccount(slots, tuple(missing))


def _slots(lab: Lab, probe: Mapping[str, Any], scale: float) -> Iterator[tuple[Series, datetime, bool]]:
    """Every slot that should have its row, and whether it has."""
    query = lab.observatory.query
    asked = {"probe": probe["probe_id"], "overrun": FAILURE_CODES[Failure.OVERRUN]}
    rows = {(row["kind"], row["target"]): row for row in query(_ROWS, asked)}
    held = {series: frozenset(row["slots"]) for series, row in rows.items()}
    told = query(_TOLD, {"probe": probe["probe_id"]})
    adopted = [row["at"] for row in told if row["event"] == "plan_adopted"]
    plans = query(_PLANS, {"cc": probe["cc"]})
    if not adopted or not plans:
        return
    plan = Plan.model_validate_json(bytes(plans[0]["message"])[64:].partition(b"\n")[2])
    climbs = held.get((LADDER, "L0"), frozenset())
    end = max(climbs, default=adopted[0]) - timedelta(seconds=LONGEST_RUN_S / scale + AGENT_S)
    spans = [(row["since"], row["until"]) for row in told if row["event"] == "slots_missed" and row["since"]]

    def summed_up(slot_at: datetime) -> bool:
        return any(since <= slot_at <= until for since, until in spans)

    unknown = list(_without_clock(told))

    def shifted(slot_at: datetime, one: Series, slots: Iterable[datetime]) -> bool:
        """While nobody knew the time, slots were those of a wrong one; afterwards their rows were moved."""
        near = timedelta(seconds=one.interval_s)
        return any(since <= slot_at <= until for since, until in unknown) and any(
            abs(other - slot_at) < near for other in slots
        )

    for one in task_series(plan, probe["key"], scale):
        slots = held.get((one.kind, one.target), frozenset())
        told_of = {
            slot_at: slot_at in slots or summed_up(slot_at) or shifted(slot_at, one, slots)
            for slot_at in one.slots(adopted[0], end)
        }
        late = rows[one.kind, one.target]["overrun"] if slots else ()
        newest = next((slot_at for slot_at in reversed(told_of) if slot_at not in late), None)
        if newest is not None and not told_of[newest]:
            # It may still be running or wait its turn; those after it are told as overrun meanwhile.
            del told_of[newest]
        for slot_at, is_told in told_of.items():
            yield one, slot_at, is_told
    ladder = ladder_series(plan, probe["key"], scale)
    length = timedelta(seconds=ladder.interval_s)
    for slot_at in ladder.slots(adopted[0], end):
        climbed = any(slot_at <= climb < slot_at + length for climb in climbs)
        yield ladder, slot_at, climbed or summed_up(slot_at) or shifted(slot_at, ladder, climbs)


def _without_clock(told: Sequence[Mapping[str, Any]]) -> Iterator[tuple[datetime, datetime]]:
    """From each start of the agent to where its clock was set, if it was."""
    started = None
    for row in told:
        if row["event"] == "start":
            started = row["at"]
        elif row["event"] == "clock_set" and started is not None:
            yield started, row["at"]
            started = None
