"""``civobs staff``: who may work at the desk.

A member signs in with a password and a one-time code of an authenticator app. The password is asked for, or read from a
file; the secret of the codes is shown once.
"""

import argparse
import getpass
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import segno

from civobs_collector import config
from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.db.migrate import require_current
from civobs_collector.db.staff import Role, list_staff, read_audit
from civobs_collector.desk import members
from civobs_collector.desk.decisions import MOST_NAME
from civobs_collector.desk.members import Enrolled
from civobs_collector.errors import ConfigError
from civobs_collector.keys import read_secret
from civobs_collector.printing import print_json, print_line, print_table

_LINES = 100
_Act = Callable[[Connection, CollectorSettings, argparse.Namespace], None]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = commands.add_parser("staff", help="who may work at the desk", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = _action(actions, "add", "let a person sign in at /staff/", _add)
    add.add_argument("login", help="2 to 32 of a-z, 0-9, dot, dash and underscore")
    add.add_argument("--name", required=True, help="as it stands in the records that the person reviews")
    add.add_argument("--role", choices=[role.value for role in Role], default=Role.VIEWER, help="(default: viewer)")
    _password_option(add)

    _action(actions, "list", "list the staff", _list)

    role = _action(actions, "role", "give a person another role", _role)
    role.add_argument("login")
    role.add_argument("role", choices=[one.value for one in Role])

    reset = _action(actions, "reset", "give a new password and new codes, and end all sessions", _reset)
    reset.add_argument("login")
    _password_option(reset)

    for name, enabled, text in (
        ("disable", False, "let a person sign in no more, and end all sessions"),
        ("enable", True, "let a disabled person sign in again"),
    ):
        change = _action(actions, name, text, _change)
        change.add_argument("login")
        change.set_defaults(enabled=enabled)

    audit = _action(actions, "audit", "what was done and refused at the desk, the newest first", _audit)
    audit.add_argument("--login", help="only this person")
    audit.add_argument("--limit", type=int, default=_LINES, metavar="N", help=f"lines (default: {_LINES})")


def _password_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="read the password here, not from the screen"
    )


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, act: _Act
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=_run, act=act)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "staff", autocommit=True) as conn:
        require_current(conn)
        arguments.act(conn, settings, arguments)
    return 0


def _add(conn: Connection, settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    members.require_new(conn, arguments.login)
    name = arguments.name.strip()
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise ConfigError(
            f"a name of at most {MOST_NAME} characters is needed",
            "give the name under which the person reviews: --name 'Amina Otieno'",
        )
    password = _password(arguments)
    key = members.key_of_desk(conn, settings.keys.desk_key)
    member = (arguments.login, name, Role(arguments.role))
    _tell(members.add(conn, member, password, key, datetime.now(UTC)), settings, arguments)


def _reset(conn: Connection, settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    members.require_member(conn, arguments.login)
    password = _password(arguments)
    key = members.key_of_desk(conn, settings.keys.desk_key)
    _tell(members.reset(conn, arguments.login, password, key, datetime.now(UTC)), settings, arguments)


def _tell(enrolled: Enrolled, settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    """Show the secret of the codes, once; the picture only to a person at a terminal."""
    member, otpauth = enrolled.member, enrolled.otpauth
    if arguments.json:
        print_json({**asdict(member), "otpauth": otpauth})
        return
    print_line(f"{member.login} ({member.name}) is {member.role} and signs in at {settings.api.public_url}/staff/")
    print_line("Scan this with an authenticator app; it is not shown again:")
    if sys.stdout.isatty():
        segno.make(otpauth, error="m").terminal(out=sys.stdout, compact=True)
    print_line(otpauth)


def _list(conn: Connection, _settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    found = list_staff(conn)
    if arguments.json:
        print_json([asdict(one) for one in found])
        return
    lines = [(one.login, one.name, one.role.value, one.created_at, one.disabled_at) for one in found]
    print_table(("LOGIN", "NAME", "ROLE", "SINCE", "DISABLED"), lines)


def _role(conn: Connection, _settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    before = members.set_role(conn, arguments.login, Role(arguments.role), datetime.now(UTC))
    if arguments.json:
        print_json({"login": arguments.login, "before": before, "role": arguments.role})
    else:
        print_line(f"{arguments.login} is {arguments.role}, was {before}")


def _change(conn: Connection, _settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    ended = members.set_enabled(conn, arguments.login, datetime.now(UTC), enabled=arguments.enabled)
    if arguments.json:
        print_json({"login": arguments.login, "enabled": arguments.enabled, "sessions_ended": ended})
    elif arguments.enabled:
        print_line(f"{arguments.login} may sign in again")
    else:
        print_line(f"{arguments.login} may sign in no more; sessions ended: {ended}")


def _audit(conn: Connection, _settings: CollectorSettings, arguments: argparse.Namespace) -> None:
    if arguments.limit < 1:
        raise ConfigError(f"{arguments.limit} is not a number of lines from 1", "such as: --limit 50")
    found = read_audit(conn, arguments.limit, login=arguments.login)
    if arguments.json:
        print_json([{**asdict(one), "event_key": one.event_key and str(one.event_key)} for one in found])
        return
    lines = [(one.at, one.login, one.action, one.outcome, one.public_id or one.event_key, one.detail) for one in found]
    print_table(("AT", "LOGIN", "ACTION", "OUTCOME", "EVENT", "DETAIL"), lines)


def _password(arguments: argparse.Namespace) -> str:
    if arguments.password_file is not None:
        return read_secret(arguments.password_file)
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the password", "name a file of mode 0600: --password-file")
    password = getpass.getpass(f"Password for {arguments.login}: ")
    if getpass.getpass("The same again: ") != password:
        raise ConfigError("the two passwords differ", "try again")
    return password
