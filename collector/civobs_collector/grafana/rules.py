"""The alert rules: one table, from which the provisioning files and ``civobs grafana sync`` both take them.

Each rule asks one statement over the views of schema ``grafana`` (``sql/``). Its labels are text columns, its value the
one number, and it gives a row for every label set always, so that silence is a 0 and not "no data". Labels of a row
stay the same for as long as what it tells of: a label that changed would be another alert.

A ``uid`` is for ever: Grafana does not delete a rule that a file no longer has. One that is not wanted any more stays
here with ``retired``, which pauses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from civobs_collector.limits import LIMITS

DATASOURCE_UID = "civobs-postgres"
DATASOURCE_TYPE = "grafana-postgresql-datasource"
FOLDER_UID = "civobs"
FOLDER_TITLE = "civobs"
MARK = {"source": "civobs"}
"""The label by which our rules are known, in Grafana and to the notification policy."""
RUNBOOKS = "docs/operating/runbooks/"
EVERY_S = 60
"""Seconds between two evaluations."""

Severity = Literal["page", "day", "info"]
"""``page`` wakes somebody, ``day`` is for the next morning, ``info`` is for those who look."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``id`` is its runbook's name, its uid and, with underscores, its statement's file."""

    id: str
    title: str
    group: Literal["events", "observatory"]
    severity: Severity
    above: float
    """Fires while the value is greater…"""
    for_min: int
    """…for this many minutes on end."""
    summary: str
    description: str
    below: bool = False
    """Fires while the value is smaller than ``above`` instead."""
    no_answer: Literal["KeepLast", "Alerting"] = "KeepLast"
    """What no data or a failed query is taken for. One rule tells of a database that is away, and not fifteen."""
    retired: bool = False

    @property
    def uid(self) -> str:
        return f"civobs-{self.id}"

    @property
    def sql(self) -> str:
        """The statement, with Grafana's macro ``$__timeTo()`` for the moment it is evaluated at."""
        file = resources.files("civobs_collector.grafana") / "sql" / f"{self.id.replace('-', '_')}.sql"
        return file.read_text(encoding="utf-8")

    @property
    def labels(self) -> dict[str, str]:
        return {**MARK, "severity": self.severity, "rule": self.id}


