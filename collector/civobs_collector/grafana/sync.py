"""What has to be done so that a Grafana has what this version says, in an order in which each part can be done.

Nothing is deleted but what was put there: dashboards with our tag in our folder, rules with our label and our uid, the
receivers of our contact point. What came from a provisioning file is compared and left: Grafana changes it by the file
only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from civobs_collector import __version__
from civobs_collector.errors import GrafanaError
from civobs_collector.grafana import routing
from civobs_collector.grafana.client import Grafana, Json
from civobs_collector.grafana.compare import differences
from civobs_collector.grafana.rules import DATASOURCE_UID, FOLDER_TITLE, FOLDER_UID, MARK
from civobs_collector.grafana.wanted import TAG, Wanted, policies
from civobs_collector.keys import read_secret


class Action(StrEnum):
    """What a step does."""

    KEEP = "keep"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    FROM_FILE = "from_file"
    """It differs, and came from a provisioning file: the file has to be changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing."""

    kind: str
    name: str
    action: Action
    detail: tuple[str, ...] = ()
    """Where it differs."""
    do: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether Grafana gets an answer from the database."""

    ok: bool
    message: str


def steps(grafana: Grafana, wanted: Wanted) -> list[Step]:
    """Everything that is wanted or ours, compared. Changes nothing. Raises GrafanaError."""
    return [
        *_datasource(grafana, wanted),
        *_folder(grafana),
        *_dashboards(grafana, wanted),
        *_rules(grafana, wanted),
        *_notifications(grafana, wanted),
    ]


def apply(found: list[Step], told: Callable[[Step], None]) -> None:
    """Do what is to be done, in order; ``told`` hears of each step that is done. Raises GrafanaError."""
    for step in found:
        if step.do is not None:
            step.do()
            told(step)


def health(grafana: Grafana) -> Health:
    """Ask the database by Grafana."""
    try:
        said = grafana.ask(grafana.api.datasource.health, DATASOURCE_UID)
    except GrafanaError as error:
        return Health(ok=False, message=error.cause)
    return Health(said.get("status") == "OK", str(said.get("message", "")))


def _datasource(grafana: Grafana, wanted: Wanted) -> Iterator[Step]:
    there = grafana.find(grafana.api.datasource.get_datasource_by_uid, DATASOURCE_UID)
    if wanted.datasource is None:
        if there is None:
            raise GrafanaError(
                f"Grafana has no data source {DATASOURCE_UID}",
                "set database_host and database_password_file in [grafana], or give Grafana the provisioning files",
            )
        yield Step("data source", DATASOURCE_UID, Action.KEEP)
        return
    source = wanted.datasource
    differ = [] if there is None else differences(source, there)
    if there is not None and there.get("readOnly"):
        action = Action.FROM_FILE if differ else Action.KEEP
        yield Step("data source", DATASOURCE_UID, action, tuple(differ))
    elif there is None:
        yield Step("data source", DATASOURCE_UID, Action.CREATE, do=lambda: _put_datasource(grafana, source, new=True))
    else:
        yield _compared(
            "data source", DATASOURCE_UID, differ, lambda: _put_datasource(grafana, {**there, **source}, new=False)
        )


def _put_datasource(grafana: Grafana, source: Json, *, new: bool) -> None:
    file = grafana.settings.database_password_file
    secret = {"secureJsonData": {"password": read_secret(file)}} if file is not None else {}
    datasources = grafana.api.datasource
    if new:
        grafana.ask(datasources.create_datasource, {**source, **secret})
    else:
        grafana.ask(datasources.update_datasource_by_uid, DATASOURCE_UID, {**source, **secret})


def _folder(grafana: Grafana) -> Iterator[Step]:
    api = grafana.api.folder
    if grafana.find(api.get_folder, FOLDER_UID) is None:
        yield Step(
            "folder", FOLDER_UID, Action.CREATE, do=_asking(grafana, api.create_folder, FOLDER_TITLE, FOLDER_UID)
        )
    else:
        yield Step("folder", FOLDER_UID, Action.KEEP)


