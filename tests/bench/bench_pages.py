"""How long a reader waits for a page of a country's year with more than ten million rows stored.

Asked is ``civobs serve --roles api``, over HTTP on this machine, one reader at a time. "At once" is the first request
of a new process, sent as soon as it listens; "cold" the first of one that has stood for some seconds, as it has when a
reader comes: its renderer runs, and no page was drawn; "warm" what follows. Then the slowest statement of each of
Grafana's dashboards, asked of the same database. Prints numbers and judges nothing.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from civobs_collector.detect.record import Transition
from civobs_collector.keys import make_key
from civobs_lab.postgres import Kind
from tests.bench import dashboard_cost
from tests.bench.country_year import END, Size, filled
from tests.collector.fix_services import blocking_record
from tests.collector.fix_web import add_event, shutdown_record

WHOLE, SMALL = Size(probes=50, targets=50, days=365), Size(probes=6, targets=4, days=3)
EVENTS = 60
"""On the country's record in this year."""
PAGES = (
    "/countries/KE?period=1y",
    "/countries/KE?period=30d",
    "/countries/KE?period=24h",
    "/",
    "/events/CIV-2026-KE-0001",
    "/events/CIV-2026-KE-0002",
    "/api/v1/events?cc=KE",
)
"""The second event is a blocking."""

STANDS_S = 5.0
"""After this a process has done what it does when it starts."""


def publish(conn: psycopg.Connection, days: int) -> None:
    """Put events on record, evenly over the year: every second one a blocking."""
    for number in range(EVENTS):
        start = END - timedelta(days=days) * (number + 1) / (EVENTS + 1)
        record = (blocking_record if number % 2 else shutdown_record)(
            event_key=UUID(int=number + 1),
            onset=Transition(earliest=start, latest=start + timedelta(minutes=2)),
            resolution=Transition(earliest=start + timedelta(hours=4), latest=start + timedelta(hours=5)),
            per_signal=(),
            dating=None,
        )
        grid = record.grid.model_copy(update={"start": start - timedelta(hours=1)})
        add_event(
            conn, f"CIV-2026-KE-{number + 1:04d}", [("new", "detected", record.model_copy(update={"grid": grid}))]
        )


@contextmanager
def served(dsn: str, folder: Path) -> Iterator[httpx.Client]:
    """A process of its own, from when it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = {name: str(folder / f"{name}.key") for name in ("plan", "receipt")}
    for path in keys.values():
        make_key(Path(path))
    settings = {
        "CIVOBS_DATABASE__DSN": dsn,
        "CIVOBS_API__PORT": str(port),
        "CIVOBS_KEYS__PLAN_KEY": keys["plan"],
        "CIVOBS_KEYS__RECEIPT_KEY": keys["receipt"],
    }
    command = [sys.executable, "-m", "civobs_collector", "serve", "--roles", "api"]
    with (
        subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        try:
            while not _listens(port):
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
                time.sleep(0.01)
            yield client
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def measured(dsn: str, path: str, *, cold: int, warm: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of the first request of new processes, at once and later, and of what follows in the last of them."""
    at_once, first, later = [], [], []
    for number in range(cold):
        for stands, seconds in ((0.0, at_once), (STANDS_S, first)):
            with tempfile.TemporaryDirectory() as folder, served(dsn, Path(folder)) as client:
                time.sleep(stands)
                seconds.append(_seconds(client, path))
                if stands and number == cold - 1:
                    later = [_seconds(client, path) for _ in range(warm)]
    return at_once, first, later


def _seconds(client: httpx.Client, path: str) -> float:
    started = time.perf_counter()
    answer = client.get(path)
    took = time.perf_counter() - started
    answer.raise_for_status()
    return took


def show(size: Size, found: dict[str, tuple[list[float], list[float], list[float]]], console: Console) -> None:
    """Print a line for each page."""
    table = Table("page", "at once p50 ms", "cold p50", "cold p95", "warm p50", "warm p95", "warm max", box=None)
    for path, (at_once, first, later) in found.items():
        numbers = (
            statistics.median(at_once),
            statistics.median(first),
            _p95(first),
            statistics.median(later),
            _p95(later),
            max(later),
        )
        table.add_row(path, *(f"{number * 1000:.0f}" for number in numbers))
    console.print(f"{size.rows:,} rows of {size.probes} probes over {size.days} days, {EVENTS} events")
    console.print(table)


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main(argv: list[str] | None = None) -> int:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench pages", description=__doc__)
    parser.add_argument("--small", action="store_true", help="very small, to see that it runs")
    parser.add_argument(
        "--server", type=Kind, choices=list(Kind), default=Kind.TIMESCALE, help="(default: %(default)s)"
    )
    parser.add_argument("--only", choices=("pages", "dashboards"), help="one of both (default: both)")
    arguments = parser.parse_args(argv)
    console = Console()
    size, cold, warm = (SMALL, 2, 3) if arguments.small else (WHOLE, 10, 100)
    console.print(f"filling {size.rows:,} rows …")
    with filled(size, arguments.server) as dsn:
        with psycopg.connect(dsn) as conn:
            publish(conn, size.days)
        if arguments.only != "dashboards":
            show(size, {path: measured(dsn, path, cold=cold, warm=warm) for path in PAGES}, console)
        if arguments.only != "pages":
            dashboard_cost.fill_beside(dsn, size)
            dashboard_cost.show(dashboard_cost.measure(dsn), console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
