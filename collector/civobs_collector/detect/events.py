"""From facts to events: the whole of detection, as one function of what is stored.

``compute`` gives every event of the window, the larger absorbing the smaller. Nothing here knows what was published
before; ``versions`` compares. The same facts in any order give the same records to the byte.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import numpy as np

from civobs_collector.detect import filter as state_filter
from civobs_collector.detect.assemble import Case, Household, record_of
from civobs_collector.detect.filter import Floats
from civobs_collector.detect.grid import Flags, Group, GroupKey, Roster, View, keys_of, roster
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord, Level
from civobs_collector.detect.segments import Segment, affected, find, mostly_down, several_networks, several_regions
from civobs_collector.detect.timeline import Code, ProbeLine, Timeline, build

_SIZE = {Level.COUNTRY: 0, Level.REGION: 1, Level.NETWORK: 1, Level.PROBE: 2}
"""A region and a network may each reach beyond the other: of the two the one with more households explains more."""
_AT_ONCE = 64
"""Groups the filter follows side by side: 35 MB for a month of bins."""
_SHARED = (View.BROKER, View.NAMES)
_TOLD = (Code.DOWN, Code.LISTED, Code.DARK)
"""Losses that stored rows bear out."""
_VIEW = {View.INTERNET: 0, View.BROKER: 1, View.POWER: 2, View.NAMES: 3}


@dataclass(frozen=True, slots=True)
class _Found:
    """A segment with the probes of its households."""

    segment: Segment
    probes: frozenset[ProbeInfo]

    @property
    def asns(self) -> frozenset[int]:
        """Networks of its households, as far as they are known."""
        return frozenset(one.asn for one in self.probes if one.asn)

    def lies_in(self, key: GroupKey) -> bool:
        """Whether half of its households, or more, are of a region or a network."""
        homes = {one.household for one in self.probes}
        return 2 * len({one.household for one in self.probes if key in keys_of(one)}) >= len(homes)


@dataclass(slots=True)
class _World:
    """All groups as all views see them."""

    timeline: Timeline
    roster: Roster
    groups: dict[tuple[GroupKey, View], Group]
    lines: dict[GroupKey, list[ProbeLine]]
    """Probes of each group, without anchors, in their order."""
    parts: dict[tuple[str, Level, View], list[Group]]
    """All networks of a country, or all its regions."""

    def networks_in(self, region: Group) -> list[Group]:
        """The part of each network that lies in a region."""
        homes: dict[int, set[int]] = defaultdict(set)
        for line in self.lines[region.key]:
            if line.probe.asn:
                homes[line.probe.asn].add(line.probe.household)
        return [region.of(homes[asn]) for asn in sorted(homes)]


def compute(inputs: Inputs, params: Params) -> tuple[EventRecord, ...]:
    """Every event since ``inputs.since``, in the order of country, start and scope."""
    timeline = build(inputs, params)
    world = _observe(timeline, roster(timeline, params))
    kept, absorbed = _absorb(_segments(world, params), timeline, params)
    records = [record_of(_case(one, absorbed[one], world), timeline, inputs, params) for one in kept]
    return tuple(sorted(records, key=lambda r: (r.scope.cc, r.onset.earliest, r.scope.level, str(r.event_key))))


def _observe(timeline: Timeline, votes: Roster) -> _World:
    lines: dict[GroupKey, list[ProbeLine]] = defaultdict(list)
    for line in timeline.lines.values():
        for key in () if line.probe.is_anchor else keys_of(line.probe):
            lines[key].append(line)
    groups = {(group.key, view): group for view in View for group in votes.groups(view)}
    parts: dict[tuple[str, Level, View], list[Group]] = defaultdict(list)
    for (key, view), group in groups.items():
        parts[key.cc, key.level, view].append(group)
    return _World(timeline, votes, groups, lines, parts)


def _segments(world: _World, params: Params) -> list[_Found]:
    found: list[_Found] = []
    nameless = _nameless_everywhere(world, params)
    for group, belief in _believed(world.groups.values(), params):
        allowed = _allowed(world, group, params)
        if group.view is View.NAMES:
            allowed = ~nameless if allowed is None else allowed & ~nameless
        segments = find(group, belief, allowed, params)
        found.extend(_Found(segment, _probes(world, group, segment)) for segment in segments)
    return found


def _nameless_everywhere(world: _World, params: Params) -> Flags:
    """Bins in which no names are found in several unrelated countries at once, or in all of two and more.

    Then the name that all probes look up has failed, or the probes have: no provider of any one country. Each asks in
    its turn, so what befell all may be seen a bin earlier or later.
    """
    observed, hit = np.zeros((2, world.timeline.axis.n), dtype=np.int64)
    for (key, view), group in world.groups.items():
        if key.level is Level.COUNTRY and view is View.NAMES:
            known, down = group.n_known > 0, np.pad(mostly_down(group, params), 1)
            observed += known
            hit += known & (down[:-2] | down[1:-1] | down[2:])
    found: Flags = (hit >= params["guard.countries"]) | ((observed > 1) & (hit == observed))
    return found


def _allowed(world: _World, group: Group, params: Params) -> Flags | None:
    """Bins in which a group of several networks may be said to be out; None where it is not asked."""
    key, view, n_bins = group.key, group.view, world.timeline.axis.n
    match key.level:
        case Level.COUNTRY:
            networks, needed = world.parts[key.cc, Level.NETWORK, view], params.count("rule.country_networks")
            several = several_networks(networks, n_bins, needed, params)
            return several & several_regions(group, world.parts[key.cc, Level.REGION, view], params)
        case Level.REGION:
            # A region that holds all who are observed is the country.
            part = world.groups[GroupKey(Level.COUNTRY, key.cc), view].n_known > group.n_known
            return part & several_networks(
                world.networks_in(group), n_bins, params.count("rule.region_networks"), params
            )
        case _:
            return None


def _believed(groups: Iterable[Group], params: Params) -> Iterator[tuple[Group, Floats]]:
    """The groups in which anybody was down, each with the filter's belief; only a few are held at a time."""
    # One household that cannot reach the broker, or whose resolver fails, is no event.
    asked = (g for g in groups if g.down.any() and not (g.key.level is Level.PROBE and g.view in _SHARED))
    while some := list(islice(asked, _AT_ONCE)):
        belief = state_filter.run(np.stack([g.n_up for g in some]), np.stack([g.n_known for g in some]), params)
        yield from zip(some, belief, strict=True)


