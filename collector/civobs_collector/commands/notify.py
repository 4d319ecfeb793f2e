"""``civobs notify``: what subscribers are told, whether it arrived, and a trial of the way to one of them."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import uuid4

from civobs_collector import config
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.db.notices import NoticeRow, give_up, list_notices, revive
from civobs_collector.errors import NotFoundError, NotTakenError
from civobs_collector.notify.role import make_sender
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.texts import trial
from civobs_collector.printing import print_json, print_line, print_table
from civobs_collector.publish.times import iso

_STATES = ("waiting", "sent", "dead", "dropped")

_EPILOG = """\
states of a notice:
  waiting   to be told, or told again after a pause
  sent      the receiver took it
  dead      given up: every attempt failed, or the receiver wants it never
  dropped   a later version said it, or nobody of that name is told any more, or forgotten by hand
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parsers."""
    parser = commands.add_parser(
        "notify",
        help="who was told of what",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    testing = actions.add_parser("test", help="send one subscriber a message that says it is a trial")
    testing.add_argument("name", help="a subscriber of [notify]")
    testing.set_defaults(run=_test)

    listing = actions.add_parser("list", help="notices, the newest first")
    listing.add_argument(
        "--state", choices=[*_STATES, "all"], help="only those in this state (default: waiting and dead)"
    )
    listing.add_argument("--subscriber", metavar="NAME", help="only this subscriber's")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default: 100)")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)

    again = actions.add_parser("retry", help="try again what was given up, under the name it had")
    again.set_defaults(run=_retry)
    drop = actions.add_parser("drop", help="forget what was given up")
    drop.set_defaults(run=_drop)
    for action in (again, drop):
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("keys", nargs="*", type=int, default=[], metavar="KEY", help="of dead notices, as listed")
        which.add_argument("--subscriber", metavar="NAME", help="all of this subscriber's")
        which.add_argument("--all", action="store_true", help="all")


def _test(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    found = [one for one in settings.notify.subscribers if one.name == arguments.name]
    if not found:
        known = ", ".join(one.name for one in settings.notify.subscribers) or "none"
        raise NotFoundError(f"there is no subscriber {arguments.name}", f"subscribers in [notify]: {known}")
    now = datetime.now(UTC)
    sender = make_sender(settings, found[0])
    try:
        asyncio.run(sender.send(trial(settings.api.public_url, iso(now)), uuid4(), now))
    except SendError as error:
        way = "webhook and secret_file" if found[0].webhook else "mail and [mail]"
        raise NotTakenError(f"{arguments.name}: {error}", f"check {way} of this subscriber, and the receiver") from None
    print_line(f"{arguments.name} took it")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    states = {None: ("waiting", "dead"), "all": _STATES}.get(arguments.state, (arguments.state,))
    with database_errors(), connect(settings.database, "notify") as conn:
        require_current(conn)
        found = list_notices(conn, states, arguments.subscriber, arguments.limit)
    if arguments.json:
        print_json([asdict(one) for one in found])
    elif found:
        _print(found)
    else:
        print_line("nothing waits and nothing was given up" if arguments.state is None else "no notices")
    return 0


def _print(found: Sequence[NoticeRow]) -> None:
    head = ("KEY", "SUBSCRIBER", "EVENT", "VERSION", "CHANGE", "STATE", "ATTEMPTS", "MADE", "NEXT", "ERROR")
    print_table(
        head,
        [
            (
                *(one.notice_key, one.subscriber, one.public_id, one.version, one.change, one.state, one.attempts),
                *(one.made_at, one.not_before if one.state == "waiting" else None, one.last_error),
            )
            for one in found
        ],
    )


def _retry(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "notify") as conn:
        require_current(conn)
        n = revive(conn, datetime.now(UTC), subscriber=arguments.subscriber, keys=arguments.keys)
    _some(n)
    print_line(f"{n} will be tried again by: civobs serve")
    return 0


def _drop(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "notify") as conn:
        require_current(conn)
        n = give_up(conn, subscriber=arguments.subscriber, keys=arguments.keys)
    _some(n)
    print_line(f"{n} forgotten")
    return 0


def _some(n: int) -> None:
    if not n:
        raise NotFoundError("no notice of these was given up", "see: civobs notify list --state dead")
