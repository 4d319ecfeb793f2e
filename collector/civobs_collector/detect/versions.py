"""What differs from what was published: new versions of events, never a change to an old one.

A computed event is matched to a stored chain by scope and time; the chain keeps its key and its public id for ever,
even when late rows move the start or make one network's outage a country's. A chain that the facts no longer bear
out gets a version that says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from civobs_collector.detect.chains import Chain, NewVersion, change_kind, reason_of
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventKind, EventRecord, Level, Status
from civobs_collector.detect.recurrence import Member, places
from civobs_collector.detect.review_chains import as_reviewed, machine_chains
from civobs_collector.detect.reviews import Review
from civobs_collector.detect.scope import END_UNKNOWN
from civobs_collector.detect.service_chains import alike, continued, in_sight, is_rest, is_service

WITHDRAWN = "The records that have arrived since do not bear this event out."
PART_OF_LARGER = "Part of a larger event of the same time, which has a record of its own."


def plan(
    computed: Sequence[EventRecord],
    stored: Sequence[Chain],
    since: datetime,
    now: datetime,
    params: Params,
    *,
    reviews: Mapping[UUID, Sequence[Review]] | None = None,
) -> list[NewVersion]:
    """The versions to write. Chains that began before ``since`` are left as they are unless an event continues them.

    What people decided is laid over what the detector says, and never changes what it goes on from.
    """
    said = reviews or {}
    found = _found(computed, machine_chains(stored, said), since, now, params)
    written = as_reviewed([replace(v, record=_with_key(v.record, v.event_key)) for v in found], stored, said)
    return sorted(written, key=lambda v: (v.record.onset.earliest, str(v.event_key)))


def _found(
    computed: Sequence[EventRecord], stored: Sequence[Chain], since: datetime, now: datetime, params: Params
) -> list[NewVersion]:
    """What the detector alone would write."""
    gap = timedelta(seconds=params["rule.merge"])
    pairs, fresh, lonely = match(computed, stored, gap)
    pairs = [(continued(r, c.record, since) if is_service(r) else r, c) for r, c in pairs]
    pairs, fresh = _recurring(pairs, fresh, [chain for chain in lonely if chain.record.onset.earliest < since], params)
    taken = {chain.event_key for chain in stored}
    found = [
        version
        for record, chain in pairs
        if (record.onset.latest >= since or is_service(record))
        and not (_settled(chain, since) and record.status is Status.CLOSED)
        and (version := _revised(record, chain, now, params)) is not None
    ]
    for record in fresh:
        over = [chain for chain in stored if _settled(chain, since)]
        if is_service(record):
            same = [c.record for c in over if _comparable(record, c) and _overlap(record, c.record, gap)]
            if is_rest(record, same, since):
                continue
        elif record.onset.latest < since or any(_part_of(record, chain, gap) for chain in over):
            continue
        found.append(NewVersion(_free(record, taken), 1, "new", "detected", record, _public(record)))
    found.extend(
        _retracted(chain, computed, gap)
        for chain in lonely
        if chain.record.status is not Status.RETRACTED
        and in_sight(chain.record, since, params)
        and not _told_apart(chain, computed, gap)
    )
    found.extend(
        _retracted(chain, computed, gap)
        if is_service(chain.record) and _larger(chain, computed, gap)
        else _lapsed(chain)
        for chain in lonely
        if _out_of_sight(chain.record, since, now, params)
    )
    return found


def _recurring(
    pairs: list[tuple[EventRecord, Chain]], fresh: list[EventRecord], past: list[Chain], params: Params
) -> tuple[list[tuple[EventRecord, Chain]], list[EventRecord]]:
    """The same events with their place in a campaign, if they have one. ``past``: chains that are left as they are."""
    members = [Member(chain.event_key, record, chain.record.campaign) for record, chain in pairs]
    members += [Member(record.event_key, record, None) for record in fresh]
    members += [
        Member(chain.event_key, chain.record, chain.record.campaign)
        for chain in past
        if chain.record.status is not Status.RETRACTED
    ]
    # One home's nights are nobody's campaign.
    public = [one for one in members if _public(one.record)]
    place = {one.key: at for one, at in zip(public, places(public, params), strict=True) if at is not None}

    def placed(record: EventRecord, key: UUID) -> EventRecord:
        return record.model_copy(update={"campaign": place[key]}) if key in place else record

    return (
        [(placed(record, chain.event_key), chain) for record, chain in pairs],
        [placed(record, record.event_key) for record in fresh],
    )


def match(
    computed: Sequence[EventRecord], stored: Sequence[Chain], gap: timedelta
) -> tuple[list[tuple[EventRecord, Chain]], list[EventRecord], list[Chain]]:
    """Pairs, events without a chain, and chains without an event. Each is used once; the best fit goes first."""
    near = [(r, c) for r in computed for c in stored if _comparable(r, c) and _overlap(r, c.record, gap)]
    # A living chain of the same level and question first, then the one most alike, then the one that began first.
    near.sort(
        key=lambda pair: (
            pair[0].scope.level is not pair[1].record.scope.level,
            _asks(pair[0]) != _asks(pair[1].record),
            pair[1].record.status is Status.RETRACTED,
            -alike(pair[0], pair[1].record),
            pair[0].onset.earliest,
            str(pair[0].event_key),
            pair[1].record.onset.earliest,
            str(pair[1].event_key),
        )
    )
    pairs: list[tuple[EventRecord, Chain]] = []
    used_records: set[UUID] = set()
    used_chains: set[UUID] = set()
    for record, chain in near:
        if record.event_key not in used_records and chain.event_key not in used_chains:
            used_records.add(record.event_key)
            used_chains.add(chain.event_key)
            pairs.append((record, chain))
    fresh = [record for record in computed if record.event_key not in used_records]
    lonely = [chain for chain in stored if chain.event_key not in used_chains]
    return pairs, fresh, lonely


def _comparable(record: EventRecord, chain: Chain) -> bool:
    """A household's event is never continued as a public one, nor the other way round."""
    a, b = record.scope, chain.record.scope
    if a.cc != b.cc or (a.level is Level.PROBE) != (b.level is Level.PROBE):
        return False
    if a.level is Level.PROBE:
        return a.probe_id == b.probe_id
    if a.targets or b.targets:
        return record.kind is chain.record.kind and _meet(a.targets, b.targets) and _meet(a.asns, b.asns)
    if Level.COUNTRY in {a.level, b.level}:
        return True
    if a.level is b.level:
        return a.admin1 == b.admin1 if a.level is Level.REGION else a.asns == b.asns
    return _meet(a.admin1, b.admin1) and _meet(a.asns, b.asns)


