"""The event record: what a version of an event says, in the form that is published.

Confidence, severity, scope and cause are four separate things, and every time is an interval with the name of the
signal it comes from (detection.md §1, §5). The record is stored whole, so a version reads the same for ever: a field
that is added has a default, for the records that were stored before it, and none is taken away.
"""

from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from civobs_wire.scalars import UtcTime


class Part(BaseModel):
    """A piece of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EventKind(StrEnum):
    """What happened."""

    OUTAGE = "outage"
    """A household or one network lost the Internet."""
    SHUTDOWN_SUSPECTED = "shutdown_suspected"
    """Several networks of a country lost it together."""
    COLLECTOR_BLOCKED = "collector_blocked"
    """Probes vanished from the broker, and their stored rows say that the Internet was there."""
    POWER = "power"
    THROTTLING_TARGETED = "throttling_targeted"
    THROTTLING_GENERAL = "throttling_general"
    BLOCKING = "blocking"


class Depth(StrEnum):
    """How much was lost."""

    FULL = "full"
    INTERNATIONAL_ONLY = "international_only"
    WHITELIST = "whitelist"
    PARTIAL = "partial"
    UNKNOWN = "unknown"


class Level(StrEnum):
    """How far it reached, as far as probes could see."""

    PROBE = "probe"
    NETWORK = "network"
    REGION = "region"
    """Several networks of one region (``admin1``), and not of another."""
    COUNTRY = "country"


class Status(StrEnum):
    """Where the event stands."""

    OPEN = "open"
    CLOSED = "closed"
    RETRACTED = "retracted"


class ConfidenceLabel(StrEnum):
    """How sure the observatory is. ``confirmed`` is given by a named reviewer only."""

    UNCONFIRMED = "unconfirmed"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"


class Bounds(Part):
    """A time known to lie between two observations."""

    earliest: UtcTime
    latest: UtcTime


class Transition(Part):
    """A start or an end: bounds, and when a tenth, half and nine tenths of the affected had changed."""

    earliest: UtcTime
    latest: UtcTime
    likely: UtcTime | None = None
    """The estimate of this very moment from all affected households together, within the bounds."""
    t10: UtcTime | None = None
    t50: UtcTime | None = None
    t90: UtcTime | None = None


class SignalTimes(Part):
    """Start and end as one signal shows them; signals are never averaged."""

    signal: str
    """``presence``, ``ladder.L3``, ``ladder.L4``…"""
    onset: Bounds
    resolution: Bounds | None = None
    value: float
    """Share of eligible households up during the event, by this signal."""
    baseline: float
    """The same share in the hour before."""


class Scope(Part):
    """Who was affected."""

    level: Level
    cc: str
    asns: tuple[int, ...] = ()
    """Networks affected."""
    asns_observed: tuple[int, ...] = ()
    """Networks of the country with eligible probes at the time."""
    country: str = ""
    """Name of the country as it was known at publication; empty where it had none."""
    names: dict[int, str] = {}
    """Names of these networks as they were known at publication."""
    admin1: tuple[str, ...] = ()
    access: str = "fixed"
    """``fixed``, ``mobile``, ``both`` or ``unknown``: what the affected have. What could not be seen is said in the
    coverage note."""
    probe_id: str | None = None
    """Level ``probe`` only; never shown in public."""
    targets: tuple[str, ...] = ()
    """What was blocked or slowed; empty where the line as a whole was lost."""
    layers: tuple[str, ...] = ()
    """Where it failed: ``dns``, ``tcp``, ``tls``, ``http``, ``quic``."""
    mechanisms: tuple[str, ...] = ()
    """How: where, what and by what, joined by dots, such as ``tls.reset.sni`` (detection.md §3.5)."""


class Affected(Part):
    """Counts behind the scope."""

    n_probes: int
    n_households: int
    """Households affected at any time."""
    n_observed: int
    """Households of the group whose state was known at the deepest point."""
    n_down: int
    """Those of them that were down."""
    fraction_lo: float
    fraction_hi: float
    """95 % bounds of the affected fraction of the group (detection.md §3.7)."""
    user_share: float | None = None
    """Share of the country's users in the observed networks; None where it is not known."""