def _dashboards(grafana: Grafana, wanted: Wanted) -> Iterator[Step]:
    api = grafana.api
    for uid, board in wanted.dashboards.items():
        there = grafana.find(api.dashboard.get_dashboard, uid)
        body = {"dashboard": board, "folderUid": FOLDER_UID, "overwrite": True, "message": f"civobs {__version__}"}
        put = _asking(grafana, api.dashboard.update_dashboard, body)
        if there is None:
            yield Step("dashboard", uid, Action.CREATE, do=put)
        else:
            from_file = bool(there["meta"].get("provisioned"))
            yield _compared("dashboard", uid, _board_differs(board, there), put, from_file=from_file)
    ours = grafana.ask(api.search.search_dashboards, type_="dash-db", tag=TAG, folder_uids=[FOLDER_UID], limit=5000)
    for one in ours:
        if one["uid"] not in wanted.dashboards and TAG in one.get("tags", ()):
            yield Step(
                "dashboard", one["uid"], Action.DELETE, do=_asking(grafana, api.dashboard.delete_dashboard, one["uid"])
            )


def _board_differs(board: Json, there: Json) -> list[str]:
    """Grafana may have brought it to a newer schema: then the digest in its tags has to do."""
    stored, meta = there["dashboard"], there["meta"]
    moved = [] if meta.get("folderUid") == FOLDER_UID else ["folder"]
    if meta.get("provisioned"):
        board = {**board, "tags": [tag for tag in board["tags"] if not tag.startswith(TAG)]}
    if stored.get("schemaVersion") == board.get("schemaVersion"):
        return moved + differences({key: value for key, value in board.items() if key != "id"}, stored)
    return moved + differences({"tags": board["tags"]}, stored)


def _rules(grafana: Grafana, wanted: Wanted) -> Iterator[Step]:
    api = grafana.api.alertingprovisioning
    there = {one["uid"]: one for one in grafana.ask(api.get_alertrules_all)}
    for uid, rule in wanted.rules.items():
        old = there.get(uid)
        if old is None:
            yield Step("alert rule", uid, Action.CREATE, do=_asking(grafana, api.create_alertrule, rule))
        else:
            put = _asking(grafana, api.update_alertrule, uid, rule)
            yield _compared("alert rule", uid, differences(rule, old), put, from_file=old.get("provenance") == "file")
    for uid, old in there.items():
        ours = MARK.items() <= (old.get("labels") or {}).items() and uid.startswith("civobs-")
        if ours and uid not in wanted.rules and old.get("provenance") == "api":
            yield Step("alert rule", uid, Action.DELETE, do=_asking(grafana, api.delete_alertrule, uid))


def _notifications(grafana: Grafana, wanted: Wanted) -> Iterator[Step]:
    """Receivers before the policy that names their contact point, and those that go after it."""
    if not wanted.receivers:
        return
    api = grafana.api.alertingprovisioning
    there = {one["uid"]: one for one in grafana.ask(api.get_contactpoints, routing.CONTACT_POINT)}
    for uid, receiver in wanted.receivers.items():
        old = there.get(uid)
        if old is None:
            yield Step("receiver", uid, Action.CREATE, do=_asking(grafana, api.create_contactpoint, receiver))
        else:
            put = _asking(grafana, api.update_contactpoint, uid, receiver)
            yield _compared("receiver", uid, differences(receiver, old), put, from_file=old.get("provenance") == "file")
    tree = grafana.ask(api.get_notification_policy_tree)
    new = policies(tree)
    differ = [] if new == tree else ["routes"]
    put = _asking(grafana, api.set_notification_policy_tree, new)
    yield _compared("policy", "routes", differ, put, from_file=tree.get("provenance") == "file")
    for uid in sorted(there.keys() & {routing.MAIL_UID, routing.WEBHOOK_UID} - wanted.receivers.keys()):
        yield Step("receiver", uid, Action.DELETE, do=_asking(grafana, api.delete_contactpoint, uid))


def _asking(grafana: Grafana, call: Callable[..., object], *args: object) -> Callable[[], object]:
    return lambda: grafana.ask(call, *args)


def _compared(kind: str, name: str, differ: list[str], put: Callable[[], object], *, from_file: bool = False) -> Step:
    if not differ:
        return Step(kind, name, Action.KEEP)
    if from_file:
        return Step(kind, name, Action.FROM_FILE, tuple(differ))
    return Step(kind, name, Action.UPDATE, tuple(differ), put)
