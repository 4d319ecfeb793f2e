"""Connections, what they say when the database is away, and the keys of targets."""

import threading

import psycopg
import pytest
from psycopg import conninfo

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect, database_errors, make_pool
from civobs_collector.db.lookups import TargetKeys
from civobs_collector.errors import DatabaseError

pytestmark = pytest.mark.db


def test_a_connection_is_named_after_its_role_and_speaks_utc(dsn):
    with connect(DatabaseSettings(dsn=dsn, statement_timeout_s=12.5), "detect") as conn:
        shown = conn.execute(
            "SELECT current_setting('application_name'), current_setting('TimeZone'),"
            " current_setting('statement_timeout')"
        ).fetchone()
    assert shown == ("civobs-detect", "UTC", "12500ms")


def test_options_of_the_dsn_are_kept(plain_dsn):
    given = conninfo.make_conninfo(plain_dsn, options="-c work_mem=8MB")
    with connect(DatabaseSettings(dsn=given), "detect") as conn:
        assert conn.execute("SELECT current_setting('work_mem')").fetchone() == ("8MB",)


def test_a_statement_that_takes_too_long_ends_with_the_setting_to_change(plain_dsn):
    with (
        pytest.raises(DatabaseError) as caught,
        database_errors(),
        connect(DatabaseSettings(dsn=plain_dsn, statement_timeout_s=0.05), "detect") as conn,
    ):
        conn.execute("SELECT pg_sleep(10)")
    assert caught.value.remedy == "raise statement_timeout_s in [database]"


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"dbname": "no_such_database"}, "create it"),
        ({"user": "no_such_role"}, "create the role"),
        ({"host": "/nonexistent"}, "start PostgreSQL"),
        ({"host": "127.0.0.1", "port": "1"}, "start PostgreSQL"),
    ],
)
def test_each_reason_to_be_away_has_its_remedy(plain_dsn, change, remedy):
    with pytest.raises(DatabaseError) as caught:
        connect(DatabaseSettings(dsn=conninfo.make_conninfo(plain_dsn, **change)), "detect")
    assert caught.value.remedy.startswith(remedy)
    assert "\n" not in caught.value.cause


def test_a_dsn_that_is_none_is_a_clear_error():
    with pytest.raises(DatabaseError) as caught:
        connect(DatabaseSettings(dsn="this is no dsn"), "detect")
    assert caught.value.remedy.startswith("write it as")


def test_a_table_that_is_missing_means_to_migrate(empty_dsn):
    with (
        pytest.raises(DatabaseError) as caught,
        database_errors(),
        connect(DatabaseSettings(dsn=empty_dsn), "detect") as conn,
    ):
        conn.execute("SELECT FROM probe")
    assert caught.value.remedy == "run: civobs migrate"


def test_a_pool_outlives_its_connections(plain_dsn):
    pool = make_pool(DatabaseSettings(dsn=plain_dsn), "api", size=1, wait_s=10.0)
    pool.open()
    try:
        with pool.connection() as conn:
            (pid,) = conn.execute("SELECT pg_backend_pid()").fetchone()
        with psycopg.connect(plain_dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pool.connection() as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        pool.close()


def test_a_database_that_does_not_exist_is_said(plain_dsn):
    with pytest.raises(DatabaseError) as caught:
        connect(DatabaseSettings(dsn=conninfo.make_conninfo(plain_dsn, dbname="no_such_database")), "api")
    assert caught.value.remedy.startswith("create it")


def test_target_names_get_one_key_each_for_good(dsn):
    with psycopg.connect(dsn) as conn:
        first = TargetKeys().resolve(conn, ["b", "a", "b"])
        assert set(first) == {"a", "b"}
        assert TargetKeys().resolve(conn, ["c", "a", "b"]).items() >= first.items()


def test_keys_are_remembered_without_asking_again(plain_dsn):
    keys = TargetKeys()
    with psycopg.connect(plain_dsn) as conn:
        known = keys.resolve(conn, ["a"])
        conn.execute("DELETE FROM target")
        conn.rollback()
        conn.execute("SELECT 1")
        conn.commit()
        assert keys.resolve(conn, ["a"]) == known


def test_resolving_within_a_transaction_is_a_bug_that_shows(plain_dsn):
    with psycopg.connect(plain_dsn) as conn:
        conn.execute("SELECT 1")
        with pytest.raises(RuntimeError, match="before the transaction"):
            TargetKeys().resolve(conn, ["a"])


def test_a_rollback_of_the_rows_leaves_the_keys_valid(dsn):
    keys = TargetKeys()
    with psycopg.connect(dsn) as conn:
        key = keys.resolve(conn, ["a"])["a"]
        with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
            conn.execute("SELECT 1 / 0")
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT target_key FROM target WHERE name = 'a'").fetchone() == (key,)


def test_many_writers_with_the_same_names_agree_and_do_not_deadlock(dsn):
    names = [f"target-{number}" for number in range(200)]
    answers = []

    def work(order):
        with psycopg.connect(dsn) as conn:
            keys = TargetKeys()
            answers.append({name: keys.resolve(conn, [name, *order[:50]])[name] for name in order})

    threads = [
        threading.Thread(target=work, args=(order,)) for order in (names, names[::-1], names[100:] + names[:100])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0].values())) == len(names)
