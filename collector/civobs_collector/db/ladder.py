"""The ladder as runs of like outcomes: folded when rows come, read from what is folded and from the rows of the rest.

A month of a probe's ladder is some ten thousand rows and, most months, a few runs. The roll-up job folds an hour when
its rows are rolled up and a day once it is over; the detector then reads a row a day and probe, the hours of the first
day and of the last, and the rows of this hour. Whatever is not folded, is folded by another rule or has changed since
is read row by row, so what is read is the same with any folds or none.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property
from importlib import resources
from typing import Any

from psycopg import sql

from civobs_collector.db.connect import Connection
from civobs_wire.failure import FAILURE_CODES, Failure
from civobs_wire.measurement import KIND_CODES

Rows = list[tuple[Any, ...]]
Span = tuple[int, datetime, datetime]
"""A probe's key and a stretch of time."""
RUNGS = (0, 1, 2, 3, 4, 5)
"""What is folded: all. A fold tells nothing of a rung that it does not have."""


def _text(name: str) -> str:
    return (resources.files("civobs_collector.db") / "sql" / name).read_text(encoding="utf-8")


_ROWS, _RUNS = _text("ladder_rows.sql").rstrip(), _text("ladder_runs.sql").rstrip()
_READ, _FOLD = _text("ladder_read.sql"), _text("ladder_fold.sql")
_ARRAYS = {
    "target_key": "int4",
    "family": "int2",
    "said": "int2",
    "n": "int4",
    "first_at": "timestamptz",
    "last_at": "timestamptz",
    "first_err_ms": "int4",
    "last_err_ms": "int4",
}
_DAYS = """
SELECT probe_key, day
FROM probe CROSS JOIN LATERAL generate_series(
  greatest(date_trunc('day', enrolled_at, 'UTC'), %(first)s), %(last)s, interval '24 hours') day
WHERE status = 'active'
  AND NOT EXISTS (SELECT FROM ladder_1d d WHERE d.probe_key = probe.probe_key AND d.start = day AND d.rule = %(rule)s)
  AND NOT EXISTS (SELECT FROM (SELECT DISTINCT probe_key, date_trunc('day', bucket, 'UTC') AS start FROM dirty_bucket) b
                  WHERE b.probe_key = probe.probe_key AND b.start = day)
ORDER BY day DESC, probe_key LIMIT %(limit)s
"""


