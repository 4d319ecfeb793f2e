"""Where the real data lie. None of it is in the repository; each set keeps its own licence."""

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(os.environ.get("CIVOBS_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
"""Next to the repository, unless the environment names another."""


def missing(*parts: str) -> str:
    """Which set is not there; empty where it is."""
    return "" if FOLDER.joinpath(*parts).exists() else f"{'/'.join(parts)} is not in {FOLDER} (CIVOBS_DATA_DIR)"


def rows(*parts: str) -> Iterator[dict[str, str]]:
    """The rows of a gzipped CSV file by their columns."""
    with gzip.open(FOLDER.joinpath(*parts), "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def write(path: Path, heading: str, lines: Iterator[str]) -> str:
    """A file of one of the forms; returns its name."""
    path.write_text("\n".join([heading, *lines]) + "\n", encoding="utf-8")
    return str(path)
