"""``civobs grafana``: it brings a Grafana to what this version says, once, and touches nothing else."""

import json

import pytest

from civobs_collector.__main__ import main
from civobs_collector.errors import ConfigError, GrafanaError, KeyFileError
from civobs_collector.grafana import routing
from civobs_collector.grafana.client import Grafana
from civobs_collector.grafana.rules import RULES
from civobs_collector.grafana.sync import Action, apply, health, steps
from civobs_collector.grafana.wanted import TAG, wanted
from tests.dashboards import test_grafana_live as live
from tests.dashboards.fix_grafana import TOKEN

BOARDS = {
    "civobs-world": {
        "uid": "civobs-world",
        "title": "World",
        "schemaVersion": 41,
        "tags": ["civobs"],
        "panels": [{"id": 1}],
    },
    "civobs-probes": {
        "uid": "civobs-probes",
        "title": "Probes",
        "schemaVersion": 41,
        "tags": ["civobs"],
        "panels": [{"id": 1}],
    },
}


@pytest.fixture
def boards(tmp_path):
    folder = tmp_path / "dashboards"
    folder.mkdir()
    for uid, board in BOARDS.items():
        (folder / f"{uid}.json").write_text(json.dumps(board))
    return folder


@pytest.fixture
def compare(grafana_settings, boards):
    """What there is to do, which may be done."""

    def compared(settings=grafana_settings, *, do=False):
        with Grafana(settings) as client:
            found = steps(client, wanted(settings, boards))
            if do:
                apply(found, lambda _: None)
            return found

    return compared


@pytest.fixture
def synced(grafana, grafana_settings, boards):
    """A Grafana that was brought up to date, and the function that does so and says what it did."""

    def sync(settings=grafana_settings):
        done = []
        with Grafana(settings) as client:
            apply(steps(client, wanted(settings, boards)), done.append)
        return {(step.kind, step.name): step.action for step in done}

    sync()
    grafana.asked.clear()
    return sync


def test_an_empty_grafana_gets_everything_and_a_second_run_changes_nothing(grafana, synced):
    assert set(grafana.dashboards) == set(BOARDS)
    assert set(grafana.rules) == {rule.uid for rule in RULES}
    assert set(grafana.receivers) == {routing.MAIL_UID, routing.WEBHOOK_UID}
    assert grafana.receivers[routing.MAIL_UID]["settings"]["addresses"] == "desk@example.org;night@example.org"
    assert grafana.policy["routes"] == [routing.route()]
    assert grafana.datasources["civobs-postgres"]["jsonData"]["database"] == "civobs"
    assert grafana.datasources["civobs-postgres"]["secureJsonFields"] == {"password": True}
    assert synced() == {}
    assert grafana.asked == []


def test_what_a_person_changed_is_found_and_set_right_and_nothing_else_is_written(grafana, synced):
    grafana.rules["civobs-disk-low"]["for"] = "1h"
    grafana.dashboards["civobs-world"]["dashboard"]["title"] = "Our world"
    assert synced() == {("alert rule", "civobs-disk-low"): "update", ("dashboard", "civobs-world"): "update"}
    assert len(grafana.asked) == 2
    assert synced() == {}


def test_what_grafana_adds_by_itself_is_no_difference(grafana, synced):
    grafana.rules["civobs-disk-low"] |= {"id": 9, "updated": "2026-11-22T12:00:00Z", "keep_firing_for": "0s"}
    grafana.rules["civobs-disk-low"]["data"][0]["queryType"] = ""
    grafana.dashboards["civobs-world"]["dashboard"]["annotations"] = {"list": []}
    grafana.receivers[routing.WEBHOOK_UID]["settings"]["url"] = "[REDACTED]"
    grafana.policy["routes"][0]["continue"] = False
    assert synced() == {}


def test_a_dashboard_that_grafana_brought_to_a_newer_schema_is_known_by_its_digest(grafana, synced, boards):
    stored = grafana.dashboards["civobs-world"]["dashboard"]
    stored |= {"schemaVersion": 43, "panels": [{"id": 1, "migrated": True}]}
    assert synced() == {}
    (boards / "civobs-world.json").write_text(json.dumps({**BOARDS["civobs-world"], "title": "The world"}))
    assert synced() == {("dashboard", "civobs-world"): "update"}


