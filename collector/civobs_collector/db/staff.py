"""Who may work at the desk, and who is signed in."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


class Role(StrEnum):
    """What a member of staff may do; each may do what those before it may."""

    VIEWER = "viewer"
    """Reads the queue and the events."""
    REVIEWER = "reviewer"
    """Decides about events."""
    ADMIN = "admin"
    """Reads the audit log."""

    def covers(self, needed: "Role") -> bool:
        """Tell whether this role may do what ``needed`` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff, without secrets."""

    staff_key: int
    login: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a member signs in with, as it is stored."""

    password_hash: str = field(repr=False)
    totp_sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """A session and whose it is."""

    member: Member
    browser_sha256: bytes = field(repr=False)
    csrf: str = field(repr=False)
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be stored: by digests, so that the row opens nothing."""

    session_sha256: bytes = field(repr=False)
    browser_sha256: bytes = field(repr=False)
    csrf: str = field(repr=False)
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit, with the public id of its event."""

    audit_key: int
    at: datetime
    login: str
    action: str
    outcome: str
    event_key: UUID | None
    public_id: str | None
    detail: str


_MEMBER = "staff_key, login, name, role, created_at, disabled_at"


def _member(row: tuple[object, ...]) -> Member:
    staff_key, login, name, role, created_at, disabled_at = row
    return Member(staff_key, login, name, Role(role), created_at, disabled_at)  # type: ignore[arg-type]


def list_staff(conn: Connection) -> list[Member]:
    """Return all members, by login."""
    return [_member(row) for row in conn.execute(f"SELECT {_MEMBER} FROM staff ORDER BY login")]  # noqa: S608 # constant


def find_member(conn: Connection, login: str) -> Member | None:
    """Return a member by login."""
    row = conn.execute(f"SELECT {_MEMBER} FROM staff WHERE login = %s", (login,)).fetchone()  # noqa: S608 # constant
    return None if row is None else _member(row)


def login_of(conn: Connection, staff_key: int) -> str:
    """Who is signed in under this key."""
    (login,) = conn.execute("SELECT login FROM staff WHERE staff_key = %s", (staff_key,)).fetchone() or ("",)
    return str(login)


def read_secrets(conn: Connection, staff_key: int) -> Secrets:
    """Return what a member signs in with."""
    with conn.cursor(row_factory=class_row(Secrets)) as cursor:
        found = cursor.execute(
            "SELECT password_hash, totp_sealed FROM staff WHERE staff_key = %s", (staff_key,)
        ).fetchone()
    if found is None:
        raise LookupError("the member was found in this very transaction")
    return found


def add_member(conn: Connection, login: str, name: str, role: Role, secrets: Secrets) -> int | None:
    """Add a member and return the key; None when the login is taken."""
    row = conn.execute(
        "INSERT INTO staff (login, name, role, password_hash, totp_sealed) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (login) DO NOTHING RETURNING staff_key",
        (login, name, role, secrets.password_hash, secrets.totp_sealed),
    ).fetchone()
    return None if row is None else int(row[0])


def set_secrets(conn: Connection, staff_key: int, secrets: Secrets) -> None:
    """Give a member a new password and a new secret of codes."""
    conn.execute(
        "UPDATE staff SET password_hash = %s, totp_sealed = %s, totp_step = 0 WHERE staff_key = %s",
        (secrets.password_hash, secrets.totp_sealed, staff_key),
    )


def set_password_hash(conn: Connection, staff_key: int, password_hash: str) -> None:
    """Store the same password by today's cost."""
    conn.execute("UPDATE staff SET password_hash = %s WHERE staff_key = %s", (password_hash, staff_key))


def set_disabled(conn: Connection, staff_key: int, disabled_at: datetime | None) -> None:
    """Let a member sign in no more, or again."""
    conn.execute("UPDATE staff SET disabled_at = %s WHERE staff_key = %s", (disabled_at, staff_key))


def set_role(conn: Connection, staff_key: int, role: Role) -> None:
    """Let a member do more or less."""
    conn.execute("UPDATE staff SET role = %s WHERE staff_key = %s", (role, staff_key))


def use_code(conn: Connection, staff_key: int, step: int) -> bool:
    """Use up the code of a step; False when it or a later one was used before, or the member is disabled."""
    used = conn.execute(
        "UPDATE staff SET totp_step = %s WHERE staff_key = %s AND totp_step < %s AND disabled_at IS NULL",
        (step, staff_key, step),
    )
    return used.rowcount == 1


def open_session(conn: Connection, staff_key: int, session: NewSession) -> None:
    """Store a session."""
    conn.execute(
        "INSERT INTO staff_session (session_sha256, staff_key, browser_sha256, csrf, created_at, seen_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            session.session_sha256,
            staff_key,
            session.browser_sha256,
            session.csrf,
            session.at,
            session.at,
            session.expires_at,
        ),
    )


def find_session(conn: Connection, session_sha256: bytes) -> Session | None:
    """Return a session, whether it still stands or not."""
    row = conn.execute(
        "SELECT staff_key, login, name, role, staff.created_at, disabled_at,"
        " browser_sha256, csrf, seen_at, expires_at, ended_at"
        " FROM staff_session JOIN staff USING (staff_key) WHERE session_sha256 = %s",
        (session_sha256,),
    ).fetchone()
    return None if row is None else Session(_member(row[:6]), *row[6:])


def see_session(conn: Connection, session_sha256: bytes, at: datetime) -> None:
    """Remember that a session was used."""
    conn.execute("UPDATE staff_session SET seen_at = %s WHERE session_sha256 = %s", (at, session_sha256))


def end_session(conn: Connection, session_sha256: bytes, at: datetime) -> None:
    """End a session for good."""
    conn.execute(
        "UPDATE staff_session SET ended_at = %s WHERE session_sha256 = %s AND ended_at IS NULL", (at, session_sha256)
    )


def end_sessions(conn: Connection, staff_key: int, at: datetime) -> int:
    """End all sessions of a member; return how many stood."""
    ended = conn.execute(
        "UPDATE staff_session SET ended_at = %s WHERE staff_key = %s AND ended_at IS NULL AND expires_at > %s",
        (at, staff_key, at),
    )
    return ended.rowcount


def forget_session(conn: Connection, session_sha256: bytes) -> None:
    """Delete a session."""
    conn.execute("DELETE FROM staff_session WHERE session_sha256 = %s", (session_sha256,))


def forget_sessions(conn: Connection, before: datetime) -> None:
    """Delete sessions that could not have stood since then."""
    conn.execute("DELETE FROM staff_session WHERE expires_at < %s", (before,))


def read_audit(conn: Connection, limit: int, *, before: int | None = None, login: str | None = None) -> list[AuditLine]:
    """Return lines of the audit, the newest first; ``before`` is the key of the last one seen."""
    with conn.cursor(row_factory=class_row(AuditLine)) as cursor:
        return cursor.execute(
            "SELECT audit_key, at, login, action, outcome, event_key, public_id, detail"
            " FROM audit LEFT JOIN event USING (event_key)"
            " WHERE (%s::int8 IS NULL OR audit_key < %s) AND (%s::text IS NULL OR login = %s)"
            " ORDER BY audit_key DESC LIMIT %s",
            (before, before, login, login, limit),
        ).fetchall()
