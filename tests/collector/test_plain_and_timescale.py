"""One schema and one set of queries on TimescaleDB and on plain PostgreSQL."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from civobs_collector.db.edition import Edition, ensure_day, measurements_are_hypertable, storage_edition
from civobs_collector.db.migrate import migrate
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db

_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'measurement'::regclass"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _insert(conn, at):
    conn.execute(
        "INSERT INTO measurement"
        " (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity)"
        " VALUES (%(at)s, %(at)s, 1, 1, 1, 0, 1, 0, 4, 0)",
        {"at": at},
    )


def test_the_edition_is_what_is_installed(timescale_dsn, plain_dsn):
    with psycopg.connect(timescale_dsn) as conn:
        storage = storage_edition(conn)
        assert storage.edition in {Edition.APACHE, Edition.COMMUNITY}
        assert storage.timescale_version
        assert storage.licence in {"apache", "timescale"}
        assert measurements_are_hypertable(conn)
    with psycopg.connect(plain_dsn) as conn:
        storage = storage_edition(conn)
        assert storage.edition is Edition.PLAIN
        assert storage.timescale_version is None
        assert not measurements_are_hypertable(conn)


def _columns(dsn):
    with psycopg.connect(dsn) as conn:
        return conn.execute("""
            SELECT table_name, column_name, udt_name, is_nullable, column_default, identity_generation
              FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
            """).fetchall()


def test_tables_and_columns_are_the_same_on_both(timescale_dsn, plain_dsn):
    assert _columns(timescale_dsn) == _columns(plain_dsn)


def test_rows_of_a_day_can_be_stored_once_the_day_is_ensured(dsn):
    with psycopg.connect(dsn) as conn:
        for hours in (-36, 0, 36):
            at = NOON + timedelta(hours=hours)
            ensure_day(conn, at.date())
            _insert(conn, at)
        bins = conn.execute(
            "SELECT date_bin('1 day', ts, '2000-01-01Z'), count(*) FROM measurement GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert [n for _, n in bins] == [1, 1, 1]


def test_a_day_s_partition_has_the_bounds_of_the_utc_day_whatever_the_session_s_zone(plain_dsn):
    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        conn.execute("SET TimeZone = 'Africa/Nairobi'")
        ensure_day(conn, date(2026, 11, 22))
        _insert(conn, datetime(2026, 11, 22, tzinfo=UTC))
        _insert(conn, datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC))
        with pytest.raises(psycopg.errors.CheckViolation):
            _insert(conn, datetime(2026, 11, 23, tzinfo=UTC))


def test_ensuring_a_day_twice_makes_one_partition(plain_dsn):
    with psycopg.connect(plain_dsn) as conn:
        ensure_day(conn, date(2026, 11, 22))
        ensure_day(conn, date(2026, 11, 22))
        assert conn.execute(_PARTITIONS).fetchone() == (1,)


def test_timescale_makes_its_chunks_itself(timescale_dsn):
    with psycopg.connect(timescale_dsn) as conn:
        ensure_day(conn, date(2026, 11, 22))
        assert conn.execute("SELECT count(*) FROM show_chunks('measurement')").fetchone() == (0,)
        _insert(conn, NOON)
        assert conn.execute("SELECT count(*) FROM show_chunks('measurement')").fetchone() == (1,)


def test_a_server_with_timescale_can_be_kept_plain(timescale_server):
    with fresh_database(timescale_server, template="template0") as dsn:
        assert migrate(dsn, plain=True).storage.edition is Edition.PLAIN
        # The next one must not load the extension into a database whose tables were made without it.
        assert migrate(dsn).storage.edition is Edition.PLAIN
        with psycopg.connect(dsn) as conn:
            ensure_day(conn, NOON.date())
            _insert(conn, NOON)


def test_published_event_versions_cannot_be_changed(dsn):
    with psycopg.connect(dsn) as conn:
        for words in (
            b"UPDATE event_version SET version = 2",
            b"DELETE FROM event_version",
            b"TRUNCATE event_version CASCADE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                conn.execute(words)
