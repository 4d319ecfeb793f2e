"""What Grafana's role can read: the views, each with its documentation, and nothing besides."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import conninfo

from civobs_collector.db.grafana_role import ROLE
from civobs_collector.db.migrate import migrate
from tests.collector.fix_web import HOUSEHOLD_ID, OPEN_ID, PUBLIC_ID, seed
from tests.dashboards.grafana_sql import Window, as_grafana, expand, run

pytestmark = pytest.mark.db

_WINDOW = Window(datetime(2026, 11, 22, 4, tzinfo=UTC), datetime(2026, 11, 22, 12, tzinfo=UTC))


@pytest.fixture
def seeded(dsn):
    """On each kind of server."""
    with psycopg.connect(dsn) as conn:
        seed(conn, datetime.now(UTC))
    return dsn


def test_it_reads_every_view_and_no_table(seeded):
    with as_grafana(seeded) as conn:
        rows = conn.execute("""
            SELECT relnamespace::regnamespace::text, relname, has_table_privilege(oid, 'SELECT'),
                   has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
              FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
               AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
               AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')""").fetchall()
        views = {name for schema, name, can_read, _ in rows if schema == "grafana" and can_read}
        assert {"event", "event_version", "country", "network"} <= views
        others = [row for row in rows if row[3] or (row[2] and row[0] != "grafana")]
        assert any("chunk" in name or name == "measurement_20261122" for _, name, _, _ in rows)
        assert others == []
        for view in sorted(views):
            assert run(conn, f"SELECT * FROM grafana.{view}", _WINDOW).types


def test_what_runs_as_the_owner_of_the_tables_is_for_grafana_only(seeded):
    with psycopg.connect(seeded) as conn:
        owned = conn.execute(
            "SELECT oid::regprocedure::text, has_function_privilege(%s, oid, 'EXECUTE'),"
            " has_function_privilege('public', oid, 'EXECUTE')"
            " FROM pg_proc WHERE pronamespace = 'grafana'::regnamespace",
            (ROLE,),
        ).fetchall()
    assert owned
    assert {(mine, all_) for _, mine, all_ in owned} == {(True, False)}


def test_the_events_of_a_household_are_not_among_them(seeded):
    with as_grafana(seeded) as conn:
        found = run(conn, "SELECT event, title, began_at, networks FROM grafana.event", _WINDOW)
        assert set(found.column("event")) == {PUBLIC_ID, OPEN_ID}
        for view in ("event", "event_version", "event_bin"):
            asked = run(
                conn, f"SELECT event FROM grafana.{view} WHERE event = '$event'", _WINDOW, {"event": HOUSEHOLD_ID}
            )
            assert asked.rows == []


def test_every_view_and_column_says_what_it_is(dsn):
    with psycopg.connect(dsn) as conn:
        silent = conn.execute("""
            SELECT c.relname, a.attname FROM pg_class c
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
             WHERE relnamespace = 'grafana'::regnamespace
               AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)
            UNION ALL
            SELECT proname, '' FROM pg_proc
             WHERE pronamespace = 'grafana'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL""").fetchall()
    assert silent == []


def test_a_login_of_grafana_gets_a_time_limit_and_others_keep_theirs(plain_server, plain_dsn):
    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE gf_login LOGIN IN ROLE civobs_grafana")
        conn.execute("CREATE ROLE gf_worker LOGIN IN ROLE civobs_grafana, civobs_publisher")
        try:
            migrate(plain_dsn)
            with psycopg.connect(conninfo.make_conninfo(plain_dsn, user="gf_login")) as grafana:
                assert grafana.execute("SHOW statement_timeout").fetchone() == ("15s",)
                assert grafana.execute("SELECT count(*) FROM grafana.event").fetchone() == (0,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    grafana.execute("SELECT * FROM probe")
            with psycopg.connect(conninfo.make_conninfo(plain_dsn, user="gf_worker")) as worker:
                assert worker.execute("SHOW statement_timeout").fetchone() == ("0",)
        finally:
            conn.execute("DROP ROLE gf_login, gf_worker")


def test_dashboards_link_to_where_the_site_was_at_the_last_migration(plain_dsn):
    for url in ("http://127.0.0.1:8080", "https://observatory.example/"):
        migrate(plain_dsn, public_url=url)
    migrate(plain_dsn)
    with as_grafana(plain_dsn) as conn:
        found = run(conn, "SELECT * FROM grafana.observatory", _WINDOW)
    assert found.rows == [("https://observatory.example",)]


def test_macros_and_variables_become_what_grafana_sends():
    window = Window(_WINDOW.start, _WINDOW.end, timedelta(minutes=1))
    text = expand(
        "SELECT $__timeGroupAlias(at, '5m') WHERE $__timeFilter(at) AND cc IN (${cc:sqlstring}) AND n = '$net'"
        " AND x > $__timeTo()::timestamptz - interval '$__interval' AND $__unixEpochTo() > 1",
        window,
        {"cc": ["KE", "O'X"], "net": "it's"},
    )
    assert text == (
        "SELECT floor((extract(epoch from at))/300)*300 AS \"time\" WHERE at BETWEEN '2026-11-22T04:00:00.000000Z'"
        " AND '2026-11-22T12:00:00.000000Z' AND cc IN ('KE','O''X') AND n = 'it''s'"
        " AND x > '2026-11-22T12:00:00.000000Z'::timestamptz - interval '1m' AND 1795348800 > 1"
    )


@pytest.mark.parametrize("text", ["$__timeFill(at)", "${cc:regex}", "$nobody", "${__user.login}"])
def test_what_is_not_known_is_refused(text):
    with pytest.raises(ValueError, match=r"not known|does not have"):
        expand(f"SELECT {text}", _WINDOW, {"cc": "KE"})
