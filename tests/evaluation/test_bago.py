"""Bago: all 72 nights, one campaign, nothing before or after."""

import pytest

from tests.evaluation.bago import FILE, N_NIGHTS, judged
from tests.evaluation.data import missing

pytestmark = pytest.mark.skipif(bool(missing(*FILE)), reason=missing(*FILE))


def test_every_night_of_bago_is_one_occurrence_of_one_campaign(tmp_path):
    made = judged(tmp_path)
    own = [one for one in made.events if one.group == "Bago"]
    assert [one.occurrence for one in own] == list(range(1, N_NIGHTS + 1))
    assert len({one.campaign for one in own}) == 1
    assert made.score is not None
    assert (made.score.all.n_found, made.score.all.n_truth) == (N_NIGHTS, N_NIGHTS)
    assert (made.score.n_quiet_kept, made.score.n_quiet) == (2, 2)
    delay = made.score.all.delay_s.median
    assert delay is not None
    assert delay <= 2 * 3600