def test_only_what_it_made_is_deleted(grafana, synced, boards):
    mine = grafana.rules["civobs-disk-low"]
    grafana.rules["civobs-old"] = {**mine, "uid": "civobs-old"}
    grafana.rules["other"] = {**mine, "uid": "other"}
    grafana.rules["civobs-theirs"] = {**mine, "uid": "civobs-theirs", "labels": {"severity": "page"}}
    board = grafana.dashboards["civobs-world"]
    theirs = {**board, "dashboard": {**board["dashboard"], "uid": "theirs", "tags": ["civobs"]}}
    elsewhere = {**board, "dashboard": {**board["dashboard"], "uid": "elsewhere"}, "meta": {"folderUid": "other"}}
    grafana.dashboards |= {"theirs": theirs, "elsewhere": elsewhere}
    grafana.policy["routes"].append({"receiver": "grafana-default-email", "object_matchers": [["team", "=", "x"]]})
    (boards / "civobs-probes.json").unlink()
    assert synced() == {("alert rule", "civobs-old"): "delete", ("dashboard", "civobs-probes"): "delete"}
    assert {"other", "civobs-theirs"} <= set(grafana.rules)
    assert set(grafana.dashboards) == {"civobs-world", "theirs", "elsewhere"}
    assert len(grafana.policy["routes"]) == 2


def test_a_route_of_others_stays_when_ours_is_set_right(grafana, synced):
    others = {"receiver": "grafana-default-email", "object_matchers": [["team", "=", "x"]]}
    grafana.policy["routes"] = [others, {**routing.route(), "group_by": ["alertname"]}]
    assert synced() == {("policy", "routes"): "update"}
    assert grafana.policy["routes"] == [routing.route(), others]
    assert grafana.policy["receiver"] == "grafana-default-email"


def test_a_receiver_that_is_not_wanted_any_more_goes(grafana, synced, grafana_settings):
    assert synced(grafana_settings.model_copy(update={"alert_mail": ()})) == {("receiver", routing.MAIL_UID): "delete"}
    assert set(grafana.receivers) == {routing.WEBHOOK_UID}


def test_without_anybody_to_tell_the_policy_is_left_alone(grafana, grafana_settings, compare):
    found = compare(grafana_settings.model_copy(update={"alert_mail": (), "alert_webhook_file": None}))
    assert {step.kind for step in found} == {"data source", "folder", "dashboard", "alert rule"}


def test_what_came_from_a_file_is_named_and_left(grafana, synced, compare):
    for rule in grafana.rules.values():
        rule["provenance"] = "file"
    grafana.rules["civobs-disk-low"]["title"] = "Another"
    for board in grafana.dashboards.values():
        board["meta"]["provisioned"] = True
        board["dashboard"]["tags"] = ["civobs"]
    grafana.dashboards["civobs-world"]["dashboard"]["title"] = "Another"
    assert synced() == {}
    left = {step.name: step.detail for step in compare() if step.action is Action.FROM_FILE}
    assert left == {"civobs-disk-low": ("title",), "civobs-world": ("title",)}


def test_a_missing_data_source_is_told_where_the_settings_do_not_say_how_to_make_it(grafana, grafana_settings, compare):
    with pytest.raises(GrafanaError, match="no data source civobs-postgres") as caught:
        compare(grafana_settings.model_copy(update={"database_host": None}))
    assert "database_host" in caught.value.remedy
    assert grafana.asked == []


def test_grafana_is_asked_whether_the_database_answers(grafana, synced, grafana_settings):
    with Grafana(grafana_settings) as client:
        assert health(client).ok
        grafana.database_ok = False
        assert not health(client).ok


def test_a_dashboard_carries_our_mark(grafana, synced):
    assert TAG in grafana.dashboards["civobs-world"]["dashboard"]["tags"]


