"""Who works at the desk: made, given new secrets, disabled and enabled at the command line only."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from civobs_collector.db import audit, staff
from civobs_collector.db.connect import Connection
from civobs_collector.db.staff import Member, Role, Secrets
from civobs_collector.desk import codes, passwords
from civobs_collector.errors import ConfigError, NotFoundError
from civobs_collector.keys import make_box_key, read_box_key

OPERATOR = "(command line)"
"""In the audit, for what is done without signing in."""
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A member, and the secret of the codes as it is told once."""

    member: Member
    otpauth: str = field(repr=False)


def key_of_desk(conn: Connection, path: Path) -> bytes:
    """Read the desk's key; the first member has it made. Raises KeyFileError."""
    if not path.exists() and not staff.list_staff(conn):
        return make_box_key(path)
    return read_box_key(path)


def require_new(conn: Connection, login: str) -> None:
    """Raise ConfigError for a login that is taken or cannot be one."""
    if not _LOGIN.fullmatch(login):
        raise ConfigError(
            f"{login!r} cannot be a login", "use 2 to 32 of a-z, 0-9, dot, dash and underscore, such as amina"
        )
    if staff.find_member(conn, login):
        raise ConfigError(f"the login {login} is taken", f"give new secrets with: civobs staff reset {login}")


def require_member(conn: Connection, login: str) -> Member:
    """Find a member. Raises NotFoundError."""
    member = staff.find_member(conn, login)
    if member is None:
        raise NotFoundError(f"there is no {login} among the staff", "see: civobs staff list")
    return member


def add(conn: Connection, member: tuple[str, str, Role], password: str, key: bytes, now: datetime) -> Enrolled:
    """Add a member, given as login, name and role. Raises ConfigError for a login or password that cannot be."""
    login, name, role = member
    require_new(conn, login)
    passwords.require_good(password, login, name)
    kept, otpauth = _secrets(login, password, key)
    with conn.transaction():
        if staff.add_member(conn, login, name, role, kept) is None:
            raise ConfigError(f"the login {login} is taken", "see: civobs staff list")
        audit.record(conn, now, OPERATOR, "staff-add", "done", detail=f"{login}, {role}")
    return Enrolled(require_member(conn, login), otpauth)


def reset(conn: Connection, login: str, password: str, key: bytes, now: datetime) -> Enrolled:
    """Give a member a new password and new codes, and end all sessions."""
    member = require_member(conn, login)
    passwords.require_good(password, login, member.name)
    kept, otpauth = _secrets(login, password, key)
    with conn.transaction():
        staff.set_secrets(conn, member.staff_key, kept)
        staff.end_sessions(conn, member.staff_key, now)
        audit.record(conn, now, OPERATOR, "staff-reset", "done", detail=login)
    return Enrolled(member, otpauth)


def set_enabled(conn: Connection, login: str, now: datetime, *, enabled: bool) -> int:
    """Let a member sign in again, or no more; return how many sessions were ended."""
    member = require_member(conn, login)
    with conn.transaction():
        staff.set_disabled(conn, member.staff_key, None if enabled else member.disabled_at or now)
        ended = 0 if enabled else staff.end_sessions(conn, member.staff_key, now)
        action = "staff-enable" if enabled else "staff-disable"
        audit.record(conn, now, OPERATOR, action, "done", detail=login)
    return ended


def set_role(conn: Connection, login: str, role: Role, now: datetime) -> Role:
    """Give a member another role, from the next page on; return the one before."""
    member = require_member(conn, login)
    with conn.transaction():
        staff.set_role(conn, member.staff_key, role)
        audit.record(conn, now, OPERATOR, "staff-role", "done", detail=f"{login}, {role}, was {member.role}")
    return member.role


def _secrets(login: str, password: str, key: bytes) -> tuple[Secrets, str]:
    secret = codes.new_secret()
    return Secrets(passwords.hash_password(password), codes.seal(key, secret)), codes.uri(secret, login)
