"""Kenya 2023: every window found soon, and nothing on the networks that were left alone."""

from pathlib import Path

import pytest

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Evaluation, Wanted, evaluate
from tests.evaluation import kenya
from tests.evaluation.data import missing

pytestmark = pytest.mark.skipif(bool(missing(*kenya.FILE)), reason=missing(*kenya.FILE))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return kenya.target(tmp_path_factory.mktemp("kenya"))


def made(file: str, truth: str) -> Evaluation:
    return evaluate(Wanted(Form.TARGET, [file], truth=truth), Params())


def test_windows_of_exams_are_found_within_an_hour_and_a_half_and_controls_stay_quiet(
    file: str, tmp_path: Path
) -> None:
    found = made(file, kenya.truth(tmp_path))
    assert found.score is not None
    windows = found.score.all
    assert windows.n_truth == 31
    assert windows.n_found >= 0.95 * windows.n_truth
    assert windows.delay_s.median is not None
    assert windows.delay_s.median <= 1.5 * 3600
    assert (found.score.n_quiet, found.score.n_quiet_kept) == (3, 3)
    assert not {network for one in found.found for network in one.networks} & set(kenya.CONTROLS)


def test_windows_that_no_threshold_was_chosen_by_are_found_as_well(file: str, tmp_path: Path) -> None:
    found = made(file, kenya.truth(tmp_path, kenya.FITTED_UNTIL, kenya.LAST))
    assert found.score is not None
    assert found.score.all.n_found >= 0.95 * found.score.all.n_truth
    assert found.score.all.delay_s.median is not None
    assert found.score.all.delay_s.median <= 1.5 * 3600


def test_no_window_is_merged_across_a_night(file: str, tmp_path: Path) -> None:
    for event in made(file, kenya.truth(tmp_path)).events:
        for piece in event.pieces:
            if piece.network in kenya.BLOCKED and piece.start is not None and piece.end is not None:
                assert piece.end.earliest - piece.start.latest < 12 * 3600
