"""Rows about the agent itself."""

from enum import StrEnum
from typing import Literal

from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count8, Real8, UtcTime


class AgentEvent(StrEnum):
    """What an agent has to say of itself: everything that explains a hole or a jump in its record."""

    START = "start"
    STOP = "stop"
    SPOOL_RESET = "spool_reset"
    """A damaged spool was set aside; ``n`` rows could be carried over, ``n_lost`` could not be read.
    Or batch numbers went back, as on a card restored from a copy: ``n`` rows never sent were sealed anew."""
    SPOOL_EVICTED = "spool_evicted"
    """The spool was full; ``n_lost`` routine rows between ``from_at`` and ``to_at`` went."""
    SLOTS_MISSED = "slots_missed"
    """More slots were missed than single rows are written for; ``n_lost`` of them in the interval."""
    CLOCK_SET = "clock_set"
    """The wall clock was stepped by ``step_ms`` and earlier rows of this boot were re-anchored."""
    PLAN_ADOPTED = "plan_adopted"
    PLAN_REFUSED = "plan_refused"


class Agent(MeasurementBase):
    """A row about the agent itself, in the same sequence as the measurements it explains."""

    kind: Literal["agent"] = "agent"
    event: AgentEvent
    n: Count8 = 0
    n_lost: Count8 = 0
    from_at: UtcTime | None = None
    to_at: UtcTime | None = None
    step_ms: Real8 | None = None
