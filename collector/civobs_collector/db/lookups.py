"""Look-up tables: vocabularies filled from the wire, and the short keys of targets."""

import csv
from collections.abc import Iterable
from importlib import resources

from psycopg.pq import TransactionStatus

from civobs_collector.db.connect import Connection
from civobs_wire.failure import FAILURES
from civobs_wire.measurement import KIND_CODES


def fill_vocabularies(conn: Connection) -> None:
    """Write kinds, failures and countries as this program knows them; codes never change, wording may."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO kind (kind, name) VALUES (%s, %s) ON CONFLICT (kind) DO UPDATE SET name = excluded.name",
            [(code, name) for name, code in KIND_CODES.items()],
        )
        cursor.executemany(
            "INSERT INTO failure (failure, name, outcome, source, meaning) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (failure) DO UPDATE SET (name, outcome, source, meaning)"
            " = (excluded.name, excluded.outcome, excluded.source, excluded.meaning)",
            [(row.code, row.name.value, row.outcome.value, row.source, row.meaning) for row in FAILURES],
        )
        cursor.executemany(
            "INSERT INTO country (cc, name) VALUES (%s, %s) ON CONFLICT (cc) DO UPDATE SET name = excluded.name",
            country_names(),
        )


def country_names() -> list[tuple[str, str]]:
    """ISO 3166-1 alpha-2 codes with English names, and ``XK`` and ``ZZ``.

    ``countries.csv``: codes of the IANA time zone database 2025b (``iso3166.tab``, public domain), names of Unicode
    CLDR 47, locale ``en`` (Unicode License v3).
    """
    text = (resources.files("civobs_collector.db") / "countries.csv").read_text(encoding="utf-8")
    return [(row["cc"], row["name"]) for row in csv.DictReader(text.splitlines())]


class TargetKeys:
    """The key of each target's name, remembered for as long as a connection lasts.

    Keys are made in a transaction of their own, before the one that stores the rows. Within the latter they could be
    rolled back and still be remembered, and two writers could wait for each other's names.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def resolve(self, conn: Connection, names: Iterable[str]) -> dict[str, int]:
        """Name to key for all of ``names``, making the missing ones. ``conn`` must not be in a transaction."""
        if conn.info.transaction_status is not TransactionStatus.IDLE:
            raise RuntimeError("targets are resolved before the transaction that uses them")
        wanted = set(names)
        missing = sorted(wanted - self._known.keys())
        if missing:
            with conn.transaction():
                found = _existing(conn, missing)
                absent = [name for name in missing if name not in found]
                if absent:
                    found |= _insert(conn, absent)
            self._known |= found
        return {name: self._known[name] for name in wanted}


def _existing(conn: Connection, names: list[str]) -> dict[str, int]:
    return dict(conn.execute("SELECT name, target_key FROM target WHERE name = ANY(%s)", (names,)).fetchall())


def _insert(conn: Connection, names: list[str]) -> dict[str, int]:
    """Make rows, in the order of names, so that two writers cannot wait for each other; both get the same keys."""
    conn.execute("INSERT INTO target (name) SELECT unnest(%s::text[]) ON CONFLICT (name) DO NOTHING", (names,))
    # What another transaction made meanwhile was waited for and is committed now: a new statement sees it.
    return _existing(conn, names)
