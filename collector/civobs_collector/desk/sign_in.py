"""Signing in: a password and a one-time code at once, and one answer for all that can be wrong with them.

An unknown login takes the same time as a wrong password. What was wrong is in the audit, for the admin. A login that
nobody has is not written down: people type their passwords there.
"""

from dataclasses import dataclass, field
from datetime import datetime

from civobs_collector.db import audit, staff
from civobs_collector.db.connect import Connection
from civobs_collector.desk import codes, passwords, sessions
from civobs_collector.desk.sessions import Browser

_OF_NOBODY = codes.new_secret()


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into the form."""

    login: str
    password: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it; whoever typed it is told no more than whether there is a token."""

    token: str | None = field(default=None, repr=False)
    stranger: bool = False
    """Nobody has this login. Anybody can do that at will, so it is for the caller to bound how much is written down."""


def sign_in(conn: Connection, key: bytes, typed: Typed, browser: Browser, now: datetime) -> Answer:
    """Open a session if all is right. Raises KeyFileError for a wrong ``key``."""
    with conn.transaction():
        member = staff.find_member(conn, typed.login)
        kept = staff.read_secrets(conn, member.staff_key) if member else None
        right = passwords.matches(typed.password, kept.password_hash if kept else None)
        secret = codes.unseal(key, kept.totp_sealed) if kept else _OF_NOBODY
        step = codes.matching_step(secret, typed.code, now)
        if member is None or kept is None:
            return Answer(stranger=True)
        wrong = _wrong(member, right=right, step=step)
        if not wrong and step is not None and not staff.use_code(conn, member.staff_key, step):
            wrong = "the code was used before"
        if wrong:
            audit.record(conn, now, member.login, "sign-in", "refused", staff_key=member.staff_key, detail=wrong)
            return Answer()
        if passwords.is_outdated(kept.password_hash):
            staff.set_password_hash(conn, member.staff_key, passwords.hash_password(typed.password))
        audit.record(conn, now, member.login, "sign-in", "done", staff_key=member.staff_key)
        return Answer(sessions.begin(conn, member.staff_key, browser, now))


def _wrong(member: staff.Member, *, right: bool, step: int | None) -> str:
    if member.disabled_at is not None:
        return "the login is disabled"
    if not right:
        return "wrong password" if step is not None else "wrong password and code"
    return "wrong code" if step is None else ""
