"""Which database this is: plain PostgreSQL, or TimescaleDB in its Apache-2 or its Community edition.

The schema and the queries are the same on all three. What differs: plain has a partition a day that ``ensure_day``
makes; compression and policies exist in the Community edition only (ingest.md §3.4).
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from civobs_collector.db.connect import Connection


class Edition(StrEnum):
    """What is installed in this database."""

    PLAIN = "plain"
    APACHE = "apache"
    COMMUNITY = "community"


@dataclass(frozen=True, slots=True)
class Storage:
    """The server and its edition."""

    edition: Edition
    server_version: str
    """PostgreSQL's, such as ``17.11``."""
    server_number: int
    """The same as a number, such as 170011."""
    timescale_version: str | None
    licence: str | None
    """``timescaledb.license`` as the server shows it."""

    def __str__(self) -> str:
        if self.timescale_version is None:
            return f"PostgreSQL {self.server_version}, plain"
        return f"PostgreSQL {self.server_version}, TimescaleDB {self.timescale_version} ({self.edition} edition)"


def storage_edition(conn: Connection) -> Storage:
    """What this database is."""
    version, number = conn.execute(
        "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int"
    ).fetchone() or ("", 0)
    found = conn.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    if found is None:
        return Storage(Edition.PLAIN, version, number, None, None)
    # Its settings exist only once its library is loaded in this session, which any of its functions does.
    conn.execute("SELECT time_bucket(interval '1 day', date '2020-01-01')")
    (licence,) = conn.execute("SELECT current_setting('timescaledb.license', true)").fetchone() or (None,)
    # `timescale` is the Timescale licence, that is the Community edition; a build without it only knows `apache`.
    edition = Edition.COMMUNITY if licence == "timescale" else Edition.APACHE
    return Storage(edition, version, number, found[0], licence)


def measurements_are_hypertable(conn: Connection) -> bool:
    """Whether ``measurement`` was made as a hypertable."""
    row = conn.execute("SELECT FROM pg_class WHERE oid = to_regclass('measurement') AND relkind = 'r'").fetchone()
    return row is not None


def ensure_day(conn: Connection, day: date) -> None:
    """Make sure that rows of this UTC date have a partition; TimescaleDB needs none, there it does nothing."""
    conn.execute("SELECT ensure_day(%s::date)", (day,))
