"""The role that Grafana's login is a member of: it reads the views of schema ``grafana`` and nothing else.

``civobs migrate`` makes it. The views are the contract with dashboards and alert rules; the tables may change.
"""

from importlib import resources

from psycopg import Connection
from psycopg.rows import TupleRow

ROLE = "civobs_grafana"


def grant_grafana(conn: Connection[TupleRow]) -> None:
    """Make the role, let it read the views, and limit how long its logins' statements may take. It can be repeated."""
    text = (resources.files("civobs_collector.db") / "sql" / "grafana.sql").read_text(encoding="utf-8")
    conn.execute(text.encode())


def note_address(conn: Connection[TupleRow], public_url: str) -> None:
    """Keep where the public site is: dashboards are on another one, and link to it."""
    conn.execute(
        "INSERT INTO observatory (public_url) VALUES (%s)"
        " ON CONFLICT (one) DO UPDATE SET public_url = excluded.public_url",
        (public_url.rstrip("/"),),
    )