class Stretch(Enum):
    """What is folded at once: its table and its length."""

    HOUR = "ladder_1h", timedelta(hours=1)
    DAY = "ladder_1d", timedelta(days=1)

    @property
    def table(self) -> str:
        return self.value[0]

    @property
    def length(self) -> timedelta:
        return self.value[1]

    def start(self, moment: datetime) -> datetime:
        """When the stretch began, in UTC, that ``moment`` lies in."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self is Stretch.HOUR else hour.replace(hour=0)


@dataclass(frozen=True)
class Limits:
    """What decides which rows are alike and which are neighbours.

    A hole longer than ``gap_s`` ends a run; rows whose clock may be wrong by more than ``clock_s`` have outcome 5, rows
    of L4 of which no more than the share ``few`` answered, and of L2 of which not all did, have 6. Of L5 the outcome is
    that of finding the name.
    """

    gap_s: float
    clock_s: float
    few: float

    @cached_property
    def rule(self) -> int:
        """A number for these limits and the statements that apply them: a fold of another is not read."""
        text = repr((_ROWS, _RUNS, RUNGS, self.gap_s, self.clock_s, self.few))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)

    def values(self, rungs: Sequence[int]) -> dict[str, object]:
        """Parameters of the statements."""
        return {
            "kind": KIND_CODES["ladder"],
            "rungs": [f"L{rung}" for rung in rungs],
            "rule": self.rule,
            "gap": timedelta(seconds=self.gap_s),
            "clock_ms": self.clock_s * 1000,
            "few": self.few,
            "agent_down": FAILURE_CODES[Failure.AGENT_DOWN],
            "paused": [FAILURE_CODES[Failure.PAUSED], FAILURE_CODES[Failure.SHUTTING_DOWN]],
        }


def read_ladder(conn: Connection, rungs: Sequence[int], spans: Iterable[Span], limits: Limits) -> Rows:
    """Runs of rows of these rungs within the spans, by probe, rung, family and time; spans of a probe are apart.

    probe_key, rung as ``L4``, family, outcome (0 ok, 1 failed, 2 agent down, 3 paused, 4 not run otherwise, 5 clock not
    known, 6 ok by a few), ts of the first and of the last row, rows, clock_err_ms of the first and of the last row.
    """
    keys, starts, ends = zip(*spans, strict=True) if (spans := list(spans)) else ((), (), ())
    values = {"keys": list(keys), "starts": list(starts), "ends": list(ends), **limits.values(rungs)}
    return conn.execute(_filled(_READ), values).fetchall()


def fold(conn: Connection, stretch: Stretch, wanted: Iterable[tuple[datetime, int]], limits: Limits) -> None:
    """Fold the rows of whole hours or days, given as (start, probe), anew."""
    starts, keys = zip(*wanted, strict=True) if (wanted := list(wanted)) else ((), ())
    values = {"keys": list(keys), "starts": list(starts), "length": stretch.length, **limits.values(RUNGS)}
    conn.execute(_filled(_FOLD, stretch), values)


def fold_touched(conn: Connection, buckets: Sequence[tuple[datetime, int]], now: datetime, limits: Limits) -> None:
    """Fold the hours that are over of (bucket, probe) whose rows changed, and forget the folds of their days."""
    for stretch in Stretch:
        touched = sorted({(stretch.start(bucket), key) for bucket, key in buckets})
        _forget(conn, stretch, touched)
        if stretch is Stretch.HOUR:
            fold(conn, stretch, [one for one in touched if one[0] + stretch.length <= now], limits)


def fold_days(conn: Connection, first: datetime, last: datetime, limits: Limits, limit: int) -> int:
    """Fold up to ``limit`` days from ``first`` to ``last``, newest first, that have no fold and no rows that wait.

    Returns how many there were. The folds of their hours stay, for windows that begin or end within a day.
    """
    values = {"first": first, "last": last, "rule": limits.rule, "limit": limit}
    days = [(day, key) for key, day in conn.execute(_DAYS, values)]
    fold(conn, Stretch.DAY, days, limits)
    return len(days)


def drop_folds(conn: Connection, before: datetime) -> None:
    """Forget what was folded of rows that are dropped."""
    for stretch in Stretch:
        query = sql.SQL("DELETE FROM {} WHERE start < %s").format(sql.Identifier(stretch.table))
        conn.execute(query, (before,))


def _forget(conn: Connection, stretch: Stretch, which: Iterable[tuple[datetime, int]]) -> None:
    starts, keys = zip(*which, strict=True) if (which := list(which)) else ((), ())
    query = sql.SQL(
        "DELETE FROM {} l USING unnest(%s::timestamptz[], %s::int4[]) AS o (start, probe_key)"
        " WHERE l.probe_key = o.probe_key AND l.start = o.start"
    ).format(sql.Identifier(stretch.table))
    conn.execute(query, (list(starts), list(keys)))


def _filled(template: str, stretch: Stretch = Stretch.HOUR) -> sql.Composed:
    ordered = "coalesce(array_agg(run.{0}::{1} ORDER BY first_at, place, said, first_err_ms)"
    whole = f"{ordered} FILTER (WHERE run.part IS NOT NULL), '{{{{}}}}')"
    return sql.SQL(template).format(
        table=sql.Identifier(stretch.table),
        rows=sql.SQL(_ROWS),
        runs=sql.SQL(_RUNS),
        arrays=sql.SQL(", ".join(whole.format(name, kind) for name, kind in _ARRAYS.items())),
    )
