"""Grafana's provisioning files: what the generator writes, and what Grafana makes of it."""

import re
from dataclasses import replace

import pytest
import yaml
from dashboards import alerts

from civobs_collector.gauges import GAUGES
from civobs_collector.grafana.rules import DATASOURCE_UID, RULES, as_json

RULE_IDS = [rule.id for rule in RULES]


def loaded(name):
    return yaml.safe_load(alerts.files()[name])


def provisioned_rules():
    return [rule for group in loaded("alerting/rules.yaml")["groups"] for rule in group["rules"]]


def test_the_committed_files_are_what_is_written():
    assert alerts.main(["--check"]) == 0


def test_a_file_that_was_edited_is_found_out_and_written_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alerts, "TARGET", tmp_path)
    assert alerts.main([]) == 0
    assert alerts.main(["--check"]) == 0
    edited = tmp_path / "alerting" / "rules.yaml"
    edited.write_text(edited.read_text().replace("KeepLast", "OK"))
    (tmp_path / "alerting" / "other.yaml").write_text("groups: []")
    assert alerts.main(["--check"]) == 1
    assert capsys.readouterr().err.count("is not what") == 2
    assert alerts.main([]) == 0
    assert alerts.main(["--check"]) == 0


def test_every_rule_is_there_once_with_its_own_uid_and_title():
    rules = provisioned_rules()
    assert [rule["uid"] for rule in rules] == [f"civobs-{name}" for name in sorted(RULE_IDS, key=RULE_IDS.index)]
    assert len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules}) == len(RULES)
    # Grafana takes no longer ones.
    assert all(len(rule["uid"]) <= 40 for rule in rules)


@pytest.mark.parametrize("rule", provisioned_rules(), ids=lambda rule: rule["uid"])
def test_a_rule_says_what_no_data_and_errors_mean_and_what_to_do(rule):
    assert rule["noDataState"] in {"KeepLast", "Alerting"}
    assert rule["execErrState"] == rule["noDataState"]
    assert rule["labels"]["severity"] in {"page", "day", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    query, threshold = rule["data"]
    assert (query["datasourceUid"], query["model"]["format"]) == (DATASOURCE_UID, "table")
    assert (threshold["datasourceUid"], threshold["model"]["expression"]) == ("__expr__", "A")
    assert rule["condition"] == threshold["refId"]


def test_a_rule_that_is_not_wanted_any_more_is_paused_and_keeps_its_uid():
    retired = as_json(replace(RULES[0], retired=True))
    assert (retired["uid"], retired["isPaused"]) == (RULES[0].uid, True)


def test_one_rule_alone_tells_of_a_database_that_is_away():
    assert [rule.id for rule in RULES if rule.no_answer == "Alerting"] == ["ingest-stalled"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_statement_asks_only_the_views_for_grafana_as_of_the_moment_of_the_evaluation(rule):
    sql = re.sub(r"--.*", "", rule.sql)
    tables = set(re.findall(r"\b(?:FROM|JOIN)\s+([a-z_]+\.[a-z_]+)", sql))
    assert all(name.startswith("grafana.") for name in tables)
    assert "now()" not in sql
    # What a label is made of would be taken for a variable of Grafana's environment.
    assert not any("$" in text for text in (rule.title, *rule.labels.values()))
    assert "${" not in rule.summary + rule.description


def test_rules_ask_for_gauges_that_there_are():
    asked = {name for rule in RULES for name in re.findall(r"name = '(\w+)'", rule.sql)}
    assert "disk_free_share" in asked
    assert asked <= set(GAUGES)


def test_of_one_event_there_is_one_notification_whatever_rules_tell_of_it():
    (policy,) = loaded("alerting/policies.yaml")["policies"]
    (ours,) = policy["routes"]
    (of_events,) = ours["routes"]
    assert ours["object_matchers"] == [["source", "=", "civobs"]]
    assert of_events["object_matchers"] == [["event", "=~", ".+"]]
    assert of_events["group_by"] == ["event"]


def test_no_file_has_a_secret_or_an_address():
    for name in ("alerting/contact-points.yaml", "datasources/civobs.yaml"):
        text = alerts.files()[name]
        said = re.findall(r"^\s*(?:url|user|addresses|password|database|sslmode): (.*)$", text, flags=re.MULTILINE)
        assert said
        assert all(value.startswith("$") for value in said)
