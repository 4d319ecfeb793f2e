"""Sessions: 256 random bits in the browser, their digest in the database.

A session stands for half an hour without use and for twelve hours in all, and belongs to the browser that signed in: a
cookie that another one shows, or that is shown after the session was ended, is refused, ends the session and is logged.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest

from civobs_collector.db import audit, staff
from civobs_collector.db.connect import Connection

IDLE = timedelta(minutes=30)
WHOLE = timedelta(hours=12)
"""OWASP ASVS 4.0.3 §3.3.2, level 2."""
_REMEMBERED = timedelta(days=7)
"""For how long after its end a session is known by its cookie."""
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Browser:
    """What a request says of who sent it: the cookie, and what the browser calls itself."""

    token: str = field(repr=False)
    agent: str


def begin(conn: Connection, staff_key: int, browser: Browser, now: datetime) -> str:
    """Open a session for a browser under a new token, which is returned; the one it had before ends."""
    if browser.token:
        staff.end_session(conn, _digest(browser.token), now)
    staff.forget_sessions(conn, now - _REMEMBERED)
    token = secrets.token_urlsafe(_BYTES)
    new = staff.NewSession(_digest(token), _agent(token, browser), secrets.token_urlsafe(_BYTES), now, now + WHOLE)
    staff.open_session(conn, staff_key, new)
    return token


def find(conn: Connection, browser: Browser, now: datetime) -> staff.Session | None:
    """Return the browser's session if it stands, and use it. What looks like a stolen cookie is logged."""
    if not browser.token:
        return None
    digest = _digest(browser.token)
    session = staff.find_session(conn, digest)
    if session is None:
        return None
    if session.ended_at is not None:
        staff.forget_session(conn, digest)  # so that it is logged once, however often it is shown
        _refuse(conn, session, now, "a cookie was shown after its session had been ended")
        return None
    if now >= min(session.expires_at, session.seen_at + IDLE) or session.member.disabled_at is not None:
        return None
    if not compare_digest(session.browser_sha256, _agent(browser.token, browser)):
        staff.end_session(conn, digest, now)
        _refuse(conn, session, now, "a cookie was shown by another browser; its session was ended")
        return None
    staff.see_session(conn, digest, now)
    return session


def end(conn: Connection, browser: Browser, now: datetime) -> None:
    """End the browser's session."""
    staff.end_session(conn, _digest(browser.token), now)


def _refuse(conn: Connection, session: staff.Session, now: datetime, detail: str) -> None:
    member = session.member
    audit.record(conn, now, member.login, "session", "refused", staff_key=member.staff_key, detail=detail)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _agent(token: str, browser: Browser) -> bytes:
    """Keyed with the token: the table does not tell which members use the same browser."""
    return hashlib.blake2b(browser.agent.encode(), key=token.encode()[:64], digest_size=32).digest()
