"""What a Grafana should have, in the form of its API."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from civobs_collector.errors import ResourceError
from civobs_collector.grafana import routing
from civobs_collector.grafana.compare import differences
from civobs_collector.grafana.rules import DATASOURCE_TYPE, DATASOURCE_UID, FOLDER_UID, RULES, as_json
from civobs_collector.grafana.settings import GrafanaSettings
from civobs_collector.keys import read_secret

Json = dict[str, Any]
TAG = "civobs-sync"
"""On every dashboard that was put there by API: only those are ever deleted."""
_DIGEST = f"{TAG}-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of it. Without receivers the contact point and the policy are left alone."""

    datasource: Json | None
    dashboards: Mapping[str, Json]
    rules: Mapping[str, Json]
    receivers: Mapping[str, Json]


def wanted(settings: GrafanaSettings, folder: Traversable | None = None) -> Wanted:
    """By the settings. ``folder`` has the dashboards, by default this program's. Raises KeyFileError for a secret."""
    boards = [tagged(json.loads(text)) for text in dashboard_texts(folder or dashboard_folder())]
    rules = [
        {**as_json(one, settings.runbooks_url), "orgID": 1, "folderUID": FOLDER_UID, "ruleGroup": one.group}
        for one in RULES
    ]
    webhook = read_secret(settings.alert_webhook_file) if settings.alert_webhook_file else None
    receivers = routing.receivers(";".join(settings.alert_mail), webhook)
    return Wanted(
        datasource=datasource(settings),
        dashboards={board["uid"]: board for board in boards},
        rules={rule["uid"]: rule for rule in rules},
        receivers={one["uid"]: {**one, "name": routing.CONTACT_POINT} for one in receivers},
    )


def dashboard_folder() -> Traversable:
    """Where the dashboards are: in the package that was installed, or in the checkout that it runs from."""
    installed = resources.files("civobs_collector.grafana") / "dashboards"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "dashboards"


def dashboard_texts(folder: Traversable) -> list[str]:
    """The dashboards' JSON. Raises ResourceError where there is none."""
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    if not files:
        raise ResourceError(f"there are no dashboards in {folder}", "install civobs again")
    return [file.read_text(encoding="utf-8") for file in files]


def tagged(board: Json) -> Json:
    """With our mark and a digest of what it says: Grafana may store it in another form than it was given."""
    digest = hashlib.sha256(json.dumps(board, sort_keys=True).encode()).hexdigest()[:16]
    return {**board, "id": None, "tags": [*board.get("tags", ()), TAG, _DIGEST + digest]}


def datasource(settings: GrafanaSettings) -> Json | None:
    """The database; None where the settings do not say where it is. The password is no part of it: it is never read."""
    if settings.database_host is None:
        return None
    return {
        "name": "civobs",
        "uid": DATASOURCE_UID,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": settings.database_host,
        "user": settings.database_user,
        "jsonData": {
            "database": settings.database_name,
            "sslmode": settings.database_sslmode,
            "postgresVersion": 1500,
            "timescaledb": False,
            "maxOpenConns": 10,
        },
    }


def policies(tree: Json) -> Json:
    """The tree of policies with our route in it, first; the others stay as they are."""
    routes = tree.get("routes") or []
    here = [one for one in routes if is_ours(one)]
    if len(here) == 1 and not differences(routing.route(), here[0]):
        return tree
    return {**tree, "routes": [routing.route(), *(one for one in routes if not is_ours(one))]}


def is_ours(route: Json) -> bool:
    """Whether a route is the one that was put there."""
    return routing.OURS in (route.get("object_matchers") or [])
