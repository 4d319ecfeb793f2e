"""``civobs events``: list events, show one with its whole history, and decide about it. Staff see every level."""

import argparse
import json
import sys
from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from civobs_collector import config
from civobs_collector.commands import events_review
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.events import StoredVersion, list_events, read_versions
from civobs_collector.db.migrate import require_current
from civobs_collector.db.read_queue import QueueRow, list_waiting
from civobs_collector.detect.record import EventRecord, Level, Status, Transition
from civobs_collector.detect.reviews import lacking, unreviewed
from civobs_collector.errors import NotFoundError
from civobs_collector.publish.reviewed import note_lines

_WIDTH = 160


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parsers."""
    parser = commands.add_parser("events", help="list events, show one, decide about it", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="newest version of every event")
    listing.add_argument("--level", choices=[level.value for level in Level], help="only this level")
    listing.add_argument("--cc", metavar="CC", type=str.upper, help="only this country")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)
    showing = actions.add_parser("show", help="one event with all its versions")
    showing.add_argument("id", help="CIV-YYYY-CC-NNNN, or the event's key")
    showing.add_argument("--json", action="store_true", help="print JSON")
    showing.set_defaults(run=_show)
    queue = actions.add_parser(
        "queue", help="what waits for a person: held, open, reviewed by nobody, or not borne out"
    )
    queue.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (50)")
    queue.add_argument("--json", action="store_true", help="print JSON")
    queue.set_defaults(run=_queue)
    events_review.register(actions)


def _list(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "events") as conn:
        require_current(conn)
        found = list_events(conn, level=arguments.level, cc=arguments.cc)
    if arguments.json:
        sys.stdout.write(_as_json(found))
    elif not found:
        sys.stdout.write("no events\n")
    else:
        head = ("id", "version", "status", "kind", "depth", "level", "cc", "began", "ended", "confidence")
        sys.stdout.write(table(head, [_line(one) for one in found]))
    return 0


def _queue(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "events") as conn:
        require_current(conn)
        found = list_waiting(conn, arguments.limit)
    if arguments.json:
        sys.stdout.write(_as_json(found))
    elif not found:
        sys.stdout.write("nothing waits for a person\n")
    else:
        head = (
            "id",
            "version",
            "status",
            "kind",
            "level",
            "cc",
            "began",
            "ended",
            "confidence",
            "waits because",
            "lacks",
        )
        sys.stdout.write(table(head, [_waiting_line(one) for one in found]))
    return 0


def _waiting_line(stored: QueueRow) -> tuple[str, ...]:
    record = EventRecord.model_validate(stored.record)
    reasons = {
        "held": record.held is not None,
        "open": record.status is Status.OPEN,
        "new": record.reviewed_by is None,
        "not borne out": unreviewed(record).status is Status.RETRACTED,
    }
    return (
        stored.public_id or str(stored.event_key),
        str(stored.version),
        record.status,
        record.kind,
        record.scope.level,
        record.scope.cc,
        *period(record),
        record.confidence.label,
        ", ".join(name for name, is_so in reasons.items() if is_so),
        f"{len(lacking(record)) or 'nothing'}",
    )


def _line(stored: StoredVersion) -> tuple[str, ...]:
    record = EventRecord.model_validate(stored.record)
    status = f"{record.status}{', provisional' if record.provisional else ''}"
    return (
        stored.public_id or str(stored.event_key),
        str(stored.version),
        status,
        record.kind,
        record.depth,
        record.scope.level,
        record.scope.cc,
        *period(record),
        record.confidence.label,
    )


def _show(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "events") as conn:
        require_current(conn)
        found = read_versions(conn, arguments.id)
    if not found:
        raise NotFoundError(f"there is no event {arguments.id}", "see: civobs events list")
    sys.stdout.write(_as_json(found) if arguments.json else _as_text(found))
    return 0


def _as_text(versions: Sequence[StoredVersion]) -> str:
    newest = versions[-1]
    record = EventRecord.model_validate(newest.record)
    affected, confidence = record.affected, record.confidence
    facts = [
        ("event", newest.public_id or str(newest.event_key)),
        ("what", f"{record.kind}, depth {record.depth}"),
        ("status", f"{record.status}{', provisional' if record.provisional else ''}"),
        ("where", f"{record.scope.cc} {' '.join(f'AS{asn}' for asn in record.scope.asns)}".strip()),
        ("began", _precise(record.onset)),
        ("ended", _precise(record.resolution) if record.resolution else _NO_END[record.status]),
        (
            "households",
            f"{affected.n_down} of {affected.n_observed} down at the peak, {affected.n_households} affected in all",
        ),
        ("confidence", f"{confidence.label}: {'; '.join(confidence.reasons)}"),
        ("reviewed by", record.reviewed_by or "nobody"),
        *([("held", "new versions are not served")] if record.held else []),
        ("cause", f"{record.cause.value} ({record.cause.basis}) {' '.join(record.cause.sources)}".strip()),
        *[("note", line) for line in note_lines(record).splitlines()],
        *([("to confirm", f"lacks: {'; '.join(missing)}")] if (missing := lacking(record)) else []),
        ("likeliest", record.likeliest),
        ("hypotheses", ", ".join(f"{name} {value:.3f}" for name, value in sorted(record.hypotheses.items()))),
        ("coverage", record.coverage_note),
        ("rows", f"{record.evidence.backfill:.0%} of the affected probes have sent theirs"),
        ("method", f"{record.method.detector_version}, {record.method.params_id}, {', '.join(record.method.rules)}"),
    ]
    lines = "".join(f"{name:<12}{value}\n" for name, value in facts)
    history = [
        (str(one.version), f"{one.published_at:%Y-%m-%d %H:%M:%S}", one.change_kind, one.reason, *period(past))
        for one in versions
        for past in [EventRecord.model_validate(one.record)]
    ]
    return lines + table(("version", "published", "change", "reason", "began", "ended"), history)


_NO_END = {Status.OPEN: "-", Status.CLOSED: "not known", Status.RETRACTED: "-"}


def _precise(times: Transition) -> str:
    return f"between {times.earliest:%Y-%m-%d %H:%M:%S} and {times.latest:%Y-%m-%d %H:%M:%S} UTC"


def period(record: EventRecord) -> tuple[str, str]:
    """Start and end for a table: the latest bounds, in UTC."""
    end = record.resolution
    return f"{record.onset.latest:%Y-%m-%d %H:%M}", f"{end.latest:%Y-%m-%d %H:%M}" if end else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain characters, wide enough for its content also where the output is no terminal."""
    drawn = Table(*head, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*row)
    console = Console(file=StringIO(), width=_WIDTH, markup=False, highlight=False, no_color=True)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get()


def _as_json(versions: Sequence[StoredVersion] | Sequence[QueueRow]) -> str:
    documents = [
        {
            "public_id": one.public_id,
            "version": one.version,
            "published_at": one.published_at.isoformat(),
            "change_kind": one.change_kind,
            "reason": one.reason,
            "record": one.record,
        }
        for one in versions
    ]
    return json.dumps(documents, indent=2) + "\n"