class Severity(Part):
    """Factors, stored apart."""

    depth: float
    """1 minus the median share of households that were up."""
    hours: float
    area: float
    """depth × affected fraction × hours."""


class Confidence(Part):
    """How sure, and why."""

    label: ConfidenceLabel
    posterior: float
    """Posterior probability of the state filter at the deepest point; of lost lines, as far as it is stated
    (``confidence.most``)."""
    families: tuple[str, ...]
    """Independent kinds of evidence: ``presence``, ``inside_out``, ``external``, ``human``; of services also
    ``control``, votes from elsewhere."""
    reasons: tuple[str, ...]


class Cause(Part):
    """Taken from a source, never inferred."""

    value: str = "unknown"
    basis: str = "unknown"
    sources: tuple[str, ...] = ()


class Method(Part):
    """What made the conclusion."""

    detector_version: str
    params_id: str
    """Version of the table of thresholds and the digest of its content."""
    rules: tuple[str, ...]
    """Ids of the rules that fired."""


class GridRow(Part):
    """One group on the event's time grid: what the chart shows."""

    label: str
    asn: int | None = None
    target: str = ""
    """What the row is of, where the event is one of targets; empty for all of them together, and for the whole line."""
    n: int
    """Eligible households."""
    up: tuple[int, ...]
    down: tuple[int, ...]
    unknown: tuple[int, ...]
    """Per bin; the three add up to ``n``: nothing is drawn as fine because it is missing."""
    state: str
    """One letter a bin: ``d`` half or more of the households known are down, ``g`` a quarter or more, ``u`` less;
    ``?`` nothing is known (the collector was away, or nothing has arrived)."""


class Grid(Part):
    """Dense time grid from before the onset until after the end."""

    start: UtcTime
    bin_s: float
    rows: tuple[GridRow, ...]


class CampaignPart(Part):
    """Its place in a campaign: windows that come again, such as a curfew's nights."""

    campaign_id: UUID
    occurrence: int
    """From 1."""
    n_occurrences: int
    """So far."""


class DatingPosterior(Part):
    """Between which moments it began and ended with 90 % probability (5 % to 95 %), by all households together."""

    onset: Bounds
    resolution: Bounds | None = None


class Note(Part):
    """What a person wrote into the record, for everybody to read."""

    at: UtcTime
    by: str
    """The name of the reviewer."""
    action: str
    """What was decided with it: an action of ``detect/reviews.py``."""
    text: str
    sources: tuple[str, ...] = ()


class Machine(Part):
    """What the detector alone said, where people decided otherwise: what it goes on from. Never shown in public."""

    said: dict[str, JsonValue]
    """Fields of the record by name, as they would stand without any review."""


class EvidenceSummary(Part):
    """What the version rests on."""

    n_measurements: int
    n_batches: int
    query: str
    """Path of the exact measurements in the API."""
    backfill: float
    """Share of the affected probes whose rows for the event have arrived."""


class EventRecord(Part):
    """One version of one event."""

    event_key: UUID
    kind: EventKind
    status: Status
    provisional: bool
    """True until the rows of 95 % of the affected probes have arrived, or seven days have passed."""
    depth: Depth
    scope: Scope
    onset: Transition
    resolution: Transition | None
    per_signal: tuple[SignalTimes, ...]
    affected: Affected
    severity: Severity
    hypotheses: dict[str, float]
    likeliest: str = "undetermined"
    """The hypothesis that stands out, or ``undetermined``: where the fault may lie, never who did it."""
    confidence: Confidence
    cause: Cause = Cause()
    coverage_note: str
    limits: tuple[str, ...]
    method: Method
    grid: Grid
    evidence: EvidenceSummary
    campaign: CampaignPart | None = None
    dating: DatingPosterior | None = None
    cross_checks: dict[str, float] = {}
    """What other detectors make of it, by their ids; they decide nothing (detection.md §3.3 e)."""
    held: str | None = None
    """Why it is not published: ``site_failure``, ``common_cause``; ``review``: a person holds it back; ``retracted``:
    what the detector goes on finding of an event that a person has retracted."""
    notes: tuple[Note, ...] = ()
    reviewed_by: str | None = None
    """Who decided last what the event is; None while nobody has."""
    machine: Machine | None = None
