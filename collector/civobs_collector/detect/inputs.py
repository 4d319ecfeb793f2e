"""What the detector is given: facts as stored, in no particular order.

The database layer fills these; a test writes them by hand. Times are aware UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """A probe as enrolled."""

    probe_key: int
    probe_id: str
    household: int
    cc: str
    asn: int
    enrolled_at: datetime
    admin1: str | None = None
    is_anchor: bool = False
    active: bool = True
    access: str | None = None
    """``fixed`` or ``mobile``; None where nobody has said."""


@dataclass(frozen=True, slots=True)
class PresenceFact:
    """One statement of presence as the collector received it."""

    probe_key: int
    received_at: datetime
    state: str
    """``online``, ``offline`` (the will) or ``stopped``."""
    session: str
    boot_id: UUID
    keepalive_s: float
    late: bool = False
    live_at: datetime | None = None
    """Of a will: by when at least the probe was alive, as the last batch says that was received before it."""
    broker: int | None = None
    """Which of its brokers, counted from 0, the probe says it speaks by; None where it does not say."""


class RunOutcome(IntEnum):
    """What all rows of a run have in common."""

    OK = 0
    FAILED = 1
    AGENT_DOWN = 2
    """Not run: the agent or the device was not running."""
    PAUSED = 3
    """Not run: paused by the volunteer or shutting down."""
    NOT_RUN = 4
    """Not run for another reason, such as nothing to ask."""
    CLOCK = 5
    """The clock may be wrong by more than a bin: the row has arrived, and says nothing about when."""
    FEW = 6
    """Well by the plan's quorum, but fewer of those asked answered than a whole rung would have: of L4 only a few hosts
    abroad, of L2 either the next hop or the resolver alone."""


@dataclass(frozen=True, slots=True)
class LadderRun:
    """Consecutive rows of one rung, one family and one outcome, without a hole between them.

    Of L5 only its first step counts, the name: a run is ``FAILED`` where that failed, whatever came after it.
    """

    probe_key: int
    rung: int
    family: int
    outcome: RunOutcome
    first_at: datetime
    last_at: datetime
    n: int
    first_err_s: float = 0.0
    last_err_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a run of the detector looks at."""

    since: datetime
    now: datetime
    probes: tuple[ProbeInfo, ...]
    presence: tuple[PresenceFact, ...] = ()
    runs: tuple[LadderRun, ...] = ()
    away: tuple[tuple[datetime, datetime], ...] = ()
    """When no ingest showed a sign of life: then the absence of a probe says nothing."""
    user_share: Mapping[int, float] = field(default_factory=dict)
    """Share of its country's users by network, where it is known."""
    known_networks: Mapping[str, int] = field(default_factory=dict)
    """How many networks of a country the observatory has heard of."""
