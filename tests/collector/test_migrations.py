"""The migrations of this program, each from the state before it, and the runner with files of a test's own."""

import psycopg
import pytest

from civobs_collector.db.edition import storage_edition
from civobs_collector.db.migrate import migrate


@pytest.mark.db
def test_migrating_twice_changes_nothing(empty_dsn):
    first = migrate(empty_dsn)
    second = migrate(empty_dsn)
    assert first.applied == second.before
    assert second.applied == ()
    assert first.current
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM failure").fetchone() > (40,)
        print(storage_edition(conn))
