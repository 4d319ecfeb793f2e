"""Which networks were observed when, and by how many households: from a bit an hour and probe (``coverage_month``).

A probe counts for the country and the network that it is in now: moving a probe moves its past with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from civobs_collector.db.connect import Connection

HOUR = timedelta(hours=1)

_SQL = """
SELECT month, array_agg(asn ORDER BY asn, household_key), array_agg(household_key ORDER BY asn, household_key),
       string_agg(ran, '' ORDER BY asn, household_key)
  FROM (SELECT c.month, p.asn, p.household_key, substr(bit_send(bit_or(c.hours)), 5) AS ran
          FROM probe p JOIN coverage_month c USING (probe_key)
         WHERE p.cc = %(cc)s AND p.status = 'active' AND NOT p.is_anchor
           AND c.month >= date_trunc('month', %(start)s AT TIME ZONE 'UTC') AND c.month < %(end)s AT TIME ZONE 'UTC'
         GROUP BY 1, 2, 3) home
 GROUP BY month
"""
"""A row a month: its homes, and their bits one after another. ``bit_send`` puts the number of bits before them, in four
bytes."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one network, or of all of them, bin by bin."""

    households: tuple[int, ...]
    """Households with at least one measurement in the bin."""
    hours: tuple[int, ...]
    """Hours of the bin with at least one measurement."""


def read_coverage(
    conn: Connection, cc: str, *, start: datetime, end: datetime, step: timedelta
) -> dict[int | None, Coverage]:
    """Count reporting households of each network, and under None of all together; without any in the period, of none.

    ``start`` and ``end`` are on the hour, ``step`` is whole hours; the last bin may end before its step does.
    """
    months = conn.execute(_SQL, {"cc": cc, "start": start, "end": end}).fetchall()
    homes = sorted({home for _, asns, households, _ in months for home in zip(asns, households, strict=True)})
    bins, width, hours = -((start - end) // step), step // HOUR, (end - start) // HOUR
    known = _hours(months, homes, start, hours)
    ran = np.pad(known, ((0, 0), (0, bins * width - hours))).reshape(len(homes), bins, width)
    reported: NDArray[np.bool_] = np.logical_or.reduce(ran, axis=2)
    found: dict[int | None, Coverage] = {None: _counted(reported, ran)}
    for asn, group in groupby(range(len(homes)), key=lambda number: homes[number][0]):
        numbers = list(group)
        mine = slice(numbers[0], numbers[-1] + 1)
        found[asn] = _counted(reported[mine], ran[mine])
    return found


def _hours(
    months: Sequence[tuple[date, list[int], list[int], bytes]],
    homes: Sequence[tuple[int, int]],
    start: datetime,
    hours: int,
) -> NDArray[np.bool_]:
    """Lay the months of each home side by side: homes by the hours from ``start``."""
    ran = np.zeros((len(homes), hours), dtype=np.bool_)
    place = {home: number for number, home in enumerate(homes)}
    for month, asns, households, packed in months:
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).view(np.bool_).reshape(len(asns), -1)
        first = (datetime(month.year, month.month, 1, tzinfo=UTC) - start) // HOUR
        begin, over = max(0, first), min(hours, first + bits.shape[1])
        # The bits behind a short month's end are never set, so they may be laid over the next month's.
        numbers = [place[home] for home in zip(asns, households, strict=True)]
        ran[numbers, begin:over] |= bits[:, begin - first : over - first]
    return ran


def _counted(reported: NDArray[np.bool_], ran: NDArray[np.bool_]) -> Coverage:
    """Sum up who reported, homes by bins, and who ran, homes by bins by hours."""
    return Coverage(tuple(reported.sum(axis=0).tolist()), tuple(ran.any(axis=0).sum(axis=1).tolist()))
