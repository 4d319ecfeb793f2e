"""Real block pages and known false positives, read from the data folder; skipped with its name where it is missing."""

import pytest

from civobs_collector.detect.fingerprints import Fingerprints
from civobs_collector.page_rows import read_pages
from tests.evaluation import blockpages
from tests.evaluation.data import FOLDER, missing

LACKING = missing(*blockpages.SIGNATURES)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)


@pytest.fixture(scope="module")
def lists():
    return {
        "none": Fingerprints(()),
        "signatures": blockpages.imported(blockpages.SIGNATURES),
        "both": blockpages.imported(blockpages.SIGNATURES, blockpages.FALSE_POSITIVES),
    }


def matches(rows, fingerprints):
    return [blockpages.judge(row, fingerprints).match for row in rows]


def rows_of(files):
    return [row for path in files for row in read_pages(path)]


@pytest.mark.parametrize("name", ["none", "signatures", "both"])
def test_no_known_false_positive_fires(lists, name):
    rows = list(read_pages(FOLDER.joinpath(*blockpages.FALSE_POSITIVES)))
    assert len(rows) == 460
    assert [row.name for row, found in zip(rows, matches(rows, lists[name]), strict=True) if found] == []


def test_most_saved_pages_are_recognised_without_a_fingerprint_also_those_that_nothing_was_fitted_to(lists):
    for half, least in (("fitted", 0.9), ("rest", 0.7)):
        found = matches(rows_of(blockpages.pages()[half]), lists["none"])
        assert sum(one is not None for one in found) >= least * len(found)
        assert {one.certainty for one in found if one} == {"likely"}


def test_most_are_recognised_as_a_probe_keeps_them(lists):
    kept = [blockpages.as_kept(path) for files in blockpages.pages().values() for path in files]
    assert sum(one is not None for one in matches(kept, lists["none"])) >= 0.7 * len(kept)


def test_nearly_all_signatures_are_recognised_where_they_are_imported(lists):
    found = matches(read_pages(FOLDER.joinpath(*blockpages.SIGNATURES)), lists["both"])
    assert len(found) == 622
    assert sum(one is not None for one in found) >= 575  # the rest say "access denied", as any server does
