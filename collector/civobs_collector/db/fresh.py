"""What a database needs before and after a dump is loaded into it, and how one that is in the way is set aside."""

from datetime import UTC, datetime

import psycopg
from psycopg import conninfo, sql

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import Connection, connect, database_errors
from civobs_collector.errors import BackupError

_NAME_MAX = 63
"""Bytes of a name in PostgreSQL."""


def load_extension(conn: Connection, version: str, *, create: bool) -> None:
    """Make sure that TimescaleDB can be had in the dump's version, and create it. Raises BackupError.

    Its own tables are loaded too, which is for superusers.
    """
    (superuser, role) = conn.execute("SELECT current_setting('is_superuser'), current_user").fetchone() or ("off", "")
    if superuser != "on":
        raise BackupError(
            f"role {role} may not load TimescaleDB's own tables",
            f"for the time of the restore, as a superuser: ALTER ROLE {role} SUPERUSER; afterwards: NOSUPERUSER",
        )
    (there,) = conn.execute(
        "SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s)",
        (version,),
    ).fetchone() or (False,)
    if not there:
        raise BackupError(
            f"the backup was made with TimescaleDB {version}, which this server does not have",
            f"install TimescaleDB {version} to restore, then ALTER EXTENSION timescaledb UPDATE",
        )
    if create:
        conn.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(sql.Literal(version)))


def prepare_load(conn: Connection, timescale: str | None) -> None:
    """Make an empty database ready."""
    if timescale is not None:
        load_extension(conn, timescale, create=True)
        conn.execute("SELECT timescaledb_pre_restore()")


def settle_load(conn: Connection, timescale: str | None) -> None:
    """Make a loaded database one for every day again."""
    if timescale is not None:
        conn.execute("SELECT timescaledb_post_restore()")


def set_aside(settings: DatabaseSettings) -> str:
    """Give the database another name and make an empty one in its place; gives the new name. Raises DatabaseError.

    Whoever is connected to it is sent away. Needs an owner who may create databases.
    """
    name = conninfo.conninfo_to_dict(settings.dsn).get("dbname") or _current(settings)
    aside = f"{name}_{datetime.now(UTC):%Y%m%d%H%M%S}"[-_NAME_MAX:]
    elsewhere = DatabaseSettings(dsn=conninfo.make_conninfo(settings.dsn, dbname="postgres"))
    with database_errors(), connect(elsewhere, "migrate", autocommit=True) as conn:
        old, new = sql.Identifier(str(name)), sql.Identifier(aside)
        conn.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(old))
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (str(name),))
        conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))
        conn.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(new))
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(old))
    return aside


def _current(settings: DatabaseSettings) -> str:
    with database_errors(), psycopg.connect(settings.dsn) as conn:
        return conn.info.dbname
