"""Answers of the public API. Each has an example, and each example is a test."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from civobs_collector.detect.access import Access, Sight
from civobs_collector.publish.codf import CodfEvent
from civobs_collector.publish.event_json import PublicEvent
from civobs_collector.publish.words import LICENCE_ID


class Answer(BaseModel):
    """Anything the API answers with."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [value]})


_NETWORK = {
    "cc": "KE",
    "country": "Kenya",
    "asn": 64500,
    "name": "Example Networks",
    "user_share": None,
    "households": 6,
    "households_heard": 5,
    "probes": {"active": 6, "quarantined": 0, "revoked": 1},
}


class ProbeCounts(Answer):
    """Probes by status."""

    active: int
    quarantined: int
    revoked: int


class NetworkLine(Answer):
    """Probes of one network in one country: counts only, because a probe is a home."""

    model_config = _example(_NETWORK)

    cc: str
    country: str
    asn: int = Field(description="0 where it is not known")
    name: str | None
    user_share: float | None = Field(description="Share of the country's users; null where not known")
    households: int = Field(description="Households with an active probe")
    households_heard: int = Field(description="Of these, households heard from in the last hour")
    probes: ProbeCounts


class NetworkList(Answer):
    """Who measures where."""

    model_config = _example({"as_of": "2026-11-22T10:00:00Z", "items": [_NETWORK]})

    as_of: datetime
    items: tuple[NetworkLine, ...]


_COUNTRY = {
    "cc": "KE",
    "country": "Kenya",
    "households": 6,
    "access": [
        {"access": "fixed", "sight": "observed", "households": 6},
        {"access": "mobile", "sight": "not_observable", "households": 0},
    ],
    "not_seen": ["Mobile networks are not observed here: nothing can be said about them."],
}


class AccessLine(Answer):
    """One kind of access in one country."""

    access: Access
    sight: Sight = Field(
        description="not_known: of some households it is not known what they have. Of what is not observed, or not "
        "known to be, nothing is said: it is never the same as no event"
    )
    households: int | None = Field(
        description="Households with an active probe that are known to have it; null where one or two have it, or all "
        "but one or two, because that would tell of single homes"
    )


class CountryLine(Answer):
    """What can be seen in a country, and what cannot."""

    model_config = _example(_COUNTRY)

    cc: str
    country: str
    households: int = Field(description="Households with an active probe")
    access: tuple[AccessLine, ...]
    not_seen: tuple[str, ...] = Field(description="The same in sentences")


class CountryList(Answer):
    """What can be seen where."""

    model_config = _example({"as_of": "2026-11-22T10:00:00Z", "items": [_COUNTRY]})

    as_of: datetime
    items: tuple[CountryLine, ...]


_MEASUREMENT = {
    "at": "2026-11-22T05:10:00Z",
    "slot_at": "2026-11-22T05:10:00Z",
    "probe": "2f6c0d1e8a4b9c37",
    "cc": "KE",
    "asn": 64500,
    "kind": "ladder",
    "target": "L4",
    "family": 4,
    "outcome": "failed",
    "failure": "generic_timeout_error",
    "value": 0.0,
    "ms": None,
    "clock_err_ms": 12,
    "detail": {"n": 4, "n_ok": 0},
}


class MeasurementLine(Answer):
    """One measurement."""

    model_config = _example(_MEASUREMENT)

    at: datetime
    slot_at: datetime
    probe: str = Field(description="Pseudonym of the probe for the quarter of the year")
    cc: str
    asn: int
    kind: str
    target: str
    family: Literal[0, 4, 6]
    outcome: Literal["ok", "failed", "not_run"]
    failure: str | None
    value: float | None = Field(description="The kind's principal number (docs/ontology.md)")
    ms: float | None = Field(description="The kind's principal duration, milliseconds")
    clock_err_ms: int = Field(description="Bound of the error of `at`, milliseconds")
    detail: dict[str, str | int | float | bool | None] | None


class MeasurementPage(Answer):
    """Measurements, oldest first."""

    model_config = _example({"items": [_MEASUREMENT], "next": None})

    items: tuple[MeasurementLine, ...]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end")


_EVENT_LINE = {
    "id": "CIV-2026-KE-0001",
    "version": 2,
    "permalink": "https://observatory.example/events/CIV-2026-KE-0001/v2",
    "published_at": "2026-11-22T10:00:00Z",
    "title": "Suspected Internet shutdown in Kenya",
    "kind": "shutdown_suspected",
    "status": "closed",
    "provisional": False,
    "level": "country",
    "cc": "KE",
    "asns": [64500, 64501],
    "targets": [],
    "campaign": None,
    "onset_earliest": "2026-11-22T05:09:00Z",
    "onset_latest": "2026-11-22T05:10:15Z",
    "resolution_earliest": "2026-11-22T09:40:00Z",
    "resolution_latest": "2026-11-22T09:42:00Z",
    "households": 15,
    "households_down": 13,
    "confidence": "probable",
    "cause": "unknown",
    "reviewed_by": None,
}


