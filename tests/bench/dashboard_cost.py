"""What Grafana's dashboards and alert rules cost the database: each statement as Grafana sends it, by its own role.

Beside a country's year stand what dashboards read and pages do not: batches, roll-ups of five minutes and gauges of the
last month. Of each dashboard the slowest statement is told, over a day and over a month that ends with the rows.
"""

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from civobs_collector.gauges import GAUGES
from civobs_collector.grafana.rules import RULES
from tests.bench.country_year import END, Size
from tests.dashboards.grafana_sql import Window, as_grafana, run

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
ALERTS = "alert rules"
MONTH_D = 30
WINDOWS = {
    "1d": Window(END - timedelta(days=1), END, timedelta(minutes=5)),
    "30d": Window(END - timedelta(days=MONTH_D), END, timedelta(hours=1)),
}
_AGAIN = 5
"""Times the slowest is asked once more."""

_BATCHES = """
INSERT INTO batch
SELECT probe_key, extract(epoch FROM at)::int8 / 60, gen_random_uuid(), at, at + interval '2 seconds', 20,
       extract(epoch FROM at)::int8, extract(epoch FROM at)::int8 + 19, 'synced', 20, 'bench', NULL,
       sha256(probe_key::text::bytea), 'bench', 0
  FROM probe CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 minute', interval '1 minute') at
"""
_ROLLUP = """
INSERT INTO rollup_5m (bucket, probe_key, kind, target_key, family, n, n_ok, n_not_run, ms_hist)
SELECT date_bin('5 minutes', ts, timestamptz '2020-01-01Z'), probe_key, kind, target_key, 4, count(*),
       count(*) FILTER (WHERE outcome = 0), 0, '{}'
  FROM measurement WHERE ts >= %(start)s AND ts < %(end)s GROUP BY 1, 2, 3, 4
"""
_GAUGES = """
INSERT INTO gauge_sample (at, role, instance, name, label, value)
SELECT at, role, 'bench', name, label, 1 + sin(extract(epoch FROM at) / 3600)
  FROM unnest(%(names)s::text[], %(roles)s::text[], %(labels)s::text[]) g (name, role, label)
 CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 minute', interval '1 minute') at
"""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement of a dashboard, or of a rule."""

    dashboard: str
    what: str
    raw_sql: str


@dataclass(frozen=True, slots=True)
class Cost:
    """How long one statement took each time, seconds, over one range."""

    query: Query
    range: str
    seconds: tuple[float, ...]
    asked: int
    """How many statements of the dashboard it is the slowest of."""


def fill_beside(dsn: str, size: Size) -> None:
    """Write what dashboards read besides the year."""
    start = END - timedelta(days=min(size.days, MONTH_D))
    values: dict[str, Any] = {"start": start, "end": END}
    of_labels = {"": [""], "folder": ["/archive", "/database"], "file": ["/server.pem", "/ca.pem"]}
    roles = {"every": ("ingest", "detect", "api")}
    gauges = [
        (gauge.name, role, label)
        for gauge in GAUGES.values()
        for role in roles.get(gauge.role, (gauge.role,))
        for label in of_labels[gauge.label]
    ]
    for name, column in zip(("names", "roles", "labels"), zip(*gauges, strict=True), strict=True):
        values[name] = list(column)
    with psycopg.connect(dsn, autocommit=True) as conn, psycopg.ClientCursor(conn) as cursor:
        for statement in (_BATCHES, _ROLLUP, _GAUGES):
            cursor.execute(statement.encode(), values)
        cursor.execute("VACUUM ANALYZE")


def read_dashboards() -> dict[str, dict[str, Any]]:
    """The committed dashboards, by title."""
    found = [json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))]
    return {one["title"]: one for one in found}


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Every statement of a dashboard's panels and annotations; variables are asked for on the way."""
    for panel in _panels(dashboard["panels"]):
        for target in panel.get("targets", ()):
            yield Query(dashboard["title"], panel.get("title", ""), target["rawSql"])
    for one in dashboard.get("annotations", {}).get("list", ()):
        if "rawSql" in one.get("target", {}):
            yield Query(dashboard["title"], f"annotation {one['name']}", one["target"]["rawSql"])


def _panels(panels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", ()))


def choose(
    conn: psycopg.Connection[Any], dashboard: Mapping[str, Any], window: Window
) -> tuple[dict[str, str | Sequence[str]], list[tuple[Query, float]]]:
    """The first value of each variable, all of those that take several; and what asking for them cost."""
    values: dict[str, str | Sequence[str]] = {}
    costs: list[tuple[Query, float]] = []
    for one in dashboard.get("templating", {}).get("list", ()):
        if one["type"] == "query":
            raw_sql = one["query"] if isinstance(one["query"], str) else one["query"]["rawSql"]
            query = Query(dashboard["title"], f"variable {one['name']}", raw_sql)
            began = time.perf_counter()
            answer = run(conn, raw_sql, window, values)
            costs.append((query, time.perf_counter() - began))
            column = "__value" if "__value" in answer.types else next(iter(answer.types))
            values[one["name"]] = str(answer.column(column)[0])
        if one["type"] == "constant":
            values[one["name"]] = one["query"]
        if one.get("includeAll"):
            values[one["name"]] = [one["allValue"].strip("'")]
    return values, costs


def measure(dsn: str, *, again: int = _AGAIN) -> list[Cost]:
    """The slowest statement of each dashboard, and of the rules, over each range."""
    found: list[Cost] = []
    with as_grafana(dsn) as conn:
        for title, dashboard in read_dashboards().items():
            for name, window in WINDOWS.items():
                values, costs = choose(conn, dashboard, window)
                costs += [(one, _seconds(conn, one.raw_sql, window, values)) for one in queries(dashboard)]
                found.append(_slowest(conn, title, name, costs, values, again=again))
        rules = [Query(ALERTS, rule.id, rule.sql) for rule in RULES if not rule.retired]
        costs = [(one, _seconds(conn, one.raw_sql, WINDOWS["1d"], {})) for one in rules]
        found.append(_slowest(conn, ALERTS, "1d", costs, {}, again=again))
    return found


def _slowest(
    conn: psycopg.Connection[Any],
    title: str,
    name: str,
    costs: Sequence[tuple[Query, float]],
    values: Mapping[str, str | Sequence[str]],
    *,
    again: int,
) -> Cost:
    query, first = max(costs, key=lambda one: one[1])
    later = [_seconds(conn, query.raw_sql, WINDOWS[name], values) for _ in range(again)]
    return Cost(Query(title, query.what, query.raw_sql), name, (first, *later), len(costs))


def _seconds(
    conn: psycopg.Connection[Any], raw_sql: str, window: Window, values: Mapping[str, str | Sequence[str]]
) -> float:
    began = time.perf_counter()
    run(conn, raw_sql, window, values)
    return time.perf_counter() - began


def show(costs: Sequence[Cost], console: Console) -> None:
    """Print a line for each dashboard and range."""
    table = Table("dashboard", "range", "statements", "slowest", "first ms", "p50", "max", box=None)
    for one in costs:
        times = (one.seconds[0], statistics.median(one.seconds), max(one.seconds))
        table.add_row(
            *(one.query.dashboard, one.range, str(one.asked), one.query.what),
            *(f"{seconds * 1000:.0f}" for seconds in times),
        )
    console.print(table)
