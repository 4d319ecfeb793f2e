"""What detection costs: a country's year computed anew, and one more minute of many probes (``minute_cost``).

Both run as the collector runs them, from rows in a real PostgreSQL to the versions that would be written (a dry run),
each in a process of its own, so that its memory is its own. The year is also computed in parts: the cost of a row
should not grow with the number of rows. Prints numbers and judges nothing.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table

from civobs_collector.config import CollectorSettings, DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect_role import detect_once
from civobs_lab.postgres import Kind
from tests.bench import minute_cost
from tests.bench.country_year import END, Size, filled

YEAR = Size(probes=50, targets=500, days=365)
MINUTE = Size(probes=1000, targets=0, days=30)
"""As many days as the detector's trailing window has by default."""
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
    days: int
    services: bool


def computed(task: Task) -> tuple[float, float, int, int]:
    """Detect once and write nothing: seconds, peak memory in MiB, events, versions."""
    settings = CollectorSettings(database=DatabaseSettings(dsn=task.dsn, statement_timeout_s=_HOUR_S))
    with connect(settings.database, "detect") as conn:
        conn.execute("SELECT FROM measurement LIMIT 1")
        conn.rollback()
        started = time.monotonic()
        report = detect_once(
            conn, settings, END, dry_run=True, since=END - timedelta(days=task.days), services=task.services
        )
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak, report.n_events, len(report.changes)


def year(size: Size, kind: Kind, say: Callable[[str], None]) -> list[Cost]:
    """Compute the year in parts and as a whole."""
    with _told(size, kind, say) as dsn:
        found = []
        for part in PARTS:
            some = replace(size, days=size.days // part)
            found.append(_cost("full", some, Task(dsn, some.days, services=True)))
            say(f"{some.days} days in {found[-1].seconds:.1f} s")
        return found


@contextmanager
def _told(size: Size, kind: Kind, say: Callable[[str], None]) -> Iterator[str]:
    started = time.monotonic()
    say(f"filling {size.rows:,} rows of {size.probes} probes and {size.targets} targets over {size.days} days …")
    with filled(size, kind) as dsn:
        say(f"filled in {time.monotonic() - started:.0f} s")
        yield dsn


def _cost(what: str, size: Size, task: Task) -> Cost:
    """Do it in a new process, which has loaded nothing and holds nothing."""
    with get_context("spawn").Pool(1) as pool:
        seconds, peak, n_events, n_versions = pool.apply(computed, (task,))
    return Cost(what, size, seconds, peak, n_events, n_versions)


def show(costs: list[Cost], console: Console) -> None:
    """Print the table; the last column is what tells whether the cost is linear."""
    table = Table("", "probes", "targets", "days", "rows", "s", "MiB", "events", "versions", "µs a row", box=None)
    for one in costs:
        table.add_row(
            one.what,
            str(one.size.probes),
            str(one.size.targets),
            str(one.size.days),
            f"{one.rows:,}",
            f"{one.seconds:.1f}",
            f"{one.peak_mib:.0f}",
            str(one.events),
            str(one.versions),
            f"{one.seconds / one.rows * 1e6:.2f}",
        )
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """Run both, or one of them."""
    parser = argparse.ArgumentParser(prog="scripts/bench detect", description=__doc__)
    parser.add_argument("--only", choices=("year", "minute"), help="one of the two")
    parser.add_argument("--small", action="store_true", help="very small, to see that it runs")
    parser.add_argument("--days", type=int, help="of the year: fewer are quicker")
    parser.add_argument(
        "--server", type=Kind, choices=list(Kind), default=Kind.TIMESCALE, help="(default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    console = Console()
    whole, tick = (SMALL_YEAR, SMALL_MINUTE) if arguments.small else (YEAR, MINUTE)
    whole = replace(whole, days=arguments.days or whole.days)
    if arguments.only != "minute":
        costs = year(whole, arguments.server, console.print)
        show(costs, console)
    if arguments.only != "year":
        with _told(tick, arguments.server, console.print) as dsn:
            minute_cost.show(minute_cost.minute(dsn, tick, console.print), console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
