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
SELECT p.asn, p.household_key, c.month, substr(bit_send(bit_or(c.hours)), 5)
  FROM probe p JOIN coverage_month c USING (probe_key)
 WHERE p.cc = %(cc)s AND p.status = 'active' AND NOT p.is_anchor
   AND c.month >= date_trunc('month', %(start)s AT TIME ZONE 'UTC') AND c.month < %(end)s AT TIME ZONE 'UTC'
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
"""One row a home and month. What ``bit_send`` puts before the bits is their number, in four bytes."""


@dataclass(frozen=True, slots=True)
class CoverageCell:
    """Households of one network, or of all of them, with at least one measurement in the bin that begins at ``at``."""

    asn: int | None
    """None: all networks together."""
    at: datetime
    households: int
    hours: int
    """Hours of the bin with at least one measurement."""


def read_coverage(conn: Connection, cc: str, *, start: datetime, end: datetime, step: timedelta) -> list[CoverageCell]:
    """Count reporting households of the country and of each network, bin by bin; bins without any are left out.

    ``start`` is on the hour, ``step`` is whole hours, and ``end`` is whole steps later.
    """
    rows = conn.execute(_SQL, {"cc": cc, "start": start, "end": end}).fetchall()
    homes = [(asn, household) for (asn, household), _ in groupby(rows, key=lambda row: (row[0], row[1]))]
    ran = _hours(rows, homes, start, (end - start) // HOUR).reshape(len(homes), (end - start) // step, step // HOUR)
    asns = np.array([asn for asn, _ in homes], dtype=np.int64)
    cells = _cells(None, ran, start, step)
    for asn in dict.fromkeys(asn for asn, _ in homes):
        cells += _cells(asn, ran[asns == asn], start, step)
    return cells


def _hours(
    rows: Sequence[tuple[int, int, date, bytes]], homes: Sequence[tuple[int, int]], start: datetime, hours: int
) -> NDArray[np.bool_]:
    """Lay the months of each home side by side: homes by the hours from ``start``."""
    ran = np.zeros((len(homes), hours), dtype=np.bool_)
    place = {home: number for number, home in enumerate(homes)}
    for month in sorted({row[2] for row in rows}):
        mine = [row for row in rows if row[2] == month]
        packed = np.frombuffer(b"".join(row[3] for row in mine), dtype=np.uint8).reshape(len(mine), -1)
        bits = np.unpackbits(packed, axis=1).view(np.bool_)
        first = (datetime(month.year, month.month, 1, tzinfo=UTC) - start) // HOUR
        begin, over = max(0, first), min(hours, first + bits.shape[1])
        # The bits behind a short month's end are never set, so they may be laid over the next month's.
        ran[[place[row[0], row[1]] for row in mine], begin:over] |= bits[:, begin - first : over - first]
    return ran


def _cells(asn: int | None, ran: NDArray[np.bool_], start: datetime, step: timedelta) -> list[CoverageCell]:
    """Sum up homes by bins by hours."""
    households, hours = ran.any(axis=2).sum(axis=0).tolist(), ran.any(axis=0).sum(axis=1).tolist()
    return [
        CoverageCell(asn, start + step * index, number, hours[index])
        for index, number in enumerate(households)
        if number
    ]
