"""What commands print: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 200
"""Columns where there is no terminal to ask."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their headings; None is shown as a dash, times in UTC to the second."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(as_text(value) for value in row))
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(file=sys.stdout, highlight=False, markup=False, width=width).print(table)


def print_json(value: object) -> None:
    """JSON with times as ISO 8601 and bytes as hex."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def print_line(text: str) -> None:
    """One line on standard output."""
    sys.stdout.write(f"{text}\n")


def as_text(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%SZ}"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _plain(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case bytes():
            return value.hex()
        case Path():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} is not for JSON")
