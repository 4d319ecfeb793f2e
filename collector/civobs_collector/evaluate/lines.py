"""CSV as people hand it over: plain, gzipped or piped, any order of columns, with a few bad rows.

A row that cannot be read is named by file and line and the rest goes on: one bad row in a million is the usual state
of real data, and silence about it is how wrong figures are made.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from civobs_collector.errors import EvaluationError

STDIN = "-"
_GZIP = b"\x1f\x8b"
_KEPT = 1000
"""Bad rows that are kept with their text; all are counted."""
_BLANK = " \t\r\n,\0"
_SHOWN = 200
"""Characters of a heading that is not the right one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was left out."""

    file: str
    line: int
    """Counted from 1, the heading included."""
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, and what turns its text into a value or raises ValueError."""

    name: str
    parse: Callable[[str], object]
    default: object = None
    """For a file without the column; None makes it required."""
    other: tuple[str, ...] = ()
    """Other names it may have."""

    def place(self, there: Sequence[str]) -> int:
        """Where it stands in a heading; -1 where it does not."""
        return next((there.index(name) for name in (self.name, *self.other) if name in there), -1)


@dataclass(slots=True)
class Tally:
    """What was read so far, over all files."""

    strict: bool = False
    n_rows: int = 0
    n_bad: int = 0
    problems: list[Problem] = field(default_factory=list)

    def bad(self, problem: Problem) -> None:
        """Count a bad row; raises EvaluationError where one is enough to stop."""
        if self.strict:
            raise EvaluationError(str(problem), "correct the row, or run without --strict to leave it out")
        self.n_bad += 1
        if len(self.problems) < _KEPT:
            self.problems.append(problem)


Check = Callable[[tuple[Any, ...]], None]
"""Raises ValueError for a row each of whose values can be read, and that cannot be."""


def rows(path: str, columns: Sequence[Column], tally: Tally, check: Check | None = None) -> Iterator[tuple[Any, ...]]:
    """The readable rows of one file, parsed, in its order. Raises EvaluationError where it is no CSV of this form."""
    name = "<stdin>" if path == STDIN else path
    line = 0
    try:
        with _opened(path) as file:
            lines = enumerate(file, start=1)
            line, heading = next(((at, text) for at, text in lines if text.strip(_BLANK)), (0, ""))
            places = _places(heading, columns, name)
            for line, text in lines:
                if not text.strip(_BLANK):
                    continue
                try:
                    values = _parsed(_cells(text), columns, places)
                    if check is not None:
                        check(values)
                except ValueError as error:
                    tally.bad(Problem(name, line, str(error)))
                    continue
                tally.n_rows += 1
                yield values
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EvaluationError(f"{name} after line {line}: {error}", "the gzip file is cut off or damaged") from None
    except OSError as error:
        raise EvaluationError(
            f"{name}: {error.strerror or error}", "give a file that can be read, or - for standard input"
        ) from None


def _cells(text: str) -> list[str]:
    """The cells of one line. No cell spans lines in any form, so a quote left open spoils its own row only."""
    text = text.rstrip("\n")
    return next(csv.reader([text])) if '"' in text else text.split(",")


def _places(heading: str, columns: Sequence[Column], name: str) -> list[int]:
    """Where each column stands; -1 for one that is not there and has a default."""
    wanted = ",".join(column.name for column in columns if column.default is None)
    if not heading:
        raise EvaluationError(f"{name} is empty", f"its first line must name the columns {wanted}, in any order")
    there = [cell.strip().lower() for cell in _cells(heading)]
    missing = [column.name for column in columns if column.default is None and column.place(there) < 0]
    if missing:
        raise EvaluationError(
            f"{name}:1: no column {' and no column '.join(missing)}; it has {','.join(there)[:_SHOWN]}",
            f"the first line must name the columns {wanted}, in any order",
        )
    return [column.place(there) for column in columns]


def _parsed(cells: list[str], columns: Sequence[Column], places: list[int]) -> tuple[Any, ...]:
    values = []
    for column, place in zip(columns, places, strict=True):
        if place < 0:
            values.append(column.default)
            continue
        if place >= len(cells):
            raise ValueError(f"the row ends before its column {column.name}")
        try:
            values.append(column.parse(cells[place]))
        except ValueError as error:
            raise ValueError(f"{column.name} {error}") from None
    return tuple(values)


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    with open(0 if path == STDIN else path, "rb", closefd=path != STDIN) as file:
        # By its first bytes, not its name: standard input has none.
        packed = file.peek(len(_GZIP)).startswith(_GZIP)
        plain = gzip.GzipFile(fileobj=file) if packed else file
        # A name in another encoding is still one name; a file that is no text has no heading.
        yield io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace")
