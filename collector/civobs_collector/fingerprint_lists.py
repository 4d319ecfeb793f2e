"""Lists of fingerprints in the public forms, and those that are stored, ready for use.

Two forms are read. CSV with a heading, as the Citizen Lab's filtering-annotations and OONI's blocking-fingerprints have
it (``name``, ``pattern``, ``location_found``, ``scope`` and so on). JSON, one object a line or a list of them: Censored
Planet's ``fingerprint`` and ``pattern``, which is an expression, or objects with the columns of the CSV. A row that
cannot be used is named by file and line, and the rest goes on.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from civobs_collector.db.connect import Connection
from civobs_collector.db.fingerprints import StoredFingerprint, list_fingerprints
from civobs_collector.db.lookups import country_names
from civobs_collector.detect.fingerprints import (
    MOST_PATTERN,
    OWN,
    SCOPES,
    Fingerprint,
    Fingerprints,
    Form,
    PatternError,
    Role,
    ready,
)
from civobs_collector.errors import FingerprintError

MOST_BYTES = 64 * 2**20
"""Of one list; the largest that is public has a few hundred kilobytes."""
_MOST_NAME = 200
_SCOPE_LETTERS = {"a": "prod", "b": "nat", "c": "isp", "d": "inst", "e": "unk", "f": "vbw"}
"""First letters of Censored Planet's ids."""
_FALSE = re.compile(r"false.?positive", re.IGNORECASE)
_LOCATION = re.compile(r"header(?:\.[a-z0-9_-]{1,64})?|body|any")


