"""Rosters that are made: better than what others use on the same series."""

from civobs_collector.evaluate.names import Form
from tests.evaluation import rosters
from tests.evaluation.__main__ import compare


def test_outages_are_found_with_few_false_events_beside_cusum_and_threshold(tmp_path):
    data, truth = rosters.roster(tmp_path, seeds=2, bin_s=900.0)
    scores = compare((Form.ROSTER, data, truth))
    ours = scores["civobs"]
    assert ours.all.n_truth > 30
    assert ours.all.recall >= 0.9
    assert ours.all.precision >= 0.9
    assert ours.all.recall > scores["plain CUSUM"].all.recall
    assert ours.n_quiet_kept >= scores["plain threshold"].n_quiet_kept
