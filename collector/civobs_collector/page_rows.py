"""Pages to be judged from files: a web page as it was saved, or JSON with one answer a line.

The names under which projects write down an answer differ and all mean the same few things, so each is looked for
under several: this project's own rows, OONI's ``response``, Censored Planet's ``received``. A row of a list of
signatures, which has a ``pattern`` and no page, is judged by the text that the pattern asks for.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civobs_collector.detect.page_text import MOST
from civobs_collector.errors import FingerprintError

MOST_FILE = 256 * 2**20
_CHARSET = re.compile(rb"charset\s{0,4}=\s{0,4}[\"']?\s{0,4}([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_BODIES = ("sample", "body", "html", "page", "text", "content", "response_body", "http_response_body", "body_sample")
_STATUSES = ("status", "status_code", "code", "http_status", "response_status", "response_code", "status_line")
_LOCATIONS = ("location", "redirect", "redirect_url", "final_url")
_WITHIN = ("response", "received", "answer", "http", "data", "result")
_FIELD = re.compile(r"^([A-Z][A-Za-z-]{1,40}): (.*)$")


@dataclass(frozen=True, slots=True)
class Row:
    """One answer, and where it stands."""

    file: str
    line: int | None
    """None where the file is the page."""
    name: str | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    title: str | None = None
    body: str | None = None
    location: str | None = None
    asked: str | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that holds no answer."""

    file: str
    line: int
    what: str


def read_pages(path: Path) -> Iterator[Row | Unreadable]:
    """All answers of a file. Raises FingerprintError where it cannot be read."""
    try:
        if path.stat().st_size > MOST_FILE:
            raise FingerprintError(f"{path} is larger than {MOST_FILE} bytes", "split it")
        data = path.read_bytes()
    except OSError as error:
        raise FingerprintError(f"cannot read {path}: {error.strerror}", "name readable files") from None
    if _is_json(path, data):
        yield from _json_rows(path, data)
    else:
        yield Row(str(path), None, body=decoded(data))


def decoded(data: bytes) -> str:
    """A page's text: UTF-8 if it is that, else as it says itself, else as Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    said = _CHARSET.search(data[:MOST])
    try:
        return data.decode(said[1].decode("ascii") if said else "cp1252", "replace")
    except (LookupError, ValueError):
        return data.decode("latin-1")


def _is_json(path: Path, data: bytes) -> bool:
    return path.suffix.lower() in {".json", ".jsonl", ".ndjson"} or data.lstrip()[:1] == b"{"


def _json_rows(path: Path, data: bytes) -> Iterator[Row | Unreadable]:
    text = data.decode("utf-8-sig", "replace")
    if text.lstrip()[:1] == "[":
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FingerprintError(f"{path} is no JSON: {error}", "write a list of objects, or one a line") from None
        yield from (_row(path, 1 + i, one) for i, one in enumerate(listed))
        return
    lines = text.split("\n")
    if (whole := _whole(lines)) is not None:
        yield _row(path, 1, whole)
        return
    for line, one in enumerate(lines, 1):
        if one.strip():
            try:
                found = json.loads(one)
            except (ValueError, RecursionError):
                yield Unreadable(str(path), line, "no JSON")
                continue
            yield _row(path, line, found)


def _whole(lines: Sequence[str]) -> object:
    """The one object that is written over several lines; None where lines are objects of their own."""
    try:
        json.loads(next((one for one in lines if one.strip()), "{}"))
    except (ValueError, RecursionError):
        try:
            return json.loads("\n".join(lines))
        except (ValueError, RecursionError):
            return None
    return None


def _row(path: Path, line: int, given: object) -> Row | Unreadable:
    if isinstance(given, str):
        return Row(str(path), line, body=given)
    if not isinstance(given, Mapping):
        return Unreadable(str(path), line, "no object")
    values = _flat(given)
    name = _first(values, ("fingerprint", "name", "id", "target"))
    if isinstance(values.get("pattern"), str) and not any(key in values for key in _BODIES):
        return _of_pattern(path, line, name, values["pattern"])
    redirects = values.get("redirects")
    location = _first(values, _LOCATIONS) or (redirects[-1] if isinstance(redirects, list) and redirects else None)
    body, title = _body(values), values.get("title")
    headers = _headers(values.get("headers"))
    location = location or next((value for field, value in headers if field.lower() == "location"), None)
    verified = values.get("verified")
    if body is None and title is None and location is None and not headers:
        body = max((one for one in values.values() if isinstance(one, str) and "<" in one), key=len, default=None)
    if body is None and title is None and location is None and not headers:
        return Unreadable(str(path), line, f"no page: none of {', '.join(_BODIES)}, title, headers, location")
    return Row(
        str(path),
        line,
        name,
        _status(values),
        headers,
        title if isinstance(title, str) else None,
        body,
        str(location) if location else None,
        _first(values, ("url", "asked", "input", "requested_url")),
        verified if isinstance(verified, bool) else None,
    )


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """The row and what stands inside it under the usual names; the innermost counts."""
    values = dict(given)
    for name in _WITHIN:
        inner = values.get(name)
        if isinstance(inner, Mapping) and not ("data" in inner and "format" in inner):
            values |= inner
    return values


def _body(values: Mapping[str, Any]) -> str | None:
    for name in _BODIES:
        found = values.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("data"), str):
            try:
                return decoded(base64.b64decode(found["data"], validate=True))
            except (binascii.Error, ValueError):
                return None
        if isinstance(found, str):
            return found
    return None


def _status(values: Mapping[str, Any]) -> int | None:
    for name in _STATUSES:
        found = re.search(r"(?<!\d)[1-5]\d\d(?!\d)", str(values.get(name) or ""))
        if found is not None:
            return int(found[0])
    return None


def _headers(given: object) -> tuple[tuple[str, str], ...]:
    """From an object, a list of pairs, or a list of objects with name and value."""
    if isinstance(given, Mapping):
        pairs: list[tuple[Any, Any]] = list(given.items())
    elif isinstance(given, list):
        pairs = [(one.get("name"), one.get("value")) for one in given if isinstance(one, Mapping)]
        pairs += [(one[0], one[1]) for one in given if isinstance(one, list) and len(one) == 2]
    else:
        pairs = []
    return tuple((str(name), _joined(value)) for name, value in pairs if name)


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_pattern(path: Path, line: int, name: str | None, pattern: str) -> Row:
    """What an answer with this pattern in it would hold: a header field, or a piece of a page."""
    text = re.sub(r"\\(.)", r"\1", pattern.replace(".*", " "))
    field = _FIELD.match(text)
    if field is None:
        return Row(str(path), line, name, body=text)
    location = field[2] if field[1] == "Location" else None
    return Row(str(path), line, name, headers=((field[1], field[2]),), location=location)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((found for name in names if isinstance(found := values.get(name), str) and found), None)
