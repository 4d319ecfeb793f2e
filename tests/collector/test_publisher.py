"""The role under which the program works: it adds to what was published and changes none of it."""

import psycopg
import pytest
from psycopg import sql

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect, make_pool
from civobs_collector.db.migrate import migrate
from civobs_collector.db.publisher import ROLE, can_change_published
from civobs_collector.doctor import State
from civobs_collector.doctor_database import check_published
from tests.collector.fix_services import BLOCKING_ID, seed_services
from tests.collector.fix_web import add_version, shutdown_record

pytestmark = pytest.mark.db


@pytest.fixture
def publisher(dsn):
    """A connection as the detector has it, to a database with published events."""
    with psycopg.connect(dsn) as conn:
        seed_services(conn)
    with connect(DatabaseSettings(dsn=dsn), "detect") as conn:
        yield conn


def test_what_was_published_cannot_be_changed_even_without_the_trigger(dsn, publisher):
    with psycopg.connect(dsn) as owner:
        for table in ("event", "event_version", "review", "audit"):
            owner.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
    for table in ("event", "event_version", "review", "audit"):
        for statement in ("UPDATE {} SET event_key = NULL", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                publisher.execute(sql.SQL(statement).format(sql.Identifier(table)))
            publisher.rollback()


def test_the_role_adds_versions_and_cannot_take_the_trigger_or_the_record_of_migrations_away(publisher):
    for statement in ("ALTER TABLE event_version DISABLE TRIGGER USER", "DELETE FROM migration"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), publisher.transaction():
            publisher.execute(statement)
    record = shutdown_record()
    publisher.execute(
        "INSERT INTO event (event_key, public_id, cc) VALUES (%s, 'CIV-2026-KE-0009', 'KE')", (record.event_key,)
    )
    add_version(publisher, 1, "new", "detected", record)
    (n,) = publisher.execute("SELECT count(*) FROM event_current WHERE public_id <> %s", (BLOCKING_ID,)).fetchone()
    assert n == 2


def test_every_connection_but_that_of_migrate_is_the_role(dsn):
    settings = DatabaseSettings(dsn=dsn)
    for name, wanted in (("ingest", ROLE), ("rollups", ROLE), ("events", ROLE), ("migrate", None)):
        with connect(settings, name) as conn:
            conn.rollback()
            (user, login) = conn.execute("SELECT current_user, session_user").fetchone()
            assert user == (wanted or login)
    with make_pool(settings, "api", size=1, wait_s=5) as pool, pool.connection() as conn:
        assert conn.execute("SELECT current_user").fetchone() == (ROLE,)


def test_every_table_but_those_that_only_grow_can_be_worked_with(dsn):
    with connect(DatabaseSettings(dsn=dsn), "ingest") as conn:
        lacking = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')"
            " AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')) ORDER BY 1"
        ).fetchall()
    assert [name for (name,) in lacking] == ["audit", "event", "event_version", "migration", "review"]


def test_nobody_else_may_run_what_runs_as_the_owner(dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE ROLE civobs_stranger; SET LOCAL ROLE civobs_stranger")
        for call in ("drop_days(now())", "ensure_day(current_date)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"), conn.transaction():
                conn.execute(f"SELECT {call}")
        conn.rollback()
    with connect(DatabaseSettings(dsn=dsn), "rollups") as conn:
        assert conn.execute("SELECT drop_days('2000-01-01')").fetchall() == []
        conn.execute("SELECT ensure_day(current_date)")


def test_a_member_who_may_not_become_the_role_goes_on_as_who_they_are(dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE civobs_member LOGIN")
        try:
            if conn.info.server_version >= 160_000:
                conn.execute(f"GRANT {ROLE} TO civobs_member WITH SET FALSE")
            theirs = psycopg.conninfo.make_conninfo(dsn, user="civobs_member")
            with connect(DatabaseSettings(dsn=theirs), "detect") as member:
                assert member.execute("SELECT current_user").fetchone() == ("civobs_member",)
        finally:
            conn.execute("DROP ROLE civobs_member")


def test_an_owner_who_may_not_make_roles_is_told_what_to_do(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS plain_owner")
        conn.execute("CREATE ROLE plain_owner LOGIN; GRANT CREATE ON SCHEMA public TO plain_owner")
        conn.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO plain_owner").format(sql.Identifier(conn.info.dbname)))
        theirs = psycopg.conninfo.make_conninfo(empty_dsn, user="plain_owner")
        try:
            migrate(theirs, plain=True)
            with connect(DatabaseSettings(dsn=theirs), "detect") as owner:
                result = check_published(owner)
            assert result.state is State.WARNING
            assert f"GRANT {ROLE} TO plain_owner" in result.remedy
            conn.execute(f"GRANT {ROLE} TO plain_owner")
            migrate(theirs)
            with connect(DatabaseSettings(dsn=theirs), "detect") as owner:
                assert not can_change_published(owner)
                assert check_published(owner).state is State.OK
        finally:
            conn.execute("DROP OWNED BY plain_owner CASCADE; DROP ROLE plain_owner")
