"""What a score is made of: for every occurrence, truth and scenario, what was asked, what was published, how far off.

Times are lab seconds; late is positive. ``None`` is: not asked, or nothing to measure.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from civobs_lab.results import LedgerRun, LoadRun


class Verdict(StrEnum):
    """Best first."""

    RIGHT = "right"
    PARTLY = "partly"
    WRONG = "wrong"
    BROKE = "broke"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Miss(_Part):
    """A rule that was not kept."""

    rule: str
    why: str
    """In words."""


class Check(_Part):
    """A word that was asked for."""

    truth: str
    published: str | None
    """None where the occurrence was not found."""
    right: bool


class TimeScore(_Part):
    """A published start or end against the true one."""

    error_s: float
    inside: bool
    """Whether the truth lies within the bounds."""
    width_s: float
    """Of the bounds."""


class OccurrenceScore(_Part):
    """One time a truth happened."""

    start: datetime | None
    """None if it was never done."""
    end: datetime | None
    event: str | None = None
    """What it was published as; None is not found."""
    merged: bool = False
    """Not found, because the event of another occurrence goes on over it."""
    split: tuple[str, ...] = ()
    """Further events that stand."""
    withdrawn: tuple[str, ...] = ()
    """Further events that were taken back."""
    kind: Check | None = None
    scope: Check | None = None
    mechanism: Check | None = None
    depth: Check | None = None
    cause: Check | None = None
    delay_s: float | None = None
    delay_bins: float | None = None
    start_before: TimeScore | None = None
    """As published last before probes could deliver what they had stored."""
    start_after: TimeScore | None = None
    end_before: TimeScore | None = None
    end_after: TimeScore | None = None
    ended: bool = False
    """Whether the last version gives an end."""
    confidence: str | None = None
    settled: bool | None = None
    """Closed, and not provisional; not asked while it goes on."""

    @property
    def found(self) -> bool:
        return self.event is not None


class Bar(_Part):
    """What a time was held against, in lab seconds."""

    s: float
    life_s: float
    """What it would be in life, with the default plan: the lab's speed and a plan's longer intervals make it wider."""


class TruthScore(_Part):
    """One truth of a scenario."""

    name: str
    kind: str
    cc: str
    verdict: Verdict
    occurrences: tuple[OccurrenceScore, ...] = ()
    """None for ``nothing``."""
    one_campaign: bool | None = None
    """Of what recurs and was found at least twice."""
    false_calls: tuple[str, ...] = ()
    """Of ``nothing``: events that said it was something."""
    said: bool | None = None
    bars: dict[str, Bar] = {}
    """By the id of the rule."""
    misses: tuple[Miss, ...] = ()


class Alarm(_Part):
    """An event that matches no truth."""

    event: str
    kind: str
    cc: str
    level: str
    retracted: bool
    from_zero_s: float | None
    """Its onset, from the zero of the timeline."""


class ScenarioScore(_Part):
    """One scenario."""

    scenario: str
    title: str
    resembles: str
    version: str
    detector_version: str | None
    time_scale: float
    coarser: float
    """How much more seldom than by the default plan the ladder was climbed: bars of start and end are so much wider."""
    seconds: float
    """Of the clock."""
    verdict: Verdict
    broke: str | None = None
    truths: tuple[TruthScore, ...]
    false_alarms: tuple[Alarm, ...] = ()
    household_alarms: tuple[Alarm, ...] = ()
    """Events of single households that match no truth: staff see them, the public does not."""
    quiet_h: float = 0.0
    """Country-hours in which no truth held."""
    ledger: LedgerRun | None = None
    load: LoadRun | None = None
    stood_still: str = ""
    """What of the lab did, in words, where it was too much for the run to be judged."""
    misses: tuple[Miss, ...] = ()
    """Of the whole run."""


class Share(_Part):
    """So many of so many."""

    n: int
    of: int


class CauseTotal(_Part):
    """Hypotheses against the truth."""

    right: int
    wrong: int
    undetermined: int
    missed: int


class Spread(_Part):
    """Of values in lab seconds, errors by their size."""

    n: int
    median_s: float | None
    worst_s: float | None


class TotalScore(_Part):
    """All scenarios together."""

    scenarios: int
    verdicts: dict[Verdict, int]
    right_unasked: int
    """Scenarios that are right and had nothing to be found or said: a detector that is blind gets them right too."""
    truths_right: Share
    found: Share
    merged: int
    split: int
    withdrawn: int
    kind: Share
    scope: Share
    mechanism: Share
    depth: Share
    cause: CauseTotal
    said: Share
    delay: Spread
    start_before: Spread
    start_after: Spread
    end_before: Spread
    end_after: Spread
    start_inside: Share
    end_inside: Share
    false_calls: int
    false_alarms: int
    household_alarms: int
    quiet_h: float
    false_alarms_per_quiet_h: float | None
    lost: int
    slots: int = 0
    slots_missing: int = 0
    doubled: int
    rejected: int
    measurements: int
