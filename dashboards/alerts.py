"""Writes Grafana's provisioning files: data source, where dashboards are, alert rules, contact point, policy.

    python dashboards/alerts.py           write deploy/grafana/provisioning
    python dashboards/alerts.py --check   exit 1 if a file is not what would be written

Rules and routing are the collector's (``civobs_collector/grafana``), so that ``civobs grafana sync`` says the same by
Grafana's API. Grafana puts variables of its environment in the place of ``$NAME``: in labels, titles, settings and data
sources, but in no statement (so ``$__timeTo()`` stays) and, before 13, in no annotation.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from civobs_collector.grafana import routing
from civobs_collector.grafana.rules import (
    DATASOURCE_TYPE,
    DATASOURCE_UID,
    EVERY_S,
    FOLDER_TITLE,
    FOLDER_UID,
    RULES,
    as_json,
)

TARGET = Path(__file__).parents[1] / "deploy" / "grafana" / "provisioning"
WIDTH = 120
_MADE = "# Made by dashboards/alerts.py; scripts/check refuses another content.\n"
_VARIABLES = """\
# Grafana's environment needs each variable that is named here: one that is missing is empty, and a receiver without an
# address keeps Grafana from starting.
"""


class _Dumper(yaml.SafeDumper):
    """Statements as they are read: over several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def files() -> dict[str, str]:
    """Every file below the folder of provisioning, with its content."""
    contents: dict[str, tuple[str, dict[str, Any]]] = {
        "datasources/civobs.yaml": (_MADE + _VARIABLES, {"datasources": [datasource()]}),
        "dashboards/civobs.yaml": (_MADE, {"providers": [provider()]}),
        "alerting/rules.yaml": (_MADE, {"groups": list(groups())}),
        "alerting/contact-points.yaml": (_MADE + _VARIABLES, {"contactPoints": [contact_point()]}),
        "alerting/policies.yaml": (_MADE + "# This is the whole tree of policies.\n", {"policies": [policy()]}),
    }
    return {
        name: head
        + yaml.dump({"apiVersion": 1, **content}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
        for name, (head, content) in contents.items()
    }


def datasource() -> dict[str, Any]:
    """The database, by a login that may read schema ``grafana`` only (docs/operating/grafana.md)."""
    return {
        "name": "civobs",
        "uid": DATASOURCE_UID,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": "$CIVOBS_GRAFANA_DB_HOST",
        "user": "$CIVOBS_GRAFANA_DB_USER",
        "isDefault": True,
        "editable": False,
        # Since 12.2 Grafana looks for the database here only, and not one level above.
        "jsonData": {
            "database": "$CIVOBS_GRAFANA_DB_NAME",
            "sslmode": "$CIVOBS_GRAFANA_DB_SSLMODE",
            "postgresVersion": 1500,
            "timescaledb": False,
            "maxOpenConns": 10,
        },
        "secureJsonData": {"password": "$__file{/run/secrets/grafana_db_password}"},
    }


def provider() -> dict[str, Any]:
    """Where Grafana finds the dashboards."""
    return {
        "name": "civobs",
        "orgId": 1,
        "type": "file",
        "folder": FOLDER_TITLE,
        "folderUid": FOLDER_UID,
        "allowUiUpdates": False,
        "disableDeletion": False,
        "options": {"path": "/etc/grafana/dashboards"},
    }


def groups() -> Iterable[dict[str, Any]]:
    """The rules by group."""
    for name in dict.fromkeys(rule.group for rule in RULES):
        yield {
            "orgId": 1,
            "name": name,
            "folder": FOLDER_TITLE,
            "interval": f"{EVERY_S}s",
            "rules": [as_json(rule) for rule in RULES if rule.group == name],
        }


def contact_point() -> dict[str, Any]:
    """Mail and a webhook, both by variables."""
    found = routing.receivers("$CIVOBS_ALERT_MAIL", "$CIVOBS_ALERT_WEBHOOK_URL")
    return {"orgId": 1, "name": routing.CONTACT_POINT, "receivers": found}


def policy() -> dict[str, Any]:
    """The tree: everything goes to the staff, ours as ``routing`` says."""
    return {"orgId": 1, "receiver": routing.CONTACT_POINT, "group_by": ["alertname"], "routes": [routing.route()]}


def main(argv: list[str] | None = None) -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(prog="dashboards/alerts.py", description="Grafana's provisioning files")
    parser.add_argument("--check", action="store_true", help="exit 1 if a file is not what would be written")
    arguments = parser.parse_args(argv)
    wanted = files()
    there = {str(file.relative_to(TARGET)): file.read_text() for file in TARGET.rglob("*") if file.is_file()}
    differ = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if arguments.check:
        for name in differ:
            sys.stderr.write(f"{TARGET / name} is not what dashboards/alerts.py writes\n")
        return 1 if differ else 0
    for name in differ:
        file = TARGET / name
        if name in wanted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(wanted[name])
        else:
            file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
