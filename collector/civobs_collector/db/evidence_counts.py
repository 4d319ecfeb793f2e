"""What the doctor asks of what is kept and lost: settings of the server, places of batches, who was heard."""

from datetime import datetime

from civobs_collector.db.connect import Connection


def unsafe_settings(conn: Connection) -> list[str]:
    """Settings of the server that are off and without which a commit may be lost with the power."""
    rows = conn.execute(
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
        " AND setting = 'off' ORDER BY name"
    )
    return [name for (name,) in rows]


def newest_places(conn: Connection, n: int) -> list[tuple[str, int, bytes]]:
    """File, offset and digest of the newest batches."""
    return conn.execute(
        "SELECT archive_file, archive_offset, payload_sha256 FROM batch ORDER BY received_at DESC LIMIT %s", (n,)
    ).fetchall()


def heard_since(conn: Connection, since: datetime) -> tuple[int, int]:
    """How many active probes were enrolled by then, and from how many of all something was taken since."""
    (enrolled, heard) = conn.execute(
        "SELECT count(*) FILTER (WHERE enrolled_at < %(since)s),"
        " count(*) FILTER (WHERE EXISTS (SELECT FROM batch"
        " WHERE batch.probe_key = probe.probe_key AND received_at >= %(since)s))"
        " FROM probe WHERE status = 'active'",
        {"since": since},
    ).fetchone() or (0, 0)
    return int(enrolled), int(heard)


def count_active(conn: Connection) -> int:
    """Probes that may send."""
    (n,) = conn.execute("SELECT count(*) FROM probe WHERE status = 'active'").fetchone() or (0,)
    return int(n)


def dropped_in_a_day(conn: Connection) -> int:
    """Messages the broker says it dropped; it counts from 0 again when it starts."""
    (n,) = conn.execute(
        "SELECT coalesce(sum(greatest(value - before, 0)), 0)::int8 FROM ("
        "SELECT value, lag(value) OVER (PARTITION BY instance, label ORDER BY at) AS before FROM gauge_sample"
        " WHERE name = 'broker_dropped' AND at > now() - interval '1 day') said"
    ).fetchone() or (0,)
    return int(n)


def dead_notices(conn: Connection) -> int:
    """Messages to subscribers that were given up."""
    (n,) = conn.execute("SELECT count(*) FROM notice WHERE state = 'dead'").fetchone() or (0,)
    return int(n)


def untold_versions(conn: Connection, before: datetime) -> int:
    """Versions published before then that the role ``notify`` has not looked at."""
    (n,) = conn.execute(
        "SELECT count(*) FROM notice_due JOIN event_version USING (event_key, version) WHERE published_at < %s",
        (before,),
    ).fetchone() or (0,)
    return int(n)


def count_staff(conn: Connection) -> int:
    """Members of staff who may sign in."""
    (n,) = conn.execute("SELECT count(*) FROM staff WHERE disabled_at IS NULL").fetchone() or (0,)
    return int(n)
