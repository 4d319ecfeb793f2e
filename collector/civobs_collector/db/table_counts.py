"""How many rows there are, and which files of the archive batches name, as one snapshot sees them."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from civobs_collector.db.connect import Connection

_TABLES = """
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
 ORDER BY relname
"""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One file of the archive that rows name."""

    file: str
    batches: int
    last_offset: int


def read_tables(conn: Connection) -> list[str]:
    """The tables of this database that are no extension's."""
    return [name for (name,) in conn.execute(_TABLES)]


def export_snapshot(conn: Connection) -> str:
    """Name what this transaction sees, for others to see the same while it lasts."""
    (name,) = conn.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
    return str(name)


def count_rows(conn: Connection) -> dict[str, int]:
    """Exact numbers of rows of all tables."""
    counts: dict[str, int] = {}
    for name in read_tables(conn):
        (n,) = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone() or (0,)
        counts[name] = int(n)
    return counts


def batch_files(conn: Connection) -> list[BatchFile]:
    """The archive's files that batches are in."""
    with conn.cursor(row_factory=class_row(BatchFile)) as cursor:
        return cursor.execute(
            "SELECT archive_file AS file, count(*)::int8 AS batches, max(archive_offset) AS last_offset"
            " FROM batch GROUP BY archive_file ORDER BY archive_file"
        ).fetchall()
