"""Targets from lists in the Citizen Lab's CSV form, and tasks that name them by category.

The form is ``url,category_code,category_description,date_added,source,notes`` with a heading; only the first two
columns are read. Each target's risk tier follows from its category (``civobs_wire.categories``).
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from civobs_collector.errors import PlanError
from civobs_wire.categories import CATEGORIES
from civobs_wire.limits import MAX_NAME, MAX_TEXT

DIGEST = 8
"""Hexadecimal digits: among a thousand pages of one host two share them once in eight thousand lists."""
BY_CATEGORY = "category:"
"""Before a category's code, or ``*``, among a task's targets: all of them."""
_NEEDED = ("url", "category_code")
_SCHEMES = frozenset({"http", "https"})


def read_target_lists(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Targets of all files, as a plan's file writes them; an address named twice counts once. Raises PlanError."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for url, code in _rows(path):
            name = id_of(url)
            found.setdefault(name, {"id": name, "url": url, "tier": CATEGORIES[code].list_tier, "category": code})
    return list(found.values())


def id_of(url: str) -> str:
    """The id of a listed URL: its host, or for any other page than its first one over TLS the host and a digest.

    It follows from the URL alone. Rows name their target by it for years, while lists grow and change their order.
    """
    parts = urlsplit(url)
    host = str(parts.hostname)[: MAX_NAME - 1 - DIGEST]
    if url.lower().rstrip("/") == f"https://{host}":
        return host
    return f"{host}-{hashlib.sha256(url.encode()).hexdigest()[:DIGEST]}"


def measurable(url: str) -> bool:
    """Whether a probe would ask for it: its name one that DNS can carry, the rest as it may stand in a request."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        rest = parts.path + parts.query
        return (
            parts.scheme in _SCHEMES
            and bool(host)
            and parts.port != 0
            and len(url) <= MAX_TEXT
            and len(host) <= MAX_NAME
            # As it is written: taking a URL apart drops tabs and ends of lines.
            and all(character > " " and character != "\x7f" for character in url)
            and all("!" <= character <= "~" for character in host + rest)
        )
    except ValueError:
        return False


def expand(tasks: Sequence[Any], targets: Sequence[Any]) -> list[Any]:
    """Put targets' ids where a task names a category. What is no task or target is left for the schema to refuse."""
    return [
        {**task, "targets": list(dict.fromkeys(_expanded(task["targets"], targets)))}
        if isinstance(task, dict) and isinstance(task.get("targets"), list)
        else task
        for task in tasks
    ]


def _expanded(names: Sequence[Any], targets: Sequence[Any]) -> Iterator[Any]:
    for name in names:
        if not isinstance(name, str) or not name.startswith(BY_CATEGORY):
            yield name
            continue
        code = name.removeprefix(BY_CATEGORY)
        if code != "*" and code not in CATEGORIES:
            raise PlanError(f"no category {code}", f"one of: {', '.join(sorted(CATEGORIES))}, or * for all")
        for target in targets:
            if isinstance(target, dict) and code in {"*", target.get("category", "CTRL")}:
                yield target.get("id")


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise PlanError(
                    f"{path}:1: no column {missing[0]}", "use the Citizen Lab's heading: url,category_code,…"
                )
            for row in reader:
                yield _row(row, f"{path}:{reader.line_num}")
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "name a readable file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not CSV in UTF-8: {error}", "save it as CSV in UTF-8") from None


def _row(row: dict[str, Any], where: str) -> tuple[str, str]:
    url, code = (row.get("url") or "").strip(), (row.get("category_code") or "").strip().upper()
    if not measurable(url):
        raise PlanError(
            f"{where}: {url[:100]!r} is no http or https URL that can be asked for",
            "correct or remove the line; in a path, other letters than ASCII are written as %XX",
        )
    if code not in CATEGORIES:
        raise PlanError(f"{where}: no category {code!r}", f"one of: {', '.join(sorted(CATEGORIES))}")
    return url, code
