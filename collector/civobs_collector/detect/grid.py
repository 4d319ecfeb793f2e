"""The dense grid of a group: how many households were expected, up, down and not known, for every bin.

One household, one vote, however many probes it hosts. A household votes while it is eligible: seen at least half of
the last week, or since it was first seen; an absence shared with others does not wear that off, or a long shutdown
would become the new normal.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.inputs import ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Level
from civobs_collector.detect.timeline import Axis, Code, Codes, ProbeLine, Timeline

Flags = NDArray[np.bool_]


class View(Enum):
    """A question put to the grid: which codes mean up, and which down. All others mean not known."""

    INTERNET = ((Code.UP, Code.CONFLICT, Code.NAMELESS), (Code.DOWN, Code.LOST, Code.LISTED))
    """Had the household lost the Internet?"""
    BROKER = ((Code.UP, Code.NAMELESS), (Code.CONFLICT,))
    """Was the observatory out of reach while the Internet was there?"""
    POWER = ((Code.UP, Code.CONFLICT, Code.DOWN, Code.LISTED, Code.NAMELESS), (Code.DARK,))
    """Was the device without power?"""
    NAMES = ((Code.UP, Code.CONFLICT), (Code.NAMELESS,))
    """Had the provider's resolver failed while addresses answered?"""

    @property
    def up(self) -> tuple[Code, ...]:
        codes: tuple[Code, ...] = self.value[0]
        return codes

    @property
    def down(self) -> tuple[Code, ...]:
        codes: tuple[Code, ...] = self.value[1]
        return codes


