"""``civobs fingerprints``: import lists of block pages' fingerprints, list them, and judge pages by them.

A page that matches a fingerprint is an artefact; one that only looks like a block page is never more than likely.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from civobs_collector import config
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.db.fingerprints import list_fingerprints, store_fingerprints
from civobs_collector.db.migrate import require_current
from civobs_collector.detect.blockpages import Weighed, is_vague, weigh
from civobs_collector.detect.fingerprints import OWN, Fingerprint, Fingerprints
from civobs_collector.errors import DatabaseError, FingerprintError
from civobs_collector.fingerprint_lists import Reading, as_fingerprint, read_list, rows_of, stored_fingerprints
from civobs_collector.page_rows import Row, Unreadable, read_pages
from civobs_collector.printing import print_json, print_line, print_table

_SHOWN = 60
"""Characters of a pattern in the table."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parsers."""
    parser = commands.add_parser("fingerprints", help="fingerprints of block pages", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    importing = actions.add_parser("import", help="read lists in the public CSV and JSON forms")
    importing.add_argument("files", type=Path, nargs="+", metavar="FILE")
    importing.add_argument("--source", help="name of the list (default: told by its form)")
    importing.add_argument(
        "--innocent", action="store_true", help="these are known false positives (default: by the file's name or scope)"
    )
    importing.add_argument("--replace", action="store_true", help="withdraw what is stored of the list and not in it")
    importing.add_argument("--strict", action="store_true", help="import nothing where a row cannot be used")
    importing.add_argument("--json", action="store_true", help="print what was done as JSON")
    importing.set_defaults(run=_import)

    listing = actions.add_parser("list", help="those in use")
    listing.add_argument("--source", help="only this list")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    listing.set_defaults(run=_list)

    check = actions.add_parser("check", help="judge pages: HTML files, or JSON with one answer a line")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    given = check.add_mutually_exclusive_group()
    given.add_argument(
        "--fingerprints",
        type=Path,
        action="append",
        metavar="LIST",
        help="use this list and not those of the database; may be repeated",
    )
    given.add_argument("--no-fingerprints", action="store_true", help="ask the classifier alone")
    check.add_argument("--json", action="store_true", help="print as JSON")
    check.set_defaults(run=_check)


def _import(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    reading = _read(arguments.files, source=arguments.source, innocent=arguments.innocent)
    if arguments.strict and reading.refused:
        raise FingerprintError(f"{len(reading.refused)} rows cannot be used, nothing was imported", "mend them")
    rows = rows_of(reading)
    with database_errors(), connect(settings.database, "fingerprints") as conn:
        require_current(conn)
        stored = store_fingerprints(conn, rows, replace=arguments.replace)
    facts = {
        "read": len(rows),
        **asdict(stored),
        "innocent": sum(row.role == "innocent" for row in rows),
        "vague": sum(is_vague(as_fingerprint(row)) for row in rows),
        "skipped": reading.skipped,
        "refused": reading.refused,
    }
    if arguments.json:
        print_json(facts)
    else:
        print_line(
            f"{stored.new} new, {stored.changed} changed, {stored.same} as before, {stored.withdrawn} withdrawn;"
            f" {facts['innocent']} are known false positives, {facts['vague']} vague;"
            f" {reading.skipped} not of pages, {len(reading.refused)} refused"
        )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    with database_errors(), connect(settings.database, "fingerprints") as conn:
        require_current(conn)
        stored = [as_fingerprint(row) for row in list_fingerprints(conn, arguments.source)]
    found = [one for one in OWN if arguments.source in {None, one.source}] + stored
    if arguments.json:
        print_json([{**asdict(one), "vague": is_vague(one)} for one in found])
    else:
        head = ("SOURCE", "ID", "ROLE", "SCOPE", "VAGUE", "COUNTRIES", "WHERE", "FORM", "PATTERN")
        print_table(head, [_line(one) for one in found])
    return 0


def _line(one: Fingerprint) -> tuple[object, ...]:
    pattern = " ".join(one.pattern.split())
    shown = pattern if len(pattern) <= _SHOWN else pattern[: _SHOWN - 1] + "…"
    countries = " ".join(one.countries) or None
    return one.source, one.id, one.role, one.scope, is_vague(one), countries, one.location, one.form, shown


def _check(arguments: argparse.Namespace) -> int:
    fingerprints = _fingerprints(arguments)
    found = [one for path in arguments.files for one in _judged(path, fingerprints)]
    if arguments.json:
        print_json(found)
        return 0
    for one in found:
        print_line(_checked_line(one))
    n_blocking = sum(one["blockpage"] is True for one in found)
    print_line(f"{n_blocking} of {len(found)} are pages of blocking")
    return 0


def _fingerprints(arguments: argparse.Namespace) -> Fingerprints:
    """Those that the pages are compared with. Without a database a note says so, and the classifier goes on alone."""
    if arguments.no_fingerprints:
        return Fingerprints(())
    if arguments.fingerprints:
        return Fingerprints((*OWN, *_read(arguments.fingerprints, source=None, innocent=False).entries))
    try:
        with database_errors(), connect(config.load(arguments.config).database, "fingerprints") as conn:
            require_current(conn)
            return stored_fingerprints(conn)
    except DatabaseError as error:
        sys.stderr.write(f"civobs: no imported fingerprints are used: {error.cause}\n")
        return Fingerprints()


def _read(paths: list[Path], *, source: str | None, innocent: bool) -> Reading:
    reading = Reading()
    for path in paths:
        read_list(path, reading, source=source, innocent=innocent)
    for line in reading.refused:
        sys.stderr.write(f"{line}\n")
    return reading


def _judged(path: Path, fingerprints: Fingerprints) -> Iterator[dict[str, object]]:
    for row in read_pages(path):
        if isinstance(row, Unreadable):
            sys.stderr.write(f"{row.file}:{row.line}: {row.what}\n")
            continue
        found = weigh(
            row.status,
            row.headers,
            row.title,
            row.body,
            row.location,
            fingerprints,
            asked=row.asked,
            verified=row.verified,
        )
        yield _facts(row, found)


def _facts(row: Row, found: Weighed) -> dict[str, object]:
    match = found.match
    known = match.fingerprint if match else None
    return {
        "file": row.file,
        "line": row.line,
        "name": row.name,
        "blockpage": match is not None,
        "by": match.by if match else None,
        "certainty": match.certainty if match else None,
        "fingerprint": known.id if known else None,
        "source": known.source if known else None,
        "scope": known.scope if known else None,
        "countries": list(known.countries) if known else [],
        "points": found.score,
        "reasons": list(found.reasons),
        "false_positives": [f"{one.source}/{one.id}" for one in found.innocent],
    }


def _checked_line(one: dict[str, object]) -> str:
    """A line for people, with the page's whole name: a table would cut it."""
    place = one["file"] if one["line"] is None else f"{one['file']}:{one['line']}"
    reasons = one["reasons"]
    because = " ".join(str(reason).removeprefix("page.") for reason in reasons) if isinstance(reasons, list) else ""
    if not one["blockpage"]:
        return f"{place}: no page of blocking ({one['points']}: {because})"
    known = f"{one['source']}/{one['fingerprint']}" if one["fingerprint"] else "the classifier"
    return f"{place}: page of blocking, {one['certainty']}, by {known} ({one['points']}: {because})"
