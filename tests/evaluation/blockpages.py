"""Block pages of the Citizen Lab and signatures of Censored Planet: what is recognised, and what must not be.

The pages are parted by the digest of their names: to one half the classifier's words and points were fitted, the rest
was only counted, but for one rule that a page of it led to (false positives of a few letters weigh less). The texts of
the signatures and of the known false positives were all read. ``python -m tests.evaluation.blockpages`` prints the
table.
"""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from civobs_agent.probes.http_answer import OPENING, Answer
from civobs_collector.detect.blockpages import Certainty, Weighed, weigh
from civobs_collector.detect.fingerprints import OWN, Fingerprints
from civobs_collector.fingerprint_lists import Reading, read_list
from civobs_collector.page_rows import Row, read_pages
from tests.evaluation.data import FOLDER, missing

SIGNATURES = ("blockpages", "censoredplanet_blockpage_signatures.json")
FALSE_POSITIVES = ("blockpages", "censoredplanet_false_positive_signatures.json")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table."""

    what: str
    fingerprints: str
    n: int
    artefacts: int
    likely: int


def pages() -> dict[str, list[Path]]:
    """The saved pages by half: ``fitted`` and ``rest``."""
    found = sorted(FOLDER.joinpath("blockpages").glob("*_meta/*.html"))
    return {
        "fitted": [path for path in found if _even(path.name)],
        "rest": [path for path in found if not _even(path.name)],
    }


def imported(*names: tuple[str, str]) -> Fingerprints:
    """Lists of Censored Planet, as ``civobs fingerprints import`` reads them."""
    reading = Reading()
    for name in names:
        read_list(FOLDER.joinpath(*name), reading, source=None, innocent=False)
    return Fingerprints((*OWN, *reading.entries))


def table() -> list[Line]:
    """Everything that is printed."""
    lists = {
        "none": Fingerprints(()),
        "signatures": imported(SIGNATURES),
        "both lists": imported(SIGNATURES, FALSE_POSITIVES),
    }
    lines = []
    for name, fingerprints in lists.items():
        for half, files in pages().items():
            rows = [row for path in files for row in read_pages(path)]
            lines.append(_line(f"pages, {half}", name, rows, fingerprints))
            kept = [as_kept(path) for path in files]
            lines.append(_line(f"pages, {half}, as a probe keeps them", name, kept, fingerprints))
        for what, file in (("signatures", SIGNATURES), ("known false positives", FALSE_POSITIVES)):
            lines.append(_line(f"{what}, their texts", name, list(read_pages(FOLDER.joinpath(*file))), fingerprints))
    return lines


def as_kept(path: Path) -> Row:
    """The page as a probe's row has it: the title, and 1,024 scrubbed characters."""
    answer = Answer(status=200, opening=bytearray(path.read_bytes()[:OPENING]))
    return Row(str(path), None, status=200, title=answer.title(()), body=answer.sample(()))


def judge(row: Row, fingerprints: Fingerprints) -> Weighed:
    """One page, as ``civobs fingerprints check`` has it."""
    return weigh(row.status, row.headers, row.title, row.body, row.location, fingerprints)


def _line(what: str, name: str, rows: Iterable[object], fingerprints: Fingerprints) -> Line:
    found = [judge(row, fingerprints).match for row in rows if isinstance(row, Row)]
    certain = [match.certainty for match in found if match is not None]
    return Line(what, name, len(found), certain.count(Certainty.ARTEFACT), certain.count(Certainty.LIKELY))


def _even(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 0


def main() -> int:
    """Print the table as Markdown."""
    for name in (SIGNATURES, FALSE_POSITIVES):
        if missing(*name):
            sys.stderr.write(f"the set {'/'.join(name)} is missing: set CIVOBS_DATA_DIR\n")
            return 1
    print("| Pages | Fingerprints | Number | Artefact | Likely | Recognised |\n|---|---|---|---|---|---|")
    for one in table():
        share = (one.artefacts + one.likely) / one.n
        print(f"| {one.what} | {one.fingerprints} | {one.n} | {one.artefacts} | {one.likely} | {share:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