def _probes(world: _World, group: Group, segment: Segment) -> frozenset[ProbeInfo]:
    homes = {group.households[row] for row in affected(group, segment)}
    return frozenset(line.probe for line in world.lines[group.key] if line.probe.household in homes)


def _absorb(found: list[_Found], timeline: Timeline, params: Params) -> tuple[list[_Found], dict[_Found, list[_Found]]]:
    """Keep the largest of those that overlap: by level, then by households, then by the order of views."""
    gap = params["rule.merge"] / timeline.axis.bin_s
    ranked = sorted(
        found,
        key=lambda f: (
            _SIZE[f.segment.key.level],
            -f.segment.n_peak,
            _VIEW[f.segment.view],
            f.segment.key.cc,
            f.segment.key.admin1,
            f.segment.key.asn,
            f.segment.key.household,
            f.segment.start,
        ),
    )
    kept: list[_Found] = []
    absorbed: dict[_Found, list[_Found]] = defaultdict(list)
    for one in ranked:
        larger = next((other for other in kept if _within(one, other, gap) and not _apart(one, other, timeline)), None)
        if larger is None:
            kept.append(one)
            absorbed[one] = []
        else:
            absorbed[larger].append(one)
    return kept, absorbed


def _within(small: _Found, large: _Found, gap: float) -> bool:
    a, b = small.segment, large.segment
    if a.key.cc != b.key.cc or a.start - b.end >= gap or b.start - a.end >= gap:
        return False
    match b.key.level:
        case Level.COUNTRY:
            return True
        case Level.REGION | Level.NETWORK:
            return a.key.level is not Level.COUNTRY and small.lies_in(b.key)
        case _:
            return a.key == b.key


def _apart(small: _Found, large: _Found, timeline: Timeline) -> bool:
    """Whether something else befell the few: what is wrong for many with names or the broker leaves the Internet there.

    Of the broker only rows tell that apart: whoever is not heard may be kept from it like all the others.
    """
    match large.segment.view:
        case View.NAMES:
            return small.segment.view is not View.NAMES
        case View.BROKER if small.segment.view is not View.BROKER:
            part = slice(small.segment.start, max(small.segment.end, small.segment.start + 1))
            lines = [(one.household, timeline.lines[one.probe_key]) for one in small.probes]
            told = {home for home, line in lines if np.isin(line.codes[part], _TOLD).any()}
            return 2 * len(told) > len({home for home, _ in lines})
        case _:
            return False


def _case(found: _Found, absorbed: Sequence[_Found], world: _World) -> Case:
    segment = found.segment
    key, view = segment.key, segment.view
    group = world.groups[key, view]
    rows = affected(group, segment)
    lines = world.lines[key]
    homes = tuple(
        Household(home, tuple(line for line in lines if line.probe.household == home))
        for home in (group.households[row] for row in rows)
    )
    part = slice(segment.start, max(segment.end, segment.start + 1))
    networks, regions = (
        [one for one in world.parts[key.cc, level, view] if one.eligible[:, part].any()]
        for level in (Level.NETWORK, Level.REGION)
    )
    affected_networks = [one for one in networks if one.key.asn in found.asns]
    charted = [group, *affected_networks] if key.level is Level.COUNTRY else [group]
    first = min([segment.start, *(one.segment.start for one in absorbed if one.segment.view is view)])
    axis = world.timeline.axis
    return Case(
        key=event_key(key, axis.at(segment.start)),
        segment=segment,
        group=group,
        homes=homes,
        members=tuple(lines),
        n_around=_around(key.cc, part, world),
        n_regions_around=len(regions),
        asns_observed=tuple(sorted(one.key.asn for one in networks)),
        asns=tuple(sorted(found.asns)),
        charted=tuple(charted),
        eligible=world.roster.eligible,
        since=axis.at(first),
    )


def _around(cc: str, part: slice, world: _World) -> int:
    eligible = world.roster.eligible
    return len(
        {
            line.probe.household
            for line in world.lines[GroupKey(Level.COUNTRY, cc)]
            if eligible[line.probe.probe_key][part].any()
        }
    )


def event_key(group: GroupKey, start: float) -> UUID:
    """A key in the shape of a uuid7 (RFC 9562): the onset's bin in its time, the group in its random bits."""
    region = f"/{group.admin1}" if group.admin1 else ""
    name = f"{group.level}/{group.cc}/{group.asn}/{group.household}{region}"
    digest = hashlib.sha256(name.encode()).digest()
    raw = bytearray(int(start * 1000).to_bytes(6, "big") + digest[:10])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return UUID(bytes=bytes(raw))