@dataclass(slots=True)
class Reading:
    """What a list held."""

    entries: list[Fingerprint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is said of each entry: where it was seen, remarks."""
    refused: list[str] = field(default_factory=list)
    """Rows that cannot be used, as ``file:line: why``."""
    skipped: int = 0
    """Rows that are about something else: answers of name servers."""


def read_list(path: Path, reading: Reading, *, source: str | None, innocent: bool) -> None:
    """Read a file. ``innocent`` makes all of it known false positives. Raises FingerprintError for what is no list."""
    text = _text(path)
    innocent = innocent or _FALSE.search(path.name) is not None
    for line, row in _rows(path, text, reading):
        try:
            made = _fingerprint(row, source or _source(path, row), innocent=innocent)
            if made is not None:
                ready(made)
        except (PatternError, ValueError) as error:
            reading.refused.append(f"{path}:{line}: {error}")
            continue
        if made is None:
            reading.skipped += 1
        else:
            reading.entries.append(made)
            reading.notes.append(_note(row))


def rows_of(reading: Reading) -> list[StoredFingerprint]:
    """As the database keeps them; one that a file has twice is kept once."""
    rows = {
        (one.source, one.id, one.role, one.location, one.form, one.pattern): StoredFingerprint(
            one.source,
            one.id,
            one.role,
            one.scope,
            one.location,
            one.form,
            one.pattern,
            list(one.countries),
            one.confidence,
            note,
        )
        for one, note in zip(reading.entries, reading.notes, strict=True)
    }
    return list(rows.values())


def stored_fingerprints(conn: Connection) -> Fingerprints:
    """Those of the database and this project's own."""
    return Fingerprints((*OWN, *(as_fingerprint(row) for row in list_fingerprints(conn))))


def as_fingerprint(row: StoredFingerprint) -> Fingerprint:
    """A stored row as the detector takes it."""
    return Fingerprint(
        row.fingerprint_id,
        row.source,
        row.pattern,
        Role(row.role),
        row.scope,
        row.location,
        Form(row.form),
        tuple(row.countries),
        row.confidence,
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FingerprintError(f"cannot read {path}: {error.strerror}", "name a readable file") from None
    if len(data) > MOST_BYTES:
        raise FingerprintError(f"{path} is larger than {MOST_BYTES} bytes", "is it a list of fingerprints? cut it")
    return data.decode("utf-8-sig", "replace")


def _rows(path: Path, text: str, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its line. Raises FingerprintError."""
    match text.lstrip()[:1]:
        case "[":
            try:
                found = json.loads(text)
            except ValueError as error:
                raise FingerprintError(
                    f"{path} is no JSON: {error}", "write a list of objects, or one a line"
                ) from None
            yield from ((1 + i, row) for i, row in enumerate(found) if isinstance(row, dict))
        case "{":
            yield from _json_lines(path, text, reading)
        case _:
            yield from _csv_rows(path, text, reading)


def _json_lines(path: Path, text: str, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, one in enumerate(text.split("\n"), 1):
        if not one.strip():
            continue
        try:
            row = json.loads(one)
        except (ValueError, RecursionError):
            reading.refused.append(f"{path}:{line}: no JSON")
            continue
        if isinstance(row, dict):
            yield line, row
        else:
            reading.refused.append(f"{path}:{line}: no object")


def _csv_rows(path: Path, text: str, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        heading = [name.strip().lower() for name in rows.fieldnames or ()]
        if "name" not in heading or not {"pattern", "response"} & set(heading):
            raise FingerprintError(
                f"{path}:1: no columns name and pattern", "use a heading like name,pattern,location_found,scope"
            )
        rows.fieldnames = heading
        for row in rows:
            if row.get(None):  # where DictReader puts what is beyond the heading
                reading.refused.append(f"{path}:{rows.line_num}: more fields than the heading has")
            else:
                yield rows.line_num, {name: value or "" for name, value in row.items()}
    except csv.Error as error:
        raise FingerprintError(f"{path}:{rows.line_num}: no CSV: {error}", "quote fields that hold commas") from None


def _fingerprint(row: dict[str, Any], source: str, *, innocent: bool) -> Fingerprint | None:
    """A row's fingerprint, None for one of name servers. Raises ValueError."""
    location = str(row.get("location_found") or "any").strip().lower()
    if location == "dns" or ("pattern" not in row and "response" in row):
        return None
    by_planet = "fingerprint" in row
    name = str(row.get("name") or row.get("fingerprint") or "").strip()
    if not name or len(name) > _MOST_NAME:
        raise ValueError(f"the name is missing or longer than {_MOST_NAME} characters")
    pattern = row.get("pattern")
    if not isinstance(pattern, str) or "\0" in name + pattern:
        raise ValueError("no pattern that is text")
    if _LOCATION.fullmatch(location) is None:
        raise ValueError(f"no place to look like {location[:40]!r}: body, header or header.NAME")
    scope = (
        str(row.get("scope") or (_SCOPE_LETTERS.get(name.partition("_")[0], "unk") if by_planet else "unk"))
        .strip()
        .lower()
    )
    if scope not in SCOPES:
        raise ValueError(f"no scope {scope[:40]!r}: one of {', '.join(SCOPES)}")
    return Fingerprint(
        name,
        source,
        pattern,
        Role.INNOCENT if innocent or scope == "fp" else Role.BLOCK,
        "fp" if innocent else scope,
        location,
        _form(row, by_planet=by_planet),
        _countries(row, name if by_planet else ""),
        _confidence(row),
    )


def _form(row: dict[str, Any], *, by_planet: bool) -> Form:
    given = str(row.get("pattern_type") or "").strip().lower()
    if not given:
        return Form.REGEXP if by_planet else Form.CONTAINS
    try:
        return Form(given)
    except ValueError:
        raise ValueError(f"no pattern_type {given[:40]!r}: one of {', '.join(Form)}") from None


def _countries(row: dict[str, Any], name: str) -> tuple[str, ...]:
    """Codes of a row; in Censored Planet's ids the third part may be one."""
    given = row.get("expected_countries") or ""
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    parts = name.split("_")
    if len(parts) > 3 and parts[0] in {"b", "c"}:
        text = parts[2]
    found = re.findall(r"\b[A-Z]{2}\b", text.upper())
    return tuple(sorted({code for code in found if code in _known_countries()}))


@cache
def _known_countries() -> frozenset[str]:
    return frozenset(code for code, _ in country_names())


def _confidence(row: dict[str, Any]) -> int | None:
    given = str(row.get("confidence_no_fp") or "").strip()
    if not given:
        return None
    if not re.fullmatch(r"\d{1,2}(?:\.0)?", given) or float(given) > 10:
        raise ValueError(f"confidence_no_fp is no number from 0 to 10: {given[:40]!r}")
    return int(float(given))


def _note(row: dict[str, Any]) -> str:
    parts = (str(row.get(name) or "").strip() for name in ("common_name", "exp_url", "source", "notes"))
    return " ".join(" · ".join(part for part in parts if part).replace("\0", "").split())[:MOST_PATTERN]


def _source(path: Path, row: dict[str, Any]) -> str:
    """The list's name, where nobody gives it."""
    if "fingerprint" in row:
        return "censoredplanet"
    if "common_name" in row:
        return "citizenlab"
    if "pattern_type" in row:
        return "ooni"
    return path.name.partition(".")[0][:_MOST_NAME] or "list"
