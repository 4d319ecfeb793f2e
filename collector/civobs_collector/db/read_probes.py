"""Counts of probes by country and network: what may be said in public about who measures where.

A probe is a home. Only counts leave this module, never an id, an address or a place below the network.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from civobs_collector.db.connect import Connection


@dataclass(frozen=True, slots=True)
class NetworkCounts:
    """Probes of one network in one country. Anchors are no households and are left out."""

    cc: str
    asn: int
    name: str | None
    user_share: float | None
    households: int
    """Households with an active probe."""
    heard: int
    """Of these, households from which a batch was committed since the given time."""
    probes_active: int
    probes_quarantined: int
    probes_revoked: int


_COUNTS_SQL = """
SELECT p.cc, p.asn, n.name, n.user_share,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active') AS households,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active' AND b.received_at >= %(since)s) AS heard,
       count(*) FILTER (WHERE p.status = 'active') AS probes_active,
       count(*) FILTER (WHERE p.status = 'quarantined') AS probes_quarantined,
       count(*) FILTER (WHERE p.status = 'revoked') AS probes_revoked
  FROM probe p
  LEFT JOIN network n ON n.asn = p.asn
  LEFT JOIN LATERAL (SELECT received_at FROM batch WHERE batch.probe_key = p.probe_key
                      ORDER BY batch_seq DESC LIMIT 1) b ON true
 WHERE NOT p.is_anchor AND (%(cc)s::text IS NULL OR p.cc = %(cc)s)
 GROUP BY p.cc, p.asn, n.name, n.user_share
 ORDER BY p.cc, p.asn
"""


def count_networks(conn: Connection, since: datetime, cc: str | None = None) -> list[NetworkCounts]:
    """Count probes and households per country and network."""
    with conn.cursor(row_factory=class_row(NetworkCounts)) as cursor:
        return cursor.execute(_COUNTS_SQL, {"since": since, "cc": cc}).fetchall()


FEWEST = 3
"""Households of which a trait may be told: of one or two it would tell of single homes."""


@dataclass(frozen=True, slots=True)
class AccessCounts:
    """Households of one country with an active probe, by what their line is."""

    cc: str
    households: int
    fixed: int
    mobile: int
    unknown: int
    """Households of which nobody has said. One with two lines counts for each."""

    @property
    def kinds(self) -> frozenset[str | None]:
        """What they have, None for not known: nothing is known of a country of a home or two."""
        if 0 < self.households < FEWEST:
            return frozenset({None})
        there = (("fixed", self.fixed), ("mobile", self.mobile), (None, self.unknown))
        return frozenset(kind for kind, n in there if n)

    def told(self, n: int) -> int | None:
        """``n`` of the households, or None where so few have it, or have it not, that it would tell of single homes."""
        others = self.households - n
        return n if (n == 0 or n >= FEWEST) and (others <= 0 or others >= FEWEST) else None


_ACCESS_SQL = """
SELECT cc, count(DISTINCT household_key) AS households,
       count(DISTINCT household_key) FILTER (WHERE access = 'fixed') AS fixed,
       count(DISTINCT household_key) FILTER (WHERE access = 'mobile') AS mobile,
       count(DISTINCT household_key) FILTER (WHERE access IS NULL) AS unknown
  FROM probe WHERE status = 'active' AND NOT is_anchor AND (%(cc)s::text IS NULL OR cc = %(cc)s)
 GROUP BY cc ORDER BY cc
"""


def count_access(conn: Connection, cc: str | None = None) -> list[AccessCounts]:
    """Count households per country by kind of access."""
    with conn.cursor(row_factory=class_row(AccessCounts)) as cursor:
        return cursor.execute(_ACCESS_SQL, {"cc": cc}).fetchall()
