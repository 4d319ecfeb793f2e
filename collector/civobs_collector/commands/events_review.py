"""The decisions of ``civobs events``: a table of actions, each a command (``desk/decisions.py``)."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from civobs_collector import config
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.desk.decisions import Wanted
from civobs_collector.detect.reviews import Action, CauseBasis, CauseValue

if TYPE_CHECKING:
    from civobs_collector.desk.triage import Decided

Add = Callable[[argparse.ArgumentParser], None]
Body = Callable[[argparse.Namespace], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Decision:
    """One action as a command."""

    action: Action
    help: str
    more: str
    add: Add = lambda _: None
    body: Body = lambda _: {}


def _cause_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("value", choices=[one.value for one in CauseValue], metavar="CAUSE", help=", ".join(CauseValue))
    parser.add_argument("--basis", choices=[one.value for one in CauseBasis], help="whose word it is")


def _merge_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("other", metavar="OTHER", help="the other event; the larger of the two remains")


def _split_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--asn", dest="asns", type=int, action="append", metavar="N", help="a network that leaves")
    parser.add_argument("--target", dest="targets", action="append", metavar="NAME", help="a service that leaves")


_DECISIONS = (
    _Decision(
        Action.CONFIRM,
        "confirm it with your name",
        "Confirming needs a posterior at the most that the observatory states, three households in two networks (or an"
        " event that claims one network only), two kinds of evidence of which one is stored measurements or a source"
        " outside the observatory, and no fault of the observatory itself. What is missing is said.",
    ),
    _Decision(
        Action.RETRACT,
        "take it back, with a note that says why",
        "The page stays and says that the event is retracted. The detector does not bring it back; what it goes on"
        " finding is kept for the day on which you reopen it.",
    ),
    _Decision(
        Action.REOPEN,
        "undo the last confirmation, retraction or merger",
        "What the detector itself says of the event stands again.",
    ),
    _Decision(
        Action.HOLD,
        "serve no new versions of it",
        "New versions are stored and not served: no page, no feed, no message. What is public stays public. The note is"
        " for the staff only.",
    ),
    _Decision(
        Action.RELEASE, "serve a held event again", "Its newest version is served. The note is for the staff only."
    ),
    _Decision(Action.ANNOTATE, "add a note", "The note and its sources are published with the event."),
    _Decision(
        Action.CAUSE,
        "record the cause that a source states",
        "A cause is never inferred: it needs a source and whose word it is. CAUSE unknown takes it back.",
        _cause_words,
        lambda given: {"value": given.value, "basis": given.basis},
    ),
    _Decision(
        Action.MERGE,
        "make one event of two",
        "The smaller event is retracted and points to the larger, which takes over its networks, services and times. An"
        " event that goes on is the larger of the two.",
        _merge_words,
        lambda given: {"with": given.other},
    ),
    _Decision(
        Action.SPLIT,
        "make an event of its own of some networks or services",
        "What leaves gets an event with an id of its own, which the detector keeps up to date with the rest.",
        _split_words,
        lambda given: {"asns": given.asns or [], "targets": given.targets or []},
    ),
)


def register(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the parser of every decision."""
    for one in _DECISIONS:
        more = f"{one.help[0].upper()}{one.help[1:]}. {one.more}"
        parser = actions.add_parser(one.action.value, help=one.help, description=more)
        parser.add_argument("id", metavar="EVENT", help="CIV-YYYY-CC-NNNN, or the event's key")
        one.add(parser)
        parser.add_argument(
            "--reviewer", metavar="NAME", required=True, help="your name, as it will stand in the record"
        )
        parser.add_argument("--note", metavar="TEXT", default="", help="why, in plain sentences")
        parser.add_argument(
            "--source",
            dest="sources",
            metavar="URL",
            action="append",
            default=[],
            help="https address; may be repeated",
        )
        parser.add_argument(
            "--seen", type=int, metavar="N", help="the version that you looked at: refuse if there is a newer one"
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
        parser.add_argument("--json", action="store_true", help="print JSON, with the whole records")
        parser.set_defaults(run=_run, decision=one)


def _run(arguments: argparse.Namespace) -> int:
    # Imported here: scipy takes most of a second, and every command would wait for it.
    from civobs_collector.desk.triage import decide

    decision: _Decision = arguments.decision
    wanted = Wanted(
        event=arguments.id,
        action=decision.action,
        reviewer=arguments.reviewer,
        note=arguments.note,
        sources=tuple(arguments.sources),
        body=decision.body(arguments),
        seen_version=arguments.seen,
    )
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "events") as conn:
        require_current(conn)
        decided = decide(conn, wanted, datetime.now(UTC), dry_run=arguments.dry_run)
    if arguments.json:
        sys.stdout.write(_as_json(decided, dry_run=arguments.dry_run))
    else:
        head = "nothing is written; this would be:\n" if arguments.dry_run else ""
        sys.stdout.write(f"{head}{decided.text}\n")
    return 0


def _as_json(decided: "Decided", *, dry_run: bool) -> str:
    document = {
        "public_id": decided.public_id,
        "event_key": str(decided.event_key),
        "written": not dry_run,
        "versions": [
            {
                "event_key": str(one.event_key),
                "version": one.version,
                "change_kind": one.change_kind,
                "record": one.record.model_dump(mode="json"),
            }
            for one in decided.versions
        ],
    }
    return json.dumps(document, indent=2) + "\n"