class EventLine(Answer):
    """The newest version of an event in a list; the event itself says all."""

    model_config = _example(_EVENT_LINE)

    id: str
    version: int
    permalink: str
    published_at: datetime
    title: str
    kind: str
    status: str
    provisional: bool
    level: str
    cc: str
    asns: tuple[int, ...]
    targets: tuple[str, ...] = Field(description="What was blocked or slowed; empty where the line was lost")
    campaign: UUID | None = Field(description="Of windows that come again; null where none do")
    onset_earliest: datetime
    onset_latest: datetime
    resolution_earliest: datetime | None
    resolution_latest: datetime | None
    households: int
    households_down: int
    confidence: str
    cause: str
    reviewed_by: str | None = Field(description="Who decided last what the event is; null while nobody has")


class EventPage(Answer):
    """Events, latest onset first."""

    model_config = _example({"items": [_EVENT_LINE], "next": None})

    items: tuple[EventLine, ...]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end")


_CODF_EVENT = {
    "location": "country/KE",
    "location_name": "Kenya",
    "start": 1795324215,
    "duration": 16290,
    "uncertainty": 75,
    "method": "civobs 1.0.0",
    "datasource": "civobs.presence",
    "status": 0,
    "fraction": 0.8667,
    "score": 18680.8,
    "overlaps_window": False,
    "civobs_event": "https://observatory.example/events/CIV-2026-KE-0001/v2",
    "civobs_confidence": "probable",
    "civobs_reviewed_by": None,
    "civobs_cause": "unknown",
    "civobs_cause_sources": [],
    "civobs_notes": "",
}


class CodfPage(Answer):
    """Events in IODA's form: one row for each signal, because signals are never averaged."""

    model_config = _example(
        {
            "type": "outages.events",
            "format": "codf",
            "licence": "CC-BY-4.0",
            "data": [_CODF_EVENT],
            "next": None,
        }
    )

    type: Literal["outages.events"] = "outages.events"
    format: Literal["codf"] = "codf"
    licence: str = LICENCE_ID
    data: tuple[CodfEvent, ...]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end")


_HISTORY_LINE = {
    "version": 2,
    "permalink": "https://observatory.example/events/CIV-2026-KE-0001/v2",
    "published_at": "2026-11-22T10:01:00Z",
    "change_kind": "closed",
    "reason": "late_data",
    "detector_version": "1.0.0",
    "changed": [{"field": "status", "name": "Status", "before": "Ongoing", "after": "Ended"}],
}


class FieldChange(Answer):
    """One field that a version says otherwise than the one before."""

    field: str = Field(description="Where it stands in the event's JSON")
    name: str
    before: str
    after: str


class HistoryLine(Answer):
    """One version of an event."""

    model_config = _example(_HISTORY_LINE)

    version: int
    permalink: str
    published_at: datetime
    change_kind: str
    reason: str
    detector_version: str
    changed: tuple[FieldChange, ...] = Field(description="In words; both versions hold the whole")


class History(Answer):
    """All versions of an event, newest first."""

    model_config = _example({"id": "CIV-2026-KE-0001", "items": [_HISTORY_LINE]})

    id: str
    items: tuple[HistoryLine, ...]


_QUARANTINE_LINE = {
    "reason": "wrong_signature",
    "n": 3,
    "first_at": "2026-11-20T08:00:00Z",
    "last_at": "2026-11-22T05:10:00Z",
}


class QuarantineLine(Answer):
    """Batches refused for one reason."""

    model_config = _example(_QUARANTINE_LINE)

    reason: str
    n: int
    first_at: datetime
    last_at: datetime


class Quarantine(Answer):
    """What could not be stored, by reason."""

    model_config = _example({"items": [_QUARANTINE_LINE]})

    items: tuple[QuarantineLine, ...]


class BeatLine(Answer):
    """The newest sign of life of one process of the collector."""

    model_config = _example({"role": "ingest", "instance": "a", "ok": True, "age_s": 4.2})

    role: str
    instance: str
    ok: bool
    age_s: float


class Health(Answer):
    """Whether the observatory works; 503 when it does not."""

    model_config = _example(
        {
            "status": "ok",
            "database": True,
            "last_commit_age_s": 3.1,
            "beats": [{"role": "ingest", "instance": "a", "ok": True, "age_s": 4.2}],
            "problems": [],
        }
    )

    status: Literal["ok", "degraded"]
    database: bool
    last_commit_age_s: float | None = Field(description="Since the newest batch was received; null when there is none")
    beats: tuple[BeatLine, ...]
    problems: tuple[str, ...]


EventAnswer = PublicEvent
