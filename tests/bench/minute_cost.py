"""What one more minute of many probes costs the detector: the first tick of a process, then ticks after new rows.

Rows are stored and marked as ingest does it, and taken up by the job's own functions. Each tick is whole, from reading
the window to the versions that would be written (a dry run), but for targets, which are measured more seldom.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context

import psycopg
from rich.console import Console
from rich.table import Table

from civobs_collector.config import CollectorSettings, DatabaseSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.detect_role import detect_once
from civobs_collector.ingest.store import mark_dirty
from civobs_collector.rollups import BUCKET, fold_whole_days, roll_up
from tests.bench.country_year import END, LADDER_STEP, OUTSIDE, Size

PARTS = (4, 2, 1)
"""The probes divided by these."""
_MINUTE = timedelta(minutes=1)
_LATE = timedelta(hours=20)
_HOUR_S = 3600
_ROWS = """
INSERT INTO measurement
  (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity, value, ms)
SELECT at, at, probe_key, target_key, extract(epoch FROM at)::int8, 5, 1, 0, 4, 0, 1, 20
  FROM probe CROSS JOIN target CROSS JOIN unnest(%(times)s::timestamptz[]) at
 WHERE status = 'active' AND name IN ('L4', 'L5') AND probe_key <= %(most)s
"""


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick, or what the job did."""

    what: str
    probes: int
    window: int
    """Rows of ``measurement`` in the detector's window."""
    touched: int
    """Rows that came since the tick before, or since what was there was folded."""
    seconds: float
    peak_mib: float
    """Of the process, until then."""


def minute(dsn: str, size: Size, say: Callable[[str], None]) -> list[Tick]:
    """Tick with a part of the probes and with all of them, each in a process of its own."""
    found: list[Tick] = []
    for number, part in enumerate(PARTS):
        some = Size(size.probes // part, size.targets, size.days)
        with psycopg.connect(dsn) as conn:
            conn.execute(
                "UPDATE probe SET status = CASE WHEN probe_key > %s THEN 'revoked' ELSE 'active' END", (some.probes,)
            )
        with get_context("spawn").Pool(1) as pool:
            found += pool.apply(ticked, (dsn, some, number))
        say(f"{some.probes} probes: {', '.join(f'{one.what} {one.seconds:.1f} s' for one in found[-5:])}")
    return found


def ticked(dsn: str, size: Size, number: int = 0) -> list[Tick]:
    """Tick, store a minute, tick, store an hour of one probe that is 20 hours old, tick, take it up, tick."""
    settings = CollectorSettings(database=DatabaseSettings(dsn=dsn, statement_timeout_s=_HOUR_S))
    window = size.days * (size.rows_a_day // (size.probes + OUTSIDE)) * size.probes
    # A quarter of an hour for each part, so that each begins with everything rolled up.
    now = END + number * 3 * BUCKET + _MINUTE
    found = []
    with connect(settings.database, "detect") as conn, connect(settings.database, "ingest") as ingest:

        def tick(what: str, touched: int) -> None:
            started = time.monotonic()
            detect_once(conn, settings, now, dry_run=True, since=now - timedelta(days=size.days), services=False)
            seconds = time.monotonic() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            found.append(Tick(what, size.probes, window, touched, seconds, peak))

        tick("first", _store(ingest, [now], size.probes))
        now += _MINUTE
        tick("minute", _store(ingest, [now], size.probes))
        now += _MINUTE
        late = now - _LATE
        tick("late", _store(ingest, [late + LADDER_STEP * step for step in range(12)], 1))
        started = time.monotonic()
        later = now + 2 * BUCKET
        while roll_up(ingest, later) or fold_whole_days(ingest, later):
            pass
        ingest.commit()
        found.append(Tick("job", size.probes, window, 4 * size.probes + 24, time.monotonic() - started, 0))
        now = later
        tick("idle", 0)
    return found


def _store(conn: Connection, times: list, most: int) -> int:
    """Rows of L4 and L5 at these times of the first probes, with marks and a sign of life; returns how many."""
    for day in sorted({at.date() for at in times}):
        conn.execute("SELECT ensure_day(%s)", (day,))
    stored = conn.execute(_ROWS, {"times": times, "most": most}).rowcount
    midnight = END - timedelta(days=2)
    starts = {midnight + (at - midnight) // BUCKET * BUCKET for at in times}
    keys = [key for (key,) in conn.execute("SELECT probe_key FROM probe WHERE probe_key <= %s", (most,))]
    mark_dirty(conn, [(start, key) for start in starts for key in keys])
    conn.execute(
        "INSERT INTO collector_beat VALUES (%s, 'ingest', 'bench', true) ON CONFLICT DO NOTHING", (max(times),)
    )
    conn.commit()
    return stored


def show(ticks: list[Tick], console: Console) -> None:
    """Print the table."""
    table = Table("", "probes", "rows in the window", "rows touched", "s", "peak MiB", "µs a row touched", box=None)
    for one in ticks:
        table.add_row(
            one.what,
            str(one.probes),
            f"{one.window:,}",
            f"{one.touched:,}",
            f"{one.seconds:.2f}",
            f"{one.peak_mib:.0f}" if one.peak_mib else "-",
            f"{one.seconds / one.touched * 1e6:.2f}" if one.touched else "-",
        )
    console.print(table)
