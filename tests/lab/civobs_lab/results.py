"""What one run of a scenario gave: the truth with its times, what was published when, and the account of every row.

It is all that scoring needs, and it is kept as JSON: an old run can be scored anew, and two versions compared.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Moment = Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))]
"""Of the clock; far enough from the ends of the calendar to be reckoned with."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Span(_Part):
    """From and to, by the clock; an open end is None."""

    start: Moment
    end: Moment | None
    start_to: Moment | None = None
    """When the breaking was finished that began at the start, everywhere: somewhere between, things ceased to work."""
    end_from: Moment | None = None
    """When the mending began that was finished at the end: somewhere between, things began to work again."""


class TruthRun(_Part):
    """One truth of the scenario with the times at which it really began and ended."""

    name: str
    kind: str
    not_kinds: tuple[str, ...] = ()
    at_most: str | None = None
    """With ``nothing``: events of at most this confidence are not wrong."""
    cc: str
    level: str
    asns: tuple[int, ...] = ()
    admin1: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    depth: str | None = None
    cause: str | None = None
    says: str = ""
    spans: tuple[Span, ...]
    """One for each time it happened, in order; empty for ``nothing`` is from zero until the end."""
    backfill_from: Moment | None = None
    """When probes that were cut off could deliver again; None if they never could not."""


class Interval(_Part):
    """Bounds of a published start or end, with the estimate within if there is one."""

    earliest: Moment
    latest: Moment
    likely: Moment | None = None


class VersionRun(_Part):
    """One published version of an event: of its record, what a score needs."""

    published_at: Moment
    kind: str
    status: str
    provisional: bool
    level: str
    cc: str
    asns: tuple[int, ...] = ()
    admin1: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    access: str = "fixed"
    """``not_observable``: it says that nobody could see, and claims nothing."""
    depth: str
    confidence: str
    likeliest: str
    onset: Interval
    resolution: Interval | None = None
    households_down: int = 0
    households: int = 0
    """Households observed at the deepest point, of which so many were down."""


class EventRun(_Part):
    """One event: all its versions, oldest first; also what was retracted."""

    public_id: str | None
    """None for an event of one household: staff see it, the public does not."""
    campaign: str | None = None
    versions: tuple[VersionRun, ...]


class LedgerRun(_Part):
    """The account of every row."""

    recorded: int
    stored: int
    lost: int
    doubled: int
    rejected_batches: int = 0
    slots: int | None = None
    """Slots of all schedules up to the end; None in runs of before they were counted."""
    slots_missing: tuple[str, ...] = ()
    """Those that no row accounts for: probe, kind, target, start."""


class LoadRun(_Part):
    """What the agents took of the machine while the timeline was played."""

    agents: int
    rss_mib: float
    """Mean of an agent's resident memory at the end."""
    cpu_share: float
    """Mean of an agent's share of one core."""
    machine_cpu_share: float
    """Of all cores of the machine together, by everything."""


class StallRun(_Part):
    """A time in which the lab itself did not keep its pace."""

    what: str
    """``servers`` did not answer, or the whole ``machine`` did nothing."""
    at: Moment
    seconds: float
    """Of the clock."""


class RunResult(_Part):
    """One run."""

    format: Literal[1] = 1
    """Raised when an older reader could misread a field; fields that are added have a default."""
    scenario: str
    title: str
    resembles: str
    version: str
    """Of civobs, with the commit where it is known."""
    detector_version: str | None = None
    time_scale: float = Field(ge=1)
    bin_s: float = Field(gt=0, le=86_400)
    """Lab seconds of the detector's bin."""
    intervals: dict[str, float] = {}
    """Lab seconds, where probes measured at others than the default plan's; ``ladder`` in peace, and ``trouble``."""
    started_at: Moment
    seconds: float
    """Of the clock, all phases."""
    zero: Moment | None
    """Zero of the timeline; None if the run broke down before."""
    played_until: Moment | None = None
    """When the last version was collected: quiet is counted up to here."""
    countries: tuple[str, ...]
    """With probes in them: where a false alarm could have been raised."""
    not_observable: tuple[str, ...] = ()
    """Countries of which the public API says that a kind of access cannot be seen."""
    truths: tuple[TruthRun, ...]
    events: tuple[EventRun, ...] = ()
    ledger: LedgerRun | None = None
    load: LoadRun | None = None
    stalls: tuple[StallRun, ...] = ()
    """From the first probe's start to the last look."""
    phases: dict[str, float] = {}
    """Seconds of the clock by phase, in order."""
    broke: str | None = None
    """In one line, if it broke down; then it counts as a miss of everything."""
