"""The role under which the program works: it adds to what was published and can change none of it.

``civobs migrate`` makes it and grants it what the program needs. Every other connection steps down to it, whoever it
logged in as: an owner of the tables could otherwise disable the trigger that keeps published rows as they are. A site
that wants more than a habit gives the services a login of their own that is a member of this role and of no other.
"""

from importlib import resources

from psycopg import Connection
from psycopg.rows import TupleRow

ROLE = "civobs_publisher"

_STEP_DOWN = """
SELECT set_config('role', rolname, false) FROM pg_roles
 WHERE rolname = %s
   AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int4 < 160000 THEN 'MEMBER' ELSE 'SET' END)
   AND has_table_privilege(oid, to_regclass('event_version'), 'INSERT')
"""
"""Does nothing where the role is not there, is not granted, or has no rights in this database yet.

Since PostgreSQL 16 one may be a member and yet not allowed to become the role: whoever made it is such a member.
"""


def step_down(conn: Connection[TupleRow]) -> None:
    """Go on as the publisher, where that is possible; for the rest of the connection's life."""
    conn.execute(_STEP_DOWN, (ROLE,))
    if not conn.autocommit:
        conn.commit()


def grant_publisher(conn: Connection[TupleRow]) -> None:
    """Make the role and grant it what it needs; doing it again changes nothing."""
    text = (resources.files("civobs_collector.db") / "sql" / "publisher.sql").read_text(encoding="utf-8")
    conn.execute(text.encode())


def can_change_published(conn: Connection[TupleRow]) -> bool:
    """Tell whether this connection could rewrite, delete or empty what was published."""
    (able,) = conn.execute(
        "SELECT bool_or(has_table_privilege(one, 'UPDATE, DELETE, TRUNCATE')) FROM unnest(%s::regclass[]) one",
        (["event", "event_version"],),
    ).fetchone() or (True,)
    return bool(able)