def _meet(these: Collection[object], those: Collection[object]) -> bool:
    """Whether they have something in common."""
    return not set(these).isdisjoint(those)


def _asks(record: EventRecord) -> EventKind:
    """What was asked: whether the Internet was lost goes by one name, however far it reached."""
    return EventKind.OUTAGE if record.kind is EventKind.SHUTDOWN_SUSPECTED else record.kind


def _overlap(one: EventRecord, other: EventRecord, gap: timedelta) -> bool:
    """Whether they overlap or lie within the merge gap of each other."""
    return one.onset.earliest - gap <= _end(other) and other.onset.earliest - gap <= _end(one)


def _end(record: EventRecord) -> datetime:
    if record.resolution is None:
        # Still open, or withdrawn while it was: it reaches as far as its own chart.
        grid = record.grid
        bins = max((len(row.state) for row in grid.rows), default=0)
        end = grid.start + timedelta(seconds=grid.bin_s * bins)
        return max(end, record.onset.latest)
    return record.resolution.latest


def _revised(record: EventRecord, chain: Chain, now: datetime, params: Params) -> NewVersion | None:
    """A new version if the record says something else than the last one, or an open event's chart is old."""
    last = chain.record
    change = change_kind(record, last)
    if change is None:
        old = now - chain.published_at >= timedelta(seconds=params["refresh"])
        if record.status is not Status.OPEN or not old or not _public(record):
            return None
        change = "extended"
    return NewVersion(
        chain.event_key, chain.version + 1, change, reason_of(record, last), record, chain.public_id is not None
    )


