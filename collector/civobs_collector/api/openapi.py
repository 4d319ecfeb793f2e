"""Writes ``docs/api/openapi.json``: ``python -m civobs_collector.api.openapi [--check] [FILE]``."""

import argparse
import json
import sys
from pathlib import Path

from civobs_collector.api.app import create_app
from civobs_collector.config import CollectorSettings

DEFAULT = Path("docs/api/openapi.json")


def document() -> str:
    """Return the OpenAPI 3.1 document of this version."""
    return json.dumps(create_app(CollectorSettings()).openapi(), indent=2, sort_keys=True) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write the document, or compare it with the one that is there; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args(argv)
    text = document()
    if arguments.check:
        if not arguments.file.is_file() or arguments.file.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{arguments.file} is out of date: python -m civobs_collector.api.openapi\n")
            return 1
        return 0
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
