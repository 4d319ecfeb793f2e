"""Between the tables and the detector: stored rows become its inputs, its versions become stored rows.

The database layer knows no detector and the detector no database; what a column means to detection is said here.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from civobs_collector.db import detect_input, events
from civobs_collector.db.connect import Connection
from civobs_collector.detect.inputs import Inputs, LadderRun, PresenceFact, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.presence import by_probe, losses
from civobs_collector.detect.record import EventRecord, Level
from civobs_collector.detect.timeline import INTERNATIONAL, NAMES, trouble_spans
from civobs_collector.detect.versions import Chain, NewVersion

logger = logging.getLogger(__name__)

_OTHER_RUNGS = (1, 2, 3)


def read_inputs(conn: Connection, since: datetime, now: datetime, params: Params) -> Inputs:
    """Everything that is stored for the window. The other rungs are read only around what went wrong."""
    probes = tuple(ProbeInfo(*row) for row in detect_input.read_probes(conn))
    presence = tuple(PresenceFact(*row) for row in detect_input.read_presence(conn, since, now))
    limits = {"gap_s": params["ladder.gap"], "clock_s": params["ladder.clock"], "few": params["ladder.few"]}
    whole = [(one.probe_key, since, now) for one in probes if one.active]
    decisive = paired(detect_input.read_ladder(conn, (INTERNATIONAL, NAMES), whole, **limits))
    until = now.timestamp()
    gone = {
        key: [(one.earliest, one.back or until) for one in losses(facts, until, params)]
        for key, facts in by_probe(presence).items()
    }
    spans = trouble_spans(decisive, gone, params["rule.merge"])
    others = paired(detect_input.read_ladder(conn, _OTHER_RUNGS, spans, **limits))
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


def paired(rows: Iterable[tuple[Any, ...]]) -> tuple[LadderRun, ...]:
    """First and last rows, in order, to runs."""
    return tuple(_paired(rows))


def _paired(rows: Iterable[tuple[Any, ...]]) -> Iterator[LadderRun]:
    first: tuple[datetime, int, int]
    for probe_key, rung, family, said, at, err_ms, number, is_first, is_last in rows:
        if is_first:
            first = at, err_ms, number
        if is_last:
            first_at, first_err, first_number = first
            n, outcome = number - first_number + 1, RunOutcome(said)
            yield LadderRun(probe_key, int(rung[1:]), family, outcome, first_at, at, n, first_err / 1000, err_ms / 1000)


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
            found.append(Chain(one.event_key, one.public_id, one.version, one.published_at, record))
    return found, frozenset(unreadable)


def completed(conn: Connection, new: NewVersion, now: datetime) -> NewVersion:
    """Add what only the tables know, as of publication: the names of its places, and the batches it rests on.

    A published version holds its names itself, so that it reads the same when a network is renamed.
    """
    record, scope = new.record, new.record.scope
    country, names = events.names_of(conn, scope.cc, {*scope.asns, *scope.asns_observed})
    until = record.resolution.latest if record.resolution is not None else now
    which = events.BatchFilter(scope.cc, scope.asns, record.onset.earliest, until, scope.probe_id)
    evidence = record.evidence.model_copy(update={"n_batches": events.count_batches(conn, which)})
    scope = scope.model_copy(update={"country": country, "names": names})
    return replace(new, record=record.model_copy(update={"evidence": evidence, "scope": scope}))


def publish(conn: Connection, new: NewVersion, published_at: datetime) -> str | None:
    """Write one version; returns the event's public id, if it has one."""
    columns = _columns(new, published_at)
    if new.version == 1:
        public_id = events.create_event(conn, columns, public=new.public)
    else:
        public_id = events.public_id(conn, new.event_key)
    events.write_version(conn, columns)
    return public_id


def _columns(new: NewVersion, published_at: datetime) -> events.VersionColumns:
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
