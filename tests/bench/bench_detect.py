"""What detection costs: a country's year computed anew, one more minute of many probes, and services blocked for long.

All run as the collector runs them, from rows in a real PostgreSQL to the versions that would be written (a dry run),
in a process of their own, so that its memory is its own. The year is also computed in parts: the cost of a row should
not grow with the number of rows. The minute is in ``minute_cost``. Prints numbers and judges nothing.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing import get_context

import psycopg
from rich.console import Console
from rich.table import Table

from civobs_collector.config import CollectorSettings, DatabaseSettings
from civobs_collector.db.connect import Connection, connect
from civobs_collector.detect_role import detect_once
from civobs_collector.service_days import Memory
from civobs_lab.postgres import Kind
from tests.bench import minute_cost
from tests.bench.country_year import END, Size, filled

YEAR = Size(probes=50, targets=500, days=365)
MINUTE = Size(probes=1000, targets=0, days=30)
"""As many days as the detector's trailing window has by default."""
BLOCKED = Size(probes=50, targets=500, days=30, blocked=100)
"""Services that stay blocked are looked at for as long as the window goes back, every five minutes."""
SMALL_BLOCKED = Size(probes=8, targets=12, days=6, blocked=4)
SMALL_YEAR, SMALL_MINUTE = Size(probes=8, targets=12, days=12), Size(probes=12, targets=0, days=2)
"""To see that all of it runs."""
PARTS = (9, 3, 1)
"""The year divided by these."""
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """One run."""

    what: str
    size: Size
    seconds: float
    peak_mib: float
    touched: int
    """Rows and entries of indices that the database looked at."""
    events: int
    versions: int

    @property
    def rows(self) -> int:
        """Rows of ``measurement`` in its window."""
        return self.size.rows


@dataclass(frozen=True, slots=True)
class Task:
    """What a process of its own is to do."""

    dsn: str
    size: Size

    @property
    def settings(self) -> CollectorSettings:
        return CollectorSettings(database=DatabaseSettings(dsn=self.dsn, statement_timeout_s=_HOUR_S))


def anew(task: Task) -> list[Cost]:
    """Detect once over all its days and write nothing."""
    with connect(task.settings.database, "detect") as conn:
        return [_measured(task, conn, "full", END, since=END - timedelta(days=task.size.days))]


def live(task: Task) -> list[Cost]:
    """Publish what is blocked, and look again five minutes later: as the role does it, and without services."""
    memory = Memory()
    before = END - timedelta(minutes=65)
    with connect(task.settings.database, "detect") as conn:
        detect_once(conn, task.settings, before, services=Memory())
        return [
            _measured(task, conn, "after a start", before, services=memory),
            _measured(task, conn, "5 min later", before + timedelta(minutes=5), services=memory),
            _measured(task, conn, "without services", before + timedelta(minutes=5), services=False),
        ]


def _measured(
    task: Task,
    conn: Connection,
    what: str,
    now: datetime,
    *,
    since: datetime | None = None,
    services: Memory | bool = True,
) -> Cost:
    before = _touched(conn, task.dsn)
    started = time.monotonic()
    report = detect_once(conn, task.settings, now, dry_run=True, since=since, services=services)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    touched = _touched(conn, task.dsn) - before
    return Cost(what, task.size, seconds, peak, touched, report.n_events, len(report.changes))


def _touched(conn: Connection, dsn: str) -> int:
    """Rows and entries of indices that were looked at up to now."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    conn.commit()
    with psycopg.connect(dsn) as other:
        row = other.execute("SELECT tup_returned FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return 0 if row is None else int(row[0])


def year(size: Size, kind: Kind, say: Callable[[str], None]) -> list[Cost]:
    """Compute the year in parts and as a whole."""
    with _told(size, kind, say) as dsn:
        found = []
        for part in PARTS:
            some = replace(size, days=size.days // part)
            found += _costs(anew, Task(dsn, some))
            say(f"{some.days} days in {found[-1].seconds:.1f} s")
        return found


def blocked(size: Size, kind: Kind, say: Callable[[str], None]) -> list[Cost]:
    """Look at services that stay blocked."""
    with _told(size, kind, say) as dsn:
        return _costs(live, Task(dsn, size))


@contextmanager
def _told(size: Size, kind: Kind, say: Callable[[str], None]) -> Iterator[str]:
    started = time.monotonic()
    say(f"filling {size.rows:,} rows of {size.probes} probes and {size.targets} targets over {size.days} days …")
    with filled(size, kind) as dsn:
        say(f"filled in {time.monotonic() - started:.0f} s")
        yield dsn


def _costs(work: Callable[[Task], list[Cost]], task: Task) -> list[Cost]:
    """Do it in a new process, which has loaded nothing and holds nothing."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (task,))


def show(costs: list[Cost], console: Console) -> None:
    """Print the table; the last column is what tells whether the cost is linear."""
    table = Table(
        "", "probes", "targets", "days", "rows", "touched", "s", "MiB", "events", "versions", "µs a row", box=None
    )
    for one in costs:
        table.add_row(
            one.what,
            str(one.size.probes),
            str(one.size.targets),
            str(one.size.days),
            f"{one.rows:,}",
            f"{one.touched:,}",
            f"{one.seconds:.1f}",
            f"{one.peak_mib:.0f}",
            str(one.events),
            str(one.versions),
            f"{one.seconds / one.rows * 1e6:.2f}",
        )
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """Run all, or one of them."""
    parser = argparse.ArgumentParser(prog="scripts/bench detect", description=__doc__)
    parser.add_argument("--only", choices=("year", "minute", "blocked"), help="one of the three")
    parser.add_argument("--small", action="store_true", help="very small, to see that it runs")
    parser.add_argument("--days", type=int, help="of the year: fewer are quicker")
    parser.add_argument(
        "--server", type=Kind, choices=list(Kind), default=Kind.TIMESCALE, help="(default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    console = Console(width=120)
    small = arguments.small
    whole, tick, long = (SMALL_YEAR, SMALL_MINUTE, SMALL_BLOCKED) if small else (YEAR, MINUTE, BLOCKED)
    whole = replace(whole, days=arguments.days or whole.days)
    if arguments.only in {None, "year"}:
        show(year(whole, arguments.server, console.print), console)
    if arguments.only in {None, "minute"}:
        with _told(tick, arguments.server, console.print) as dsn:
            minute_cost.show(minute_cost.minute(dsn, tick, console.print), console)
    if arguments.only in {None, "blocked"}:
        show(blocked(long, arguments.server, console.print), console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
