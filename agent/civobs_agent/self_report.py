"""Rows about the agent itself: whatever explains a hole or a jump in its record."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from civobs_wire.failure import Outcome
from civobs_wire.limits import MAX_TEXT
from civobs_wire.measurement import Agent, AgentEvent, ClockState, Validity

PLACEHOLDER_SEQ = 1
"""Rows are made with this number; the spool gives the real one."""


class MomentLike(Protocol):
    """What the spool and the rows need to know of a moment (``clock.Moment``)."""

    @property
    def at(self) -> datetime: ...
    @property
    def mono_ms(self) -> int: ...
    @property
    def state(self) -> ClockState: ...
    @property
    def err_ms(self) -> int: ...


class ClockLike(Protocol):
    """What the spool needs of the clock (``clock.Clock``)."""

    @property
    def boot_id(self) -> UUID: ...
    def moment(self) -> MomentLike: ...
    def reanchor(self, mono_ms: int) -> MomentLike:
        """What the clock, known by now, says of an earlier instant of this boot."""
        ...


def agent_row(  # noqa: PLR0913 - one keyword for each number a row about the agent can carry
    event: AgentEvent,
    moment: MomentLike,
    *,
    n: int = 0,
    n_lost: int = 0,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    step_ms: float | None = None,
    note: str | None = None,
) -> Agent:
    """One row, at this moment, not yet numbered."""
    return Agent(
        seq=PLACEHOLDER_SEQ,
        target="agent",
        slot_at=moment.at,
        at=moment.at,
        mono_ms=moment.mono_ms,
        clock_err_ms=moment.err_ms,
        duration_ms=0.0,
        outcome=Outcome.OK,
        validity=Validity(clock=moment.state),
        event=event,
        n=n,
        n_lost=n_lost,
        from_at=from_at,
        to_at=to_at,
        step_ms=step_ms,
        note=None if note is None else note.replace("\x00", "")[:MAX_TEXT],
    )