def _larger(chain: Chain, computed: Sequence[EventRecord], gap: timedelta) -> bool:
    """Whether a public event of the same time covers it."""
    last = chain.record
    return any(
        other.scope.cc == last.scope.cc
        and other.scope.level is not Level.PROBE
        and (not is_service(last) or _comparable(other, chain))
        and _overlap(other, last, gap)
        for other in computed
    )


def _told_apart(chain: Chain, computed: Sequence[EventRecord], gap: timedelta) -> bool:
    """Whether most of its households are still out, or were a moment ago, each by an event of its own.

    Homes that return after a power cut tell of it one by one: meanwhile too few have told, and too few have not.
    """
    parts = [one for one in computed if _part_of(one, chain, gap)]
    unsettled = any(one.provisional or one.status is Status.OPEN for one in parts)
    return unsettled and 2 * len({one.scope.probe_id for one in parts}) > chain.record.affected.n_down


def _retracted(chain: Chain, computed: Sequence[EventRecord], gap: timedelta) -> NewVersion:
    last = chain.record
    larger = _larger(chain, computed, gap)
    note = PART_OF_LARGER if larger else WITHDRAWN
    record = last.model_copy(update={"status": Status.RETRACTED, "provisional": False, "limits": (note, *last.limits)})
    reason = "detected" if larger else "late_data"
    return NewVersion(chain.event_key, chain.version + 1, "retracted", reason, record, chain.public_id is not None)


def _settled(chain: Chain, since: datetime) -> bool:
    """Whether an event is over and its start can no longer be seen: what is left of it in view would misdate it."""
    return chain.record.status is Status.CLOSED and chain.record.onset.earliest < since


def _part_of(record: EventRecord, chain: Chain, gap: timedelta) -> bool:
    """Whether a household's event is the rest of a larger one."""
    small, large = record.scope, chain.record.scope
    same = _meet(large.admin1, small.admin1) if large.level is Level.REGION else _meet(large.asns, small.asns)
    reached = large.cc == small.cc and (large.level is Level.COUNTRY or same)
    return reached and Level.PROBE is small.level is not large.level and _overlap(record, chain.record, gap)


def _out_of_sight(record: EventRecord, since: datetime, now: datetime, params: Params) -> bool:
    """Whether an event that nothing tells of any more began so long ago that its households have no vote left."""
    hold = params["eligible.hold_shared" if _public(record) else "eligible.window"]
    began = record.onset
    return record.status is Status.OPEN and began.earliest < since and now - began.latest >= timedelta(seconds=hold)


def _lapsed(chain: Chain) -> NewVersion:
    """What began before everything that is looked at: closed, with no end known."""
    last = chain.record
    limits = (END_UNKNOWN, *last.limits)
    record = last.model_copy(update={"status": Status.CLOSED, "provisional": False, "limits": limits})
    return NewVersion(chain.event_key, chain.version + 1, "closed", "detected", record, chain.public_id is not None)


def _public(record: EventRecord) -> bool:
    return record.scope.level is not Level.PROBE


def _free(record: EventRecord, taken: set[UUID]) -> UUID:
    """The record's own key, or the next one where a chain that moved elsewhere has it."""
    key = record.event_key
    while key in taken:
        key = UUID(int=key.int + 1)
    taken.add(key)
    return key


def _with_key(record: EventRecord, key: UUID) -> EventRecord:
    return record if record.event_key == key else record.model_copy(update={"event_key": key})