RULES: tuple[Rule, ...] = (
    Rule(
        "event-opened",
        "Event opened",
        "events",
        "page",
        0,
        0,
        "{{ $labels.event }}: an event has opened in {{ $labels.cc }}",
        "What is lost, how many households say so and what is not known: {{ $labels.page }}",
    ),
    Rule(
        "event-worsened",
        "Event worsened",
        "events",
        "page",
        0,
        0,
        "{{ $labels.event }} reaches further in {{ $labels.cc }} than before",
        "More networks are affected, or the whole region or country is: {{ $labels.page }}",
    ),
    Rule(
        "event-confirmed",
        "Event confirmed",
        "events",
        "info",
        0,
        0,
        "{{ $labels.event }} in {{ $labels.cc }} was confirmed by a reviewer",
        "The public record says confirmed from now on. Read it before you are asked: {{ $labels.page }}",
    ),
    Rule(
        "country-silent",
        "Country silent",
        "events",
        "day",
        0,
        20,
        "No household of {{ $labels.cc }} is online, and no event says why",
        "Others are online, so the observatory hears. The detector holds something back, or saw too few households.",
    ),
    Rule(
        "probe-fleet-anomaly",
        "Probes vanish without a country in common",
        "observatory",
        "page",
        0.3,
        20,
        "Of the households online yesterday, {{ humanizePercentage $values.A.Value }} are gone, in several countries",
        "That is no shutdown: look at certificates, the broker and the version of the agent before anything else.",
    ),
    Rule(
        "ingest-stalled",
        "Ingest stalled",
        "observatory",
        "page",
        LIMITS["beat_age"].value,
        1,
        "Nothing was taken in for {{ humanizeDuration $values.A.Value }}",
        "Probes keep their rows and nothing is lost yet, but nothing is seen: no event opens or closes meanwhile.",
        no_answer="Alerting",
    ),
    Rule(
        "batch-age",
        "Batches are old when they are stored",
        "observatory",
        "day",
        300,
        10,
        "Batches are {{ humanizeDuration $values.A.Value }} old when ingest {{ $labels.instance }} commits them",
        "Ingest does not keep up, or the broker delivers late. Events are found later than they should be.",
    ),
    Rule(
        "rejected-share",
        "Batches are refused",
        "observatory",
        "day",
        LIMITS["rejected_share"].value,
        5,
        "{{ humanizePercentage $values.A.Value }} of the batches of the last 15 minutes were refused",
        "They are kept in quarantine with their reasons, and can be taken in again once the cause is mended.",
    ),
    Rule(
        "broker-drops",
        "Broker drops messages",
        "observatory",
        "day",
        0,
        0,
        "The broker dropped {{ $values.A.Value }} messages within 15 minutes",
        "Probes send again what has no receipt, so rows are late and not lost. Statements of presence are lost.",
    ),
    Rule(
        "disk-low",
        "Disk nearly full",
        "observatory",
        "day",
        LIMITS["disk_free"].value,
        10,
        "{{ humanizePercentage $values.A.Value }} of the disk of {{ $labels.folder }} are free",
        "Where the archive or the database cannot write, ingest stops. Make room before that.",
        below=True,
    ),
    Rule(
        "certificate-expiry",
        "Certificate expires",
        "observatory",
        "day",
        LIMITS["certificate_left"].value / 86_400,
        10,
        "{{ $labels.file }} expires in {{ $values.A.Value }} days",
        "With the broker's certificate expired no probe connects again: renew it and reload the broker.",
        below=True,
    ),
    Rule(
        "crl-expiry",
        "List of revoked certificates expires",
        "observatory",
        "day",
        LIMITS["certificate_left"].value / 86_400,
        10,
        "{{ $labels.file }} expires in {{ $values.A.Value }} days",
        "A broker with an expired list refuses every probe. Its timer should have renewed it by now.",
        below=True,
    ),
    Rule(
        "backup-old",
        "Backup too old",
        "observatory",
        "day",
        LIMITS["backup_age"].value / 3600,
        10,
        "The newest whole backup is {{ $values.A.Value }} hours old",
        "The timer of civobs backup did not run, or what it made was refused.",
    ),
    Rule(
        "notices-dead",
        "Notifications given up",
        "observatory",
        "day",
        0,
        5,
        "{{ $values.A.Value }} notifications were given up",
        "A subscriber could not be reached for days. civobs notify list has the reasons.",
    ),
    Rule(
        "detector-stalled",
        "Detector does not judge",
        "observatory",
        "page",
        1,
        5,
        "The detector has not judged {{ $labels.what }} for too long",
        "Rows come in and nobody looks at them: no event opens or closes. The log of the role detect has why.",
    ),
)


def duration(minutes: int) -> str:
    """Minutes as Grafana writes them."""
    return f"{minutes}m" if minutes else "0s"


def annotations(rule: Rule, runbooks: str = RUNBOOKS) -> dict[str, str]:
    """What a notification says. ``runbooks`` is where they can be read, up to the last slash."""
    return {"summary": rule.summary, "description": rule.description, "runbook_url": f"{runbooks}{rule.id}.md"}


def as_json(rule: Rule, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The rule as files and API have it, without its folder and group."""
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "B",
        "data": [_query(rule), _threshold(rule)],
        "noDataState": rule.no_answer,
        "execErrState": rule.no_answer,
        "for": duration(rule.for_min),
        "annotations": annotations(rule, runbooks),
        "labels": rule.labels,
        "isPaused": rule.retired,
    }


def _query(rule: Rule) -> dict[str, Any]:
    source = {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID}
    return _data(
        "A",
        DATASOURCE_UID,
        10 * EVERY_S,
        {"datasource": source, "editorMode": "code", "format": "table", "rawQuery": True, "rawSql": rule.sql},
    )


def _threshold(rule: Rule) -> dict[str, Any]:
    condition = {"evaluator": {"type": "lt" if rule.below else "gt", "params": [rule.above]}}
    return _data(
        "B",
        "__expr__",
        0,
        {
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "threshold",
            "expression": "A",
            "conditions": [condition],
        },
    )


def _data(ref_id: str, source: str, since_s: int, model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "relativeTimeRange": {"from": since_s, "to": 0},
        "datasourceUid": source,
        "model": {"refId": ref_id, "intervalMs": 1000 * EVERY_S, "maxDataPoints": 100, **model},
    }
