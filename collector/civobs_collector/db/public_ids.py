"""Public ids that stay unused: what was given out after a backup must never come to name another event."""

from collections.abc import Iterable
from uuid import uuid4

from civobs_collector.db.connect import Connection


def pass_over(conn: Connection, years: Iterable[int], n: int) -> None:
    """Leave out the next ``n`` ids of every country with probes or events, in each of these years.

    What holds the place is an event without a version, which no reader ever sees.
    """
    if n <= 0:
        return
    with conn.transaction():
        countries = [
            cc for (cc,) in conn.execute("SELECT cc FROM probe UNION SELECT cc FROM event ORDER BY 1").fetchall()
        ]
        for year in years:
            for cc in countries:
                prefix = f"CIV-{year:04d}-{cc}-"
                (last,) = conn.execute(
                    "SELECT coalesce(max(substr(public_id, %s)::int8), 0) FROM event WHERE starts_with(public_id, %s)",
                    (len(prefix) + 1, prefix),
                ).fetchone() or (0,)
                conn.execute(
                    "INSERT INTO event (event_key, public_id, cc) VALUES (%s, %s, %s)",
                    (uuid4(), f"{prefix}{last + n:04d}", cc),
                )
