"""A real Grafana, at ``GRAFANA_URL``: it takes what this version says, gives it back, asks the database, and is left
as it was.

``GRAFANA_TOKEN`` is a token of a service account that is Admin. ``GRAFANA_DATABASE_HOST``, ``_NAME``, ``_USER``,
``_PASSWORD`` and ``_SSLMODE`` say where the database is for Grafana; without the first, the data source must be there.
A Grafana that has a folder ``civobs`` already is somebody's, and refused.
"""

import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from civobs_collector.errors import GrafanaError
from civobs_collector.grafana import routing
from civobs_collector.grafana.client import Grafana
from civobs_collector.grafana.rules import DATASOURCE_TYPE, DATASOURCE_UID, FOLDER_UID, RULES
from civobs_collector.grafana.settings import GrafanaSettings
from civobs_collector.grafana.sync import Action, apply, health, steps
from civobs_collector.grafana.wanted import Wanted, is_ours, wanted
from tests.dashboards.grafana_sql import _VARIABLE, Window, _value
from tests.dashboards.test_panels import ASKED

pytestmark = pytest.mark.grafana

_NOW = datetime.now(UTC)
_WINDOW = Window(_NOW - timedelta(hours=24), _NOW)
_VALUES = {"cc": "KE", "event": "CIV-2026-KE-0001", "network": ["__all"], "access": ["__all"]}


def _chosen(sql):
    """The statement with its variables filled in, as a browser sends it: macros are for Grafana's server."""
    return _VARIABLE.sub(lambda found: _value(found, _WINDOW, _VALUES), sql)


STATEMENTS = {one.name: _chosen(one.sql) for one in ASKED} | {rule.uid: rule.sql for rule in RULES}


def settings_in(folder):
    """What the environment says, with its secrets in files."""
    given = {name: os.environ.get(f"GRAFANA_DATABASE_{name.upper()}") for name in ("host", "name", "user", "sslmode")}
    password = os.environ.get("GRAFANA_DATABASE_PASSWORD")
    files = {"token_file": os.environ["GRAFANA_TOKEN"], "database_password_file": password}
    for name, secret in files.items():
        if secret is not None:
            (folder / name).write_text(secret)
            (folder / name).chmod(0o600)
    return GrafanaSettings(
        url=os.environ["GRAFANA_URL"],
        alert_mail=("nobody@example.org",),
        **{name: folder / name for name, secret in files.items() if secret is not None},
        **{f"database_{name}": value for name, value in given.items() if value is not None},
    )


@contextmanager
def brought_up_to_date(settings):
    """The Grafana with everything in it; as it was, afterwards."""
    with Grafana(settings) as grafana:
        api = grafana.api
        if grafana.find(api.folder.get_folder, FOLDER_UID) is not None:
            pytest.fail(f"{settings.url} has a folder {FOLDER_UID}: name a Grafana that nobody uses")
        had_source = grafana.find(api.datasource.get_datasource_by_uid, DATASOURCE_UID) is not None
        tree = grafana.ask(api.alertingprovisioning.get_notification_policy_tree)
        try:
            apply(steps(grafana, wanted(settings)), lambda _: None)
            yield grafana, wanted(settings)
        finally:
            _clean(grafana, tree)
            if not had_source:
                grafana.ask(api.datasource.delete_datasource_by_uid, DATASOURCE_UID)
        assert grafana.find(api.folder.get_folder, FOLDER_UID) is None


def _clean(grafana, tree):
    api = grafana.api
    apply(steps(grafana, Wanted(None, {}, {}, {})), lambda _: None)
    routes = [one for one in tree.get("routes") or [] if not is_ours(one)]
    grafana.ask(api.alertingprovisioning.set_notification_policy_tree, {**tree, "routes": routes})
    for uid in (routing.MAIL_UID, routing.WEBHOOK_UID):
        with suppress(GrafanaError):
            grafana.ask(api.alertingprovisioning.delete_contactpoint, uid)
    grafana.ask(api.folder.delete_folder, FOLDER_UID)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with brought_up_to_date(settings_in(tmp_path_factory.mktemp("grafana"))) as both:
        yield both


def test_what_was_synced_reads_back_the_same(live):
    differ = [step for step in steps(*live) if step.action is not Action.KEEP]
    assert [(step.name, step.detail) for step in differ] == []


def test_the_data_source_gets_an_answer_from_the_database(live):
    grafana, _ = live
    answer = health(grafana)
    assert answer.ok, answer.message


@pytest.mark.parametrize("name", STATEMENTS)
def test_grafana_answers_each_statement_of_panels_and_rules(live, name):
    grafana, _ = live
    source = {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID}
    query = {"refId": "A", "datasource": source, "format": "table", "rawSql": STATEMENTS[name], "intervalMs": 300_000}
    answer = grafana.ask(
        grafana.api.client.POST, "/ds/query", json={"queries": [query], "from": "now-24h", "to": "now"}
    )
    said = answer["results"]["A"]
    assert "error" not in said, said["error"]
    assert said["frames"][0]["schema"]["fields"]
