"""Writes the JSON Schemas and checks that the committed ones are current.

``python -m civobs_wire.schema wire/schema`` writes; with ``--check`` it only compares and exits 1 on drift.
"""

import argparse
import json
import sys
from pathlib import Path

from pydantic import BaseModel

from civobs_wire.batch import Batch
from civobs_wire.enrol import EnrolRequest, EnrolResponse, TimeResponse
from civobs_wire.failure import FAILURES
from civobs_wire.plan import Plan
from civobs_wire.presence import Presence
from civobs_wire.receipt import Receipt

DOCUMENTS: dict[str, type[BaseModel]] = {
    "batch": Batch,
    "presence": Presence,
    "receipt": Receipt,
    "plan": Plan,
    "enrol-request": EnrolRequest,
    "enrol-response": EnrolResponse,
    "time-response": TimeResponse,
}


def rendered() -> dict[str, str]:
    """File name to content, for every document and the failure vocabulary."""
    files = {
        f"{name}.schema.json": json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
        for name, model in DOCUMENTS.items()
    }
    rows = [
        {
            "code": row.code,
            "name": row.name,
            "outcome": row.outcome,
            "source": row.source,
            "meaning": row.meaning,
        }
        for row in FAILURES
    ]
    files["failures.json"] = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    return files


def main(argv: list[str] | None = None) -> int:
    """Write the schemas, or check them."""
    parser = argparse.ArgumentParser(prog="python -m civobs_wire.schema", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the schemas are kept")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if a file is not current")
    arguments = parser.parse_args(argv)
    stale = 0
    for name, content in rendered().items():
        path: Path = arguments.folder / name
        if path.exists() and path.read_text() == content:
            continue
        if arguments.check:
            stale += 1
            sys.stderr.write(f"{path} is not current: run python -m civobs_wire.schema {arguments.folder}\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
