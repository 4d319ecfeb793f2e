"""Between the tables and the detector: stored rows become its inputs, its versions become stored rows.

The database layer knows no detector and the detector no database; what a column means to detection is said here.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from pydantic import ValidationError

from civobs_collector.db import detect_input, events, reviews
from civobs_collector.db.connect import Connection
from civobs_collector.db.ladder import Limits, Span, read_ladder
from civobs_collector.detect.chains import Chain, NewVersion
from civobs_collector.detect.inputs import Inputs, LadderRun, PresenceFact, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.presence import by_probe, losses
from civobs_collector.detect.record import EventRecord, Level
from civobs_collector.detect.reviews import Action, Review, applied, unreviewed
from civobs_collector.detect.timeline import INTERNATIONAL, NAMES, trouble_spans
from civobs_collector.rollups import ladder_limits

logger = logging.getLogger(__name__)

_OTHER_RUNGS = (1, 2, 3)
_AT_ONCE = timedelta(days=1500)
"""Of all probes together, what one statement reads: where nothing is folded yet, a million rows. All in one would take
longer than a statement may, and no loss would be judged until everything is folded."""


def read_inputs(conn: Connection, since: datetime, now: datetime, params: Params) -> Inputs:
    """Everything that is stored for the window. The other rungs are read only around what went wrong."""
    probes = tuple(ProbeInfo(*row) for row in detect_input.read_probes(conn))
    presence = tuple(PresenceFact(*row) for row in detect_input.read_presence(conn, since, now))
    limits = ladder_limits(params)
    whole = [(one.probe_key, since, now) for one in probes if one.active]
    decisive = _runs(conn, (INTERNATIONAL, NAMES), whole, limits)
    until = now.timestamp()
    gone = {
        key: [(one.earliest, one.back or until) for one in losses(facts, until, params)]
        for key, facts in by_probe(presence).items()
    }
    spans = trouble_spans(decisive, gone, params["rule.merge"])
    others = _runs(conn, _OTHER_RUNGS, spans, limits)
    networks = detect_input.read_networks(conn)
    countries = [cc for _, cc, _ in networks if cc is not None]
    gap = max(params["presence.beat_gap"], params["presence.beat_gap_floor"])
    return Inputs(
        since=since,
        now=now,
        probes=probes,
        presence=presence,
        runs=(*decisive, *others),
        away=tuple((start, end) for start, end in detect_input.read_away(conn, since, now, gap_s=gap)),
        user_share={asn: float(share) for asn, _, share in networks if share is not None},
        known_networks={cc: countries.count(cc) for cc in sorted(set(countries))},
    )


def _runs(conn: Connection, rungs: Sequence[int], spans: Sequence[Span], limits: Limits) -> tuple[LadderRun, ...]:
    return tuple(
        LadderRun(key, int(rung[1:]), family, RunOutcome(said), first_at, last_at, n, first_err / 1000, last_err / 1000)
        for some in portions(spans, _AT_ONCE)
        for key, rung, family, said, first_at, last_at, n, first_err, last_err in read_ladder(conn, rungs, some, limits)
    )


def portions(spans: Sequence[Span], most: timedelta) -> Iterator[list[Span]]:
    """Spans in portions of that time together; spans of a probe, which follow each other, stay in one."""
    some: list[Span] = []
    taken = timedelta()
    for _, group in groupby(spans, key=lambda span: span[0]):
        own = list(group)
        time = sum((end - start for _, start, end in own), timedelta())
        if some and taken + time > most:
            yield some
            some, taken = [], timedelta()
        some.extend(own)
        taken += time
    if some:
        yield some


def read_chains(conn: Connection, since: datetime) -> tuple[list[Chain], frozenset[UUID]]:
    """What was published and may have to be continued, and the keys of events whose record cannot be read.

    One record that another version of the program left, or that was damaged, must not silence the detector.
    """
    found: list[Chain] = []
    unreadable: set[UUID] = set()
    for one in events.read_chains(conn, since):
        try:
            record = EventRecord.model_validate(one.record)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            logger.error(  # noqa: TRY400 - the cause is in the stored record, not in the stack
                "stored event left as it is key=%s version=%d field=%s error=%s",
                one.event_key,
                one.version,
                where,
                first["msg"],
            )
            unreadable.add(one.event_key)
        else:
            found.append(Chain(one.event_key, one.public_id, one.version, one.published_at, record, one.found_at))
    return found, frozenset(unreadable)


def reviews_of(conn: Connection, keys: Collection[UUID]) -> dict[UUID, tuple[Review, ...]]:
    """What people decided about each of these events, the oldest first; those without a decision are left out."""
    rows = reviews.read(conn, keys)
    return {
        key: tuple(review_of(row) for row in rows if row.event_key == key) for key in {row.event_key for row in rows}
    }


def review_of(row: reviews.ReviewRow) -> Review:
    """A stored decision as the detector reads it."""
    return Review(
        row.review_key, row.event_key, row.at, row.reviewer, Action(row.action), row.note, tuple(row.sources), row.body
    )


def hold(conn: Connection, review: Review) -> None:
    """Store that a new event is held: nobody at the desk decided it, the settings did."""
    row = reviews.ReviewRow(
        *(review.review_key, review.event_key, review.at, review.reviewer, review.action),
        *(review.note, review.sources, dict(review.body)),
    )
    reviews.insert(conn, row, None)


def completed(conn: Connection, new: NewVersion, now: datetime, said: Sequence[Review] = ()) -> NewVersion:
    """Add what only the tables know, as of publication: the names of its places, and the batches it rests on.

    A published version holds its names itself, so that it reads the same when a network is renamed. What people
    ``said`` is laid over the complete record.
    """
    record = unreviewed(new.record)
    scope = record.scope
    country, names = events.names_of(conn, scope.cc, {*scope.asns, *scope.asns_observed})
    until = record.resolution.latest if record.resolution is not None else now
    regions = scope.admin1 if scope.level is Level.REGION else ()
    which = events.BatchFilter(scope.cc, scope.asns, record.onset.earliest, until, scope.probe_id, regions)
    evidence = record.evidence.model_copy(update={"n_batches": events.count_batches(conn, which)})
    scope = scope.model_copy(update={"country": country, "names": names})
    record = record.model_copy(update={"evidence": evidence, "scope": scope})
    if said:
        record = applied(record, said).model_copy(update={"held": new.record.held})
    return replace(new, record=record)


def publish(conn: Connection, new: NewVersion, published_at: datetime) -> str | None:
    """Write one version; returns the event's public id, if it has one."""
    columns = columns_of(new, published_at)
    if new.version == 1:
        public_id = events.create_event(conn, columns, public=new.public)
    else:
        public_id = events.public_id(conn, new.event_key)
    events.write_version(conn, columns)
    return public_id


def columns_of(new: NewVersion, published_at: datetime) -> events.VersionColumns:
    """A version as its row."""
    record, scope, end = new.record, new.record.scope, new.record.resolution
    return events.VersionColumns(
        event_key=new.event_key,
        version=new.version,
        published_at=published_at,
        change_kind=new.change_kind,
        reason=new.reason,
        detector_version=record.method.detector_version,
        status=record.status,
        kind=record.kind,
        level=scope.level,
        cc=scope.cc,
        asn=scope.asns[0] if scope.level is Level.NETWORK else None,
        onset_earliest=record.onset.earliest,
        onset_latest=record.onset.latest,
        resolution_earliest=end.earliest if end is not None else None,
        resolution_latest=end.latest if end is not None else None,
        record=record.model_dump(mode="json"),
    )