MISBEHAVIOUR = {
    "a token it does not know": ({}, {"token": "other"}, "does not accept the token"),
    "a token that may not write": ({"role": "Viewer"}, {}, "may not do that: You'll need"),
    "an old version": ({"version": "10.4.2"}, {}, "Grafana 10.4.2 is too old"),
    "a version that is none": ({"version": ""}, {}, "not as Grafana does"),
    "a proxy in front": ({"answers_as": "html"}, {}, "not as Grafana does"),
    "no answer": ({"answers_as": "slow"}, {"timeout_s": 0.3}, "did not answer in time"),
    "a failure half-way": ({"fails_at": "POST .*alert-rules"}, {}, "Grafana failed: database is locked"),
    "a port where nobody is": ({}, {"url": "http://127.0.0.1:9"}, "cannot reach http://127.0.0.1:9"),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_what_goes_wrong_is_a_cause_and_a_remedy(grafana, grafana_settings, compare, what):
    faults, changes, cause = MISBEHAVIOUR[what]
    for name, value in faults.items():
        setattr(grafana, name, value)
    if "token" in changes:
        grafana_settings.token_file.write_text(changes["token"])
    settings = grafana_settings.model_copy(update={key: value for key, value in changes.items() if key != "token"})
    with pytest.raises(GrafanaError, match=cause) as caught:
        compare(settings, do=True)
    assert "glsa" not in caught.value.cause + caught.value.remedy
    assert caught.value.remedy


def test_after_a_failure_half_way_the_next_run_does_the_rest(grafana, compare):
    grafana.fails_at = "POST .*alert-rules"
    with pytest.raises(GrafanaError):
        compare(do=True)
    grafana.fails_at = ""
    compare(do=True)
    assert set(grafana.rules) == {rule.uid for rule in RULES}


def test_a_path_before_the_api_is_kept(grafana, grafana_settings):
    with pytest.raises(GrafanaError, match="this is no part of it: GET /below/api/frontend/settings"):
        Grafana(grafana_settings.model_copy(update={"url": f"{grafana.url}/below"}))


def test_settings_that_are_missing_or_secrets_that_others_can_read_are_refused(grafana_settings):
    with pytest.raises(ConfigError, match="url is not set"):
        Grafana(grafana_settings.model_copy(update={"url": None}))
    grafana_settings.token_file.chmod(0o644)
    with pytest.raises(KeyFileError, match="others can read it"):
        Grafana(grafana_settings)


@pytest.fixture
def command(grafana, grafana_settings, boards, tmp_path, monkeypatch, capsys):
    """``civobs grafana …``: its exit code and what it printed."""
    file = tmp_path / "collector.toml"
    lines = [f"{key} = {json.dumps(value, default=str)}" for key, value in grafana_settings.model_dump().items()]
    file.write_text("[grafana]\n" + "\n".join(line for line in lines if not line.endswith("null")))
    monkeypatch.setattr("civobs_collector.grafana.wanted.dashboard_folder", lambda: boards)

    def run(*words):
        code = main(["--config", str(file), "grafana", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_the_commands_tell_do_and_see(grafana, command):
    code, said = command("diff")
    assert (code, said.count("create")) == (0, 1 + 1 + len(BOARDS) + len(RULES) + 2)
    assert command("sync", "--dry-run") == (code, said)
    assert command("check")[0] == 1
    assert grafana.asked == []
    code, said = command("sync")
    assert code == 0
    assert said.splitlines()[0] == "create data source civobs-postgres"
    assert said.splitlines()[-1] == f"{len(grafana.asked)} changed, 0 as they were"
    assert "nothing differs" in command("diff")[1]
    code, said = command("check")
    assert code == 0
    assert "Grafana 13.1.0" in said
    assert "secret" not in said


def test_the_commands_speak_json(grafana, command):
    done = json.loads(command("sync", "--json")[1])["done"]
    assert {"action": "create", "kind": "folder", "name": "civobs", "differs_at": []} in done
    assert json.loads(command("diff", "--json")[1]) == {"differ": []}
    grafana.database_ok = False
    code, said = command("check", "--json")
    assert (code, json.loads(said)["ok"], json.loads(said)["database"]["ok"]) == (1, False, False)


def test_a_command_that_fails_says_so_in_two_lines(grafana, command):
    grafana.version = "9.5.0"
    code, said = command("sync")
    assert code == 2
    assert len(said.splitlines()) == 2


def test_the_tests_for_a_real_grafana_are_named_where_there_is_none(pytestconfig, monkeypatch):
    monkeypatch.delenv("GRAFANA_URL", raising=False)
    named = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=pytestconfig.rootpath)
    lines = [line for header in named for line in header]
    assert "not run without GRAFANA_URL: test_what_was_synced_reads_back_the_same" in lines
    monkeypatch.setenv("GRAFANA_URL", "http://grafana.example")
    named = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=pytestconfig.rootpath)
    assert not any("not run" in line for header in named for line in header)


def test_the_tests_for_a_real_grafana_pass_against_one_and_leave_nothing(grafana, tmp_path, monkeypatch):
    others = {"GRAFANA_DATABASE_HOST": "database:5432", "GRAFANA_DATABASE_PASSWORD": "of the login"}
    for name, value in {"GRAFANA_URL": grafana.url, "GRAFANA_TOKEN": TOKEN, **others}.items():
        monkeypatch.setenv(name, value)
    with live.brought_up_to_date(live.settings_in(tmp_path)) as it:
        live.test_what_was_synced_reads_back_the_same(it)
        live.test_the_data_source_gets_an_answer_from_the_database(it)
        for name in live.STATEMENTS:
            live.test_grafana_answers_each_statement_of_panels_and_rules(it, name)
    assert (grafana.folders, grafana.dashboards, grafana.rules, grafana.receivers) == ({}, {}, {}, {})
    assert grafana.datasources == {}
    assert grafana.policy["routes"] == []
