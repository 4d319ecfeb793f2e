"""The committed dashboards: current, whole, and in the form that Grafana takes from files. Rules are a table."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import jsonschema
import pytest
from dashboards import build
from dashboards.board import SCHEMA_VERSION
from dashboards.panels import COUNTRY_STATES, SOURCE
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from civobs_collector.publish.words import KINDS
from tests.dashboards.test_panels import FILES

BOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
SCHEMA = json.loads((Path(__file__).parent / "classic.schema.json").read_text(encoding="utf-8"))
TITLES = {"World", "Country", "Event triage", "Throttling", "Probes", "Ingest", "Host an anchor"}
_UNITLESS = {"row", "text", "table", "state-timeline", "geomap"}


def test_the_files_are_what_the_program_writes(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_that_was_edited_or_is_left_over_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "VIEWS_PAGE", tmp_path / "views.md")
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    (tmp_path / "civobs-world.json").write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().err.count("not what") == 2
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_there_are_the_seven_of_them_each_with_a_uid_of_its_own():
    assert {board["title"].removeprefix("civobs / ") for board in BOARDS.values()} == TITLES
    assert {board["uid"] for board in BOARDS.values()} == set(BOARDS)


def _ids(board):
    ids = [panel["id"] for panel in board["panels"]]
    return len(set(ids)) == len(ids) and all(isinstance(one, int) and one > 0 for one in ids)


def _apart(board):
    """No two panels share room, and none reaches over the edge."""
    boxes = [panel["gridPos"] for panel in board["panels"]]
    return all(box["x"] + box["w"] <= 24 and min(box["w"], box["h"]) > 0 for box in boxes) and not any(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
        for one, other in combinations(boxes, 2)
    )


def _said(board):
    """A title and a description everywhere; titles are told apart."""
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    counts = Counter((panel["title"], panel["type"]) for panel in panels)
    return (
        board["description"]
        and all(panel.get("description", "").endswith((".", "bounds nothing")) for panel in panels)
        and set(counts.values()) == {1}
    )


def _units(board):
    return all(panel["type"] in _UNITLESS or panel["fieldConfig"]["defaults"].get("unit") for panel in board["panels"])


def _sources(board):
    used = [panel["datasource"] for panel in board["panels"] if "targets" in panel]
    used += [target["datasource"] for panel in board["panels"] for target in panel.get("targets", ())]
    used += [one["datasource"] for one in board["annotations"]["list"]]
    used += [one["datasource"] for one in board["templating"]["list"] if one["type"] == "query"]
    return all(one == SOURCE.to_json() for one in used)


def _asked_for(board):
    return all(panel["type"] in {"row", "text"} or len(panel["targets"]) == 1 for panel in board["panels"])


def _variables(board):
    """Every variable that a statement or a link has is there, and every one that is there is used."""
    text = json.dumps(board["panels"]) + json.dumps(board["annotations"]) + json.dumps(board["templating"])
    used = set(re.findall(r"\$\{?(?!__)(\w+)", text))
    there = {one["name"] for one in board["templating"]["list"]}
    return used == there


def _links(board):
    """Links between dashboards lead to one that there is."""
    return set(re.findall(r"/d/([\w-]+)", json.dumps(board))) <= set(BOARDS)


RULES = {
    "classic form": lambda board: board["schemaVersion"] == SCHEMA_VERSION <= 42 and "spec" not in board,
    "no id of a server": lambda board: "id" not in board and "version" not in board,
    "not editable": lambda board: board["editable"] is False,
    "UTC": lambda board: board["timezone"] == "utc",
    "one crosshair": lambda board: board["graphTooltip"] == 1,
    "tagged, and linked to the others": lambda board: (
        board["tags"] == ["civobs"] and board["links"][0]["type"] == "dashboards" and board["links"][0]["includeVars"]
    ),
    "panel ids": _ids,
    "panels apart": _apart,
    "titles and descriptions": _said,
    "units": _units,
    "one data source": _sources,
    "statements": _asked_for,
    "variables": _variables,
    "links": _links,
    "only views are asked": lambda board: (
        not re.search(
            r"\b(?:FROM|JOIN)\s+(?!grafana\.|generate_series|LATERAL|\(|asked\b)",
            " ".join(
                target["rawSql"].replace("extract(epoch FROM", "")
                for panel in board["panels"]
                for target in panel.get("targets", ())
            ),
        )
    ),
    "room for old and new browsers": lambda board: all(
        target["rawQuery"] is True and target["editorMode"] == "code" and target["refId"] == "A"
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_dashboard_keeps_the_rule(rule):
    broken = [uid for uid, board in BOARDS.items() if not RULES[rule](board)]
    assert broken == []


@pytest.mark.parametrize("uid", BOARDS)
def test_grafana_s_own_types_know_every_field(uid):
    again = json.loads(json.dumps(Dashboard.from_json(_known(BOARDS[uid])), cls=JSONEncoder))
    assert again == _known(BOARDS[uid])


def _known(board):
    """Without statements: the SDK has no type for those of PostgreSQL."""
    copy = json.loads(json.dumps(board))
    for one in (*copy["panels"], *copy["annotations"]["list"]):
        one.pop("targets", None)
        one.pop("target", None)
    return copy


@pytest.mark.parametrize("uid", BOARDS)
def test_the_file_has_the_classic_form(uid):
    jsonschema.Draft7Validator(SCHEMA).validate(BOARDS[uid])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("panels", 1, "gridPos", "w"), 25),
        (("panels", 1, "targets", 0, "format"), "logs"),
        (("panels", 1, "id"), None),
        (("editable",), True),
        (("schemaVersion",), 43),
        (("spec",), {}),
        (("annotations", "list", 0, "datasource", "uid"), "other"),
    ],
)
def test_a_form_that_grafana_would_not_take_is_found(place, value):
    broken = json.loads(json.dumps(BOARDS["civobs-world"]))
    *way, last = place
    part = broken
    for step in way:
        part = part[step]
    part[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(broken)


def test_the_titles_of_events_are_those_of_the_pages():
    text = (Path(build.HERE).parent / "collector/civobs_collector/migrations/0017_grafana.sql").read_text()
    titles = dict(re.findall(r"WHEN '(\w{2,})' THEN '([^']+)'", text))
    assert titles == {kind.value: words.title.partition("{what}")[0] for kind, words in KINDS.items()}


def test_the_words_of_a_country_s_state_are_those_of_the_view():
    text = (Path(build.HERE).parent / "collector/civobs_collector/migrations/0017_grafana.sql").read_text()
    listed = re.search(r"\(ARRAY\[([^]]+)\]\)\[state_code \+ 1\]", text)
    assert listed is not None
    assert re.findall(r"'([^']+)'", listed[1]) == [word for word, _ in COUNTRY_STATES.values()]
