"""Grafana's SQL as Grafana would send it, against a real database: macros and variables expanded, run as its role.

For every test of a panel's, variable's, annotation's or alert rule's query::

    with as_grafana(dsn) as conn:
        answer = run(conn, raw_sql, Window(start, end), {"cc": "KE"})
    assert answer.types == {"time": "timestamptz", "value": "float8"}

``expand`` knows the macros and the forms of variables that are used here and refuses every other, so that nothing is
sent to a Grafana that this did not try. The macros are those of Grafana 13's PostgreSQL data source
(``pkg/tsdb/grafana-postgresql-datasource/macros.go``), with ``timescaledb: false``: plain SQL, which both kinds of
server understand. Alert rules are the same; to ask one for many moments in one statement, expand it with
``Window(..., to_sql="minute.at")`` and put it into a ``LATERAL`` behind ``generate_series(...) AS minute (at)``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from civobs_collector.db.grafana_role import ROLE

TIMEOUT = "15s"
"""As operating/grafana.md sets it for Grafana's login."""

Values = Mapping[str, str | Sequence[str]]
"""What is chosen of each variable: a text, or several of one that takes several."""


@dataclass(frozen=True, slots=True)
class Window:
    """The dashboard's time range."""

    start: datetime
    end: datetime
    interval: timedelta = timedelta(minutes=5)
    to_sql: str | None = None
    """What ``$__timeTo()`` becomes in place of the end: a column, to ask for many moments at once."""
    from_sql: str | None = None

    @property
    def low(self) -> str:
        return self.from_sql or f"'{_iso(self.start)}'"

    @property
    def high(self) -> str:
        return self.to_sql or f"'{_iso(self.end)}'"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the type of each column by its name, in order, and the rows."""

    types: dict[str, str]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        """All values of one column."""
        place = list(self.types).index(name)
        return [row[place] for row in self.rows]


@contextmanager
def as_grafana(dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection with the rights and limits of Grafana's login, and no others."""
    with psycopg.connect(dsn, autocommit=True, options="-c TimeZone=UTC") as conn:
        conn.execute(f"SET ROLE {ROLE}")
        conn.execute(f"SET statement_timeout = '{TIMEOUT}'")
        conn.execute("SET default_transaction_read_only = on")
        conn.execute("SET jit = off")
        yield conn


def run(conn: psycopg.Connection[Any], raw_sql: str, window: Window, values: Values | None = None) -> Answer:
    """Expand and ask. Raises what ``expand`` does, and psycopg.Error for what the server refuses."""
    cursor = conn.execute(expand(raw_sql, window, values or {}).encode())
    assert cursor.description is not None
    types = {one.name: one.type_display for one in cursor.description}
    assert len(types) == len(cursor.description), f"a column's name twice: {raw_sql}"
    return Answer(types, cursor.fetchall())


def expand(raw_sql: str, window: Window, values: Values) -> str:
    """The statement as the server gets it: variables first. Raises ValueError for what is not known."""
    text = _VARIABLE.sub(lambda found: _value(found, window, values), raw_sql)
    for name, macro in _MACROS.items():
        pattern = re.compile(r"\$__" + name + r"\(([^()]*)\)")
        text = pattern.sub(lambda found, macro=macro: macro(window, _arguments(found[1])), text)  # type: ignore[misc]
    if (left := re.search(r"\$\{?\w+.{0,30}", text)) is not None:
        raise ValueError(f"not known to this harness: {left[0]}")
    return text


_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<form>\w+))?\}|\$(?P<plain>__interval_ms|__interval|(?!__)\w+)")


def _value(found: re.Match[str], window: Window, values: Values) -> str:
    name, form = found["name"] or found["plain"], found["form"]
    match name:
        case "__interval":
            return _short(window.interval)
        case "__interval_ms":
            return f"{window.interval.total_seconds() * 1000:.0f}"
        case _ if name not in values:
            raise ValueError(f"the query asks for ${name}, which the dashboard does not have")
    chosen = values[name]
    several = [chosen] if isinstance(chosen, str) else list(chosen)
    match form:
        case "sqlstring":
            return ",".join(_quoted(one) for one in several)
        case "raw" if isinstance(chosen, str):
            return chosen
        case "csv":
            return ",".join(several)
        case None if isinstance(chosen, str):
            # One value of a variable that takes one, with quotes doubled.
            return chosen.replace("'", "''")
    raise ValueError(f"not known to this harness: ${{{name}:{form}}}")


def _short(length: timedelta) -> str:
    """As Grafana writes an interval; PostgreSQL reads it."""
    seconds = round(length.total_seconds())
    unit, size = next(
        (unit, size) for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % size == 0
    )
    return f"{seconds // size}{unit}"


def _arguments(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _time_filter(window: Window, arguments: list[str]) -> str:
    (column,) = arguments
    return f"{column} BETWEEN {window.low} AND {window.high}"


def _time_group(_: Window, arguments: list[str]) -> str:
    column, step = arguments[0], _seconds(arguments[1].strip("'"))
    return f"floor((extract(epoch from {column}))/{step})*{step}"


def _seconds(text: str) -> str:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise ValueError(f"no interval: {text}")
    return str(int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]])


_MACROS = {
    "timeFilter": _time_filter,
    "timeFrom": lambda window, _: window.low,
    "timeTo": lambda window, _: window.high,
    "timeGroupAlias": lambda window, arguments: f'{_time_group(window, arguments)} AS "time"',
    "timeGroup": _time_group,
    "unixEpochFrom": lambda window, _: str(int(window.start.timestamp())),
    "unixEpochTo": lambda window, _: str(int(window.end.timestamp())),
}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
