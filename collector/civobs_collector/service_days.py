"""Stored runs against targets, a day at a time: what was read of a day that has not changed since is not read again.

A day is read by itself, so that no statement is about more rows than a day has, however long an event lasts; one that
still takes too long is read in halves. What a reading is cut into changes nothing: rows of one run that lie in two
parts are put together afterwards (``detect.run_columns``).

Rows are only ever added, and the roll-ups count them: a day of which all rows are rolled up and of which there are as
many as before is as it was before (``Memory``).
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import numpy as np
from psycopg import errors

from civobs_collector.db import target_input
from civobs_collector.db.connect import Connection
from civobs_collector.detect.inputs import Inputs, ProbeInfo
from civobs_collector.detect.params import Params
from civobs_collector.detect.run_columns import RUN, Facts, Ints, Table
from civobs_collector.detect.target_runs import Detail
from civobs_collector.detect.votes import Place, Said
from civobs_collector.metrics import detect_metrics
from civobs_collector.rollups import RAW_KEPT

logger = logging.getLogger(__name__)

Stretch = tuple[datetime, datetime]
"""From the first moment to before the last."""
Failing = tuple[str, int, int, datetime]
"""Country, household, target and the hour in which it failed."""
_T = TypeVar("_T")

_DAY, _HOUR, _TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
_MOST_FACTS = 200_000
_NOTHING: Ints = np.empty((0, 3), np.int64)


@dataclass(slots=True)
class _Day:
    """What is known of a stretch within one day."""

    failing: list[Failing] | None = None
    addresses: dict[int, list[target_input.Row]] = field(default_factory=dict)
    spans: frozenset[target_input.TargetSpan] = frozenset()
    """Of which all runs are in ``runs``."""
    runs: Table = field(default_factory=lambda: np.empty(0, RUN))
    bin_s: float = 0.0
    places: set[Place] = field(default_factory=set)
    """By bins of ``bin_s``, of which all that was reached is in ``reached``."""
    reached: Ints = field(default_factory=lambda: _NOTHING)


class Memory:
    """What one run of the detector leaves to the next, for as long as it is true."""

    def __init__(self) -> None:
        self.facts = Facts()
        self._of: object = None
        self._probes: dict[int, ProbeInfo] = {}
        self._days: dict[Stretch, tuple[int, _Day]] = {}

    def begin(self, of: object, probes: Iterable[ProbeInfo]) -> None:
        """Forget all that was found by other parameters or fingerprints, or of probes that are elsewhere now."""
        now = {one.probe_key: replace(one, active=True) for one in probes}
        moved = any(now.get(key) != one for key, one in self._probes.items())
        if of != self._of or moved or len(self.facts) > _MOST_FACTS:
            self.facts, self._days = Facts(), {}
        self._of, self._probes = of, now

    def take(self, stretches: Iterable[Stretch], settled: Mapping[datetime, int]) -> dict[Stretch, _Day]:
        """What is known of these, empty where nothing is or where there are other rows now."""
        found, kept = {}, {}
        for one in stretches:
            n = settled.get(_midnight(one[0]))
            before, day = self._days.get(one, (None, _Day()))
            found[one] = day if n is not None and n == before else _Day()
            if n is not None:
                kept[one] = n, found[one]
        self._days = kept
        return found


class Days:
    """A reading of the time from ``since`` to ``now``, by days. Without a memory every day is read."""

    def __init__(
        self, conn: Connection, inputs: Inputs, since: datetime, params: Params, memory: Memory | None
    ) -> None:
        self._conn, self._params, self._since = conn, params, since
        now = inputs.now
        settled: dict[datetime, int] = {}
        if memory is not None:
            memory.begin((params.params_id, target_input.read_fingerprints_digest(conn)), inputs.probes)
            # Of days that are old enough to be taken away the roll-ups still tell.
            settled = target_input.read_settled(conn, _midnight(max(since, now - RAW_KEPT + _DAY)), now + _TICK)
        self._keeps = memory is not None
        memory = memory or Memory()
        self.facts = memory.facts
        self._days = memory.take(_by_day(since, now + _TICK), settled)

    def failing(self) -> list[Failing]:
        """Which households failed to reach which targets in which hours, more than now and then."""
        found: list[Failing] = []
        for stretch, day in self._days.items():
            # The first also takes the roll-up of the hour in which it begins, or that ends there.
            if day.failing is None or stretch[0] == self._since:
                day.failing = [row for rows in self._read(stretch, self._failing) for row in rows]
            found += day.failing
        return found

    def _failing(self, since: datetime, until: datetime) -> list[Failing]:
        buckets = since - _HOUR if since == self._since else since
        return target_input.read_failing(self._conn, buckets, since, until, self._params["service.suspect"])

    def addresses(self, targets: Collection[int]) -> set[target_input.Row]:
        """Rows of ``read_addresses`` on these targets."""
        found: set[target_input.Row] = set()
        for stretch, day in self._days.items():
            missing = [target for target in targets if target not in day.addresses]
            told: dict[int, list[target_input.Row]] = {target: [] for target in missing}
            for rows in self._read(stretch, partial(self._addresses, missing)) if missing else ():
                for row in rows:
                    told[row[0]].append(row)
            for target in targets:
                found.update(told[target] if target in told else day.addresses[target])
            if self._keeps:
                day.addresses |= told
        return found

    def _addresses(self, targets: Collection[int], since: datetime, until: datetime) -> list[target_input.Row]:
        return target_input.read_addresses(self._conn, targets, since, until)

    def runs(self, spans: Iterable[target_input.TargetSpan], page_of: Callable[[Detail], int]) -> list[Table]:
        """Runs of these targets in these times, a part a day, in order of time.

        A run that lies in several days is in each. ``page_of`` gives the place in ``PAGES`` of what came.
        """
        by_day: dict[datetime, list[target_input.TargetSpan]] = defaultdict(list)
        for target, start, end in spans:
            for first, until in _by_day(start, end + _TICK):
                by_day[_midnight(first)].append((target, first, until))
        return [
            self._runs(stretch, day, frozenset(by_day[_midnight(stretch[0])]), page_of)
            for stretch, day in self._days.items()
        ]

    def _runs(
        self,
        stretch: Stretch,
        day: _Day,
        spans: frozenset[target_input.TargetSpan],
        page_of: Callable[[Detail], int],
    ) -> Table:
        """Runs of these spans within a day: of targets whose spans are as before, as before."""
        changed = {target for target, *_ in spans ^ day.spans}
        same = day.runs[~np.isin(day.runs["target"], list(changed))]
        new = [span for span in spans if span[0] in changed]
        parts = self._read(stretch, lambda a, b: self._table(_within(new, a, b), page_of)) if new else []
        runs = np.concatenate([same, *parts])
        if self._keeps:
            day.spans, day.runs = spans, runs
        return runs

    def _table(self, spans: Sequence[target_input.TargetSpan], page_of: Callable[[Detail], int]) -> Table:
        parts = [np.empty(0, RUN)]
        for rows in target_input.read_runs(self._conn, spans, clock_s=self._params["target.bin"]):
            found = [
                (*row[:8], self.facts.number(row[9]), -1 if row[10] is None else page_of(row[10]), row[8])
                for row in rows
            ]
            parts.append(np.array(found, dtype=RUN))
        return np.concatenate(parts)

    def reached(self, places: Iterable[Place], bin_s: float) -> Ints:
        """Which targets were reached there: rows of probe, bin and target. Bins are read whole, whatever ``now`` is."""
        by_day: dict[datetime, set[Place]] = defaultdict(set)
        for probe_key, number in places:
            by_day[_midnight(_moment(number * bin_s))].add((probe_key, number))
        days = {stretch[0]: day for stretch, day in self._days.items() if stretch[1] - stretch[0] == _DAY}
        return np.concatenate(
            [_NOTHING, *(self._reached(days.get(at, _Day()), at, by_day[at], bin_s) for at in sorted(by_day))]
        )

    def _reached(self, day: _Day, at: datetime, places: set[Place], bin_s: float) -> Ints:
        if day.bin_s != bin_s:
            day.bin_s, day.places, day.reached = bin_s, set(), _NOTHING
        spans = _merged(sorted(places - day.places), bin_s)
        if not spans:
            return day.reached
        stretch = min(start for _, start, _ in spans), max(end for *_, end in spans)
        parts = self._read(stretch, lambda a, b: target_input.read_reached(self._conn, _within(spans, a, b), bin_s))
        rows = [row for part in parts for row in part if row[:2] in places]
        found = np.concatenate([day.reached, np.array(rows, dtype=np.int64).reshape(-1, 3)])
        # What lies partly in the next day is not told by the number of rows of this one.
        if self._keeps and all(_moment((number + 1) * bin_s) <= at + _DAY for _, number in places):
            day.places |= places
            day.reached = found
        return found

    def known(self, doubtful: Sequence[Said], bin_s: float) -> set[Place]:
        """In which bins those probes reached anything, from the first to the last in which something was doubted."""
        probes = sorted({one.probe_key for one in doubtful})
        since, until = _moment(min(one.first_at for one in doubtful)), _moment(max(one.last_at for one in doubtful))
        found: set[Place] = set()
        for stretch in _by_day(since - timedelta(seconds=bin_s), until + timedelta(seconds=bin_s)):
            for rows in self._read(stretch, lambda a, b: target_input.read_known(self._conn, probes, a, b, bin_s)):
                found.update(rows)
        return found

    def _read(self, stretch: Stretch, read: Callable[[datetime, datetime], _T]) -> list[_T]:
        """What is read of a stretch, in order of time; in halves, at whole hours, where it takes too long."""
        since, until = stretch
        try:
            with self._conn.transaction():
                return [read(since, until)]
        except errors.QueryCanceled:
            hours = (until - since) // (2 * _HOUR)
            if not hours:
                raise
            middle = since.replace(minute=0, second=0, microsecond=0) + hours * _HOUR
            detect_metrics().services_halved.inc()
            logger.warning("rows of targets are read in halves from=%s hours=%d", since.isoformat(), 2 * hours)
            return [*self._read((since, middle), read), *self._read((middle, until), read)]


def _within(
    spans: Iterable[target_input.TargetSpan], since: datetime, until: datetime
) -> list[target_input.TargetSpan]:
    """The parts of spans that lie there."""
    return [(key, max(a, since), min(b, until)) for key, a, b in spans if a < until and b > since]


def _merged(places: Sequence[Place], bin_s: float) -> list[target_input.TargetSpan]:
    """The times of these bins in order, with a second more at both ends: a bin need not begin at a microsecond."""
    second = timedelta(seconds=1)
    found: list[target_input.TargetSpan] = []
    for probe_key, number in places:
        start, end = _moment(number * bin_s) - second, _moment((number + 1) * bin_s) + second
        if found and found[-1][0] == probe_key and start <= found[-1][2]:
            found[-1] = (probe_key, found[-1][1], end)
        else:
            found.append((probe_key, start, end))
    return found


def _by_day(since: datetime, until: datetime) -> Iterator[Stretch]:
    while since < until:
        end = min(until, _midnight(since) + _DAY)
        yield since, end
        since = end


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
