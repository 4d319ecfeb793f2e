"""Writes the dashboards as files that Grafana takes: ``python -m dashboards.build``, or ``--check`` to compare only."""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import anchors, country, event, ingest, probes, throttling, world
from dashboards.board import Board, built
from dashboards.views_page import page

HERE = Path(__file__).parent
VIEWS_PAGE = HERE.parent / "docs" / "operating" / "grafana-views.md"
BOARDS: tuple[Board, ...] = (
    world.BOARD,
    country.BOARD,
    event.BOARD,
    throttling.BOARD,
    probes.BOARD,
    ingest.BOARD,
    anchors.BOARD,
)


def files() -> dict[Path, str]:
    """Every file, with its content."""
    made = {HERE / f"{board.uid}.json": _text(board) for board in BOARDS}
    return made | {VIEWS_PAGE: page()}


def _text(board: Board) -> str:
    return json.dumps(built(board), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description="Dashboards for Grafana")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if a file is not what it should be"
    )
    arguments = parser.parse_args(argv)
    made = files()
    stray = sorted(set(HERE.glob("*.json")) - set(made))
    changed = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check:
        for path in (*changed, *stray):
            sys.stderr.write(f"{path}: not what dashboards/build.py writes\n")
        return 1 if changed or stray else 0
    for path in changed:
        path.write_text(made[path], encoding="utf-8")
    for path in stray:
        path.unlink()
    sys.stdout.write(f"{len(changed)} of {len(made)} files written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