_WELL = (Code.UP, Code.NAMELESS)
_BAD = (Code.CONFLICT, Code.DOWN, Code.LOST, Code.DARK, Code.LISTED)
_SEEN = (*_WELL, Code.CONFLICT, Code.DOWN, Code.LISTED)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A country, a region or a network of it, or a household."""

    level: Level
    cc: str
    asn: int = 0
    household: int = 0
    admin1: str = ""


def keys_of(probe: ProbeInfo) -> tuple[GroupKey, ...]:
    """All groups that a probe is of; what is not known of it makes none."""
    return (
        GroupKey(Level.COUNTRY, probe.cc),
        *((GroupKey(Level.REGION, probe.cc, admin1=probe.admin1),) if probe.admin1 else ()),
        *((GroupKey(Level.NETWORK, probe.cc, probe.asn),) if probe.asn else ()),
        GroupKey(Level.PROBE, probe.cc, 0, probe.household),
    )


@dataclass(slots=True)
class Group:
    """Households of a group with their votes. Arrays are [household, bin]."""

    key: GroupKey
    view: View
    households: tuple[int, ...]
    up: Flags
    down: Flags
    eligible: Flags

    @property
    def n_up(self) -> NDArray[np.int64]:
        return _count(self.up)

    @property
    def n_down(self) -> NDArray[np.int64]:
        return _count(self.down)

    @property
    def n_known(self) -> NDArray[np.int64]:
        return self.n_up + self.n_down

    def of(self, homes: Collection[int]) -> "Group":
        """Some of its households."""
        rows = [row for row, home in enumerate(self.households) if home in homes]
        chosen = tuple(self.households[row] for row in rows)
        return Group(self.key, self.view, chosen, self.up[rows], self.down[rows], self.eligible[rows])


@dataclass(slots=True)
class Roster:
    """Who may vote when: eligibility of each probe, [bin]."""

    timeline: Timeline
    eligible: dict[int, Flags]

    def groups(self, view: View) -> list[Group]:
        """Every country, region and network as one view sees them, and every household that was ever down.

        None where nobody was ever down: then there is nothing to ask.
        """
        if not any(_among(line.codes, view.down).any() for line in self.timeline.lines.values()):
            return []
        members: dict[GroupKey, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for key, line in self.timeline.lines.items():
            for of in () if line.probe.is_anchor else keys_of(line.probe):
                members[of][line.probe.household].append(key)
        order = sorted(members, key=lambda k: (k.level, k.cc, k.asn, k.household, k.admin1))
        groups = (self._group(key, members[key], view) for key in order)
        return [group for group in groups if group.key.level is not Level.PROBE or group.down.any()]

    def _group(self, key: GroupKey, members: dict[int, list[int]], view: View) -> Group:
        households = tuple(sorted(members))
        shape = (len(households), self.timeline.axis.n)
        up, down, eligible = (np.zeros(shape, dtype=bool) for _ in range(3))
        for row, home in enumerate(households):
            for probe_key in members[home]:
                votes, codes = self.eligible[probe_key], self.timeline.lines[probe_key].codes
                up[row] |= votes & _among(codes, view.up)
                down[row] |= votes & _among(codes, view.down)
                eligible[row] |= votes
        down &= ~up
        return Group(key, view, households, up, down, eligible)


def _among(codes: Codes, which: Iterable[Code]) -> Flags:
    """Bins whose code is one of those: by a table, which is quicker than a search."""
    table = np.zeros(len(Code), dtype=np.bool_)
    table[list(which)] = True
    found: Flags = table[codes]
    return found


def _count(flags: Flags) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = flags.sum(axis=0, dtype=np.int64)
    return counts


def roster(timeline: Timeline, params: Params) -> Roster:
    """Decide for every probe and bin whether it may vote."""
    spells = {key: _spells(line.codes) for key, line in timeline.lines.items()}
    shared = _shared(timeline, spells, params)
    return Roster(
        timeline,
        {key: _eligible(line, spells[key], shared[key], timeline.axis, params) for key, line in timeline.lines.items()},
    )


def _spells(codes: Codes) -> list[tuple[int, int]]:
    """Absences as [first bin, first bin after]; only being up again ends one."""
    bad, up = _among(codes, _BAD), _among(codes, _WELL)
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(codes):
        start = at + int(bad[at:].argmax())
        if not bad[start]:
            break
        back = up[start:].argmax()
        end = start + int(back) if up[start + back] else len(codes)
        found.append((start, end))
        at = end
    return found


def _shared(timeline: Timeline, spells: dict[int, list[tuple[int, int]]], params: Params) -> dict[int, list[bool]]:
    """For every spell whether another household of the country was lost at about the same time."""
    near = timeline.axis.bins(params["eligible.shared"])
    starts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, line in timeline.lines.items():
        starts[line.probe.cc].extend((start, line.probe.household) for start, _ in spells[key])
    found = {}
    for key, line in timeline.lines.items():
        others = [start for start, home in starts[line.probe.cc] if home != line.probe.household]
        times = np.array(sorted(others), dtype=np.int64)
        own = np.array([start for start, _ in spells[key]], dtype=np.int64)
        found[key] = list(
            np.searchsorted(times, own + near, side="right") > np.searchsorted(times, own - near, side="left")
        )
    return found


def _eligible(
    line: ProbeLine, spells: list[tuple[int, int]], shared: Iterable[bool], axis: Axis, params: Params
) -> Flags:
    codes = line.codes
    seen = _among(codes, _SEEN)
    seen &= axis.start + axis.bin_s * (np.arange(axis.n) + 1) > line.probe.enrolled_at.timestamp()
    if not seen.any():
        return np.zeros(axis.n, dtype=bool)
    counted = codes != Code.UNKNOWN
    counted[: int(seen.argmax())] = False
    alone = np.zeros(axis.n, dtype=np.int64)
    holds: list[tuple[int, int]] = []
    for (start, end), with_others in zip(spells, shared, strict=True):
        hold = axis.bins(params["eligible.hold_shared" if with_others else "eligible.hold_alone"])
        holds.append((start, min(end, start + hold)))
        if with_others:
            counted[slice(*holds[-1])] = False
        else:
            alone[start] += 1
    window = axis.bins(params["eligible.window"])
    n_seen, n_counted = _trailing(seen & counted, window), _trailing(counted, window)
    votes: Flags = (n_seen >= params["eligible.min_bins"]) & (n_seen >= params["eligible.share"] * n_counted)
    for start, end in holds:
        if start and votes[start - 1]:
            # On until its return can be counted again by the habit alone.
            votes[start : end + params.count("eligible.min_bins")] = True
    flaps = _trailing(alone, axis.bins(params["eligible.flap_window"]))
    return votes & (flaps < params["eligible.flaps"])


def _trailing(values: NDArray[np.int64] | Flags, window: int) -> NDArray[np.int64]:
    """Sum over the last ``window`` bins, this one included."""
    total = np.cumsum(values, dtype=np.int64)
    before = np.zeros_like(total)
    before[window:] = total[:-window] if window < len(total) else 0
    return total - before
