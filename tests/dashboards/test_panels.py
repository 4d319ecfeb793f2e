"""What every panel, variable and annotation asks is asked here, as Grafana's role, and gives what its form needs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.grafana_sql import Answer, as_grafana, run

pytestmark = pytest.mark.db

FILES = sorted((Path(__file__).parents[2] / "dashboards").glob("*.json"))
_ALL = ["__all"]
_SHOWN = {"text", "bool", "int4", "int8", "float8", "timestamptz"}
"""Types that the data source turns into something that a table can show."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement, and what asks it."""

    name: str
    form: str
    sql: str
    panel: dict[str, Any]


def _asked() -> Iterator[Asked]:
    for file in FILES:
        board = json.loads(file.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Asked(f"{board['uid']}: {panel['title']}", panel["type"], target["rawSql"], panel)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield Asked(f"{board['uid']}: ${variable['name']}", "variable", variable["query"], variable)
        for annotation in board["annotations"]["list"]:
            target = annotation["target"]
            yield Asked(f"{board['uid']}: {annotation['name']}", "annotation", target["rawSql"], annotation)


ASKED = list(_asked())


def _values(event: str, *, all_: bool) -> dict[str, str | list[str]]:
    chosen = {"network": _ALL, "access": _ALL} if all_ else {"network": ["33771", "36866"], "access": ["unknown"]}
    return {"cc": "KE", "event": event, **chosen}


@pytest.mark.parametrize("asked", ASKED, ids=lambda one: one.name)
def test_each_statement_answers_in_the_form_of_its_panel(told, asked):
    with as_grafana(told.dsn) as conn:
        answer = run(conn, asked.sql, told.window, _values(told.event, all_=True))
        _FORMS[asked.form](answer, asked)
        assert answer.rows, "the seeded database has something to show in every panel"


def test_they_also_answer_for_a_long_time_for_a_choice_and_for_an_empty_country(told):
    long = replace(told.window, start=told.window.end - timedelta(days=30), interval=timedelta(hours=2))
    short = replace(told.window, start=told.window.end - timedelta(minutes=5), interval=timedelta(seconds=1))
    with as_grafana(told.dsn) as conn:
        for asked in ASKED:
            for window, values in (
                (long, _values(told.event, all_=True)),
                (told.window, _values(told.event, all_=False)),
                (short, _values("", all_=True) | {"cc": ""}),
            ):
                _FORMS[asked.form](run(conn, asked.sql, window, values), asked)


def _number(answer: Answer, _: Asked) -> None:
    assert answer.types == {"value": "float8"}
    assert len(answer.rows) <= 1


def _series(answer: Answer, _: Asked) -> None:
    assert answer.types == {"time": "timestamptz", "metric": "text", "value": "float8"}
    times = answer.column("time")
    assert times == sorted(times), "Grafana wants rows in the order of time"
    pairs = [row[:2] for row in answer.rows]
    assert len(set(pairs)) == len(pairs), "a series has one value a moment"


def _table(answer: Answer, asked: Asked) -> None:
    assert set(answer.types.values()) <= _SHOWN, answer.types
    overridden = {one["matcher"]["options"] for one in asked.panel["fieldConfig"]["overrides"]}
    assert overridden <= set(answer.types), "an override of a column that is not there"


def _bars(answer: Answer, _: Asked) -> None:
    assert list(answer.types.values()) == ["text", "float8"]


def _map(answer: Answer, asked: Asked) -> None:
    assert answer.types["cc"] == "text"
    assert answer.types["state"] == answer.types["households"].replace("int8", "int4") == "int4"
    _table(answer, asked)


def _variable(answer: Answer, _: Asked) -> None:
    assert answer.types == {"__text": "text", "__value": "text"}
    values = answer.column("__value")
    assert len(set(values)) == len(values)


def _annotation(answer: Answer, _: Asked) -> None:
    assert answer.types == {"time": "timestamptz", "timeend": "timestamptz", "text": "text", "tags": "text"}
    assert all(start <= end for start, end, _, _ in answer.rows)


_FORMS = {
    "stat": _number,
    "timeseries": _series,
    "state-timeline": _series,
    "table": _table,
    "bargauge": _bars,
    "geomap": _map,
    "variable": _variable,
    "annotation": _annotation,
}
