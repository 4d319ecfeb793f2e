"""Compares what the probes recorded with what the database holds, row by row.

A probe numbers its rows from 1 without gaps, so what it recorded is known from its own count, without asking the
collector; every one of those numbers must be in the database exactly once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from civobs_lab.lab import Lab

_COUNTS = """
SELECT count(m.seq) AS rows, count(DISTINCT m.seq) AS numbers
FROM unnest(%(probes)s::text[], %(lasts)s::int8[]) AS wanted(probe_id, last)
JOIN probe ON probe.probe_id = wanted.probe_id
LEFT JOIN measurement m ON m.probe_key = probe.probe_key AND m.seq BETWEEN 1 AND wanted.last
GROUP BY probe.probe_id
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account of all probes together."""

    recorded: int
    """Rows the probes had recorded when they were asked."""
    stored: int
    """Of these, rows in the database, doubled ones counted as often as they are there."""
    lost: int
    """Recorded and not in the database."""
    doubled: int
    """In the database more than once."""


def recorded_rows(lab: Lab) -> dict[str, int]:
    """How many rows each probe has recorded so far, by its own account. A probe without an id has none to deliver."""
    found = {}
    for probe in lab.probes:
        status = probe.status()
        if status is not None and status.probe_id is not None:
            found[status.probe_id] = status.rows
    return found


def balance(lab: Lab, recorded: Mapping[str, int]) -> Ledger:
    """Look up every row number up to each probe's count."""
    values = {"probes": list(recorded), "lasts": list(recorded.values())}
    rows = lab.observatory.query(_COUNTS, values)
    expected = sum(recorded.values())
    return Ledger(
        recorded=expected,
        stored=sum(row["rows"] for row in rows),
        lost=expected - sum(row["numbers"] for row in rows),
        doubled=sum(row["rows"] - row["numbers"] for row in rows),
    )
